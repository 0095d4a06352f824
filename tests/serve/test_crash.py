"""kill -9, and an orderly end: what was acknowledged is there afterwards, and the masks are the same, bit by bit."""

import json
import random
import shutil
import signal
import subprocess
import threading
import time
from datetime import datetime, timezone

import httpx2
import pytest

from mfp import Mask
from mfp.engine.image import decode_image
from mfp.serve.stores.sqlite import SqliteStore

API = "/api/v1"
OPTIONS = {"flip": False}  # half the work
CLIENTS = 4


class Annotator(threading.Thread):
    """A client that clicks, takes back and finishes until the server is gone; it notes what was acknowledged."""

    def __init__(self, url, image, number):
        super().__init__()
        self.random = random.Random(number)
        self.http = httpx2.Client(base_url=url + API, timeout=60)
        self.id = self.http.post("/sessions", content=image, params=OPTIONS).json()["id"]
        self.replies = []

    def run(self):
        try:
            while True:
                self.step()
        except httpx2.TransportError:
            return

    def step(self):
        kind = self.random.choice(["clicks"] * 6 + ["undo", "redo", "finish"])
        body = {"x": self.random.uniform(0, 511), "y": self.random.uniform(0, 511)} if kind == "clicks" else {}
        answer = self.http.post(f"/sessions/{self.id}/{kind}", json=body)
        if answer.status_code == 200:
            self.replies.append((kind, answer.json()))
        else:  # nothing to undo, redo or finish
            assert answer.status_code in (409, 503), answer.text


def test_kill_9(start_server, tmp_path, lite0, sample, replayed):
    server = start_server()
    annotators = [Annotator(server.url, sample, number) for number in range(CLIENTS)]
    for annotator in annotators:
        annotator.start()
    deadline = time.monotonic() + 120
    while min(len(annotator.replies) for annotator in annotators) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    server.process.kill()
    for annotator in annotators:
        annotator.join()
    server = start_server()

    store = SqliteStore(tmp_path / "sessions.sqlite")
    image = decode_image(sample)
    http = httpx2.Client(base_url=server.url + API, timeout=60)
    for annotator in annotators:
        _, last = annotator.replies[-1]
        state = http.get(f"/sessions/{annotator.id}").json()
        # The event that was on its way may have arrived; it is the only one that nobody was told of.
        assert state["revision"] - last["revision"] in (0, 1)
        present = state["objects"][-1]
        if state["revision"] == last["revision"]:
            assert (present["rle"], present["clicks"]) == (last["rle"], last["clicks"])
            assert (state["can_undo"], state["can_redo"]) == (last["can_undo"], last["can_redo"])
        masks, session = replayed(lite0, image, store.events(annotator.id), **OPTIONS)
        assert [one["rle"] for one in state["objects"]] == masks
        assert (state["can_undo"], state["can_redo"]) == (session.can_undo, session.can_redo)
        replies = annotator.replies
        before = [replies[k - 1][1]["rle"] for k, (kind, _) in enumerate(replies) if kind == "finish"]
        assert masks[: len(before)] == before
        # … and it goes on as if nothing had happened
        reply = http.post(f"/sessions/{annotator.id}/clicks", json={"x": 100, "y": 200, "revision": state["revision"]})
        assert Mask.from_rle(reply.json()["rle"]) == session.click(100, 200)
        if session.can_undo:
            reply = http.post(f"/sessions/{annotator.id}/undo").json()
            assert Mask.from_rle(reply["rle"]) == session.undo()
        session.close()
    store.close()


def test_wrong_dates_at_starts(start_server, tmp_path, small, golden):
    """40 days ahead, then 20 back, then right: of the work before nothing is lost, nor of that in between."""
    if shutil.which("faketime") is None:
        pytest.skip("needs faketime: apt-get install faketime")
    flags = ("--network", str(golden("toy.onnx")), "--keep", "30")

    def ask(server, method, path, **options):
        answer = httpx2.request(method, server.url + API + path, timeout=60, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()

    server = start_server(*flags)
    id = ask(server, "POST", "/sessions?flip=false", content=small())["id"]
    ask(server, "POST", f"/sessions/{id}/clicks", json={"x": 20, "y": 20})
    before = ask(server, "GET", f"/sessions/{id}")
    assert server.end() == 0
    others = []
    for days in (40, -20):
        # faketime's library without its command, which would stand between the server and a signal
        told = subprocess.run(["faketime", "-m", "-f", f"{days:+}d", "env"], capture_output=True, text=True, check=True)
        wrong = [line for line in told.stdout.splitlines() if line.startswith(("LD_PRELOAD=", "FAKETIME="))]
        assert len(wrong) == 2
        server = start_server(*flags, before=("env", *wrong))
        date = datetime.fromisoformat(server.lines()[-1]["time"].replace("Z", "+00:00"))
        assert abs((date - datetime.now(timezone.utc)).days - days) <= 1  # it was wrong
        time.sleep(1)  # in which all were deleted once
        assert ask(server, "GET", f"/sessions/{id}") == before
        others.append(ask(server, "POST", "/sessions?flip=false", content=small())["id"])
        ask(server, "POST", f"/sessions/{id}/undo")
        ask(server, "POST", f"/sessions/{id}/redo")
        before["revision"] += 2
        server.process.kill()
        server.process.wait()
    server = start_server(*flags)
    assert ask(server, "GET", f"/sessions/{id}") == before
    assert [ask(server, "GET", f"/sessions/{other}")["revision"] for other in others] == [0, 0]


def test_an_orderly_end(start_server, tmp_path, sample):
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    server = start_server()
    http = httpx2.Client(base_url=server.url + API, timeout=60)
    id = http.post("/sessions", content=sample).json()["id"]
    with connect(f"{server.url.replace('http', 'ws')}{API}/sessions/{id}/ws") as busy:
        busy.recv()
        with connect(f"{server.url.replace('http', 'ws')}{API}/sessions/{id}/ws") as idle:
            idle.recv()
            busy.send(json.dumps({"type": "click", "x": 120, "y": 330, "ref": "last"}))
            time.sleep(0.05)  # it has begun by then
            server.process.send_signal(signal.SIGTERM)
            reply = json.loads(busy.recv())
            assert (reply["type"], reply["ref"], reply["revision"]) == ("reply", "last", 1)
            for socket in (busy, idle):
                with pytest.raises(ConnectionClosed) as closed:
                    socket.recv()
                assert closed.value.rcvd.code == 1001
    assert server.process.wait() == 0
    assert server.lines()[-1]["event"] == "ended"
    assert "Traceback" not in server.log
    (line,) = [line for line in server.lines() if line.get("kind") == "click"]
    assert {"network", "wait", "store", "server"} <= set(line["stages"])
    assert id not in server.log
    store = SqliteStore(tmp_path / "sessions.sqlite")
    assert store.revision(id) == 1
    store.close()


def test_a_body_that_does_not_come_holds_up_no_end(start_server):
    import socket
    from urllib.parse import urlsplit

    server = start_server()
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(b"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        time.sleep(0.2)
        assert server.end() == 0
    assert server.lines()[-1]["event"] == "ended"
