"""What an operator relies on: load from one address, connections that do nothing, logs, proxies, health."""

import asyncio
import json
import logging
import socket
import threading
import time
from contextlib import contextmanager

import httpx2
import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from mfp.serve.http import connections, rate_limit
from mfp.serve.http.app import create_app
from mfp.serve.http.middleware import request_log
from mfp.serve.http.server import Server
from mfp.serve.sessions.service import LocalService
from mfp.serve.settings import Settings
from mfp.serve.stores.sqlite import SqliteStore

API = "/api/v1"
TOKEN = "a-long-enough-token"


@pytest.fixture
def app_of(tmp_path, toy):
    """``app_of(settings)``: the application, with the toy network and SQLite."""
    return lambda settings: create_app(
        LocalService({"toy": toy}, SqliteStore(tmp_path / "sessions.sqlite"), None, 2), settings
    )


@pytest.fixture
def serving(app_of):
    """``with serving(settings) as (host, port)``: the server itself, on a thread of this process."""

    @contextmanager
    def serve(settings=None):
        server = Server(app_of(settings or Settings()), "127.0.0.1", 0)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield server.servers[0].sockets[0].getsockname()[:2]
        finally:
            server.should_exit = True
            thread.join()

    return serve


@pytest.fixture
def lines(caplog):
    """``lines(event)``: the fields of the log's lines so far."""
    caplog.set_level(logging.INFO, "mfp.serve")
    logging.getLogger("mfp.serve").propagate = True
    return lambda event: [record.fields for record in caplog.records if record.getMessage() == event]


class TestOneAddress:
    """Of many people behind one router nobody is refused for the load alone."""

    def test_two_hundred_people_click(self, serving, small):
        from websockets.asyncio.client import connect

        async def person(url, number, ids):
            async with connect(f"{url}{API}/sessions/{ids[number % len(ids)]}/ws", open_timeout=120) as channel:
                answers = [json.loads(await channel.recv())]
                calls = [{"type": "state"}, {"type": "state"}]
                calls += [{"type": "click", "x": 1, "y": 2}] if number < len(ids) else []
                for call in calls:
                    await channel.send(json.dumps(call))
                    answers.append(json.loads(await channel.recv()))
            return [answer["type"] for answer in answers]

        async def everybody(host, port):
            async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", timeout=120) as http:
                made = [http.post(f"{API}/sessions?flip=false", content=small(16, 16)) for _ in range(20)]
                ids = [answer.json()["id"] for answer in await asyncio.gather(*made)]
                listed = await asyncio.gather(*(http.get(f"{API}/networks") for _ in range(250)))
                assert {answer.status_code for answer in listed} == {200}
            return await asyncio.gather(*(person(f"ws://{host}:{port}", number, ids) for number in range(200)))

        with serving() as (host, port):
            answers = asyncio.run(everybody(host, port))
        assert answers == [["state"] * 3 + ["reply"]] * 20 + [["state"] * 3] * 180

    def test_guessing_is_limited(self, app_of, small, monkeypatch):
        monkeypatch.setattr(rate_limit, "FAILURES", 2.0)
        settings = Settings(token=TOKEN)
        known = {"Authorization": f"Bearer {TOKEN}"}
        app = app_of(settings)
        with TestClient(app, client=("10.0.0.1", 1)) as client:
            id = client.post(f"{API}/sessions", content=small(), headers=known).json()["id"]
            protocols = ["mfp", f"bearer.{TOKEN}"]
            with client.websocket_connect(f"{API}/sessions/{id}/ws", subprotocols=protocols) as channel:
                channel.receive_json()
                statuses = [client.get(f"{API}/networks", headers={"Token": str(n)}).status_code for n in range(40)]
                assert statuses[:4] == [401] * 4
                assert statuses[-1] == 429
                right = client.get(f"{API}/networks", headers=known)  # nor does a right guess show among them
                assert (right.status_code, right.headers["retry-after"]) == (429, "1")
                with (
                    pytest.raises(WebSocketDenialResponse) as refused,
                    client.websocket_connect(f"{API}/sessions/{id}/ws", subprotocols=protocols),
                ):
                    pass
                assert (refused.value.status_code, refused.value.headers["retry-after"]) == (429, "1")
                assert refused.value.json()["error"] == "TooManyError"
                channel.send_json({"type": "click", "x": 1, "y": 2})  # who was let in goes on
                assert channel.receive_json()["type"] == "reply"
            elsewhere = TestClient(app, client=("10.0.0.2", 1))
            assert elsewhere.get(f"{API}/networks", headers=known).status_code == 200

    def test_ids_are_not_guessed_either(self, app_of, monkeypatch):
        monkeypatch.setattr(rate_limit, "FAILURES", 2.0)
        with TestClient(app_of(Settings())) as client:
            statuses = [client.get(f"{API}/sessions/{number}").status_code for number in range(40)]
            assert (statuses[:4], statuses[-1]) == ([404] * 4, 429)


