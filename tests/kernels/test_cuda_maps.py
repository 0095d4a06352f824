"""Crop and paste as kernels: from an image to the network's tensors, from logits to mask and box (spec section 1)."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfp.engine.roi import bounding_box
from mfp.kernels.block import NEEDS_BOOTSTRAP, NOT_FINITE
from mfp.kernels.resample import resize_bilinear

GRIDS = [
    {"threads": 32, "blocks": 1},
    {"threads": 96, "blocks": 5, "backward": True},
    {"threads": 256, "blocks": 2},
    {"threads": 1024, "blocks": 1},
]
NO_BOX = (0x7FFFFFFF, -1, 0x7FFFFFFF, -1)


def layouts():
    """The same picture as applications keep it: packed, in a pitch, in planes, in four channels, upside down, grey."""
    pixels = np.random.default_rng(3).integers(0, 256, (53, 70, 3), dtype=np.uint8)
    pitched = np.zeros((53, 96, 3), np.uint8)
    pitched[:, :70] = pixels
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    rgba = np.dstack([pixels, np.full((53, 70), 9, np.uint8)])
    grey = np.ascontiguousarray(pixels[..., 0])
    return {
        "packed": (pixels, pixels),
        "pitched": (pitched[:, :70], pixels),
        "planes": (planes.transpose(1, 2, 0), pixels),
        "rgba": (rgba[..., :3], pixels),
        "bgr upside down": (pixels[::-1, :, ::-1].copy()[::-1, :, ::-1], pixels),
        "grey": (np.broadcast_to(grey[..., None], pixels.shape), np.repeat(grey[..., None], 3, axis=2)),
    }


def cropped(plane, roi, size):
    return resize_bilinear(plane[roi[0] : roi[1] + 1, roi[2] : roi[3] + 1], *size)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


@pytest.mark.parametrize("name", layouts())
@pytest.mark.parametrize("batch", [1, 2])
def test_crop_of_any_layout(workbench, name, batch):
    image, pixels = layouts()[name]
    probability = np.random.default_rng(4).random(image.shape[:2], dtype=np.float32)
    roi, size = (5, 47, 3, 69), (33, 47)
    bench = workbench(size, batch=batch)
    bench.set_picture(image, probability, roi)
    bench.run("mfp_begin", "mfp_crop")
    expected = np.stack([cropped(pixels[..., channel], roi, size) / np.float32(255) for channel in range(3)])
    found, prev = bench.get("image"), bench.get("prev")
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(prev[0, 0], cropped(probability, roi, size), rtol=0, atol=1e-6)
    if batch == 2:
        np.testing.assert_array_equal(found[1], found[0, :, :, ::-1])
        np.testing.assert_array_equal(prev[1], prev[0, :, :, ::-1])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_crop_and_paste_resample_as_on_the_host(workbench, data):
    """Any image, region and map, each from one pixel on; what lies outside the region stays as it was."""
    side = st.integers(1, 70)
    height, width, size = data.draw(side), data.draw(side), (data.draw(side), data.draw(side))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    roi = top, data.draw(st.integers(top, height - 1)), left, data.draw(st.integers(left, width - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    probability = rng.random((height, width), dtype=np.float32)
    new = rng.random(size, dtype=np.float32)
    bench = workbench(size, threads=32)
    bench.set_picture(image, probability, roi)
    bench.put("map", new)
    threshold = data.draw(st.sampled_from([0.5, 0.49, 0.2, 0.9]))
    bench.set_block(threshold=threshold)
    bench.run("mfp_begin", "mfp_crop", "mfp_paste")
    for channel in range(3):
        expected = cropped(image[..., channel], roi, size) / np.float32(255)
        np.testing.assert_allclose(bench.get("image")[0, channel], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(bench.get("prev")[0, 0], cropped(probability, roi, size), rtol=0, atol=1e-6)

    pasted = bench.get("probability")
    inside = np.zeros((height, width), bool)
    inside[roi[0] : roi[1] + 1, roi[2] : roi[3] + 1] = True
    np.testing.assert_array_equal(pasted[~inside], probability[~inside])
    expected = resize_bilinear(new, roi[1] - roi[0] + 1, roi[3] - roi[2] + 1)
    np.testing.assert_allclose(pasted[inside].reshape(expected.shape), expected, rtol=0, atol=1e-6)
    head, mask = bench.result, bench.mask
    np.testing.assert_array_equal(mask, pasted > np.float32(threshold))
    assert tuple(head)[:4] == (bounding_box(pasted > 0.5) or NO_BOX)
    assert head["status"] == 0


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_click_does_not_depend_on_the_grid(workbench, grid, batch):
    image, _ = layouts()["packed"]
    logits = np.random.default_rng(9).normal(0, 40, (batch, 1, 31, 45)).astype(np.float32)
    found = []
    for options in ({"threads": 64}, grid):
        bench = workbench((31, 45), batch=batch, **options)
        bench.set_picture(image, np.zeros((53, 70), np.float32), (3, 50, 20, 69))
        bench.put("logits", logits)
        bench.run("mfp_begin", "mfp_crop", "mfp_bootstrap", "mfp_probability", "mfp_paste")
        head, mask = bench.result, bench.mask
        found.append((bench.get("prev"), bench.get("map"), bench.get("probability"), mask, head))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)

    prev, average, probability, mask, head = found[0]
    np.testing.assert_allclose(prev, sigmoid(logits), rtol=0, atol=1e-6)
    both = (logits[0, 0] + logits[1, 0, :, ::-1]) / 2 if batch == 2 else logits[0, 0]
    np.testing.assert_allclose(average, sigmoid(both), rtol=0, atol=1e-6)
    assert tuple(head)[:4] == bounding_box(probability > 0.5)
    np.testing.assert_array_equal(mask, probability > 0.5)


def test_probability_saturates(workbench):
    """At exactly 0 and 1, which modulation takes notice of; logits that FP32 holds are all welcome."""
    bench = workbench((2, 4))
    logits = np.array([[-3e38, -200, -104, 0], [17.4, 90, 200, 3e38]], np.float32)
    bench.put("logits", logits)
    bench.set_picture(probability=np.zeros((3, 3), np.float32))
    bench.run("mfp_begin", "mfp_probability")
    np.testing.assert_array_equal(bench.get("map"), [[0, 0, 0, 0.5], [1, 1, 1, 1]])
    assert bench.result["status"] == 0


@pytest.mark.parametrize("width", [1, 31, 32, 33, 64, 100])
@pytest.mark.parametrize("threads", [32, 160])
def test_bits_and_bytes_of_the_mask(workbench, width, threads):
    height = 7
    probability = np.random.default_rng(width).random((height, width), dtype=np.float32)
    bench = workbench((5, 5), threads=threads, blocks=3)
    bench.put("map", 0.75)
    bench.set_picture(probability=probability, roi=(3, 3, 0, width - 1))
    bench.run("mfp_begin", "mfp_paste")
    probability[3] = 0.75
    head, mask = bench.result, bench.mask
    np.testing.assert_array_equal(mask, probability > 0.5)
    assert tuple(head)[:4] == bounding_box(probability > 0.5)
    np.testing.assert_array_equal(bench.unpacked_mask(), mask)


@pytest.mark.parametrize("pixels", [[], [(0, 0)], [(8, 40)], [(0, 40), (8, 0)], [(4, 31), (4, 32)]])
def test_box_of_few_pixels(workbench, pixels):
    """Both thresholds are strict, and the mask's own changes nothing of the box."""
    probability = np.full((9, 41), 0.5, np.float32)
    for pixel in pixels:
        probability[pixel] = np.nextafter(np.float32(0.5), np.float32(1))
    bench = workbench((5, 5))
    bench.set_picture(probability=probability)
    for threshold in (0.5, 0.9, 0.25):
        # an empty region: nothing is pasted
        bench.set_block(row_min=1, row_max=0, col_min=1, col_max=0, threshold=threshold)
        bench.run("mfp_begin", "mfp_paste")
        assert tuple(bench.result)[:4] == (bounding_box(probability > 0.5) or NO_BOX)
        np.testing.assert_array_equal(bench.mask, probability > threshold)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("item", [0, 1])
