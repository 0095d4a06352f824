"""Requests as other servers take them, misspelt ones and broken ones: each is told what is wrong with it."""

import base64
import json

import pytest

API = "/api/v1"


def other_kinds(photograph):
    """By name: arguments of a request that brings a photograph in another way."""
    text = base64.b64encode(photograph).decode()
    octets = {"Content-Type": "application/octet-stream"}
    return {
        "files": {"files": {"file": ("a.png", photograph, "image/png")}},
        "json with base64": {"json": {"image": text}},
        "json with an address": {"json": {"image": {"type": "url", "value": "https://example.org/a.jpg"}}},
        "json as bytes": {"content": json.dumps({"image": text}), "headers": octets},
        "a list": {"content": b"[1, 2]"},
        "base64": {"content": text},
        "base64 with lines": {"content": base64.encodebytes(photograph)},
        "base64 in quotes": {"content": json.dumps(text)},
        "a data URI": {"content": f"data:image/png;base64,{text}"},
        "an address": {"content": "https://example.org/a.jpg"},
        "an address in a bucket": {"content": "s3://bucket/a.jpg\n"},
        "a form": {"data": {"image": text}},
        "a form with an address": {"data": {"url": "https://example.org/a.jpg"}},
        "parts without their header": {
            "content": b'--abc\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + photograph
        },
        "nothing, called JSON": {"content": b"", "headers": {"Content-Type": "application/json"}},
        "nothing, called a form": {"content": b"", "headers": {"Content-Type": "multipart/form-data"}},
    }


@pytest.mark.parametrize("kind", other_kinds(b""))
def test_photographs_that_come_in_another_way(client, small, kind):
    answer = client.post(f"{API}/sessions", **other_kinds(small())[kind])
    assert (answer.status_code, answer.json()["error"]) == (415, "MediaTypeError")
    assert "curl --data-binary @photo.jpg" in answer.json()["message"]


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "image/png",
        "image/jpeg",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "application/json",
        "multipart/form-data",
        "",
    ],
)
def test_photographs_are_taken_whatever_they_are_called(client, small, sample, kind):
    """curl --data-binary calls them a form."""
    headers = {} if kind is None else {"Content-Type": kind}
    for photograph in (small(), sample):
        assert client.post(f"{API}/sessions", content=photograph, headers=headers).status_code == 201


@pytest.mark.parametrize("text", [b"GIF89a", b"x" * 1000, b"", b"BM", b"Qk", b"II*\0", b"RIFF", b"/9j/", b"\xff\xd8"])
def test_what_is_no_photograph_is_no_other_kind(client, text):
    assert client.post(f"{API}/sessions", content=text).status_code == 400


def test_parameters_that_are_none_are_named(client, small):
    answer = client.post(f"{API}/sessions?filp=false", content=small())
    assert (answer.status_code, answer.json()["error"]) == (422, "RequestError")
    assert (
        "query.filp: expected one of flip, n_early, name, network, r_max, size, threshold" in answer.json()["message"]
    )
    id = client.post(f"{API}/sessions?flip=false", content=small()).json()["id"]
    described = client.get("/openapi.json").json()["paths"]
    asked = 0
    for path, operations in described.items():
        for method in operations:
            if path.startswith(API):
                url = f"{path.replace('{id}', id)}?frmat=rle"
                body = {"json": {"x": 1, "y": 2}} if path.endswith("/clicks") else {}
                answer = client.request(method, url, **body)
                assert (answer.status_code, answer.json()["error"]) == (422, "RequestError"), (method, path)
                assert "frmat" in answer.json()["message"]
                asked += 1
    assert asked >= 13
    assert client.get(f"{API}/sessions/{id}").json()["revision"] == 0  # nor was it deleted
    assert client.get(f"{API}/sessions/{id}/mask?format=rle&object=0").status_code == 200
    assert client.get("/?from=anywhere").status_code == 200
    assert client.get("/healthz?now=1").status_code == 200


BROKEN = [
    b'{"x": ',
    b"x=1",
    b"{",
    b'{"x": 1, "y": 2,}',
    b"\xff\xfe",
    b'{"x": "\xc3"}',
    b"[" * 30_000,
    b"[" * 30_000 + b"]" * 30_000,
    b'{"x":' * 9_000 + b"1" + b"}" * 9_000,
    b"[" * 990 + b"]" * 990,
    b"[" * 300 + b"]" * 300,
    b"[" * 100 + b"]" * 100,
]


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: str(body[:12]))
def test_bodies_that_are_no_json(client, small, body):
    id = client.post(f"{API}/sessions", content=small()).json()["id"]
    for path in ("clicks", "undo"):
        headers = {"Content-Type": "application/json"}
        answer = client.post(f"{API}/sessions/{id}/{path}", content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "RequestError")
        assert "expected JSON" in answer.json()["message"]
    if body.isascii():  # else it is no message either
        with client.websocket_connect(f"{API}/sessions/{id}/ws") as channel:
            channel.receive_json()
            channel.send_text(body.decode())
            answer = channel.receive_json()
            assert (answer["status"], answer["error"]) == (400, "RequestError")


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"x"', b"{}", b'{"x": []}', b'{"x": {"y": [[[1]]]}, "y": 2}'])
def test_json_of_another_shape(client, small, body):
    id = client.post(f"{API}/sessions", content=small()).json()["id"]
    headers = {"Content-Type": "application/json"}
    answer = client.post(f"{API}/sessions/{id}/clicks", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (422, "RequestError")


def test_json_without_its_header(client, small):
    """What ``curl -d`` sends."""
    id = client.post(f"{API}/sessions", content=small()).json()["id"]
    for headers in ({"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}):
        answer = client.post(f"{API}/sessions/{id}/clicks", content=b'{"x": 1, "y": 2}', headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (415, "MediaTypeError")
        assert "Content-Type: application/json" in answer.json()["message"]
