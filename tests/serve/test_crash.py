"""kill -9, and an orderly end: what was acknowledged is there afterwards, and the masks are the same, bit by bit."""

import contextlib
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

from mfp.engine.image import decode_image
from mfp.serve.stores.sqlite import SqliteStore

API = "/api/v1"
OPTIONS = {"flip": False}  # half the work
CLIENTS = 4


class Annotator(threading.Thread):
    """A client that does all there is until the server is gone; it notes what was acknowledged."""

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
        kind = self.random.choice(["clicks"] * 6 + ["undo", "redo", "finish", "reset", "select", "delete", "hide"])
        body = {"x": self.random.uniform(0, 511), "y": self.random.uniform(0, 511)} if kind == "clicks" else {}
        if kind in ("select", "delete", "hide"):
            body = {"object": self.random.randrange(4)}
        answer = self.http.post(f"/sessions/{self.id}/{kind}", json=body)
        if answer.status_code == 200:
            self.replies.append((kind, answer.json()))
        else:  # nothing to undo, redo or finish; no such object
            assert answer.status_code in (404, 409, 503), answer.text


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
        (present,) = (one for one in state["objects"] if not one["finished"])
        if state["revision"] == last["revision"]:
            assert (present["rle"], present["clicks"]) == (last["rle"], last["clicks"])
            assert (state["can_undo"], state["can_redo"]) == (last["can_undo"], last["can_redo"])
        events = store.events(annotator.id)
        now = replayed(lite0, image, events, **OPTIONS)
        now.check(state | {"network": "", "objects": [one | {"network": ""} for one in state["objects"]]})
        # … and it goes on as if nothing had happened, back to the first event
        click = {"x": 100.0, "y": 200.0}
        reply = http.post(f"/sessions/{annotator.id}/clicks", json=click | {"revision": state["revision"]}).json()
        now.do("click", **click)
        assert (reply["rle"], reply["roi"]) == now.mask(now.present)
        for _ in range(min(3, len(now.past))):
            reply = http.post(f"/sessions/{annotator.id}/undo").json()
            now.do("undo")
            assert (reply["object"], reply["rle"], reply["can_undo"]) == (
                now.present,
                now.mask(now.present)[0],
                bool(now.past),
            )
    assert {"finish", "reset", "select", "delete", "hide"} & {
        event.kind for annotator in annotators for event in store.events(annotator.id)
    }
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


def test_kill_9_while_another_network_takes_over(start_server, sample, golden):
    """It has, or it has not; the finished objects are as they were, and an undo brings the last one back."""
    networks = ("--network", "lite0", "--network", str(golden("toy.onnx")))
    server = start_server(*networks)
    http = httpx2.Client(base_url=server.url + API, timeout=60)
    id = http.post("/sessions", content=sample, params=OPTIONS | {"name": "photo.jpg"}).json()["id"]
    for x in (120, 250, 400):
        http.post(f"/sessions/{id}/clicks", json={"x": x, "y": 330})
        http.post(f"/sessions/{id}/finish")
    for x in (60, 90, 130):
        http.post(f"/sessions/{id}/clicks", json={"x": x, "y": 100})
    before = http.get(f"/sessions/{id}").json()

    def switch():
        with contextlib.suppress(httpx2.TransportError):
            http.post(f"/sessions/{id}/network", json={"network": "toy"})

    for wait in (0.05, None):  # amid it, and once it is acknowledged
        thread = threading.Thread(target=switch)
        thread.start()
        thread.join(wait)
        server.process.kill()
        thread.join()
        server = start_server(*networks)
        http = httpx2.Client(base_url=server.url + API, timeout=60)
        state = http.get(f"/sessions/{id}").json()
        assert state["objects"][:3] == before["objects"][:3]
        assert [one["network"] for one in state["objects"]] == ["lite0"] * 3 + [state["network"]]
        assert state["objects"][3]["clicks"] == before["objects"][3]["clicks"]
        assert (state["options"]["flip"], state["name"]) == (False, "photo.jpg")
        if state["network"] == "lite0":
            assert wait is not None
            assert state == before
            continue
        back = http.post(f"/sessions/{id}/undo", json={"revision": state["revision"]}).json()
        assert (back["objects"], back["network"]) == (before["objects"], "lite0")
        before = http.get(f"/sessions/{id}").json()


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
