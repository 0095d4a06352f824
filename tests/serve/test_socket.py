"""The WebSocket."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from mfp.serve.settings import Limits, Settings

API = "/api/v1"


@pytest.fixture
def session(client, small):
    """The id of a new session."""
    return client.post(f"{API}/sessions?size=48", content=small()).json()["id"]


def ask(socket, **message):
    socket.send_json(message)
    return socket.receive_json()


def test_it_does_what_the_routes_do(client, session, small):
    other = client.post(f"{API}/sessions?size=48", content=small()).json()["id"]
    with client.websocket_connect(f"{API}/sessions/{session}/ws") as socket:
        state = socket.receive_json()
        assert (state.pop("type"), state.pop("ref")) == ("state", None)
        assert state == client.get(f"{API}/sessions/{session}").json()
        steps = [("click", {"x": 20, "y": 10}), ("click", {"x": 5.5, "y": 30, "positive": False, "revision": 1})]
        steps += [(kind, {}) for kind in ("undo", "redo", "finish")] + [("click", {"x": 1, "y": 1}), ("reset", {})]
        for number, (kind, body) in enumerate(steps):
            reply = ask(socket, type=kind, ref=number, **body)
            assert (reply.pop("type"), reply.pop("ref")) == ("reply", number)
            path = "clicks" if kind == "click" else kind
            same = client.post(f"{API}/sessions/{other}/{path}", json=body or None).json()
            assert set(reply.pop("timing")) == set(same.pop("timing"))
            assert reply == same
        state = ask(socket, type="state", ref="me")
        assert (state["ref"], state["revision"]) == ("me", len(steps))


def test_what_is_refused_leaves_the_socket_open(client, session):
    with client.websocket_connect(f"{API}/sessions/{session}/ws") as socket:
        socket.receive_json()
        for message, status, error in (
            ({"type": "click", "x": 999, "y": 0}, 400, "ClickError"),
            ({"type": "undo"}, 409, "NothingToUndoError"),
            ({"type": "finish"}, 409, "SessionError"),
            ({"type": "reset", "revision": 7}, 409, "RevisionError"),
            ({"type": "jump"}, 422, "RequestError"),
            ({"type": "click", "x": "a", "y": 0}, 422, "RequestError"),
            ({"type": "click", "x": 1, "y": 0, "z": 1}, 422, "RequestError"),
            ({}, 422, "RequestError"),
        ):
            answer = ask(socket, ref=error, **message)
            assert (answer["type"], answer["ref"], answer["status"], answer["error"]) == ("error", error, status, error)
        for text in ("", "[]", "null", "{", "[" * 5000, '{"type":"undo","ref":[1]}', '{"type":"undo","ref":"\\ud800"}'):
            socket.send_text(text)
            assert socket.receive_json()["type"] == "error"
        assert ask(socket, type="state")["revision"] == 0
        assert ask(socket, type="click", x=1, y=1)["revision"] == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.one_of(
    st.text(),
    JSON.map(json.dumps),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["click", "undo", "redo", "reset", "finish", "state", "jump"]) | JSON},
        optional={
            "x": st.floats(0, 60) | JSON,
            "y": st.floats(0, 45) | JSON,
            "positive": st.booleans() | JSON,
            "revision": st.none() | st.integers(0, 5) | JSON,
            "ref": JSON,
            "more": JSON,
        },
    ).map(json.dumps),
)


def test_anything_has_one_answer(client, session):
    kinds = set()
    with client.websocket_connect(f"{API}/sessions/{session}/ws") as socket:
        socket.receive_json()

        @settings(max_examples=150, deadline=None, database=None)
        @given(MESSAGES)
        @example('{"type": "click", "x": 3, "y": 4}')
        @example('{"type": "state"}')
        @example("{}")
        def send(text):
            socket.send_text(text)
            answer = socket.receive_json()
            kinds.add(answer["type"])
            assert answer["type"] in ("reply", "state", "error")
            if answer["type"] == "error":
                assert answer["status"] in (400, 409, 422)

        send()
    assert kinds == {"reply", "state", "error"}


def test_a_session_that_is_not_there(client, session):
    with client.websocket_connect(f"{API}/sessions/nothing/ws") as socket:
        assert socket.receive_json()["status"] == 404
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 4404
    with client.websocket_connect(f"{API}/sessions/{session}/ws") as socket:
        socket.receive_json()
        client.delete(f"{API}/sessions/{session}")
        assert socket.receive_json()["status"] == 404  # without being asked
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 4404


def test_bytes_are_not_taken(client, session):
    with client.websocket_connect(f"{API}/sessions/{session}/ws") as socket:
        socket.receive_json()
        socket.send_bytes(b'{"type":"state"}')
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1003
    assert not client.app.state.desk.gate.sockets


def test_two_sockets_of_one_session(client, session):
    url = f"{API}/sessions/{session}/ws"
    with client.websocket_connect(url) as first, client.websocket_connect(url) as second:
        assert (first.receive_json()["revision"], second.receive_json()["revision"]) == (0, 0)
        assert ask(first, type="click", x=1, y=1, revision=0)["revision"] == 1
        told = second.receive_json()
        assert (told["type"], told["ref"], told["revision"], len(told["objects"][0]["clicks"])) == ("state", None, 1, 1)
        assert ask(second, type="click", x=9, y=1, revision=0)["error"] == "RevisionError"
        assert ask(second, type="click", x=9, y=1, revision=1)["revision"] == 2
        told = first.receive_json()
        assert (told["type"], told["revision"], len(told["objects"][0]["clicks"])) == ("state", 2, 2)
        assert ask(first, type="state", ref=1)["ref"] == 1  # no second telling before it
        client.delete(f"{API}/sessions/{session}")
        for socket in (first, second):
            assert socket.receive_json()["status"] == 404
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_json()
            assert closed.value.code == 4404


def test_messages_count_as_requests(open_client, small):
    with open_client(settings=Settings(rate=3.0)) as client:  # so 6 at once
        id = client.post(f"{API}/sessions", content=small()).json()["id"]
        with client.websocket_connect(f"{API}/sessions/{id}/ws") as socket:  # and one for its first message
            socket.receive_json()
            answers = [ask(socket, type="state") for _ in range(6)]
        refused = [answer for answer in answers if answer["type"] == "error"]
        assert refused
        assert {(answer["status"], answer["error"]) for answer in refused} == {(429, "TooManyError")}


def test_other_pages_and_strangers(open_client, small):
    token = "a-long-enough-token"
    with open_client(settings=Settings(token=token, rate=0)) as client:
        bearer = {"Authorization": f"Bearer {token}"}
        id = client.post(f"{API}/sessions", content=small(), headers=bearer).json()["id"]
        url = f"{API}/sessions/{id}/ws"
        for subprotocols in (None, ["mfp"], ["mfp", "bearer.wrong-token"], ["bearer."]):
            with client.websocket_connect(url, subprotocols=subprotocols) as socket:
                with pytest.raises(WebSocketDisconnect) as closed:
                    socket.receive_json()
                assert closed.value.code == 4401
        with client.websocket_connect(url, subprotocols=["mfp", f"bearer.{token}"]) as socket:
            assert socket.accepted_subprotocol == "mfp"  # never the token
            assert socket.receive_json()["revision"] == 0
        with client.websocket_connect(url, headers=bearer) as socket:
            assert socket.receive_json()["revision"] == 0
        for origin in ("http://evil.example", "null", "http://testserver:81", "http://["):
            with (
                pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)),
                client.websocket_connect(url, headers=bearer | {"Origin": origin}),
            ):
                pass
        with client.websocket_connect(url, headers=bearer | {"Origin": "http://testserver"}) as socket:
            assert socket.receive_json()["revision"] == 0


def test_a_limit_is_told(open_client, small):
    with open_client(limits=Limits(clicks=1)) as client:
        id = client.post(f"{API}/sessions", content=small()).json()["id"]
        with client.websocket_connect(f"{API}/sessions/{id}/ws") as socket:
            socket.receive_json()
            ask(socket, type="click", x=1, y=1)
            assert ask(socket, type="click", x=1, y=1)["status"] == 409
