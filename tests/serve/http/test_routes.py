"""The HTTP API: what each route does, next to the engine's own session, and how it refuses."""

import io
import json

import numpy as np
import pytest

from mfp import Mask, Session
from mfp.engine.image import decode_image
from mfp.serve.settings import Limits

API = "/api/v1"


def opened(client, image, **options):
    """The state of a new session, on a small network unless another size is asked for."""
    options = {"size": 48, "flip": False} | options
    answer = client.post(f"{API}/sessions", content=image, params=options)
    assert answer.status_code == 201, answer.text
    return answer.json()


def act(client, id, kind, status=200, **body):
    answer = client.post(f"{API}/sessions/{id}/{kind}", json=body or None)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_session_gives_the_engines_masks(open_client, lite0, sample):
    image = decode_image(sample)
    with open_client({"lite0": lite0}) as client, Session(lite0, image, flip=False) as session:
        state = opened(client, sample, size="384x384")
        id = state["id"]
        assert (state["width"], state["height"], state["revision"]) == (image.shape[1], image.shape[0], 0)
        assert state["options"] == {"size": [384, 384], "flip": False, "threshold": 0.5, "n_early": 7, "r_max": 100.0}
        for revision, (x, y, positive) in enumerate([(120, 330.5, True), (220, 110, True), (400, 430, False)]):
            reply = act(client, id, "clicks", x=x, y=y, positive=positive, revision=revision)
            mask = session.click(x, y, positive)
            assert Mask.from_rle(reply["rle"]) == mask
            assert (reply["revision"], reply["object"], len(reply["clicks"])) == (revision + 1, 0, revision + 1)
            assert (reply["area"], reply["box"], reply["roi"]) == (mask.area, list(mask.box), list(session.roi))
            assert {"crop", "network", "total", "wait", "store", "respond", "server", "rebuild"} <= set(reply["timing"])
        reply = act(client, id, "undo")
        assert Mask.from_rle(reply["rle"]) == session.undo()
        assert reply["can_redo"]
        data = client.get(f"{API}/sessions/{id}/probability", params={"format": "npy"}).content
        probability = np.load(io.BytesIO(data))
        assert probability.dtype == np.float32
        assert np.array_equal(probability, session.probability)
        grey = decode_image(client.get(f"{API}/sessions/{id}/probability").content)[:, :, 0]
        assert np.array_equal(grey, (session.probability * 255).round())
        reply = act(client, id, "redo")
        assert Mask.from_rle(reply["rle"]) == session.redo()
        first = session.finish()
        assert act(client, id, "finish")["object"] == 1
        second = session.click(250, 60)
        act(client, id, "clicks", x=250, y=60)
        url = f"{API}/sessions/{id}/mask"
        for number, mask in enumerate((first, second)):
            picture = decode_image(client.get(url, params={"object": number}).content)[:, :, 0]
            assert np.array_equal(picture, mask.array * 255)
            assert client.get(url, params={"object": number, "format": "rle"}).json() == mask.to_rle()
            polygons = client.get(url, params={"object": number, "format": "polygons"}).json()
            assert polygons == [polygon.ravel().tolist() for polygon in mask.to_polygons()]
        assert client.get(url).content == client.get(url, params={"object": 1}).content
        coco = client.get(f"{API}/sessions/{id}/coco").json()
        assert [one["segmentation"] for one in coco["annotations"]] == [first.to_rle(), second.to_rle()]
        assert coco["annotations"][0]["area"] == first.area
        x, y, width, height = coco["annotations"][0]["bbox"]
        assert first.box == (y, y + height - 1, x, x + width - 1)
        state = client.get(f"{API}/sessions/{id}").json()
        assert [(one["finished"], one["rle"]) for one in state["objects"]] == [
            (True, first.to_rle()),
            (False, second.to_rle()),
        ]
        assert len(state["objects"][0]["clicks"]) == 3
        image = client.get(f"{API}/sessions/{id}/image")
        assert (image.content, image.headers["content-type"]) == (sample, "image/jpeg")
        reply = act(client, id, "reset")
        assert (reply["area"], reply["object"], reply["can_undo"]) == (0, 1, True)
        assert client.delete(f"{API}/sessions/{id}").status_code == 204
        assert client.get(f"{API}/sessions/{id}").status_code == 404


def test_coco_files_are_read_by_pycocotools(client, small, tmp_path):
    from pycocotools.coco import COCO

    id = opened(client, small())["id"]
    act(client, id, "clicks", x=20, y=20)
    mask = Mask.from_rle(
        act(client, id, "finish") and client.get(f"{API}/sessions/{id}/mask?object=0&format=rle").json()
    )
    (tmp_path / "coco.json").write_bytes(client.get(f"{API}/sessions/{id}/coco").content)
    coco = COCO(tmp_path / "coco.json")
    (annotation,) = coco.loadAnns(coco.getAnnIds())  # an object without pixels is none
    assert np.array_equal(coco.annToMask(annotation), mask.array)


