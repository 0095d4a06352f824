"""Fingers, keys and files: everything that can be done with a mouse can be done without."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
import pytest

from mfp.engine.sample import sample_photograph

BODY, FACE, HELMET = (120, 330), (220, 110), (400, 430)


def test_a_phone(open_page, replay):
    page = open_page("phone")
    assert page.tab.evaluate("document.documentElement.scrollWidth") == 390
    page.screenshot("phone_light_welcome")
    page.open_sample()
    page.tap(*BODY)
    page.wait_clicks(1)
    page.tab.locator("label.remove").tap()
    page.tap(*HELMET)
    page.wait_clicks(2)
    page.tab.locator("label.add").tap()
    page.tap(*FACE)
    page.wait_clicks(3)
    state = page.state()["objects"][0]
    assert [click["positive"] for click in state["clicks"]] == [True, False, True]
    assert state["rle"] == replay(state["clicks"]).mask.to_rle()
    assert page.tab.evaluate("document.documentElement.scrollWidth") == 390
    page.screenshot("phone_light_mask")
    page.tab.locator("#undo").tap()
    page.wait_clicks(2)


def test_two_fingers_zoom_and_one_moves(open_page):
    page = open_page("phone")
    page.open_sample()
    fingers = page.tab.context.new_cdp_session(page.tab)

    def touches(kind, *places):
        points = [{"x": x, "y": y} for x, y in places]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    scale = page.run("stage.view.scale")
    middle = page.place(256, 256)
    around = lambda spread: [(middle[0] - spread, middle[1]), (middle[0] + spread, middle[1])]  # noqa: E731
    touches("touchStart", *around(40)[:1])
    touches("touchStart", *around(40))
    for spread in (50, 60, 70, 80):
        touches("touchMove", *around(spread))
    touches("touchEnd")
    assert page.run("stage.view.scale") == pytest.approx(2 * scale, rel=0.02)
    assert page.place(256, 256) == pytest.approx(middle, abs=2)  # what was between the fingers still is
    touches("touchStart", middle)
    for step in (10, 30, 50):
        touches("touchMove", (middle[0] + step, middle[1] + step))
    touches("touchEnd")
    assert page.place(256, 256) == pytest.approx((middle[0] + 50, middle[1] + 50), abs=12)
    assert page.state()["revision"] == 0  # none of it was a click


def test_the_wheel_zooms_at_the_pointer_and_the_space_bar_drags(open_page):
    page = open_page()
    page.open_sample()
    at = page.place(*FACE)
    page.tab.mouse.move(*at)
    page.tab.mouse.wheel(0, -500)
    page.tab.wait_for_function("() => mfp.stage.view.scale > 2")
    assert page.place(*FACE) == pytest.approx(at, abs=1)  # browsers give the wheel's place in whole pixels
    at = page.place(*FACE)
    page.tab.keyboard.down(" ")
    page.tab.mouse.down()
    page.tab.mouse.move(at[0] + 60, at[1] - 40)
    page.tab.mouse.up()
    page.tab.keyboard.up(" ")
    assert page.place(*FACE) == pytest.approx((at[0] + 60, at[1] - 40), abs=1)
    page.tab.mouse.move(*at)
    page.tab.mouse.down(button="middle")
    page.tab.mouse.move(at[0] - 60, at[1] + 40)
    page.tab.mouse.up(button="middle")
    assert page.place(*FACE) == pytest.approx(at, abs=1)
    assert page.state()["revision"] == 0
    page.tab.click("#zoom-in")
    scale = page.run("stage.view.scale")
    page.tab.keyboard.press(" ")  # moves, does not press the button again
    assert page.run("stage.view.scale") == scale
    page.tab.keyboard.press("0")
    assert page.run("stage.view.fitted")


def test_the_space_bar_drags_whatever_was_pressed_before(open_page):
    page = open_page()
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)
    state = page.state()
    with page.tab.expect_download():
        page.tab.click("#download-coco")
    for press in (
        lambda: None,
        lambda: page.tab.click("label:has(input[value=heat])"),
        lambda: page.tab.locator("#opacity").click(),
        lambda: page.tab.click("label.remove"),
        lambda: page.tab.click("summary"),
        lambda: (page.tab.click("#help"), page.tab.click("#help-dialog .primary")),
    ):
        press()
        at = page.place(*FACE)
        page.tab.mouse.move(*at)
        page.tab.keyboard.down(" ")
        page.tab.mouse.down()
        page.tab.mouse.move(at[0] + 20, at[1] - 12)
        page.tab.mouse.up()
        page.tab.keyboard.up(" ")
        assert page.place(*FACE) == pytest.approx((at[0] + 20, at[1] - 12), abs=1)
    assert page.state() == state
    assert page.run("session.waiting.length") == 0


@pytest.mark.parametrize("button", ["left", "right"])
def test_a_double_click_is_one_click_and_a_drag_is_none(open_page, button):
    page = open_page()
    page.open_sample()
    page.tab.mouse.dblclick(*page.place(*BODY), button=button)
    page.wait_clicks(1)
    x, y = page.place(*FACE)
    page.tab.mouse.move(x, y)
    page.tab.mouse.down(button=button)
    page.tab.mouse.move(x + 30, y + 40, steps=4)
    page.tab.mouse.up(button=button)
    page.tab.locator(".notice", has_text="A drag is no click").wait_for()
    page.tab.mouse.move(x, y)
    page.tab.mouse.down(button=button)
    page.tab.mouse.move(x + 2, y + 1)  # a hand that is not quite still
    page.tab.mouse.up(button=button)
    page.wait_clicks(2)
    clicks = page.state()["objects"][0]["clicks"]
    assert np.allclose([[click["x"], click["y"]] for click in clicks], [BODY, FACE], atol=0.51)
    assert page.tab.locator(".notice").count() == 0
    page.tab.keyboard.press("Control+z")
    page.wait_clicks(1)
    page.click(*FACE, button=button)  # the same place again, on purpose
    page.wait_clicks(2)


def test_the_keyboard_alone(open_page, replay):
    page = open_page()
    page.tab.locator("#sample").focus()
    page.tab.keyboard.press("Enter")
    page.wait_ready()
    for _ in range(3):  # the first one shows the cursor, in the middle
        page.tab.keyboard.press("ArrowDown")
    page.tab.keyboard.press("a")
    page.wait_clicks(1)
    for key in ("ArrowLeft", "Shift+ArrowUp", "a"):
        page.tab.keyboard.press(key)
    page.wait_clicks(2)
    for _ in range(9):
        page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("r")
    page.wait_clicks(3)
    state = page.state()["objects"][0]
    step = 12 / page.run("stage.view.scale")
    moves = [(b["x"] - a["x"], b["y"] - a["y"]) for a, b in zip(state["clicks"], state["clicks"][1:], strict=False)]
    assert np.allclose(moves, [(-step, -step / 12), (9 * step, 0)])
    assert [click["positive"] for click in state["clicks"]] == [True, True, False]
    assert state["rle"] == replay(state["clicks"]).mask.to_rle()
    page.screenshot("desktop_light_keyboard")
    page.tab.keyboard.press("Control+z")
    page.wait_clicks(2)
    page.tab.keyboard.press("Control+Shift+z")
    page.wait_clicks(3)
    page.tab.keyboard.press("Enter")
    page.wait_clicks(0, finished=1)
    assert page.tab.locator("#status").inner_text() == "Object 1 finished. Click on the next one."


def photograph_file(ending, orientation=None):
    """The sample's left half as a file, with an orientation in its EXIF data."""
    image = pytest.importorskip("PIL.Image")
    half = image.fromarray(sample_photograph()[:, :256])
    exif = image.Exif()
    if orientation:
        exif[0x0112] = orientation
    data = io.BytesIO()
    half.save(data, ending, exif=exif, quality=95)
    return data.getvalue()