class TestConnections:
    def test_idle_ones_keep_nobody_out(self, serving):
        with serving() as (host, port):
            idle = [socket.create_connection((host, port)) for _ in range(1100)]
            try:
                for path in ("/healthz", "/readyz", f"{API}/networks"):
                    assert httpx2.get(f"http://{host}:{port}{path}").status_code == 200
                assert len(connections.Connection.waiting) <= connections.IDLE
            finally:
                for connection in idle:
                    connection.close()

    @pytest.mark.parametrize(
        "begin",
        [
            b"",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n",
        ],
    )
    def test_headers_have_a_time_limit(self, serving, monkeypatch, begin):
        """However slowly they drip, also after a request that was answered."""
        monkeypatch.setattr(connections, "HEADERS", 0.5)
        with serving() as (host, port), socket.create_connection((host, port)) as connection:
            connection.settimeout(0.1)
            received, closed = b"", False
            connection.sendall(begin)
            for number in range(600):
                try:
                    if begin:
                        connection.sendall(b"x" if number else b"X-")
                    part = connection.recv(10_000)
                    received, closed = received + part, not part
                except TimeoutError:
                    pass
                except OSError:
                    closed = True
                if closed:
                    break
            assert closed
            assert (b"HTTP/1.1 408 " in received) == bool(begin)

    def test_a_slow_answer_and_a_socket_are_not_idle(self, serving, monkeypatch, small):
        from websockets.sync.client import connect

        monkeypatch.setattr(connections, "HEADERS", 0.2)
        with serving() as (host, port):
            http = httpx2.Client(base_url=f"http://{host}:{port}")
            id = http.post(f"{API}/sessions", content=small()).json()["id"]
            with connect(f"ws://{host}:{port}{API}/sessions/{id}/ws") as channel:
                channel.recv()
                with socket.create_connection((host, port)) as connection:
                    head = f"POST {API}/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(small())}\r\n\r\n"
                    connection.sendall(head.encode())
                    time.sleep(0.6)
                    connection.sendall(small())
                    assert connection.recv(100).startswith(b"HTTP/1.1 201 ")
                channel.send(json.dumps({"type": "click", "x": 1, "y": 2}))
                assert json.loads(channel.recv())["type"] == "reply"

    def test_what_is_at_work_is_bounded_and_health_is_not(self, app_of, small, monkeypatch):
        monkeypatch.setattr(request_log, "TOGETHER", 1)
        with TestClient(app_of(Settings())) as client:
            id = client.post(f"{API}/sessions", content=small()).json()["id"]
            with client.websocket_connect(f"{API}/sessions/{id}/ws") as channel:
                channel.receive_json()
                answer = client.get(f"{API}/networks")
                assert (answer.status_code, answer.json()["error"]) == (503, "UnavailableError")
                assert answer.headers["retry-after"] == "1"
                with (
                    pytest.raises(WebSocketDenialResponse) as refused,
                    client.websocket_connect(f"{API}/sessions/x/ws"),
                ):
                    pass
                assert refused.value.status_code == 503
                for path in ("/healthz", "/readyz"):
                    assert client.get(path).status_code == 200
            assert client.get(f"{API}/networks").status_code == 200


