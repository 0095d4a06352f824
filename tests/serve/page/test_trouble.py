"""A server that has not got what a session needs, or cannot keep what is done: the page says so, and goes on."""

from __future__ import annotations

import json

import cv2
import numpy as np

from .conftest import GOLDEN
from .test_lines import text_of

BODY, FACE, HELMET = (120, 330), (220, 110), (400, 430)


def button_of(page, key):
    return page.tab.locator(f'.notice[data-key="{key}"] button:not(.icon)')


def without_toy(server):
    """The server again, with its first network alone."""
    server.stop()
    del server.command[-2:]
    server.start()


def choose_toy(page):
    page.tab.select_option("#network", "toy")
    page.tab.wait_for_function("() => mfp.session.state.network === 'toy' && !mfp.session.waiting.length")


def test_a_network_that_is_gone(open_page, launch_server, replay):
    server = launch_server("lite0", GOLDEN / "toy.onnx")
    page = open_page(at=server)
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)
    page.tab.click("#finish")
    page.wait_clicks(0, finished=1)
    choose_toy(page)
    page.click(*FACE)
    page.wait_clicks(1, finished=1)
    body = page.state()["objects"][0]
    without_toy(server)
    for reloaded in (False, True):
        key = "open" if reloaded else "connection"
        if reloaded:
            page.tab.reload()
        page.tab.wait_for_selector(f'.notice[data-key="{key}"] button:text("Go on with lite0")')
        assert "network 'toy'" in text_of(page, key)
    button_of(page, "open").click()
    page.wait_ready()
    page.wait_clicks(1, finished=1)
    objects = page.state()["objects"]
    assert objects[0] == body
    assert objects[1]["rle"] == replay(objects[1]["clicks"]).mask.to_rle()


def test_a_network_that_is_gone_before_the_first_click(open_page, launch_server):
    server = launch_server("lite0", GOLDEN / "toy.onnx")
    page = open_page(at=server)
    page.open_sample()
    choose_toy(page)
    without_toy(server)
    page.tab.reload()
    page.wait_ready()
    page.click(*BODY)
    page.tab.wait_for_selector('.notice[data-key="refused"]')
    assert page.run("session.waiting") == []  # not tried for ever
    assert page.tab.locator("#network").is_enabled()
    button_of(page, "refused").click()
    page.tab.wait_for_function("() => mfp.session.state.network === 'lite0'")
    page.click(*BODY)
    page.wait_clicks(1)


def test_a_store_that_takes_no_clicks(open_page, launch_server):
    server = launch_server(GOLDEN / "toy.onnx")
    page = open_page(at=server)
    page.open_sample()
    file = server.log.with_name("sessions.sqlite")
    away = file.rename(file.with_name("away"))
    page.click(*BODY)
    page.click(*FACE)
    page.tab.wait_for_selector('.notice[data-key="busy"]')
    assert "cannot write" in text_of(page, "busy").lower()
    assert "is kept here, and tried again" in text_of(page, "busy")
    page.screenshot("desktop_light_no_store")
    away.rename(file)
    page.wait_clicks(2)
    assert page.tab.locator(".notice").count() == 0


def test_clicks_on_a_photograph_that_was_not_taken(open_page, server):
    page = open_page()
    full = {"status": 503, "json": {"error": "UnavailableError", "message": "the store is full"}}
    held = []
    page.tab.route("**/api/v1/sessions?*", lambda route: held.append(route))
    grey = cv2.imencode(".png", np.full((64, 64), 128, np.uint8))[1].tobytes()
    page.drop("half.png", "image/png", grey)
    page.tab.wait_for_function("() => mfp.stage.photograph")
    page.click(20, 20)
    page.click(40, 40)
    held.pop().fulfill(**full)
    page.tab.wait_for_selector('.notice[data-key="open"]')
    page.tab.unroute("**/api/v1/sessions?*")
    page.drop("other.png", "image/png", grey)  # in place of trying again
    page.wait_ready()
    words = page.tab.locator('.notice[data-key^="lost-"] p').inner_text()
    assert words == "2 clicks on half.png not done: The server has not taken that photograph."
    assert not page.run("session.unsent")
    id = page.state()["id"]
    assert json.loads(server.ask(f"sessions/{id}"))["revision"] == 0
