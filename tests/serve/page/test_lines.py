"""Lines that break: no click is lost, none is done twice, and the page says what happened."""

from __future__ import annotations

import json
import signal

import cv2
import numpy as np

BODY, FACE, HELMET = (120, 330), (220, 110), (400, 430)


def png(height, width):
    """The bytes of a grey photograph's file."""
    return cv2.imencode(".png", np.full((height, width), 128, np.uint8))[1].tobytes()


def text_of(page, key):
    return page.tab.locator(f'.notice[data-key="{key}"] p').inner_text()


def test_a_server_that_dies_and_comes_back(open_page, launch_server, replay):
    server = launch_server("lite0")
    page = open_page(at=server)
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)
    page.tab.click("#finish")
    page.wait_clicks(0, finished=1)
    page.click(*HELMET)
    page.wait_clicks(1, finished=1)

    server.stop(signal.SIGKILL)
    page.tab.wait_for_selector('#connection[data-state="lost"]')
    assert "will be sent" in text_of(page, "connection")
    page.click(380, 300)  # while nobody answers
    assert page.run("stage.clicks.map((click) => !!click.waiting)") == [False, True]
    page.screenshot("desktop_light_connection_lost")
    server.start()
    page.wait_clicks(2, finished=1)
    page.wait_ready()
    assert page.tab.locator(".notice").count() == 0
    objects = page.state()["objects"]
    assert [entry["rle"] for entry in objects] == [replay(entry["clicks"]).mask.to_rle() for entry in objects]
    assert json.loads(server.ask(f"sessions/{page.state()['id']}"))["revision"] == 4


def test_an_answer_that_is_lost_on_the_way(open_page, server):
    page = open_page()
    lose = {"answers": 0, "questions": 0}

    def between(socket):
        upstream = socket.connect_to_server()

        def forward(message):
            if '"click"' in message and lose["questions"]:
                lose["questions"] -= 1
                socket.close()
            else:
                upstream.send(message)

        def back(message):
            if '"reply"' in message and lose["answers"]:
                lose["answers"] -= 1
                socket.close()
            else:
                socket.send(message)

        socket.on_message(forward)
        upstream.on_message(back)

    page.tab.route_web_socket("**/ws", between)
    page.open_sample()
    lose["answers"] = 1  # the click arrives; the page does not learn it
    page.click(*BODY)
    page.click(*FACE)
    page.wait_clicks(2)
    assert lose["answers"] == 0
    lose["questions"] = 1  # the click does not arrive
    page.click(*HELMET)
    page.wait_clicks(3)
    assert lose["questions"] == 0
    state = json.loads(server.ask(f"sessions/{page.state()['id']}"))
    assert state["revision"] == 3  # each is there, once
    assert state["objects"] == page.state()["objects"]


def test_another_window_on_the_same_session(open_page, server):
    """Where its news come too late, a click meant for an older mask is not done."""
    page = open_page()

    def without_news(socket):
        upstream = socket.connect_to_server()
        asked = [True]  # for the state, at the beginning

        def forward(message):
            asked.append(True) if json.loads(message)["type"] == "state" else None
            upstream.send(message)

        def back(message):
            if json.loads(message)["type"] != "state" or (asked and asked.pop()):
                socket.send(message)

        socket.on_message(forward)
        upstream.on_message(back)

    page.tab.route_web_socket("**/ws", without_news)
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)
    path = f"sessions/{page.state()['id']}"
    server.ask(f"{path}/clicks", "POST", {"x": FACE[0], "y": FACE[1]})
    page.click(*HELMET)  # meant for a mask that is not there any more
    page.wait_clicks(2)
    assert "changed in another window" in text_of(page, "refused")
    assert "not done" in text_of(page, "refused")
    assert page.state()["revision"] == 2
    page.click(*HELMET)
    page.wait_clicks(3)
    assert page.tab.locator(".notice").count() == 0


def test_two_windows_show_the_same(open_page, server):
    one = open_page()
    one.open_sample()
    other = open_page(path=f"#session={one.state()['id']}")
    other.wait_ready()
    one.click(*BODY)
    other.wait_clicks(1)
    other.click(*FACE)
    one.wait_clicks(2)
    one.tab.keyboard.press("n")
    other.wait_clicks(0, finished=1)
    one.tab.keyboard.press("Control+z")
    other.wait_clicks(2)
    assert one.state() == other.state() == json.loads(server.ask(f"sessions/{one.state()['id']}"))
    assert one.tab.locator(".notice").count() == other.tab.locator(".notice").count() == 0


def test_a_session_that_is_gone_can_be_made_again(open_page, server):
    page = open_page()
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)
    before = page.state()
    server.ask(f"sessions/{before['id']}", "DELETE")
    page.click(*FACE)
    page.tab.wait_for_selector('.notice[data-key="gone"]')
    assert "no longer has this session" in text_of(page, "gone")
    page.tab.click('.notice[data-key="gone"] .button:not(.icon)')
    page.wait_clicks(2)
    assert page.state()["id"] != before["id"]
    assert page.state()["objects"][0]["clicks"][0] == before["objects"][0]["clicks"][0]


def test_the_address_keeps_the_session(open_page, server):
    page = open_page()
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)
    before = page.state()
    page.tab.reload()
    page.wait_ready()
    page.wait_clicks(1)
    assert page.state() == before
    assert page.tab.locator("#photo-name").inner_text() == "sample.jpg, 512 × 512"
    sure = page.tinted()
    assert sure[BODY[1], BODY[0]]
    page.tab.click("#delete")
    assert "sample.jpg and 1 object" in page.tab.locator("#delete-what").inner_text()
    page.screenshot("desktop_light_delete")
    page.tab.click("#delete-cancel")
    page.tab.click("#delete")
    page.tab.keyboard.press("Enter")  # on "Cancel"
    assert json.loads(server.ask(f"sessions/{before['id']}")) == before
    page.tab.click("#delete")
    page.tab.click("#delete-dialog .danger")
    page.tab.wait_for_selector("#welcome", state="visible")
    assert page.tab.locator("#recent").is_hidden()
    assert page.tab.locator("#delete").is_disabled()
    assert "#" not in page.tab.url
    gone = open_page(path=f"#session={before['id']}")
    gone.tab.wait_for_selector('.notice[data-key="open"]')
    assert "no longer has the session" in text_of(gone, "open")


def test_a_server_with_a_token_and_limits(open_page, launch_server):
    server = launch_server("lite0", token="correct-horse", flags=["--max-image-pixels", "300000", "--rate", "6"])
    page = open_page(at=server)
    page.tab.fill("#token", "wrong-horse")
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_selector("#token-wrong")
    page.screenshot("desktop_light_token")
    page.tab.fill("#token", "correct-horse")
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_selector("#network")
    page.open_sample()
    page.click(*BODY)
    page.wait_clicks(1)  # the socket brings it too
    page.download("#download-coco")
    for _ in range(8):  # faster than it allows: some are refused, and sent again
        page.run("['undo', 'redo'].forEach((type) => session.act({ type }))")
    page.tab.wait_for_function("() => mfp.session.state.revision === 17")
    page.wait_clicks(1)
    page.drop("large.png", "image/png", png(600, 600))
    page.tab.wait_for_selector('.notice[data-key="open"]')
    assert "300,000 pixels" in text_of(page, "open") or "300000" in text_of(page, "open")
