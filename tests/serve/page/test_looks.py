"""How the page looks at both sizes and in both schemes: pictures to look at, and what axe finds wrong with it."""

from __future__ import annotations

import pytest

BODY, FACE, HELMET = (120, 330), (220, 110), (400, 430)


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        ("desktop", "light"),
        ("phone", "dark"),
        pytest.param("desktop", "dark", marks=pytest.mark.slow),
        pytest.param("phone", "light", marks=pytest.mark.slow),
    ],
)
def test_everyone_can_use_it(open_page, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pip install '.[dev]'").Axe()
    page = open_page(size, scheme)
    page.tab.wait_for_function("() => document.querySelector('#network option')")
    page.screenshot(f"{size}_{scheme}_welcome")
    welcome = axe.run(page.tab).response["violations"]
    page.open_sample()
    act = page.tap if size == "phone" else page.click
    for number, place in enumerate((BODY, FACE), 1):
        act(*place)
        page.wait_clicks(number)
    page.tab.click("#finish")
    act(*HELMET)
    page.wait_clicks(1, finished=1)
    page.tab.wait_for_selector("#latency .bar")
    page.screenshot(f"{size}_{scheme}")
    work = axe.run(page.tab).response["violations"]
    page.tab.click("#help")
    page.screenshot(f"{size}_{scheme}_help")
    help_ = axe.run(page.tab).response["violations"]
    page.tab.keyboard.press("Escape")
    page.tab.get_by_role("button", name="Hide Object 1").click()
    page.tab.get_by_role("button", name="Show Object 1").wait_for()
    page.tab.click("#delete")
    page.screenshot(f"{size}_{scheme}_delete")
    delete = axe.run(page.tab).response["violations"]
    page.tab.keyboard.press("Escape")
    page.tab.click("#home")
    page.tab.wait_for_selector("#recent", state="visible")
    page.screenshot(f"{size}_{scheme}_recent")
    recent = axe.run(page.tab).response["violations"]
    everything = (*welcome, *work, *help_, *delete, *recent)
    found = [(one["id"], [node["html"] for node in one["nodes"]]) for one in everything]
    assert found == []
    assert page.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
