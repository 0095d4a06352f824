"""CVAT's interactor: the nuclio function of deploy/cvat, called as nuclio calls it, with what CVAT sends.

The request is what CVAT's lambda manager makes (cvat/apps/lambda_manager/views.py, ``FunctionKind.INTERACTOR``), the
reply what its UI reads (``InteractorResults`` of cvat-core/src/lambda-manager.ts; serverless/pytorch/saic-vul/hrnet).
Masks among ``shapes`` are as cvat_sdk.masks has them.
"""

import base64
import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from mfp import Mask
from mfp.serve.adapters import cvat

FOLDER = Path(__file__).parents[3] / "deploy" / "cvat"


@pytest.fixture
def interactor(network):
    return cvat.Interactor(network, flip=False)


@pytest.fixture
def body(sample):
    """``body(positive, negative)``: a request of CVAT's."""

    def make(positive, negative=(), **changes):
        return {
            "image": base64.b64encode(sample).decode(),
            "pos_points": [list(point) for point in positive],
            "neg_points": [list(point) for point in negative],
            "obj_bbox": None,
            **changes,
        }

    return make


def decoded(points, height, width):
    """The mask of CVAT's form: runs, background first, inside the box that the last four numbers are."""
    *runs, left, top, right, bottom = points
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(bottom - top + 1, right - left + 1)
    mask = np.zeros((height, width), bool)
    mask[top : bottom + 1, left : right + 1] = inside
    return mask


def test_the_mask_in_both_forms_and_in_the_order_of_the_clicks(interactor, body, clicks, mask_of, network):
    positive, negative = [], []
    for count, (x, y, sign) in enumerate(clicks, 1):
        (positive if sign else negative).append((x, y))
        reply = json.loads(interactor(body(positive, negative)))
        assert network.passes == count + 1
    wanted = mask_of(clicks)
    assert wanted != mask_of(sorted(clicks, key=lambda click: not click[2]))  # the order matters here
    np.testing.assert_array_equal(np.array(reply["mask"]), wanted.array * 255)
    (shape,) = reply["shapes"]
    assert shape["type"] == "mask"
    np.testing.assert_array_equal(decoded(shape["points"], *wanted.shape), wanted.array)


def test_a_point_taken_back(interactor, body, clicks, mask_of, network):
    a, b, c = [click[:2] for click in clicks]
    for positive, negative in (([a], []), ([a], [b]), ([a, c], [b]), ([a], [b])):
        reply = json.loads(interactor(body(positive, negative)))
    assert network.passes == 4  # nothing was computed for it
    np.testing.assert_array_equal(np.array(reply["mask"]) > 0, mask_of(clicks[:2]).array)


def test_the_order_that_is_found():
    a, b, c, d = (1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0)
    first = [(*a, True), (*b, False), (*c, True)]
    assert cvat.in_order([], [a, c], [b]) == [(*a, True), (*c, True), (*b, False)]
    assert cvat.in_order([first], [a, c], [b]) == first
    assert cvat.in_order([first], [a, c, d], [b]) == [*first, (*d, True)]
    assert cvat.in_order([first], [a, c], []) == [(*a, True), (*c, True)]
    assert cvat.in_order([[(*d, True)], first], [a, c], [b, d]) == [*first, (*d, False)]  # of two annotators
    assert cvat.in_order([first], [], []) == []


@pytest.mark.parametrize("first", [True, False])
def test_runs_and_rows_of_any_mask(first):
    random = np.random.default_rng(0)
    for height, width, share in ((7, 9, 0.5), (1, 1, 1.1), (30, 40, 0.02), (5, 300, 0.9)):
        array = random.random((height, width)) < share
        array[0, 0] = first or array.size == 1
        mask = Mask(array)
        np.testing.assert_array_equal(np.array(json.loads(cvat.rows(mask))), array * 255)
        if mask.area:
            np.testing.assert_array_equal(decoded(cvat.mask_points(mask), height, width), array)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": "AAAA"}, "no image"),
        ({"image": None}, "base64"),
        ({"pos_points": [[1]]}, "pos_points"),
        ({"neg_points": "none"}, "neg_points"),
        ({"pos_points": [[-1, 4]]}, "outside the image"),
        ({"obj_bbox": [[1, 2], [30, 40]]}, "not boxes"),
    ],
)
def test_what_is_refused(function, body, changes, words):
    context, call = function
    response = call(body([(9, 9)], **changes))
    assert response.status_code == 400
    assert words in json.loads(response.body)["message"]
    assert context.user_data.interactor is not None


@pytest.fixture(scope="module")
def function():
    """The function's context, and a call of it by nuclio's own classes."""
    nuclio = pytest.importorskip("nuclio_sdk")
    spec = importlib.util.spec_from_file_location("cvat_function", FOLDER / "main.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    logger = nuclio.logger.Logger(20)
    logger.set_handler("test", io.StringIO(), nuclio.logger.HumanReadableFormatter())
    context = nuclio.Context(logger)
    module.init_context(context)
    return context, lambda request: module.handler(context, nuclio.Event(body=request))


def test_as_nuclio_calls_it(function, body, clicks, mask_of):
    _, call = function
    response = call(body([clicks[0][:2]]))
    assert (response.status_code, response.content_type) == (200, "application/json")
    np.testing.assert_array_equal(np.array(json.loads(response.body)["mask"]) > 0, mask_of(clicks[:1], flip=True).array)


def test_the_function_says_what_cvat_asks_of_one():
    function = yaml.safe_load((FOLDER / "function.yaml").read_text())
    annotations = function["metadata"]["annotations"]
    assert annotations["type"] == "interactor"
    assert (int(annotations["min_pos_points"]), int(annotations["min_neg_points"])) == (1, 0)
    assert all(isinstance(value, str) for value in annotations.values())  # Kubernetes takes no others
    module, handler = function["spec"]["handler"].split(":")
    assert f"def {handler}(" in (FOLDER / f"{module}.py").read_text()