class TestWhoAsked:
    def test_address_and_id_are_in_the_log_and_the_answer(self, app_of, lines, small):
        with TestClient(app_of(Settings()), client=("10.1.2.3", 1)) as client:
            for path in (f"{API}/networks", "/healthz", "/", "/nothing", "/static/main.js"):
                answer = client.get(path)
                fields = lines("request")[-1]
                assert (fields["client"], fields["path"]) == ("10.1.2.3", path)
                assert answer.headers["x-request-id"] == fields["request_id"]
            assert len({fields["request_id"] for fields in lines("request")}) == len(lines("request"))
            answer = client.get("/healthz", headers={"X-Request-Id": "of-the-proxy.1"})
            assert answer.headers["x-request-id"] == lines("request")[-1]["request_id"] == "of-the-proxy.1"
            for bad in ("", "a b", "x" * 200, "a\x1b[2J", "é".encode()):
                answer = client.get("/healthz", headers={"X-Request-Id": bad})
                assert len(answer.headers["x-request-id"]) == 16
            id = client.post(f"{API}/sessions", content=small()).json()["id"]
            with client.websocket_connect(f"{API}/sessions/{id}/ws") as channel:
                channel.receive_json()
                channel.send_json({"type": "click", "x": 1, "y": 2})
                channel.receive_json()
                fields = lines("message")[-1]
                assert fields["client"] == "10.1.2.3"
                assert {name.decode(): value.decode() for name, value in channel.extra_headers}[
                    "X-Request-Id"
                ] == fields["request_id"]
            assert id not in str(lines("socket"))
            assert (lines("socket")[-1]["client"], lines("socket")[-1]["status"]) == ("10.1.2.3", 101)

    def test_an_error_of_ours_names_the_request(self, app_of, caplog, lines, monkeypatch):
        app = app_of(Settings())
        monkeypatch.setattr(app.state.desk.service, "networks", lambda: 1 / 0)
        with TestClient(app, raise_server_exceptions=False) as client:
            answer = client.get(f"{API}/networks")
        assert answer.status_code == 500
        assert lines("unexpected error")[-1]["request_id"] == answer.headers["x-request-id"]

    @pytest.mark.parametrize(
        ("proxies", "peer", "header", "client"),
        [
            ((), "127.0.0.1", "9.9.9.9", "127.0.0.1"),
            ((), "10.0.0.5", "9.9.9.9", "10.0.0.5"),
            (("127.0.0.1/32",), "127.0.0.1", "9.9.9.9", "9.9.9.9"),
            (("127.0.0.1/32",), "127.0.0.1", "6.6.6.6, 9.9.9.9", "9.9.9.9"),  # the first is what a client made up
            (("127.0.0.1/32",), "10.0.0.5", "9.9.9.9", "10.0.0.5"),
            (("10.0.0.0/8", "127.0.0.1/32"), "10.0.0.5", "9.9.9.9, 127.0.0.1", "9.9.9.9"),
            (("::1/128",), "::1", "2001:db8::1", "2001:db8::1"),
        ],
    )
    def test_forwarded_addresses_are_believed_of_named_proxies_alone(
        self, app_of, lines, proxies, peer, header, client
    ):
        with TestClient(app_of(Settings(rate=2, proxies=proxies)), client=(peer, 1)) as http:
            http.get("/healthz", headers={"X-Forwarded-For": header})
            assert lines("request")[-1]["client"] == client
            made_up = ({"X-Forwarded-For": f"5.5.5.{number}, {header}"} for number in range(10))
            statuses = [http.get(f"{API}/networks", headers=headers).status_code for headers in made_up]
            assert statuses[-1] == 429  # a header that a client makes up does not help it


def test_head_is_answered_where_get_is(client, small):
    id = client.post(f"{API}/sessions", content=small()).json()["id"]
    client.post(f"{API}/sessions/{id}/clicks", json={"x": 20, "y": 20})
    described = client.get("/openapi.json").json()["paths"]
    paths = [path.replace("{id}", id) for path, operations in described.items() if "get" in operations]
    assert len(paths) >= 9
    for path in [*paths, "/", "/static/main.js", "/static/sample.jpg", "/openapi.json"]:
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-type"] == get.headers["content-type"]
        if path != "/metrics":  # which counts these requests
            assert head.headers["content-length"] == get.headers["content-length"]
    assert client.head(f"{API}/sessions/none").status_code == 404
    assert client.head(f"{API}/sessions/{id}/undo").status_code == 405
    assert client.get(f"{API}/sessions/{id}").json()["revision"] == 1


def test_head_over_the_wire(serving):
    with serving() as (host, port), socket.create_connection((host, port)) as connection:
        for path in ("/", "/healthz"):
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(1)
            assert received.startswith(b"HTTP/1.1 200 OK")  # and no body, or the next answer begins with it


def test_ready_means_that_a_click_would_be_kept(app_of, small, tmp_path):
    app = app_of(Settings())
    with TestClient(app) as client:
        id = client.post(f"{API}/sessions", content=small()).json()["id"]
        assert client.get("/readyz").status_code == 200
        file = tmp_path / "sessions.sqlite"
        file.rename(tmp_path / "moved")
        for _ in range(2):
            assert client.get("/readyz").status_code == 503
        answer = client.post(f"{API}/sessions/{id}/clicks", json={"x": 1, "y": 2})
        assert (answer.status_code, answer.json()["error"]) == (503, "StoreError")
        (tmp_path / "moved").rename(file)
        assert client.post(f"{API}/sessions/{id}/clicks", json={"x": 1, "y": 2}).status_code == 200
        time.sleep(1)
        assert client.get("/readyz").status_code == 200


def test_many_who_ask_whether_it_is_ready_write_little(app_of, tmp_path, monkeypatch):
    app = app_of(Settings())
    service, probes = app.state.desk.service, []
    original = service.ready

    async def counted():
        probes.append(time.monotonic())
        await original()

    monkeypatch.setattr(service, "ready", counted)
    with TestClient(app) as client:
        started = time.monotonic()
        assert {client.get("/readyz").status_code for _ in range(100)} == {200}
        assert len(probes) <= 4 * (time.monotonic() - started + 1)
