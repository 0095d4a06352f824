"""Objects over the API: chosen again, deleted, hidden, computed with another network, and all of it taken back."""

import pytest

from mfp import Session
from mfp.engine.image import decode_image
from mfp.engine.network import Network
from mfp.serve.events import Choice
from mfp.serve.sessions.choices import switched
from mfp.serve.settings import Limits

API = "/api/v1"
OPTIONS = {"size": 48, "flip": False, "threshold": 0.4}


@pytest.fixture(scope="module")
def networks(toy, variant):
    return {"toy": toy, "other": variant("other", n_early=1, r_max=9.0)}


@pytest.fixture
def client(open_client, networks):
    with open_client(networks) as client:
        yield client


@pytest.fixture
def id(client, small):
    """Of a session with two finished objects, 0 and 1, and two clicks on a third."""
    answer = client.post(f"{API}/sessions", content=small(), params=OPTIONS | {"name": "a photo.png"})
    id = answer.json()["id"]
    for x, y in ((10, 10), (30, 20)):
        act(client, id, "clicks", x=x, y=y)
        act(client, id, "clicks", x=x + 8, y=y, positive=False)
        act(client, id, "finish")
    act(client, id, "clicks", x=45, y=30)
    act(client, id, "clicks", x=50, y=8)
    return id


def act(client, id, kind, status=200, **body):
    answer = client.post(f"{API}/sessions/{id}/{kind}", json=body or None)
    assert answer.status_code == status, answer.text
    return answer.json()


def look(client, id):
    """What a person sees of a session."""
    state = client.get(f"{API}/sessions/{id}").json()
    return {name: state[name] for name in ("objects", "present", "network", "options")}


EVERYTHING = [
    ("reset", {}),
    ("finish", {}),
    ("select", {"object": 1}),
    ("delete", {"object": 0}),
    ("delete", {"object": 2}),
    ("hide", {"object": 1}),
    ("network", {"network": "other"}),
]


@pytest.mark.parametrize(
    ("kind", "body"), EVERYTHING, ids=[f"{kind}{[*body.values()] or ''}" for kind, body in EVERYTHING]
)
def test_whatever_is_done_is_taken_back_and_done_again(client, id, kind, body):
    before = look(client, id)
    reply = act(client, id, kind, **body)
    after = look(client, id)
    assert after != before
    assert (reply["can_undo"], reply["can_redo"]) == (True, False)
    if kind != "reset":
        assert reply["objects"] == after["objects"]
    for expected, step in ((before, "undo"), (after, "redo"), (before, "undo")):
        reply = act(client, id, step)
        assert look(client, id) == expected
        assert (reply["object"], reply["network"]) == (expected["present"], expected["network"])
        if kind != "reset":
            assert reply["objects"] == expected["objects"]
    act(client, id, "clicks", x=3, y=3)  # another way is taken
    assert act(client, id, "redo", 409)["error"] == "NothingToUndoError"


@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2), (3, 2), (2, 2), (2, 0)])
def test_a_choice_between_objects_of_about_as_many_clicks_is_taken_back(client, small, first, second):
    id = client.post(f"{API}/sessions", content=small(), params=OPTIONS).json()["id"]
    for number in range(first):
        act(client, id, "clicks", x=10 + 8 * number, y=10)
    act(client, id, "finish")
    for number in range(second):
        act(client, id, "clicks", x=40, y=30 - 8 * number)
    before = look(client, id)
    act(client, id, "select", object=0)
    after = look(client, id)
    for expected, step in ((before, "undo"), (after, "redo"), (before, "undo"), (after, "redo")):
        reply = act(client, id, step)
        assert reply["objects"] == look(client, id)["objects"] == expected["objects"]
    probability = client.get(f"{API}/sessions/{id}/probability?format=npy").content
    sessions = client.app.state.desk.service.sessions
    sessions._slots.clear()  # as if it had been evicted
    assert look(client, id) == after
    assert client.get(f"{API}/sessions/{id}/probability?format=npy").content == probability