def test_networks_are_listed_and_chosen(open_client, toy, lite0, small):
    with open_client({"toy": toy, "lite0": lite0}) as client:
        listed = client.get(f"{API}/networks").json()
        assert [(one["name"], one["size"], one["default"]) for one in listed] == [
            ("toy", None, True),
            ("lite0", [384, 384], False),
        ]
        assert opened(client, small())["network"] == "toy"
        assert opened(client, small(), network="lite0", size="384x384")["network"] == "lite0"
        refused = client.post(f"{API}/sessions", content=small(), params={"network": "other"})
        assert refused.status_code == 400
        assert refused.json() == {
            "error": "OptionError",
            "message": "expected one of the networks toy, lite0, got 'other'",
        }


def test_options_reach_the_session(client, toy, small):
    options = {"size": "32x48", "flip": False, "threshold": 0.4, "n_early": 0, "r_max": 12.5}
    state = opened(client, small(), **options)
    assert state["options"] == options | {"size": [32, 48]}
    reply = act(client, state["id"], "clicks", x=30, y=20)
    with Session(toy, decode_image(small()), **options | {"size": (32, 48)}) as session:
        assert session.click(30, 20).to_rle() == reply["rle"]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"size": "0"}, 422),
        ({"size": "32x0"}, 422),
        ({"size": "1025"}, 400),
        ({"size": "99999x99999"}, 400),
        ({"size": "x"}, 422),
        ({"size": "1x2x3"}, 422),
        ({"threshold": 1}, 422),
        ({"threshold": "nan"}, 422),
        ({"n_early": -1}, 422),
        ({"r_max": 0}, 422),
        ({"r_max": "inf"}, 422),
        ({"flip": "perhaps"}, 422),
    ],
)
def test_options_out_of_range_are_refused(client, small, options, status):
    answer = client.post(f"{API}/sessions", content=small(), params=options)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "message"}
    assert client.get("/metrics").text.count("mfp_sessions_stored 0.0") == 1


def test_an_event_at_another_revision_changes_nothing(client, small):
    id = opened(client, small())["id"]
    act(client, id, "clicks", x=20, y=20, revision=0)
    before = client.get(f"{API}/sessions/{id}").json()
    for kind in ("clicks", "undo", "redo", "reset", "finish"):
        for revision in (0, 2, -5, 10**30):
            body = {"x": 1, "y": 1} if kind == "clicks" else {}
            answer = act(client, id, kind, 409, revision=revision, **body)
            assert answer["error"] == "RevisionError"
            assert "it is at 1" in answer["message"]
    assert client.get(f"{API}/sessions/{id}").json() == before
    assert act(client, id, "undo", revision=1)["revision"] == 2