def test_a_photograph_on_its_side_lies_as_the_server_has_it(open_page):
    page = open_page()
    file = {"name": "side.jpg", "mimeType": "image/jpeg", "buffer": photograph_file("JPEG", orientation=6)}
    page.tab.set_input_files("#file", file)
    page.wait_ready()
    assert page.tab.locator("#photo-name").inner_text() == "side.jpg, 512 × 256"
    assert page.run("[stage.photograph.width, stage.photograph.height]") == [512, 256]
    seen = page.run(
        """(() => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 512, height: 256 });
            canvas.getContext("2d").drawImage(stage.photograph.at(1), 0, 0);
            return canvas.toDataURL("image/png").split(",")[1];
        })()"""
    )
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(seen), np.uint8), cv2.IMREAD_COLOR_RGB)
    expected = np.rot90(sample_photograph()[:, :256], -1)
    assert np.abs(shown.astype(int) - expected).mean() < 4  # JPEG


def test_files_that_are_dropped_or_pasted(open_page):
    page = open_page()
    page.drop("half.png", "image/png", photograph_file("PNG"))
    page.wait_ready()
    page.click(*BODY)
    page.wait_clicks(1)
    page.drop("notes.txt", "text/plain", b"no photograph")
    assert "no photograph: notes.txt" in page.tab.locator(".notice p").inner_text()
    page.drop("broken.jpg", "image/jpeg", photograph_file("JPEG")[:200])
    page.tab.wait_for_function("() => document.querySelector('.notice p')?.textContent.includes('cannot show')")
    page.click(180, 400)  # the session before it is as it was
    page.wait_clicks(2)
    page.tab.click("label.remove")
    page.drop("pasted.png", "image/png", photograph_file("PNG"), paste=True)
    page.wait_clicks(0)
    assert page.tab.locator("input[value=add]").is_checked()  # a new photograph begins with what is added
    assert page.tab.title() == "pasted.png · mfp"