def test_everything_is_taken_back_to_the_first_click(client, id):
    last = look(client, id)
    replies = [act(client, id, "undo") for _ in range(8)]
    assert [reply["can_undo"] for reply in replies] == [True] * 7 + [False]
    assert act(client, id, "undo", 409)["error"] == "NothingToUndoError"
    first = look(client, id)
    assert [(one["object"], one["area"], one["clicks"]) for one in first["objects"]] == [(0, 0, [])]
    for _ in range(8):
        act(client, id, "redo")
    assert look(client, id) == last


def test_a_finished_object_is_gone_on_with(client, id, networks, small):
    reply = act(client, id, "select", object=0)
    assert (reply["object"], [one["finished"] for one in reply["objects"]]) == (0, [False, True, True])
    reply = act(client, id, "clicks", x=5, y=35)
    with Session(networks["toy"], decode_image(small()), **OPTIONS) as session:
        for x, y, positive in ((10, 10, True), (18, 10, False), (5, 35, True)):
            mask = session.click(x, y, positive)
    assert reply["rle"] == mask.to_rle()
    assert act(client, id, "finish")["object"] == 3  # no number is given twice
    act(client, id, "select", object=2)  # object 3 was empty, and is gone
    reply = act(client, id, "select", object=1)
    assert [one["object"] for one in reply["objects"]] == [0, 1, 2]
    assert act(client, id, "finish")["object"] == 4
    numbers = [one["object"] for one in look(client, id)["objects"]]
    assert numbers == [0, 1, 2, 4]
    url = f"{API}/sessions/{id}/mask"
    assert client.get(url, params={"object": 0, "format": "rle"}).json() == mask.to_rle()
    assert client.get(url, params={"object": 3}).status_code == 404
    assert (
        "expected one of this session's objects, 0, 1, 2, 4" in client.get(url, params={"object": 3}).json()["message"]
    )


def test_what_cannot_be_done_is_refused_and_changes_nothing(client, id):
    before = client.get(f"{API}/sessions/{id}").json()
    for kind, body, status, word in (
        ("select", {"object": 7}, 404, "no object 7"),
        ("delete", {"object": 3}, 404, "no object 3"),
        ("hide", {"object": 10**30}, 404, "no object"),
        ("show", {"object": 5}, 404, "no object 5"),
        ("select", {"object": 2}, 409, "present one already"),
        ("show", {"object": 0}, 409, "shown already"),
        ("network", {"network": "toy"}, 409, "already"),
        ("network", {"network": "no such"}, 400, "expected one of the networks toy, other"),
        ("select", {"object": -1}, 422, "object"),
        ("select", {"object": True}, 422, "object"),
        ("select", {}, 422, ""),
        ("hide", {"object": 0, "network": "toy"}, 422, "network"),
        ("undo", {"object": 0}, 422, "object"),
        ("delete", {"object": 0, "revision": 3}, 409, "it is at 8"),
    ):
        assert word in act(client, id, kind, status, **body)["message"]
    assert client.get(f"{API}/sessions/{id}").json() == before
    act(client, id, "finish")
    assert "has no clicks" in act(client, id, "delete", 409, object=3)["message"]


def test_deleted_and_hidden_objects_in_the_coco_file(client, id):
    act(client, id, "hide", object=0)
    act(client, id, "delete", object=1)
    state = look(client, id)
    assert [(one["object"], one["hidden"]) for one in state["objects"]] == [(0, True), (2, False)]
    coco = client.get(f"{API}/sessions/{id}/coco").json()
    assert [one["segmentation"] for one in coco["annotations"]] == [one["rle"] for one in state["objects"]]
    assert [one["hidden"] for one in act(client, id, "show", object=0)["objects"]] == [False, False]


