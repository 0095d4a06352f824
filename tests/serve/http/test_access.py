"""Who is let in, how much and how fast."""

import asyncio
import base64
import json

import pytest

from mfp.serve.errors import TooManyError
from mfp.serve.http import rate_limit
from mfp.serve.http.middleware import body_limit
from mfp.serve.http.rate_limit import Rate
from mfp.serve.settings import Settings

API = "/api/v1"
TOKEN = "a-long-enough-token"


def basic(password):
    return {"Authorization": "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()}


@pytest.mark.parametrize("path", [f"{API}/networks", f"{API}/sessions/x", "/metrics", "/openapi.json", "/nothing"])
def test_the_token_is_asked_for(open_client, path):
    with open_client(settings=Settings(token=TOKEN, rate=0)) as client:
        wrong = [{}, basic("wrong"), *({"Authorization": f"{kind} {TOKEN}x"} for kind in ("Bearer", "Basic", "Digest"))]
        wrong += [{"Authorization": value} for value in ("Bearer", "Bearer ü".encode("latin-1"), TOKEN)]
        for headers in wrong:
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"] == "AccessError"
            assert TOKEN not in answer.text
        for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"Authorization": f"bearer  {TOKEN}"}, basic(TOKEN)):
            assert client.get(path, headers=headers).status_code in (200, 404)


@pytest.mark.parametrize("path", ["/", "/static/index.html", "/healthz", "/readyz"])
def test_page_and_health_are_open(open_client, path):
    with open_client(settings=Settings(token=TOKEN, rate=0)) as client:
        assert client.get(path).status_code == 200
        assert client.get("/static/../api/v1/networks").status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "[", "127.0.0.1.evil", "a@localhost.b"])
def test_requests_for_other_hosts_are_refused(open_client, host):
    with open_client(settings=Settings(hosts=("localhost", "127.0.0.1", "::1"), rate=0)) as client:
        answer = client.get(f"{API}/networks", headers={"Host": host})
        assert (answer.status_code, answer.json()["error"]) == (403, "OriginError")
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:8700", "127.0.0.1:1", "[::1]:8700", "LOCALHOST"])
def test_requests_for_this_host_pass(open_client, host):
    with open_client(settings=Settings(hosts=("localhost", "127.0.0.1", "::1"), rate=0)) as client:
        assert client.get(f"{API}/networks", headers={"Host": host}).status_code == 200
        own = {"Host": host, "Origin": f"http://{host}"}
        assert client.post(f"{API}/sessions", content=b"x", headers=own).status_code == 400  # not an image, but let in


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://testserver:8701", "file://", "http://["])
def test_other_pages_cannot_act(open_client, small, origin):
    with open_client() as client:
        id = client.post(f"{API}/sessions", content=small()).json()["id"]
        for method, path in (("POST", "/undo"), ("POST", "/clicks"), ("DELETE", ""), ("PUT", "")):
            answer = client.request(method, f"{API}/sessions/{id}{path}", headers={"Origin": origin})
            assert (answer.status_code, answer.json()["error"]) == (403, "OriginError")
        answer = client.get(f"{API}/sessions/{id}", headers={"Origin": origin})
        assert answer.status_code == 200  # the browser keeps it from that page: it is not said to be for others
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_behind_a_proxy(open_client):
    hosts = ("localhost", "127.0.0.1", "::1", "mfp.example", "other.example:8443")
    with open_client(settings=Settings(hosts=hosts, rate=0)) as client:
        for host, origin, status in (
            ("mfp.example", "https://mfp.example", 400),  # no image, but let in
            ("localhost:8700", "https://mfp.example", 400),  # a proxy that names the host as it sees it
            ("127.0.0.1", "https://other.example:8443", 400),
            ("other.example", "https://other.example", 400),
            ("localhost:8700", "https://other.example", 403),
            ("localhost:8700", "http://localhost:3000", 403),
            ("localhost:8700", "http://localhost", 403),
        ):
            answer = client.post(f"{API}/sessions", content=b"x", headers={"Host": host, "Origin": origin})
            assert answer.status_code == status, (host, origin)


def chunks(total, size=10_000):
    for start in range(0, total, size):
        yield b"x" * min(size, total - start)