@pytest.mark.slow
def test_a_photograph_of_20_megapixels(open_page, tmp_path, replay):
    path = tmp_path / "large.jpg"
    cv2.imwrite(str(path), cv2.cvtColor(cv2.resize(sample_photograph(), (5120, 4096)), cv2.COLOR_RGB2BGR))
    page = open_page()
    page.tab.set_input_files("#file", path)
    page.wait_ready()
    page.click(1200, 2640)
    page.wait_clicks(1)
    state = page.state()["objects"][0]
    assert state["rle"] == replay(state["clicks"], image=path).mask.to_rle()
    frames = page.run(
        """new Promise((done) => {
            const times = [];
            const step = (time) => {
                times.push(time);
                stage.view.zoom(1.05, 400, 300);
                stage.moved();
                if (times.length < 40) requestAnimationFrame(step); else done(times);
            };
            requestAnimationFrame(step);
        })"""
    )
    print("milliseconds a frame while zooming, median", np.median(np.diff(frames)))
    page.screenshot("desktop_light_20_megapixels")


def test_a_key_that_is_held_stops_when_it_is_let_go(open_page):
    page = open_page()
    hold = page.hold()
    page.open_sample()
    for place in (BODY, FACE, HELMET):
        page.click(*place)
    page.wait_clicks(3)
    hold.on = True
    page.tab.keyboard.down("Control")
    for _ in range(5):  # the first press, and the repetitions of a system
        page.tab.keyboard.down("z")
    page.tab.keyboard.up("z")
    assert page.run("session.waiting.map((action) => action.type)") == ["undo"]
    page.tab.keyboard.press("y")  # at once: before the answer tells that there is something to redo
    page.tab.keyboard.up("Control")
    hold.release()
    page.tab.wait_for_function("() => mfp.session.state.revision === 5 && !mfp.session.waiting.length")
    page.wait_clicks(3)


def test_the_first_click_of_an_object_adds(open_page):
    """However the object came to be without clicks."""
    page = open_page()
    page.open_sample()
    delete = '#objects [data-does="delete"]'
    for ways in (["#undo"], ["#reset"], [delete], ["#finish", delete]):
        page.click(*BODY)
        page.tab.wait_for_function("() => mfp.session.state.objects.at(-1).clicks.length === 1")
        page.tab.click("label.remove")
        for way in ways:
            page.tab.click(way)
        page.tab.wait_for_function("() => !mfp.session.waiting.length")
        assert page.state()["objects"][-1]["clicks"] == []
        page.tab.wait_for_function("() => document.querySelector('input[name=mode][value=add]').checked")


def test_a_button_that_came_down_on_another_photograph(open_page):
    page = open_page()
    page.open_sample()
    first = page.state()["id"]
    page.tab.mouse.move(*page.place(*BODY))
    page.tab.mouse.down()
    page.drop("other.png", "image/png", cv2.imencode(".png", np.full((64, 64), 128, np.uint8))[1].tobytes())
    page.tab.wait_for_function("(id) => mfp.session.id && mfp.session.id !== id", arg=first)
    page.tab.mouse.up()
    assert page.run("session.waiting.length + session.state.revision") == 0