def test_another_network_is_for_what_comes_next(open_client, client, id, networks, small):
    before = look(client, id)
    reply = act(client, id, "network", network="other")
    state = look(client, id)
    assert state["objects"][:2] == before["objects"][:2]  # to the bit, and not computed anew
    assert [one["network"] for one in reply["objects"]] == ["toy", "toy", "other"]
    assert state["options"] == OPTIONS | {"n_early": 1, "r_max": 9.0}  # what was asked for stays
    with Session(networks["other"], decode_image(small()), **OPTIONS) as session:
        session.click(45, 30)
        assert session.click(50, 8).to_rle() == reply["rle"]
        session.finish()
        act(client, id, "finish")
        assert act(client, id, "clicks", x=20, y=20)["rle"] == session.click(20, 20).to_rle()
    # An object of the old network keeps it, and what comes after it has the new one.
    reply = act(client, id, "select", object=0)
    assert [one["network"] for one in reply["objects"]] == ["toy", "toy", "other", "other"]
    assert reply["network"] == "other"
    with Session(networks["toy"], decode_image(small()), **OPTIONS) as session:
        for x, y, positive in ((10, 10, True), (18, 10, False), (12, 30, True)):
            mask = session.click(x, y, positive)
    assert act(client, id, "clicks", x=12, y=30)["rle"] == mask.to_rle()
    last = client.get(f"{API}/sessions/{id}").json()
    with open_client(networks) as later:  # another process, as it were
        assert later.get(f"{API}/sessions/{id}").json() == last
        act(later, id, "finish")
        assert look(later, id)["objects"][-1]["network"] == "other"
        with Session(networks["other"], decode_image(small()), **OPTIONS) as session:
            assert act(later, id, "clicks", x=9, y=33)["rle"] == session.click(9, 33).to_rle()
        act(later, id, "undo")
    with open_client({"other": networks["other"]}) as later:  # which lacks the old network
        act(later, id, "clicks", x=3, y=3)
        before = later.get(f"{API}/sessions/{id}").json()
        answer = act(later, id, "select", 503, object=1)
        assert (answer["error"], "network 'toy'" in answer["message"]) == ("NetworkGoneError", True)
        assert later.get(f"{API}/sessions/{id}").json() == before
        reply = act(later, id, "select", object=2)  # of a network that it has
        assert reply["rle"] == state["objects"][2]["rle"]


ANY = {"flip": False, "threshold": 0.3}
DYNAMIC, FIXED, OWN = (None, 7, 100.0), ((32, 48), 7, 100.0), (None, 2, 50.0)


@pytest.mark.parametrize(
    ("old", "new", "options", "expected"),
    [
        (DYNAMIC, FIXED, {"size": 400, "n_early": 7, "r_max": 100.0}, {"size": (32, 48), "n_early": 7, "r_max": 100.0}),
        (DYNAMIC, FIXED, {"size": 256, "n_early": 3, "r_max": 20.0}, {"size": (32, 48), "n_early": 3, "r_max": 20.0}),
        (FIXED, DYNAMIC, {"size": (32, 48), "n_early": 7, "r_max": 1.0}, {"size": 400, "n_early": 7, "r_max": 1.0}),
        (DYNAMIC, OWN, {"size": 256, "n_early": 7, "r_max": 100.0}, {"size": 256, "n_early": 2, "r_max": 50.0}),
        (DYNAMIC, OWN, {"size": 400, "n_early": 7, "r_max": 60.0}, {"size": 400, "n_early": 2, "r_max": 60.0}),
        (OWN, DYNAMIC, {"size": 400, "n_early": 2, "r_max": 100.0}, {"size": 400, "n_early": 7, "r_max": 100.0}),
    ],
)
def test_which_options_stay_when_the_network_changes(variant, old, new, options, expected):
    infos = (old, new)
    networks = {
        name: variant(name, size=size, n_early=n_early, r_max=r_max)
        for name, (size, n_early, r_max) in zip(("old", "new"), infos, strict=True)
    }
    choice = switched(networks, Choice("old", "sha256:old", ANY | options), "new")
    assert choice == Choice("new", "sha256:new", ANY | expected)
    del networks["old"]  # gone meanwhile: what it had of its own is not known, flip and threshold stay
    assert switched(networks, Choice("old", "sha256:old", ANY | options), "new").options.items() >= ANY.items()


