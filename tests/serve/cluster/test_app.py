"""The server on Ray: the API is the same, any replica takes over, and the command ends as it should."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("ray")
pytest.importorskip("fastapi")

from mfp.bench.serving import failover
from mfp.cli.main import main
from mfp.engine.errors import OptionError, RuntimeMissingError
from mfp.serve.cluster.connection import connected
from mfp.serve.cluster.settings import ClusterSettings
from mfp.serve.sessions.batching import BatchedNetwork, batched

TOKEN = "abcdefgh12345678"
slow = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray's own
]


def call(url, method="GET", body=None, token=TOKEN):
    """Status and JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        with urlopen(Request(url, data, headers, method=method), timeout=120) as response:
            return response.status, json.loads(response.read() or b"null")
    except HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.slow
class TestServer:
    pytestmark = slow

    @pytest.fixture(scope="class")
    def url(self, redis_port):
        settings = ClusterSettings(
            store=f"redis://127.0.0.1:{redis_port}/1",
            device="cpu",
            min_replicas=2,
            cpus=0.5,
            limits={"image_pixels": 300_000},
            http={"token": TOKEN, "rate": 0},
        )
        with failover.server(settings) as (port, _):
            yield f"http://127.0.0.1:{port}/api/v1"

    def test_answers_are_those_of_one_machine(self, url, sample, small):
        status, state = call(f"{url}/sessions?flip=false&name=a.jpg", "POST", sample)
        assert (status, state["revision"], state["options"]["flip"], state["name"]) == (201, 0, False, "a.jpg")
        session = f"{url}/sessions/{state['id']}"
        status, reply = call(f"{session}/clicks", "POST", {"x": 120, "y": 330, "revision": 0})
        assert (status, reply["revision"]) == (200, 1)
        assert reply["timing"]["network"] > 0
        state = call(session)[1]
        assert state["objects"][0]["rle"] == reply["rle"]
        assert call(f"{session}/mask?format=rle")[1] == reply["rle"]
        for path, method, body, expected in (
            ("clicks", "POST", {"x": -1, "y": 0}, (400, "ClickError")),
            ("clicks", "POST", {"x": 1, "y": 1, "revision": 7}, (409, "RevisionError")),
            ("redo", "POST", None, (409, "NothingToUndoError")),
            ("mask?object=3", "GET", None, (404, "UnknownSessionError")),
        ):
            status, error = call(f"{session}/{path}", method, body)
            assert (status, error["error"]) == expected
            assert "Traceback" not in error["message"]
        assert call(f"{session}/finish", "POST")[1]["object"] == 1
        reply = call(f"{session}/select", "POST", {"object": 0, "revision": 2})[1]
        assert (reply["rle"], [one["object"] for one in reply["objects"]]) == (state["objects"][0]["rle"], [0])
        assert call(f"{session}/hide", "POST", {"object": 0})[1]["objects"][0]["hidden"]
        assert call(f"{session}/select", "POST", {"object": 1})[0] == 404
        for _ in range(4):
            reply = call(f"{session}/undo", "POST")[1]
        assert (reply["area"], reply["can_undo"], reply["revision"]) == (0, False, 8)
        assert call(f"{url}/sessions", "POST", b"no image")[1]["error"] == "MediaTypeError"  # urllib calls it a form
        assert call(f"{url}/sessions", "POST", small(1000, 1000))[0] in (201, 413)
        assert call(session, token="wrong")[0] == 401
        assert call(session, "DELETE") == (204, None)
        assert call(session)[0] == 404

    def test_a_websocket_outlives_every_replica(self, url, sample):
        from websockets.sync.client import connect

        id = call(f"{url}/sessions?flip=false", "POST", sample)[1]["id"]
        address = f"{url.replace('http', 'ws')}/sessions/{id}/ws"
        with connect(address, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as ws:
            assert json.loads(ws.recv(60))["type"] == "state"

            def send(message):
                ws.send(json.dumps(message))
                return json.loads(ws.recv(120))

            for revision in range(3):
                reply = send({"type": "click", "x": 100 + revision, "y": 330, "revision": revision, "ref": revision})
                assert (reply["type"], reply["ref"], reply["revision"]) == ("reply", revision, revision + 1)
                before = failover.replicas()
                for pid in before:
                    os.kill(pid, signal.SIGKILL)
                state = send({"type": "state"})
                assert state["objects"][0]["rle"] == reply["rle"]
                assert not set(before) & set(failover.replicas())
            assert send({"type": "undo", "revision": 2})["status"] == 409
            assert send({"type": "undo", "revision": 3})["can_redo"]

    def test_an_event_without_revision_is_not_done_twice(self, url, sample):
        session = f"{url}/sessions/{call(f'{url}/sessions', 'POST', sample)[1]['id']}"
        statuses = []
        with ThreadPoolExecutor(1) as pool:
            for number in range(10):
                answer = pool.submit(call, f"{session}/clicks", "POST", {"x": 100 + number, "y": 330})
                time.sleep(0.05)  # the click takes two passes of the network, with its rebuilding more
                for pid in failover.replicas():
                    os.kill(pid, signal.SIGKILL)
                status, message = answer.result()
                assert (status, message.get("error")) in ((200, None), (503, "UnavailableError"))
                statuses.append(status)
                if 503 in statuses:
                    break
        assert 503 in statuses
        kept = call(session)[1]["revision"]
        assert statuses.count(200) <= kept <= len(statuses)


class TestCommand:
    pytestmark = slow

    def start(self, store):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "mfp.cli.main", "serve", "--ray", "local", "--device", "cpu"]
        command += ["--port", str(port), "--store", f"sqlite:///{store}", "--replica-cpus", "0.5"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if line.startswith("serving at"):
                return process, f"{line.split()[-1]}/api/v1"
        raise AssertionError("the server did not start")

    def test_it_ends_when_told_and_knows_its_sessions_again(self, sample, tmp_path):
        os.chdir(tmp_path)
        process, url = self.start("sessions.sqlite")
        session = f"/sessions/{call(f'{url}/sessions?flip=false', 'POST', sample)[1]['id']}"
        reply = call(f"{url}{session}/clicks", "POST", {"x": 120, "y": 330})[1]
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait() == 0
        process, url = self.start("sessions.sqlite")
        assert call(f"{url}{session}")[1]["objects"][0]["rle"] == reply["rle"]
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        assert process.wait() == 0


def test_settings_are_completed_and_checked(tmp_path):
    found = ClusterSettings(store="redis://x", min_replicas=3, cpus=4.5, workers=2)
    assert (found.max_replicas, found.threads) == (3, 2)
    assert ClusterSettings(store="redis://x", cpus=0.25).threads == 1
    for wrong in ({"min_replicas": 0}, {"networks": []}, {"unknown": 1}, {"gpus": -1}, {"limits": {"unknown": 1}}):
        with pytest.raises((ValueError, TypeError)):
            ClusterSettings(store="redis://x", **wrong)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_cluster_is_said(monkeypatch, capsys):
    with pytest.raises(RuntimeMissingError, match="no Ray cluster to be had at 127"), connected("127.0.0.1:1"):
        pass
    with pytest.raises(OptionError, match="expected the address of a Ray cluster's head"), connected("ray://host:1"):
        pass
    for replicas in ("0", "3-2", "x", "-1", "1-"):
        with pytest.raises(SystemExit):
            main(["serve", "--ray", "--replicas", replicas])
        assert "expected a number from 1, or two of them like 1-4" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RuntimeMissingError, match=r"pip install 'mfp-engine\[ray\]'"), connected():
        pass


def test_batching_is_for_who_asks_for_it(toy):
    assert batched(toy) is toy
    assert batched(toy, False) is toy
    assert isinstance(batched(toy, True), BatchedNetwork)
