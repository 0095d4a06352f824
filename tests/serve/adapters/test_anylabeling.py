"""X-AnyLabeling's remote server, asked as its client asks.

Requests and replies: X-AnyLabeling-Server's docs/openapi.json and docs/source/en/user_guide.md (commit 70599dc), and
what X-AnyLabeling 4.2 sends (anylabeling/services/auto_labeling/remote_server.py, views/labeling/widgets/canvas.py).
"""

import base64
import math

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw

from mfp import Mask
from mfp.serve.adapters import anylabeling


@pytest.fixture
def client(replay):
    app = FastAPI()
    app.include_router(anylabeling.router({"lite0": replay}))
    return TestClient(app)


@pytest.fixture
def predict(client, sample):
    """``predict(clicks, **changes)``: the client's request after these clicks, and the answer."""

    def send(clicks, model="lite0", image=None, **params):
        marks = [
            {"type": "point", "data": [int(x), int(y)], "label": int(positive)} for x, y, positive in clicks
        ]  # the client's own
        payload = {
            "model": model,
            "image": image or "data:image/jpeg;base64," + base64.b64encode(sample).decode(),
            "params": {
                "conf_threshold": 0.0,
                "iou_threshold": 0.0,
                "epsilon_factor": 0.001,
                **({"marks": marks} if marks else {}),
                **params,
            },
        }
        return client.post("/v1/predict", json=payload, headers={"Token": ""})

    return send


def filled(shapes, shape):
    """As the client makes a mask of polygons (its utils.shape_to_mask)."""
    canvas = Image.fromarray(np.zeros(shape, np.uint8))
    for one in shapes:
        ImageDraw.Draw(canvas).polygon(xy=[tuple(point) for point in one["points"]], outline=1, fill=1)
    return np.array(canvas, bool)


def test_the_list_of_models(client):
    found = client.get("/v1/models", headers={"Content-Type": "application/json", "Token": ""}).json()
    assert found["success"] is True
    model = found["data"]["lite0"]
    assert model["display_name"] == "MFP lite0"
    assert model["batch_processing_mode"] is None
    names = [widget["name"] for widget in model["widgets"]]
    assert {"button_add_point", "button_remove_point", "button_clear", "button_finish_object"} <= set(names)
    assert all("value" in widget for widget in model["widgets"])
    assert client.get("/health").json()["models_loaded"] == 1


def test_polygons_of_the_mask(predict, clicks, mask_of, network):
    for count in range(1, len(clicks) + 1):
        reply = predict(clicks[:count], epsilon_factor=0.0001).json()
        assert network.passes == count + 1  # the session goes on; the first click takes two
    assert reply["success"] is True
    data = reply["data"]
    assert data["replace"] is False
    assert data["description"] == ""
    assert data["shapes"]
    for shape in data["shapes"]:
        assert (shape["label"], shape["shape_type"]) == ("AUTOLABEL_OBJECT", "polygon")
        assert shape["points"][0] == shape["points"][-1]
        assert len(shape["points"]) >= 4
        assert 0 <= shape["score"] <= 1
    mask = mask_of(clicks).array
    found = filled(data["shapes"], mask.shape)
    assert (found & mask).sum() / (found | mask).sum() > 0.98  # holes and lines aside


def test_a_coarser_outline_has_fewer_points(predict, clicks):
    fine, coarse = (
        sum(len(shape["points"]) for shape in predict(clicks[:1], epsilon_factor=e).json()["data"]["shapes"])
        for e in (0.0001, 0.01)
    )
    assert coarse < fine / 4


def test_without_points_nothing_is_done(predict, network):
    reply = predict([])
    assert (reply.status_code, reply.json()["data"]["shapes"]) == (200, [])
    assert network.passes == 0


def test_base64_without_its_type(predict, clicks, sample):
    assert predict(clicks[:1], image=base64.b64encode(sample).decode()).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "code", "words"),
    [
        ({"model": "sam"}, 404, "MODEL_NOT_FOUND", "lite0"),
        ({"image": "data:image/png;base64,AAAA"}, 400, "INVALID_IMAGE", "no image"),
        ({"image": "%%%"}, 400, "INVALID_IMAGE", "base64"),
        ({"image": "http://example.org/a.png,"}, 400, "INVALID_IMAGE", "base64"),
        ({"marks": [{"type": "rectangle", "data": [1, 2, 30, 40], "label": 1}]}, 400, "INFERENCE_ERROR", "points"),
        ({"marks": [{"type": "point", "data": [9, 1], "label": 2}]}, 400, "INFERENCE_ERROR", "label 1 (object) or 0"),
        ({"marks": [{"type": "point", "data": [9, 1], "label": "0"}]}, 400, "INFERENCE_ERROR", "got '0'"),
        ({"marks": [{"type": "point", "data": [9000, 1], "label": 1}]}, 400, "INFERENCE_ERROR", "outside the image"),
        ({"marks": [{"type": "point", "data": ["1", "2"]}]}, 400, "INFERENCE_ERROR", "marks of"),
        ({"marks": [{"type": "point", "data": [10**400, 1], "label": 1}]}, 400, "INFERENCE_ERROR", "digits"),
        ({"marks": "all"}, 400, "INFERENCE_ERROR", "marks of"),
        ({"epsilon_factor": "fine"}, 400, "INFERENCE_ERROR", "epsilon_factor"),
        ({"epsilon_factor": -1}, 400, "INFERENCE_ERROR", "epsilon_factor"),
    ],
)
def test_what_is_refused(predict, clicks, changes, status, code, words):
    reply = predict(clicks[:1], **changes)
    assert reply.status_code == status
    found = reply.json()
    assert found["success"] is False
    assert found["error"]["code"] == code
    assert words in found["error"]["message"]


def test_a_request_of_another_shape_is_no_server_error(client):
    for body in ({}, {"model": 1, "image": []}, [], "text"):
        assert client.post("/v1/predict", json=body).status_code == 422


def test_outlines_of_parts_at_the_edges_and_lines():
    array = np.zeros((20, 30), bool)
    array[:5, :6] = array[15:, 20:] = True
    array[10, 3:9] = True  # a line is no area to a polygon
    array[17, 24] = False  # nor is a hole
    found = anylabeling.polygons(Mask(array), 0.0)
    assert len(found) == 2
    again = filled([{"points": points} for points in found], array.shape)
    array[17, 24], array[10] = True, False
    np.testing.assert_array_equal(again, array)
    assert all(math.isfinite(value) and value >= 0 for points in found for point in points for value in point)
    assert anylabeling.polygons(Mask(np.zeros((3, 3), bool)), 0.001) == []
