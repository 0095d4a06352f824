"""Objects in the list: chosen again, hidden, deleted, all with a way back; and another network in between."""

from __future__ import annotations

import json
import time
from urllib.request import Request, urlopen

from mfp.engine.sample import PATH as SAMPLE

from .test_clicks import TOY

BODY, FACE, HELMET = (120, 330), (220, 110), (400, 430)


def create(server, query):
    request = Request(f"{server.url}api/v1/sessions?{query}", SAMPLE.read_bytes())
    return json.loads(urlopen(request, timeout=30).read())["id"]


def test_another_network_keeps_what_is_finished(open_page, server, replay):
    id = create(server, "network=lite0&flip=false&threshold=0.4&name=flat.jpg")
    for kind, body in (
        *(("clicks", {"x": x, "y": y}) for x, y in (BODY, FACE)),
        ("finish", None),
        ("clicks", {"x": HELMET[0], "y": HELMET[1]}),
    ):
        server.ask(f"sessions/{id}/{kind}", "POST", body)
    page = open_page(path=f"#session={id}")
    page.wait_clicks(1, finished=1)
    before = page.state()
    page.tab.select_option("#network", "toy")
    while json.loads(server.ask(f"sessions/{id}"))["network"] != "toy":  # until then the page asks before it is left
        time.sleep(0.05)
    page.tab.reload()
    page.tab.wait_for_function("() => window.mfp?.session.state?.network === 'toy'")
    page.wait_clicks(1, finished=1)
    after = page.state()
    assert after["id"] == id
    assert after["objects"][0] == before["objects"][0]
    kept = ("flip", "threshold")
    assert [after["options"][name] for name in kept] == [False, 0.4]
    clicks = after["objects"][1]["clicks"]
    assert clicks == before["objects"][1]["clicks"]
    assert after["objects"][1]["rle"] == replay(clicks, TOY, **after["options"]).mask.to_rle()
    assert page.tab.locator("#photo-name").inner_text() == "flat.jpg, 512 × 512"
    page.tab.keyboard.press("Control+z")
    page.tab.wait_for_function("() => mfp.session.state.network === 'lite0'")
    assert page.state()["objects"] == before["objects"]
    assert page.tab.locator("#network").input_value() == "lite0"


def test_objects_are_chosen_again_hidden_and_deleted(open_page, server):
    page = open_page()
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)
    page.tab.click("label:has(input[value=remove])")
    page.tab.keyboard.press("n")
    page.wait_clicks(0, finished=1)
    assert page.tab.locator("input[value=add]").is_checked()  # the next object begins with what is added
    page.click(*HELMET)
    page.wait_clicks(1, finished=1)
    second = page.state()["objects"][1]
    assert page.tinted()[BODY[1], BODY[0]]

    page.tab.get_by_role("button", name="Hide Object 1").click()
    page.tab.wait_for_function("() => mfp.session.state.objects[0].hidden && !mfp.stage.stale.size")
    assert not page.tinted()[BODY[1], BODY[0]]
    page.screenshot("desktop_light_hidden")
    page.tab.keyboard.press("Control+z")
    page.tab.wait_for_function("() => !mfp.session.state.objects[0].hidden && !mfp.stage.stale.size")
    assert page.tinted()[BODY[1], BODY[0]]

    page.tab.get_by_role("button", name="Go on with Object 1").click()
    page.tab.wait_for_function("() => mfp.session.state.present === 0")
    assert page.tab.locator("#objects [aria-current] b").inner_text() == "Object 1"
    assert page.run("stage.clicks.length") == 1
    assert page.state()["objects"][1] == {**second, "finished": True}  # what was begun is kept
    page.click(*FACE)
    page.wait_clicks(2, finished=1)
    page.tab.get_by_role("button", name="Delete Object 2").click()
    page.wait_clicks(2)
    page.tab.keyboard.press("Control+z")
    page.wait_clicks(2, finished=1)
    assert page.state()["objects"][1]["rle"] == second["rle"]

    page.tab.click("#reset")
    page.wait_clicks(0, finished=1)
    page.tab.keyboard.press("Control+z")
    page.wait_clicks(2, finished=1)
    page.tab.keyboard.press("Enter")  # by mistake
    page.wait_clicks(0, finished=2)
    page.tab.keyboard.press("Control+z")
    page.wait_clicks(2, finished=1)
    assert page.state() == json.loads(server.ask(f"sessions/{page.state()['id']}"))
    assert page.tab.locator(".notice").count() == 0


def test_the_list_by_the_keyboard(open_page):
    page = open_page()
    page.open_sample()
    for number, place in enumerate((BODY, HELMET), 1):
        page.click(*place)
        page.wait_clicks(1, finished=number - 1)
        page.tab.keyboard.press("n")
        page.wait_clicks(0, finished=number)
    focus = "document.activeElement.ariaLabel ?? document.activeElement.innerText.replaceAll('\\n', ' ')"
    page.tab.get_by_role("button", name="Hide Object 1").focus()
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_function("() => mfp.session.state.objects[0].hidden")
    assert page.tab.evaluate(focus) == "Show Object 1"
    page.tab.keyboard.press(" ")
    page.tab.wait_for_function("() => !mfp.session.state.objects[0].hidden")
    page.tab.keyboard.press("Tab")
    assert page.tab.evaluate(focus) == "Delete Object 1"
    page.tab.keyboard.press("Enter")
    page.wait_clicks(0, finished=1)
    assert page.tab.evaluate(focus).startswith("Go on with Object 2")  # the row that took its place
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_function("() => mfp.session.state.present === 1")
    assert page.tab.locator("#status").inner_text().startswith("Going on with Object 2")


def test_many_objects_and_a_long_name(open_page, server):
    """The present object and what lies below the list stay in sight, and the bar's parts beside each other."""
    id = create(server, f"network=toy&size=64&flip=false&name=photograph{'+' + '%C3%A9' * 240}.jpg")
    page = open_page(path=f"#session={id}")
    page.wait_ready()
    for _ in range(15):
        server.ask(f"sessions/{id}/clicks", "POST", {"x": 20, "y": 20})
        server.ask(f"sessions/{id}/finish", "POST")
    page.tab.wait_for_function("() => mfp.session.state.objects.length === 16")
    box = lambda selector: page.tab.locator(selector).bounding_box()  # noqa: E731
    bottom = lambda one: one["y"] + one["height"]  # noqa: E731
    rows, present = box("#objects"), box("#objects .present")
    assert rows["y"] - 1 <= present["y"] < bottom(present) <= bottom(rows) + 1
    assert bottom(box("#download-coco")) < 800
    page.tab.locator("#objects").evaluate("(list) => (list.scrollTop = 0)")
    page.tab.locator('#objects [data-does="hide"]').first.click()
    page.tab.wait_for_function("() => mfp.session.state.objects[0].hidden")
    assert page.tab.locator("#objects").evaluate("(list) => list.scrollTop") == 0  # it stays where the person is
    right = 0
    for part in ("#home", "#photo-name", "#connection", "#network", "#open", "#help"):
        assert box(part)["x"] >= right
        right = box(part)["x"] + box(part)["width"]
    assert right <= 1280
    page.screenshot("desktop_light_many")
