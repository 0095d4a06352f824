import copy
import json
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from mfp.engine.errors import ImageError
from mfp.engine.mask import Mask

# pycocotools' own decoder, called here as a judge, returns an array of an older protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

maps = arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14)))

EMPTY = np.zeros((4, 5), np.bool_)
FULL = np.ones((4, 5), np.bool_)
PIXEL = np.eye(1, 3, 1, dtype=np.bool_)  # 1×3, its middle
RING = np.pad(np.zeros((1, 1), np.bool_), 1, constant_values=True)
RING_WITH_CORE = np.pad(np.pad(np.ones((1, 1), np.bool_), 1), 1, constant_values=True)
DIAGONAL = np.eye(4, dtype=np.bool_)
DIAMOND = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.bool_)
PINCHED = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 1], [1, 1, 1, 1]], np.bool_)
SHAPES = [EMPTY, FULL, PIXEL, PIXEL.T, RING, RING_WITH_CORE, DIAGONAL, DIAGONAL[::-1], DIAMOND, PINCHED]


def with_shapes(test):
    for array in SHAPES:
        test = example(array)(test)
    return test


def holes_filled(array: np.ndarray) -> np.ndarray:
    """The definition, pixel by pixel: background that reaches the outside in 4-neighbour steps stays."""
    framed = np.pad(array, 1)
    outside, todo = np.zeros_like(framed), [(0, 0)]
    while todo:
        y, x = todo.pop()
        if 0 <= y < framed.shape[0] and 0 <= x < framed.shape[1] and not framed[y, x] and not outside[y, x]:
            outside[y, x] = True
            todo += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return ~outside[1:-1, 1:-1]


def by_pixel_centres(polygons: list, shape: tuple) -> np.ndarray:
    """Even-odd rule: (x + ½, y + ½) is inside where an odd number of vertical edges lies left of it."""
    inside = np.zeros(shape, np.bool_)
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            assert (x0 == x1) != (y0 == y1), "every edge is horizontal or vertical"
            inside[int(min(y0, y1)) : int(max(y0, y1)), int(x0) :] ^= True
    return inside


def shoelace(polygon: np.ndarray) -> float:
    x, y = polygon.T.astype(np.float64)
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


# The map


def test_mask_is_immutable_and_independent_of_its_source():
    source = EMPTY.copy()
    mask = Mask(source)
    source[1, 2] = True
    assert mask.area == 0
    with pytest.raises(ValueError, match="read-only"):
        mask.array[0, 0] = True
    for clone in (copy.copy(mask), copy.deepcopy(mask), pickle.loads(pickle.dumps(mask))):  # noqa: S301
        assert clone == mask
        assert not clone.array.flags.writeable


def test_read_only_array_is_taken_over_without_a_copy():
    owned = FULL.copy()
    owned.flags.writeable = False
    assert np.shares_memory(Mask(owned).array, owned)
    base = FULL.copy()
    view = base[1:]
    view.flags.writeable = False
    assert not np.shares_memory(Mask(view).array, base)  # base could still be written to
    assert Mask(np.asfortranarray(RING)).array.flags.c_contiguous


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 3)),
        np.zeros((3, 3), np.uint8),
        np.zeros((3, 3, 1), bool),
        np.zeros((0, 3), bool),
        [[True]],
    ],
)
def test_what_is_no_bool_map_is_refused(wrong):
    with pytest.raises(ImageError, match="a mask is a NumPy array of bool"):
        Mask(wrong)


@with_shapes
@given(maps)
def test_area_and_box_agree_with_counting(array):
    mask = Mask(array)
    pixels = [(y, x) for y in range(array.shape[0]) for x in range(array.shape[1]) if array[y, x]]
    assert mask.shape == array.shape
    assert mask.area == len(pixels)
    if not pixels:
        assert mask.box is None
    else:
        rows, columns = zip(*pixels, strict=True)
        assert mask.box == (min(rows), max(rows), min(columns), max(columns))
        assert all(type(edge) is int for edge in mask.box)


def test_equality_is_by_content_and_shape():
    assert Mask(RING) == Mask(RING.copy())
    assert Mask(RING) != Mask(FULL)
    assert Mask(PIXEL) != Mask(PIXEL.T)
    assert Mask(RING) != "ring"


def test_repr_tells_size_area_and_box():
    assert repr(Mask(PIXEL)) == "Mask(1×3, area=1, box=(0, 0, 1, 1))"
    assert repr(Mask(EMPTY)) == "Mask(4×5, area=0, box=None)"


def test_arrays_of_numpy():
    mask = Mask(RING)
    assert np.shares_memory(np.asarray(mask), mask.array)
    assert np.asarray(mask, np.uint8).sum() == 8
    assert np.asarray(mask, np.uint8).flags.writeable
    assert np.array(mask).flags.writeable
    assert (~mask.array).sum() == np.logical_not(mask).sum() == 1
    with pytest.raises(ValueError, match="copy=False"):
        mask.__array__(np.float32, copy=False)


