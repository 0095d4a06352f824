"""Sessions whose present network the server does not have any more: nothing is lost, and they go on with another."""

from __future__ import annotations

import pytest

from mfp import Session
from mfp.engine.image import decode_image

API = "/api/v1"
OPTIONS = {"size": 48, "flip": False, "threshold": 0.4}


def act(client, id, kind, status=200, **body):
    answer = client.post(f"{API}/sessions/{id}/{kind}", json=body or None)
    assert answer.status_code == status, answer.text
    return answer.json()


def get(client, id, what="", status=200):
    answer = client.get(f"{API}/sessions/{id}{what}")
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def other(variant):
    return variant("other")


@pytest.fixture
def begun(open_client, toy, small):
    """``begun(clicks)``: the id and the state of a session with a finished object, and clicks on a second one."""

    def begin(clicks):
        with open_client({"toy": toy}) as client:
            id = client.post(f"{API}/sessions", content=small(), params=OPTIONS).json()["id"]
            act(client, id, "clicks", x=10, y=10)
            act(client, id, "finish")
            for x, y in clicks:
                act(client, id, "clicks", x=x, y=y)
            return id, get(client, id)

    return begin


@pytest.fixture(params=["another name", "the same name"])
def later(request, other):
    """The networks of a later server: neither is the one that the session has."""
    return {"other" if request.param == "another name" else "toy": other}


def test_with_clicks_on_the_present_object(open_client, toy, small, begun, later):
    id, before = begun([(45, 30), (50, 8)])
    (name,) = later
    with open_client(later) as client:
        for what in ("", "/coco", "/mask", "/probability"):
            words = get(client, id, what, 503)
            assert words["error"] == "NetworkGoneError"  # rather than an object that is left out
            assert f"go on with the network {name!r}" in words["message"]
        for kind, body in (("clicks", {"x": 3, "y": 3}), ("undo", {}), ("finish", {}), ("hide", {"object": 0})):
            assert act(client, id, kind, 503, **body)["error"] == "NetworkGoneError"
        assert get(client, id, "/mask?object=0&format=rle") == before["objects"][0]["rle"]
        reply = act(client, id, "network", network=name)
        assert reply["revision"] == before["revision"] + 1  # nothing that was refused was kept
        with Session(later[name], decode_image(small()), **OPTIONS) as session:
            session.click(45, 30)
            assert reply["rle"] == session.click(50, 8).to_rle()
        assert get(client, id)["objects"][0] == before["objects"][0]
        assert act(client, id, "undo", 503)["error"] == "NetworkGoneError"
        assert get(client, id)["objects"][1]["rle"] == reply["rle"]
    with open_client({"toy": toy}) as client:  # the first one is back
        if name == "other":
            assert get(client, id, status=503)["error"] == "NetworkGoneError"
            act(client, id, "network", network="toy")
        else:
            act(client, id, "network", network="toy")
        assert get(client, id)["objects"] == before["objects"]


@pytest.mark.parametrize("kind", ["delete", "reset"])
def test_the_present_object_is_given_up(open_client, toy, begun, later, kind):
    id, before = begun([(45, 30)])
    with open_client(later) as client:
        act(client, id, kind, **({"object": 1} if kind == "delete" else {}))
        state = get(client, id)
        assert state["objects"][0] == before["objects"][0]
        assert (state["objects"][1]["clicks"], state["objects"][1]["area"]) == ([], 0)
    with open_client({"toy": toy}) as client:
        act(client, id, "undo")
        assert get(client, id)["objects"] == before["objects"]


def test_without_clicks_on_the_present_object(open_client, begun, later):
    id, before = begun([])
    (name,) = later
    with open_client(later) as client:
        assert get(client, id) == before
        assert len(get(client, id, "/coco")["annotations"]) == 1
        assert get(client, id, "/mask?format=rle") == before["objects"][1]["rle"]
        act(client, id, "hide", object=0)
        assert act(client, id, "clicks", 503, x=3, y=3)["error"] == "NetworkGoneError"
        assert act(client, id, "select", 503, object=0)["error"] == "NetworkGoneError"
        act(client, id, "undo")
        assert get(client, id)["objects"] == before["objects"]
        act(client, id, "network", network=name)
        assert act(client, id, "clicks", x=45, y=30)["area"] > 0
        assert act(client, id, "network", 409, network=name)["error"] == "SessionError"
        act(client, id, "finish")
        assert get(client, id)["objects"][0] == before["objects"][0]


def test_a_finish_before_a_network_that_is_gone(open_client, toy, begun, other):
    """The object is of a network that is there, what comes after it of one that is not."""
    id, _ = begun([])
    with open_client({"toy": toy, "other": other}) as client:
        act(client, id, "network", network="other")
        act(client, id, "select", object=0)
        act(client, id, "clicks", x=20, y=20)
    with open_client({"toy": toy}) as client:
        before = get(client, id)
        act(client, id, "finish")
        state = get(client, id)
        assert state["objects"][0]["rle"] == before["objects"][0]["rle"]
        assert act(client, id, "clicks", 503, x=3, y=3)["error"] == "NetworkGoneError"
        act(client, id, "undo")
        assert get(client, id)["objects"] == before["objects"]
