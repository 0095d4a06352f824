"""Nothing that a person did is lost: on leaving, closing, deleting, and where the server refuses a photograph."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from .test_lines import text_of

BODY, FACE, HELMET = (120, 330), (220, 110), (400, 430)


def png(height, width):
    return cv2.imencode(".png", np.full((height, width), 128, np.uint8))[1].tobytes()


def clicks_on(server, id):
    return [len(entry["clicks"]) for entry in json.loads(server.ask(f"sessions/{id}"))["objects"]]


def is_gone(locator):
    locator.wait_for(state="detached")


def test_leaving_with_clicks_that_are_on_their_way(open_page, server):
    page = open_page()
    hold = page.hold()
    page.open_sample()
    first = page.state()["id"]
    hold.on = True
    for place in (BODY, FACE, HELMET):
        page.click(*place)
    page.drop("other.png", "image/png", png(64, 64))
    page.tab.wait_for_function("(id) => mfp.session.id !== id && mfp.session.id", arg=first)
    card = page.tab.locator('.notice[data-key^="left"]')
    assert "3 clicks on sample.jpg are still being sent" in card.inner_text()
    assert page.run("session.unsent")
    page.screenshot("desktop_light_left_behind")
    hold.release()
    is_gone(card)
    assert clicks_on(server, first) == [3]
    assert not page.run("session.unsent")

    page.tab.go_back()
    page.wait_clicks(3)
    hold.on = True
    page.click(60, 60)
    page.drop("third.png", "image/png", png(64, 64))
    page.tab.wait_for_function("(id) => mfp.session.id !== id && mfp.session.id", arg=first)
    page.tab.go_back()  # while the click is still on its way
    page.tab.wait_for_function("(id) => mfp.session.id === id", arg=first)
    assert page.run("session.waitingClicks.length") == 1
    hold.release()
    page.wait_clicks(4)
    assert clicks_on(server, first) == [4]
    assert page.tab.locator(".notice").count() == 0


def test_closing_asks_while_a_click_is_not_sent(open_page, server):
    page = open_page()
    asked = []
    page.tab.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    hold = page.hold()
    page.open_sample()
    hold.on = True
    page.click(*BODY)
    page.tab.evaluate("setTimeout(() => location.reload())")
    with page.tab.expect_event("dialog"):
        pass
    assert asked == ["beforeunload"]
    hold.release()
    page.wait_clicks(1)
    page.tab.reload()
    page.wait_ready()
    page.wait_clicks(1)
    assert asked == ["beforeunload"]


def test_a_photograph_that_is_refused_leaves_what_was_open(open_page, launch_server):
    server = launch_server("lite0", flags=["--max-image-pixels", "300000"])
    page = open_page(at=server)
    asked = []
    page.tab.on("request", lambda request: asked.append((request.method, request.url.split("/api/v1/")[-1])))
    page.drop("large.png", "image/png", png(600, 600))
    page.tab.wait_for_selector('.notice[data-key="open"]')
    page.tab.wait_for_selector("#welcome", state="visible")  # nothing was open: nothing is
    assert page.tab.title() == "mfp"
    assert page.tab.locator("#delete").is_disabled()
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)
    before = page.tab.locator("#objects").inner_html(), page.state()
    sent = len(asked)
    for name, kind in (("moving.gif", "image/gif"), ("drawing.svg", "image/svg+xml")):
        page.drop(name, kind, b"GIF89a")
        assert name in text_of(page, "files")
    assert len(asked) == sent
    page.drop("large.png", "image/png", png(600, 600))
    page.tab.wait_for_function(
        "() => document.querySelector('.notice[data-key=open] p')?.textContent.startsWith('large.png: ')"
    )
    page.screenshot("desktop_light_refused")
    assert (page.tab.locator("#objects").inner_html(), page.state()) == before
    assert page.tab.title() == "sample.jpg · mfp"
    page.wait_ready()
    page.click(*FACE)
    page.wait_clicks(2)
    assert not [path for method, path in asked if "null" in path or method == "DELETE"]


@pytest.mark.parametrize("open_before", [False, True])
def test_a_server_that_takes_no_photograph_now(open_page, server, open_before):
    page = open_page()
    if open_before:
        page.open_sample()
        page.click(*BODY)
        page.wait_clicks(1)
        before = page.state()["id"]
    full = {"status": 503, "json": {"error": "UnavailableError", "message": "the store is full"}}
    answers = []
    page.tab.route("**/api/v1/sessions?*", lambda route: answers.append(route))
    page.drop("half.png", "image/png", png(256, 256))
    card = page.tab.locator('.notice[data-key="upload"]', has_text="Uploading half.png")
    card.wait_for()  # a slow upload is told
    if not open_before:
        assert page.tab.locator("#objects .object").count() == 0
        page.click(100, 100)  # it is shown already
    answers.pop().fulfill(**full)
    page.tab.wait_for_selector('.notice[data-key="open"]')
    assert text_of(page, "open").startswith("half.png: The store is full.")
    is_gone(card)
    if open_before:
        assert page.state()["id"] == before
        page.click(*FACE)
        page.wait_clicks(2)
    else:
        assert page.tab.locator("#welcome").is_visible()
        assert "Your click is kept" in text_of(page, "open")
        assert page.run("session.unsent")
    page.tab.unroute("**/api/v1/sessions?*")
    page.tab.click('.notice[data-key="open"] .button:not(.icon)')
    page.tab.wait_for_function("() => mfp.session.state?.name === 'half.png'")
    page.wait_clicks(0 if open_before else 1)
    assert page.tab.locator(".notice").count() == 0
    if open_before:
        assert clicks_on(server, before) == [2]


def test_a_token_is_asked_for_once(open_page, launch_server):
    server = launch_server("lite0", token="correct-horse")
    page = open_page(at=server, path="#session=AAAAAAAAAAAAAAAAAAAAAA")
    page.tab.click("#token-cancel")
    page.tab.wait_for_selector('.notice[data-key="token"]')
    assert page.tab.locator(".notice").count() == 1
    page.screenshot("desktop_light_no_token")
    page.tab.click('.notice[data-key="token"] .button:not(.icon)')
    page.tab.fill("#token", "correct-horse")
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_selector('.notice[data-key="open"]')  # there is no such session
    page.tab.wait_for_selector("#network", state="visible")
    tab = page.tab.context.new_page()  # another tab of this browser
    tab.goto(server.url)
    tab.wait_for_selector("#network", state="visible")
    assert not tab.locator("#token-dialog").is_visible()