def test_dlpack_exports_a_copy():
    mask = Mask(RING)
    assert mask.__dlpack_device__() == (1, 0)
    received = np.from_dlpack(mask)
    assert received.dtype == np.bool_
    assert np.array_equal(received, RING)
    assert not np.shares_memory(received, mask.array)
    for request in ({"copy": False}, {"dl_device": (2, 0)}, {"stream": 1}):
        with pytest.raises(BufferError):
            mask.__dlpack__(**request)


def test_importing_needs_neither_opencv_nor_pycocotools():
    code = "import sys, mfp.engine.mask; sys.exit(bool({'cv2', 'pycocotools'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Run-length encoding


@with_shapes
@given(maps)
def test_rle_round_trip(array):
    mask = Mask(array)
    rle = json.loads(json.dumps(mask.to_rle()))
    assert rle["size"] == list(array.shape)
    assert Mask.from_rle(rle) == mask
    assert Mask.from_rle({**rle, "counts": rle["counts"].encode()}) == mask
    assert np.array_equal(coco.decode(rle), array)


@given(st.data())
def test_rle_of_long_runs(data):
    # Runs beyond 5 bits take several characters; differences to the run two before may be negative.
    runs = data.draw(st.lists(st.integers(1, 5000), min_size=1, max_size=12))
    column = np.repeat(np.arange(len(runs)) % 2 == 1, runs)[:, None]
    assert Mask.from_rle(Mask(column).to_rle()) == Mask(column)


@pytest.mark.parametrize(
    "rle",
    [
        {"counts": "35"},
        {"size": [4, 5]},
        {"size": [4], "counts": "d0"},
        {"size": [4, -5], "counts": "d0"},
        {"size": [4, 5], "counts": ""},
        {"size": [4, 5], "counts": "3"},  # too short
        {"size": [4, 5], "counts": "d01"},  # too long
        {"size": [4, 5], "counts": "d"},  # ends inside a number
        {"size": [4, 5], "counts": "é"},
        {"size": [4, 5], "counts": [20]},
        {"size": [4, 5], "counts": "OU1"},  # a negative run
    ],
)
def test_rle_that_is_damaged_is_refused(rle):
    assert Mask.from_rle({"size": [4, 5], "counts": "d0"}) == Mask(EMPTY)
    with pytest.raises(ImageError, match="RLE"):
        Mask.from_rle(rle)


# Polygons


@with_shapes
@given(maps)
def test_polygons_give_back_the_mask_with_its_holes_filled(array):
    polygons = Mask(array).to_polygons()
    expected = holes_filled(array)
    assert np.array_equal(by_pixel_centres(polygons, array.shape), expected)
    assert sum(map(shoelace, polygons)) == expected.sum()  # clockwise on the screen, none overlaps another
    if polygons:
        flat = [polygon.ravel().tolist() for polygon in polygons]
        assert np.array_equal(coco.decode(coco.merge(coco.frPyObjects(flat, *array.shape))), expected)


@with_shapes
@given(maps)
def test_polygons_are_simple(array):
    starts = []
    for polygon in Mask(array).to_polygons():
        assert polygon.dtype == np.float32
        assert len(polygon) >= 4
        assert len(np.unique(polygon, axis=0)) == len(polygon), "touches itself"
        starts.append(tuple(polygon[0][::-1]))
        assert starts[-1] == min((y, x) for x, y in polygon)
    assert starts == sorted(starts)


def test_polygons_of_small_shapes():
    assert Mask(EMPTY).to_polygons() == []
    assert [p.tolist() for p in Mask(FULL).to_polygons()] == [[[0, 0], [5, 0], [5, 4], [0, 4]]]
    assert [p.tolist() for p in Mask(PIXEL).to_polygons()] == [[[1, 0], [2, 0], [2, 1], [1, 1]]]
    assert len(Mask(DIAGONAL).to_polygons()) == 4
    assert len(Mask(RING_WITH_CORE).to_polygons()) == 1


def test_polygons_of_a_large_mask_agree_with_opencv():
    noise = cv2.GaussianBlur(np.random.default_rng(0).random((300, 400), np.float32), (0, 0), 4)
    array = noise > 0.5
    contours, _ = cv2.findContours(array.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(array.shape, np.uint8), contours, -1, 1, cv2.FILLED)
    assert np.array_equal(by_pixel_centres(Mask(array).to_polygons(), array.shape), filled)


# PNG


@with_shapes
@given(array=maps)
def test_png_round_trip(tmp_path_factory, array):
    path = tmp_path_factory.getbasetemp() / "маска é.png"
    Mask(array).save_png(path)
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.dtype == np.uint8
    assert np.array_equal(image, array * 255)


def test_png_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "mask.png", tmp_path / "folder", tmp_path / "file" / "mask.png"):
        with pytest.raises(ImageError, match="cannot write"):
            Mask(RING).save_png(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]