def test_bodies_are_counted_whatever_they_say(open_client):
    with open_client(settings=Settings(request_bytes=100_000, rate=0)) as client:
        for content, length in ((b"x" * 100_001, None), (chunks(150_000), None), (b"", "1" * 50)):
            headers = {"Content-Length": length} if length else {}
            answer = client.post(f"{API}/sessions", content=content, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (413, "TooLargeError")
            assert "100,000 bytes" in answer.json()["message"]
        assert client.post(f"{API}/sessions", content=b"x" * 100_000).status_code == 400
        assert client.post(f"{API}/sessions", content=chunks(100_000)).status_code == 400
        for content in (b"x" * 70_000, chunks(70_000)):  # a request without a photograph is small
            assert client.post(f"{API}/sessions/x/clicks", content=content).status_code == 413


def test_a_body_that_does_not_come(open_client, monkeypatch):
    monkeypatch.setattr(body_limit, "PATIENCE", 0.05)
    sent = []

    async def silence():
        await asyncio.sleep(10)

    async def send(message):
        sent.append(message)

    with open_client() as client:
        scope = {"type": "http", "method": "POST", "path": f"{API}/sessions", "query_string": b"", "client": ("a", 1)}
        scope |= {"headers": [(b"content-length", b"100")], "http_version": "1.1", "scheme": "http"}
        asyncio.run(client.app(scope, silence, send))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"] == "TooSlowError"


def test_bodies_are_counted_together(open_client, monkeypatch):
    monkeypatch.setattr(body_limit, "TOGETHER", 1)
    with open_client(settings=Settings(request_bytes=100_000, rate=0)) as client:
        for _ in range(3):  # what has gone counts no more
            assert client.post(f"{API}/sessions", content=b"x" * 60_000).status_code == 400
        scope = {"type": "http", "method": "POST", "path": f"{API}/sessions", "query_string": b"", "client": ("a", 1)}
        scope |= {"headers": [], "http_version": "1.1", "scheme": "http"}

        async def main():
            statuses, half = [], asyncio.Event()

            async def slow():
                if not half.is_set():
                    half.set()
                    return {"type": "http.request", "body": b"x" * 60_000, "more_body": True}
                await asyncio.sleep(0.2)
                return {"type": "http.request", "body": b""}

            async def quick():
                await half.wait()
                return {"type": "http.request", "body": b"x" * 60_000}

            async def send(message):
                statuses.append(message.get("status"))

            await asyncio.gather(client.app(dict(scope), slow, send), client.app(dict(scope), quick, send))
            return [status for status in statuses if status]

        assert asyncio.run(main()) == [503, 400]


def test_rates():
    clock = [100.0]
    bucket = Rate(2.0)
    original, rate_limit.time.monotonic = rate_limit.time.monotonic, lambda: clock[0]
    try:

        def taken(client, times):
            number = 0
            for _ in range(times):
                try:
                    bucket.take(client)
                    number += 1
                except TooManyError:
                    pass
            return number

        assert taken("10.0.0.1", 10) == 4  # two seconds' worth at once
        assert taken("10.0.0.2", 10) == 4
        clock[0] += 1.0
        assert taken("10.0.0.1", 10) == 2
        clock[0] += 1000.0
        assert taken("10.0.0.1", 10) == 4
        assert taken("2001:db8::1", 10) == 4
        assert taken("2001:db8::ffff:1", 10) == 0  # the same customer
        assert taken("2001:db8:0:1::1", 10) == 4
        assert taken("testclient", 10) == 4
        for number in range(rate_limit.CLIENTS + 10):
            bucket.take(f"name{number}")
        assert len(bucket._buckets) == rate_limit.CLIENTS
    finally:
        rate_limit.time.monotonic = original


def test_too_many_requests_are_told_when_to_come_again(open_client):
    with open_client(settings=Settings(rate=2.0)) as client:
        answers = [client.get(f"{API}/networks") for _ in range(8)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert answers[0].status_code == 200
        assert refused
        assert refused[0].headers["retry-after"] == "1"
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "named"),
    [
        ("127.0.0.1:8700", "https://mfp.example", "--allow-host mfp.example"),  # what nginx's proxy_pass sends
        ("localhost", "https://mfp.example:8443", "--allow-host mfp.example:8443"),
        ("mfp.example", "https://mfp.example", "--allow-host mfp.example"),
        ("127.0.0.1", "null", None),
    ],
)
def test_what_a_proxy_needs_is_named(open_client, host, origin, named):
    with open_client(settings=Settings(hosts=("127.0.0.1", "localhost", "::1"), rate=0)) as client:
        answer = client.post(f"{API}/sessions", content=b"x", headers={"Host": host, "Origin": origin})
        assert (answer.status_code, answer.json()["error"]) == (403, "OriginError")
        assert ("--allow-host" in answer.json()["message"]) == (named is not None)
        assert named is None or answer.json()["message"].endswith(named)
        if named is not None:
            hosts = ("127.0.0.1", "localhost", "::1", named.split()[-1])
            with open_client(settings=Settings(hosts=hosts, rate=0)) as told:  # and it is what was needed
                answer = told.post(f"{API}/sessions", content=b"x", headers={"Host": host, "Origin": origin})
                assert answer.status_code == 400