@pytest.mark.parametrize("kernel", ["mfp_probability", "mfp_bootstrap"])
def test_logits_that_are_no_numbers_are_not_pasted(workbench, broken, item, kernel):
    probability = np.random.default_rng(1).random((20, 30), dtype=np.float32)
    logits = np.ones((2, 1, 9, 11), np.float32)
    logits[item, 0, 8, 10] = broken
    bench = workbench((9, 11), batch=2)
    bench.set_picture(probability=probability)
    bench.put("logits", logits)
    bench.run("mfp_begin", kernel, "mfp_paste")
    assert bench.result["status"] == NOT_FINITE
    np.testing.assert_array_equal(bench.get("probability"), probability)
    bench.put("logits", 1)  # the next click starts with a clean slate
    bench.run("mfp_begin", kernel, "mfp_probability", "mfp_paste")
    assert bench.result["status"] == 0
    assert (bench.get("probability") != probability).all()


@pytest.mark.parametrize("last_pixel", [0.0, 1e-45])
@pytest.mark.parametrize("bootstrapped", [0, 1])
def test_a_pass_that_lacked_its_first_one_says_so(workbench, last_pixel, bootstrapped):
    """The crop of the map decides, not all of the map, and any value but zero counts."""
    image, _ = layouts()["packed"]
    probability = np.zeros((53, 70), np.float32)
    probability[50, 40], probability[51, 40] = last_pixel, 0.9
    bench = workbench((21, 23), batch=2)
    bench.set_picture(image, probability, (30, 50, 18, 40))
    bench.set_block(bootstrapped=bootstrapped)
    bench.put("logits", 1)
    bench.run("mfp_begin", "mfp_crop", "mfp_probability", "mfp_paste")
    lacking = not bootstrapped and last_pixel == 0
    assert bench.result["status"] == (NEEDS_BOOTSTRAP if lacking else 0)
    assert (bench.get("probability") == probability).all() == lacking