def test_a_step_that_fails_has_not_happened(client, id, networks, monkeypatch):
    act(client, id, "network", network="other")
    act(client, id, "finish")
    before = client.get(f"{API}/sessions/{id}").json()
    calls = []

    def fail(*_):
        calls.append(1)
        raise MemoryError

    for kind, body in (("select", {"object": 0}), ("select", {"object": 2}), ("undo", {})):
        with monkeypatch.context() as patch:
            patch.setattr(type(networks["toy"]), "__call__", fail)
            act(client, id, kind, 503, **body)
        assert client.get(f"{API}/sessions/{id}").json() == before
    assert len(calls) >= 3
    assert issubclass(type(networks["toy"]), Network)
    act(client, id, "undo")
    act(client, id, "redo")
    after = client.get(f"{API}/sessions/{id}").json()
    assert (after["objects"], after["revision"]) == (before["objects"], before["revision"] + 2)


def test_limits_of_clicks_hold_for_objects_that_are_chosen_again(open_client, small):
    with open_client(limits=Limits(clicks=2, events=6)) as client:
        id = client.post(f"{API}/sessions?size=48", content=small()).json()["id"]
        for _ in range(2):
            act(client, id, "clicks", x=20, y=20)
        act(client, id, "finish")
        act(client, id, "select", object=0)
        assert "has had its 2 clicks" in act(client, id, "clicks", 409, x=20, y=20)["message"]
        act(client, id, "undo")
        act(client, id, "hide", object=0)
        assert "has had its 6 events" in act(client, id, "show", 409, object=0)["message"]


@pytest.mark.parametrize(
    ("sent", "name", "disposition"),
    [
        ("a photo.png", "a photo.png", 'inline; filename="a photo_0.png"'),
        ("C:\\fakepath\\IMG 1.JPG", "IMG 1.JPG", 'inline; filename="IMG 1_0.png"'),
        ("../../etc/passwd", "passwd", 'inline; filename="passwd_0.png"'),
        (".hidden", ".hidden", 'inline; filename=".hidden_0.png"'),
        ('say "cheese".png', 'say "cheese".png', "inline; filename*=UTF-8''say%20%22cheese%22_0.png"),
        (
            "Käse 3.04\u202fPM.png",
            "Käse 3.04\u202fPM.png",
            "inline; filename*=UTF-8''K%C3%A4se%203.04%E2%80%AFPM_0.png",
        ),
        ("folder/..", "", None),
        ("", "", None),
        ("x" * 255, "x" * 255, f'inline; filename="{"x" * 255}_0.png"'),
    ],
)
def test_a_session_has_its_photographs_name(open_client, client, small, sent, name, disposition):
    state = client.post(f"{API}/sessions", content=small(), params={"size": 48, "name": sent}).json()
    id = state["id"]
    assert state["name"] == name
    act(client, id, "clicks", x=20, y=20)
    with open_client({"toy": client.app.state.desk.service.sessions._networks["toy"]}) as later:
        assert later.get(f"{API}/sessions/{id}").json()["name"] == name
        coco = later.get(f"{API}/sessions/{id}/coco")
        assert coco.json()["images"][0]["file_name"] == (name or id)
        assert later.get(f"{API}/sessions/{id}/mask").headers.get("content-disposition") == disposition
        image = later.get(f"{API}/sessions/{id}/image")
        assert image.content == small()
        assert ("content-disposition" in image.headers) == bool(name)


@pytest.mark.parametrize("name", ["x" * 256, "a\nb", "a\x00b", "\x7f", "a\u2028b"])
def test_names_that_are_none_are_refused(client, small, name):
    answer = client.post(f"{API}/sessions", content=small(), params={"name": name})
    assert answer.status_code in (400, 422)
    assert "name" in answer.json()["message"]
    assert client.get("/metrics").text.count("mfp_sessions_stored 0.0") == 1
