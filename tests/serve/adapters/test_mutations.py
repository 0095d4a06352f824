"""Requests of the tools with anything in place of a part: refused or answered, never an error of the server."""

import base64
import copy
import json
from contextlib import suppress

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfp.engine.errors import MfpError
from mfp.serve.adapters import anylabeling, cvat, label_studio
from mfp.serve.adapters.label_studio_images import Source
from mfp.serve.adapters.replay import Replay
from mfp.serve.http import error_responses

CONFIG = (
    '<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i"><Label value="Cat"/></BrushLabels>'
    '<KeyPointLabels name="k" toName="i" smart="true"><Label value="Cat"/></KeyPointLabels></View>'
)
LEAVES = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


def places(value, path=()):
    """All paths in a JSON value, its own among them."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*path, key))


def changed(value, path, new):
    if not path:
        return new
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return value


@pytest.fixture(scope="module")
def requests(small):
    """A request of each tool, on a photograph of 56×40 pixels."""
    image = base64.b64encode(small()).decode()
    value = {"x": 20.0, "y": 30.0, "keypointlabels": ["Cat"]}
    point = {"value": value, "type": "keypointlabels", "is_positive": True, "image_rotation": 0}
    marks = [{"type": "point", "data": [9, 9], "label": 1}, {"type": "point", "data": [20, 9], "label": 0}]
    return {
        "/x/v1/predict": {"model": "toy", "image": image, "params": {"marks": marks, "epsilon_factor": 0.001}},
        "/l/predict": {
            "tasks": [{"data": {"image": f"data:image/png;base64,{image}"}}],
            "label_config": CONFIG,
            "params": {"context": {"result": [point, point]}},
        },
        "cvat": {"image": image, "pos_points": [[9, 9], [30, 9]], "neg_points": [[2, 2]], "obj_bbox": None},
    }


@pytest.fixture(scope="module")
def replay(toy):
    return Replay(toy, size=32, flip=False)


@pytest.fixture(scope="module")
def client(replay):
    app = FastAPI()
    error_responses.install(app)  # what the server says of requests of another shape
    app.include_router(anylabeling.router({"toy": replay}), prefix="/x")
    app.include_router(label_studio.router({"toy": replay}, Source()), prefix="/l")
    return TestClient(app)


@pytest.fixture(scope="module")
def interactor(toy):
    return cvat.Interactor(toy, size=32, flip=False)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), path=st.sampled_from(["/x/v1/predict", "/l/predict"]))
def test_over_http(client, requests, data, path):
    request = requests[path]
    assert client.post(path, json=request).status_code == 200
    body = changed(request, data.draw(st.sampled_from(sorted(places(request), key=str))), data.draw(ANYTHING))
    # Python's JSON has NaN and infinities, which clients in Python send
    reply = client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert reply.status_code in (200, 400, 404, 413, 422)
    assert reply.headers["content-type"] == "application/json"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_of_cvat(interactor, requests, data):
    request = requests["cvat"]
    path = data.draw(st.sampled_from(sorted(list(places(request))[1:], key=str)))
    with suppress(MfpError):  # a refusal
        assert interactor(changed(request, path, data.draw(ANYTHING))).startswith("{")