def test_an_older_map_is_pasted_without_a_click(workbench):
    """Undo and redo: no newest click, no network pass."""
    bench = workbench((9, 11))
    bench.put("map", 0.8)
    bench.put("logits", np.nan)
    bench.set_picture(probability=np.zeros((20, 30), np.float32), roi=(2, 10, 3, 13))
    bench.set_block([], newest=-1)
    bench.run("mfp_begin", "mfp_paste")
    head, mask = bench.result, bench.mask
    assert tuple(head)[:5] == (2, 10, 3, 13, 0)
    assert mask.sum() == mask[2:11, 3:14].sum() == 99


def test_the_longest_rows_and_columns(workbench):
    """16,384 pixels, the most that an image may have a side."""
    for shape in ((1, 16384), (16384, 1)):
        image = np.arange(16384).astype(np.uint8).reshape(*shape, 1).repeat(3, axis=2)
        probability = np.linspace(0, 1, 16384, dtype=np.float32).reshape(shape)
        bench = workbench((21, 33), blocks=2)
        bench.set_picture(image, probability)
        bench.run("mfp_begin", "mfp_crop")
        everything = 0, shape[0] - 1, 0, shape[1] - 1
        found = bench.get("prev")[0, 0]
        np.testing.assert_allclose(found, cropped(probability, everything, (21, 33)), rtol=0, atol=1e-6)
        np.testing.assert_allclose(
            bench.get("image")[0, 1], cropped(image[..., 1], everything, (21, 33)) / np.float32(255), rtol=0, atol=1e-6
        )
        if shape[0] == 1:
            bench.put("map", found)
            bench.run("mfp_paste")
            expected = resize_bilinear(found, *shape)
            np.testing.assert_allclose(bench.get("probability"), expected, rtol=0, atol=1e-6)
            assert bench.result["col_max"] == 16383