@pytest.mark.parametrize(("x", "y"), [(56, 0), (0, 40), (-0.5, 3), (1e300, 0)])
def test_a_click_outside_is_refused_and_leaves_no_trace(client, small, x, y):
    id = opened(client, small(40, 56))["id"]
    answer = act(client, id, "clicks", 400, x=x, y=y)
    assert answer["error"] == "ClickError"
    assert "0 <= x < 56 and 0 <= y < 40" in answer["message"]
    assert client.get(f"{API}/sessions/{id}").json()["revision"] == 0


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "1",
        "{",
        "[" * 5000,
        '{"x":1}',
        '{"x":"a","y":1}',
        '{"x":NaN,"y":1}',
        '{"x":Infinity,"y":1}',
        '{"x":1,"y":1,"z":1}',
        '{"x":1,"y":1,"\\ud800":1}',
        '{"x":1,"y":1,"positive":3}',
        '{"x":1,"y":1,"revision":1.5}',
    ],
)
def test_malformed_requests_are_refused_in_one_shape(client, small, body):
    id = opened(client, small())["id"]
    answer = client.post(f"{API}/sessions/{id}/clicks", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error", "message"}
    assert client.get(f"{API}/sessions/{id}").json()["revision"] == 0


def test_what_the_session_cannot_do_is_a_conflict(client, small):
    id = opened(client, small())["id"]
    assert act(client, id, "undo", 409)["error"] == "NothingToUndoError"
    assert act(client, id, "redo", 409)["error"] == "NothingToUndoError"
    assert act(client, id, "finish", 409)["error"] == "SessionError"
    assert client.get(f"{API}/sessions/{id}").json()["revision"] == 0


@pytest.mark.parametrize("id", ["x", "a" * 22, "%00", "%2e%2e", "é", "a" * 64])
def test_unknown_sessions_are_404(client, id):
    for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/undo"), ("GET", "/image"), ("GET", "/coco")):
        answer = client.request(method, f"{API}/sessions/{id}{rest}")
        assert answer.status_code == 404, answer.text
        assert set(answer.json()) == {"error", "message"}


def test_the_methods_of_a_path_are_told(client):
    answer = client.put(f"{API}/sessions/x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET")
    assert client.get(f"{API}/sessions").headers["allow"] == "POST"


def test_unknown_objects_and_formats(client, small):
    id = opened(client, small())["id"]
    for query, status in {"object=1": 404, "object=-1": 422, "object=a": 422, "format=gif": 422}.items():
        assert client.get(f"{API}/sessions/{id}/mask?{query}").status_code == status
    assert client.get(f"{API}/sessions/{id}/probability?format=tiff").status_code == 422


def test_limits_of_clicks_and_events(open_client, small):
    with open_client(limits=Limits(clicks=2, events=5)) as client:
        id = opened(client, small(), flip=False)["id"]
        for _ in range(2):
            act(client, id, "clicks", x=20, y=20)
        assert "has had its 2 clicks" in act(client, id, "clicks", 409, x=20, y=20)["message"]
        act(client, id, "finish")
        act(client, id, "clicks", x=20, y=20)
        act(client, id, "undo")
        assert "has had its 5 events" in act(client, id, "redo", 409)["message"]


def test_the_store_is_full(open_client, small):
    with open_client(limits=Limits(sessions=2)) as client:
        ids = [opened(client, small())["id"] for _ in range(2)]
        answer = client.post(f"{API}/sessions", content=small())
        assert (answer.status_code, answer.json()["error"]) == (503, "UnavailableError")
        assert answer.headers["retry-after"] == "1"
        client.delete(f"{API}/sessions/{ids[0]}")
        opened(client, small())


def test_a_store_out_of_reach_is_503(open_client, small, tmp_path):
    with open_client() as client:
        id = opened(client, small())["id"]
        act(client, id, "clicks", x=20, y=20)
        service = client.app.state.desk.service
        service.sessions._store._connection.execute("ALTER TABLE events RENAME TO gone")
        answer = client.post(f"{API}/sessions/{id}/clicks", json={"x": 1, "y": 1})
        assert (answer.status_code, answer.json()["error"]) == (503, "StoreError")
        service.sessions._store._connection.execute("ALTER TABLE gone RENAME TO events")
        state = client.get(f"{API}/sessions/{id}").json()
        assert (state["revision"], len(state["objects"][0]["clicks"])) == (1, 1)  # what was not kept did not happen
        assert client.get("/readyz").status_code == 200
        service.sessions._store.close()
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200


def test_what_nobody_expected_is_told_without_details(client, small, monkeypatch):
    id = opened(client, small())["id"]
    monkeypatch.setattr(client.app.state.desk.service.sessions, "_store", None)  # a bug, as it were
    answer = client.get(f"{API}/sessions/{id}")
    assert answer.status_code == 500
    assert answer.json() == {"error": "InternalError", "message": "the server failed; its log says why"}
    monkeypatch.undo()
    assert client.get(f"{API}/sessions/{id}").status_code == 200


def test_openapi_describes_every_route(client):
    description = client.get("/openapi.json").json()
    assert len(description["paths"]) >= 15
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)
            assert operation.get("tags"), (method, path)
    text = json.dumps(description)
    assert "HTTPValidationError" not in text  # errors have one shape


def test_metrics_count(client, small):
    id = opened(client, small())["id"]
    act(client, id, "clicks", x=20, y=20)
    act(client, id, "redo", 409)
    text = client.get("/metrics").text
    for line in (
        'mfp_events_total{kind="click"} 1.0',
        'mfp_errors_total{error="NothingToUndoError"} 1.0',
        "mfp_sessions_live 1.0",
        "mfp_sessions_stored 1.0",
        'mfp_stage_seconds_count{kind="click",stage="network"} 1.0',
        'mfp_requests_total{method="POST",route="/api/v1/sessions/{id}/clicks",status="200"} 1.0',
    ):
        assert line in text, line
    assert id not in text


def test_the_page_and_its_headers(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert client.get("/static/index.html").headers["cache-control"] == "no-cache"
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404


def test_a_size_that_the_network_does_not_take_is_the_clients_mistake(open_client, lite0, sample):
    with open_client({"lite0": lite0}) as client:
        answer = client.post(f"{API}/sessions", content=sample, params={"size": 320})
    assert answer.status_code == 400
    assert "fixed to 384×384" in answer.json()["message"]
