"""The WebSocket."""

import json
from contextlib import ExitStack

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from mfp.serve.events import KINDS
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
        steps += [("undo", {}), ("finish", {}), ("hide", {"object": 1}), ("show", {"object": 1, "revision": 10})]
        steps += [("select", {"object": 0}), ("delete", {"object": 1}), ("undo", {}), ("undo", {})]
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
            ({"type": "select", "object": 7}, 404, "UnknownSessionError"),
            ({"type": "delete", "object": 0}, 409, "SessionError"),
            ({"type": "network", "network": "none"}, 400, "OptionError"),
            ({"type": "select"}, 422, "RequestError"),
            ({"type": "hide", "object": -1}, 422, "RequestError"),
            ({"type": "network", "network": 3}, 422, "RequestError"),
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
        {"type": st.sampled_from([*KINDS, "state", "jump"]) | JSON},
        optional={
            "x": st.floats(0, 60) | JSON,
            "y": st.floats(0, 45) | JSON,
            "positive": st.booleans() | JSON,
            "object": st.integers(0, 3) | JSON,
            "network": st.sampled_from(["toy", "none"]) | JSON,
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
                assert answer["status"] in (400, 404, 409, 422)

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


def test_viewers_are_told_what_is_done_by_http(client, session):
    with client.websocket_connect(f"{API}/sessions/{session}/ws") as socket:
        socket.receive_json()
        for kind, body in (("clicks", {"x": 9, "y": 9}), ("finish", {}), ("hide", {"object": 0}), ("undo", {})):
            reply = client.post(f"{API}/sessions/{session}/{kind}", json=body or None).json()
            told = socket.receive_json()
            assert (told.pop("type"), told.pop("ref"), told["revision"]) == ("state", None, reply["revision"])
            assert told == client.get(f"{API}/sessions/{session}").json()
        client.post(f"{API}/sessions/{session}/undo", json={"revision": 0})  # refused: no news
        assert ask(socket, type="state", ref=1)["ref"] == 1


def test_viewers_do_not_hold_up_who_clicks(open_client, small):
    """Twelve look on, none reads, and only two calls of a session may wait: who clicks is not refused for it."""
    with open_client(limits=Limits(waiting=2)) as client, ExitStack() as stack:
        id = client.post(f"{API}/sessions?size=48", content=small()).json()["id"]
        url = f"{API}/sessions/{id}/ws"
        viewers = []
        for _ in range(12):  # one after the other: a viewer's first question waits like any call
            viewers.append(stack.enter_context(client.websocket_connect(url)))
            assert viewers[-1].receive_json()["revision"] == 0
        with client.websocket_connect(url) as socket:
            socket.receive_json()
            for number in range(20):
                answer = ask(socket, type="click", x=number, y=5)
                assert (answer["type"], answer.get("revision")) == ("reply", number + 1)  # and no news of its own
        for viewer in viewers:
            told = [0]
            while told[-1] < 20:
                message = viewer.receive_json()
                assert (message["type"], len(message["objects"][0]["clicks"])) == ("state", message["revision"])
                told.append(message["revision"])
            assert told == sorted(set(told))


def test_revisions_never_go_back_on_a_socket(client, session):
    """Two click by turns without waiting for one another's news: what each is told only goes forward."""
    url = f"{API}/sessions/{session}/ws"
    with client.websocket_connect(url) as first, client.websocket_connect(url) as second:
        for number in range(15):
            for socket, y in ((first, 5), (second, 30)):
                socket.send_json({"type": "click", "x": number, "y": y, "ref": number})
        for socket in (first, second):
            revisions, refs = [], []
            while not revisions or revisions[-1] < 30:
                message = socket.receive_json()
                revisions.append(message["revision"])
                refs += [message["ref"]] if message["type"] == "reply" else []
            assert revisions == sorted(revisions)
            assert refs == list(range(len(refs)))


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
