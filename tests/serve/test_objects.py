"""Objects of a session over the API: chosen again, deleted, hidden, computed with another network, all with a way back."""

import pytest

from mfp import Mask, Session
from mfp.engine.image import decode_image

API = "/api/v1"


@pytest.fixture
def two(open_client, toy, lite0):
    with open_client({"toy": toy, "lite0": lite0}) as client:
        yield client


def opened(client, image, **options):
    answer = client.post(f"{API}/sessions", content=image, params={"size": 48, "flip": False} | options)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def act(client, id, kind, status=200, **body):
    answer = client.post(f"{API}/sessions/{id}/{kind}", json=body or None)
    assert answer.status_code == status, answer.text
    return answer.json()


def state(client, id):
    return client.get(f"{API}/sessions/{id}").json()


def work(state):
    """What a person sees of a state."""
    return {name: state[name] for name in ("objects", "present", "network", "options")}


def test_contract(two, small):
    client = two
    id = opened(client, small(), name="C:\\fakepath\\a photo.png")
    assert state(client, id)["name"] == "a photo.png"
    act(client, id, "clicks", x=10, y=10)
    act(client, id, "clicks", x=30, y=10)
    before = work(state(client, id))
    reply = act(client, id, "finish")
    assert (reply["object"], [o["finished"] for o in reply["objects"]]) == (1, [True, False])
    act(client, id, "clicks", x=40, y=30)
    s1 = work(state(client, id))
    reply = act(client, id, "select", object=0)
    assert reply["object"] == 0 and len(reply["clicks"]) == 2 and reply["rle"] == before["objects"][0]["rle"]
    assert [o["finished"] for o in reply["objects"]] == [False, True]
    act(client, id, "undo")
    assert work(state(client, id)) == s1
    reply = act(client, id, "network", network="lite0")
    assert reply["network"] == "lite0" and [o["network"] for o in reply["objects"]] == ["toy", "lite0"]
    assert reply["objects"][0] == s1["objects"][0]
    s2 = state(client, id)
    assert s2["options"]["size"] == [384, 384] and s2["options"]["flip"] is False
    act(client, id, "undo")
    assert work(state(client, id)) == s1
    act(client, id, "redo")
    assert work(state(client, id)) == work(s2)
    act(client, id, "hide", object=0)
    act(client, id, "delete", object=1)
    s3 = state(client, id)
    assert [o["object"] for o in s3["objects"]] == [0, 2]
    assert s3["objects"][0]["hidden"]
    act(client, id, "delete", 404, object=1)
    for _ in range(20):
        if not act(client, id, "undo")["can_undo"]:
            break
    s = state(client, id)
    assert s["objects"][0]["area"] == 0 and s["can_redo"]
    while s["can_redo"]:
        s = act(client, id, "redo")
    assert work(state(client, id)) == work(s3)
