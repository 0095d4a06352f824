"""Clicks on the page become the engine's masks: on the screen, in its lists and in its files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from mfp.engine.mask import Mask

TOY = Path(__file__).parents[2] / "golden/toy.onnx"
BODY, FACE, HELMET = (120, 330), (220, 110), (400, 430)


def decoded(data, flags=cv2.IMREAD_GRAYSCALE):
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def away_from_edges(mask, pixels=2):
    """Where neither an outline nor a blurred edge can be."""
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel) == cv2.erode(mask.astype(np.uint8), kernel)


def test_two_clicks_undo_and_redo(open_page, replay):
    page = open_page()
    page.open_sample()
    assert not page.tinted().any()
    page.click(*BODY)
    page.wait_clicks(1)
    first = page.state()["objects"][0]
    assert np.allclose([first["clicks"][0]["x"], first["clicks"][0]["y"]], BODY, atol=0.51)
    page.click(*FACE)
    page.wait_clicks(2)
    second = page.state()["objects"][0]
    session = replay(second["clicks"])
    assert second["rle"] == session.mask.to_rle()
    assert second["area"] == session.mask.area
    sure = away_from_edges(session.mask.array)
    assert np.array_equal(page.tinted()[sure], session.mask.array[sure])

    page.tab.click("#undo")
    page.wait_clicks(1)
    assert page.state()["objects"][0]["rle"] == first["rle"]
    page.tab.keyboard.press("Control+y")
    page.wait_clicks(2)
    assert page.state()["objects"][0]["rle"] == second["rle"]
    page.click(*HELMET, button="right")  # removes
    page.wait_clicks(3)
    page.tab.keyboard.down("Shift")
    page.click(300, 40)  # so does this
    page.tab.keyboard.up("Shift")
    page.wait_clicks(4)
    assert [click["positive"] for click in page.state()["objects"][0]["clicks"]] == [True, True, False, False]
    page.tab.click("#reset")
    page.wait_clicks(0)
    assert not page.tinted().any()


def test_the_time_of_a_click_is_told_by_stages(open_page):
    page = open_page()
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)
    page.tab.wait_for_selector("#latency .bar")
    (measure,) = page.tab.evaluate(
        "performance.getEntriesByName('mfp-click').map(({ duration, detail }) => ({ duration, detail }))"
    )
    stages = measure["detail"]["stages"]
    assert sum(stages.values()) >= 0.999 * measure["duration"]  # nothing is left out …
    assert sum(stages.values()) <= 1.05 * measure["duration"] + 2  # … or counted twice; clocks are two
    assert stages["network"] == measure["detail"]["timing"]["network"]
    shown = page.tab.locator("#latency .latency-now b").inner_text()
    assert shown == f"{measure['duration']:.0f}"


def test_quick_clicks_are_done_in_order(open_page, replay):
    page = open_page()
    page.open_sample()
    for place in (BODY, FACE, HELMET):  # none waits for the mask of the one before
        page.click(*place)
    waiting = page.run("stage.clicks.length")
    assert waiting == 3  # their dots are there at once
    page.wait_clicks(3)
    state = page.state()["objects"][0]
    places = np.array([[click["x"], click["y"]] for click in state["clicks"]])
    assert np.allclose(places, [BODY, FACE, HELMET], atol=0.51)
    assert state["rle"] == replay(state["clicks"]).mask.to_rle()


def test_a_second_object_and_the_files(open_page, replay):
    page = open_page()
    page.open_sample()
    page.click(*BODY)
    page.click(*FACE)
    page.wait_clicks(2)
    page.tab.keyboard.press("n")
    page.wait_clicks(0, finished=1)
    page.click(*HELMET)
    page.wait_clicks(1, finished=1)
    objects = page.state()["objects"]
    masks = [replay(entry["clicks"]).mask for entry in objects]
    assert [entry["rle"] for entry in objects] == [mask.to_rle() for mask in masks]
    union = masks[0].array | masks[1].array
    sure = away_from_edges(masks[0].array) & away_from_edges(masks[1].array)
    assert np.array_equal(page.tinted()[sure], union[sure])
    assert page.tab.locator("#objects .object").count() == 2
    page.screenshot("desktop_light_two_objects")

    for number, mask in enumerate(masks):
        name, data = page.download(f"#objects .object:nth-child({number + 1}) .button")
        assert name == f"sample_object{number + 1}.png"
        assert np.array_equal(decoded(data), 255 * mask.array.astype(np.uint8))
    name, data = page.download("#download-coco")
    assert name == "sample_coco.json"
    coco = json.loads(data)
    assert coco["images"] == [{"id": 1, "width": 512, "height": 512, "file_name": "sample.jpg"}]
    annotations = coco["annotations"]
    assert [Mask.from_rle(one["segmentation"]) == mask for one, mask in zip(annotations, masks, strict=True)]
    assert [one["area"] for one in annotations] == [mask.area for mask in masks]


def test_the_probability_map_in_colours(open_page, replay):
    page = open_page()
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)
    page.tab.keyboard.press("p")
    page.tab.wait_for_function("() => mfp.stage.heat")
    scale, seen = page.run(
        """[document.getElementById("scale-bar"), stage.heat].map((canvas) =>
            canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data)
            .map((data, heat) => Array.from(new Uint32Array(data.buffer)).filter((_, i) => !heat || i % 61 === 0))"""
    )
    probability = replay(page.state()["objects"][0]["clicks"]).probability
    levels = (probability.ravel()[::61] * 255).round().astype(int)
    assert len(set(scale)) == 256
    assert np.array_equal(np.array(seen), np.array(scale)[levels])
    page.screenshot("desktop_light_probability")
    page.tab.click("label:has(input[value=mask])")
    assert page.run("stage.heat") is None


def test_the_same_clicks_on_another_network(open_page, replay):
    page = open_page()
    page.open_sample()
    page.click(*BODY)
    page.click(*FACE)
    page.wait_clicks(2)
    old = page.state()
    names = page.tab.locator("#network option").evaluate_all("(options) => options.map((option) => option.value)")
    assert names[0] == old["network"]
    page.tab.select_option("#network", names[1])
    page.tab.wait_for_function("(name) => mfp.session.state.network === name", arg=names[1])
    page.wait_clicks(2)
    new = page.state()
    assert new["id"] == old["id"]
    assert new["objects"][0]["clicks"] == old["objects"][0]["clicks"]
    assert new["objects"][0]["rle"] == replay(new["objects"][0]["clicks"], TOY).mask.to_rle()


def test_masks_are_painted_pixel_by_pixel(open_page):
    """Noise, single pixels, whole and empty masks, and one that is too large to be painted in full."""
    page = open_page()
    g = np.random.default_rng(0)
    arrays = [g.random((37, 53)) < part for part in (0.02, 0.5, 0.98)]
    arrays += [np.zeros((5, 4), bool), np.ones((5, 4), bool), np.eye(9, 6, dtype=bool)]
    large = np.zeros((3001, 4003), bool)
    large[10:2900, 7:3990] = cv2.resize(g.random((30, 40)), (3983, 2890)) < 0.5
    for array in [*arrays, large]:
        mask = Mask(array)
        box = mask.box and [int(value) for value in mask.box]
        painted = page.tab.evaluate(
            """async ([rle, box]) => {
                const picture = (await import("/static/rle.js")).paintMask(rle, box, [10, 20, 30]);
                if (!picture) return null;
                const { canvas, row, column, step } = picture;
                const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
                let marks = "";
                for (let i = 0; i < data.length; i += 4) marks += data[i + 3] ? "1" : "0";
                return { marks, width: canvas.width, row, column, step, ink: [...data.slice(0, 3)] };
            }""",
            [mask.to_rle(), box],
        )
        if box is None:
            assert painted is None
            continue
        letters = np.frombuffer(painted["marks"].encode(), np.uint8)
        marks = (letters == ord("1")).reshape(-1, painted["width"]).T
        step = painted["step"]
        assert step == (1 if array is not large else 2)
        assert np.array_equal(marks, array[box[0] : box[1] + 1 : step, box[2] : box[3] + 1 : step])
