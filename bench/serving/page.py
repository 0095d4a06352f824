"""Timing of clicks on the page of ``mfp serve`` in a real browser, from the button to the mask on the screen.

    python -m mfp.bench.serving.page --output FILE.json

It starts a server and a headless Chromium (driven by Playwright) on this machine. The same clicks also go, in turn, to
the engine in this process and through the HTTP API of the same server, which shows the time that each layer adds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.errors import MfpError, RuntimeMissingError
from ...engine.image import read_image, write_file, write_png
from ...engine.network import load_network
from ...engine.sample import sample_photograph
from ...engine.session import Session
from ...engine.terminal.arguments import parse_size, writable
from ...engine.terminal.guard import guarded
from ...kernels.clicks import Click
from .. import machine
from ..markdown import number, table
from ..samples import summary
from ..workload import PAUSE, scripts

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

BROWSERS = ("chromium", "google-chrome")
WINDOW: ViewportSize = {"width": 1280, "height": 800}
START = 60.0  # seconds that a server may take to start
WAYS = {"engine": "the engine, in one process", "http": "the HTTP API", "page": "the page, button to screen"}
# Position of the page's click on the screen, and the times that the page itself measures (serve/page/latency.js): from
# the button's event to the frame after the one in which the mask was drawn.
PLACE = "async (click) => (await import('/static/main.js')).stage.view.fromClick(click)"
TIMES = "() => performance.getEntriesByName('mfp-click').map(({ duration, detail }) => ({ duration, detail }))"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=40, help="later clicks; default: 40")
    parser.add_argument("--network", default="lite0", help="default: lite0")
    parser.add_argument("--image", type=parse_size, default=(1080, 1920), metavar="HxW", help="default: 1080x1920")
    parser.add_argument("--output", type=Path, help="of the record; default: only the table")
    args = parser.parse_args(argv)
    return guarded("page_latency", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.output:
        writable(args.output.parent)
    if busy := machine.others_at_work():
        print(busy, file=sys.stderr)
    record = measure(args.network, args.image, args.clicks)
    if args.output:
        write_file(args.output, (json.dumps(record, indent=1) + "\n").encode())
    print("\n".join(report(record)))
    return 0


def measure(name: str, size: tuple[int, int], clicks: int) -> dict[str, Any]:
    """Record of every click through engine, HTTP API and page, in milliseconds.

    Raises:
        RuntimeMissingError: Playwright or a browser is not installed.
    """
    import cv2

    network = load_network(name, device="cpu")
    objects = scripts(*size, clicks, seed=0)
    with tempfile.TemporaryDirectory() as folder, serving(name, folder) as port, browsing() as (page, version):
        photograph = Path(folder) / "photograph.png"
        pixels = cv2.resize(sample_photograph(), size[::-1], interpolation=cv2.INTER_CUBIC)
        write_png(photograph, np.asarray(pixels, np.uint8))
        page.goto(f"http://127.0.0.1:{port}/")
        page.set_input_files("#file", photograph)
        page.wait_for_selector('#connection[data-state="ready"]')
        api = Api(port, photograph.read_bytes())
        session = Session(network, read_image(photograph))
        samples = [
            [one_click(number, click, session, api, page) for click in clicks_of]
            for number, clicks_of in enumerate([*scripts(*size, 2, seed=1), *objects])  # the first object is discarded
        ]
    return {
        "kind": "page_latency",
        "schema": 1,
        "machine": machine.facts(),
        "others_at_work": machine.others_at_work(),
        "browser": version,
        "settings": {"network": name, "runtime": network.runtime, "photograph": list(size), "window": WINDOW},
        "first": [clicks_of[0] for clicks_of in samples[1:]],
        "later": [click for clicks_of in samples[1:] for click in clicks_of[1:]],
    }


def one_click(number: int, click: Click, session: Session, api: Api, page: Page) -> dict[str, Any]:
    """Make the same click through engine, HTTP API and page. An object's first click finishes the previous object."""
    if number and not click.index:
        session.finish()
        api.ask("finish")
        page.click("#finish")
        page.wait_for_function("(n) => document.querySelectorAll('#objects .object').length > n", arg=number)
    started = time.perf_counter()
    session.click(click.x, click.y, click.positive)
    engine = time.perf_counter() - started
    time.sleep(PAUSE)
    started = time.perf_counter()
    api.ask("clicks", {"x": click.x, "y": click.y, "positive": click.positive})
    over_http = time.perf_counter() - started
    time.sleep(PAUSE)
    before = len(page.evaluate(TIMES))
    at = page.evaluate(PLACE, {"x": click.x, "y": click.y})
    frame = page.locator("#stage").bounding_box()
    assert frame is not None
    page.mouse.click(frame["x"] + at["px"], frame["y"] + at["py"], button="left" if click.positive else "right")
    page.wait_for_function(f"(n) => ({TIMES})().length > n", arg=before)
    newest = page.evaluate(TIMES)[-1]
    time.sleep(PAUSE)
    return {
        "engine": engine * 1e3,
        "http": over_http * 1e3,
        "page": newest["duration"],
        "page_stages": newest["detail"],
    }


def report(record: dict[str, Any]) -> list[str]:
    """Lines of the record as a table in Markdown."""
    rows = []
    for way, words in WAYS.items():
        first, later = (summary([click[way] for click in record[which]]) for which in ("first", "later"))
        rows.append([words, *(number(value) for value in (first.p50, first.p95, later.p50, later.p95))])
    counts = f"{len(record['first'])} first clicks, {len(record['later'])} later ones, milliseconds"
    return [*table(["way", "first click, p50", "p95", "later click, p50", "p95"], rows), "", counts]


class Api:
    """A session over HTTP on a persistent connection."""

    def __init__(self, port: int, photograph: bytes) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._connection.request("POST", "/api/v1/sessions", photograph, {"Content-Type": "image/png"})
        self._id = json.loads(self._connection.getresponse().read())["id"]

    def ask(self, what: str, body: dict[str, Any] | None = None) -> None:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", f"/api/v1/sessions/{self._id}/{what}", json.dumps(body or {}), headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise MfpError(f"expected an answer to {what}, got {answer.status}: {text.decode()}")


@contextmanager
def serving(network: str, folder: str) -> Iterator[int]:
    """Run a server with its own store; yields its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mfp.cli.main",
        "serve",
        "--port",
        str(port),
        "--network",
        network,
        "--rate",
        "0",
    ]
    command += ["--device", "cpu", "--store", f"sqlite:///{folder}/sessions.sqlite"]
    with open(os.path.join(folder, "log"), "wb") as log:
        server = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        deadline = time.monotonic() + START
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    text = Path(folder, "log").read_text()
                    raise RuntimeMissingError(f"expected mfp serve to start, it said:\n{text}") from None
                time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(60)


@contextmanager
def browsing() -> Iterator[tuple[Page, str]]:
    """Open a browser; yields a tab and the browser's version.

    Raises:
        RuntimeMissingError: Playwright or a browser is not installed.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise RuntimeMissingError(
            "expected Playwright, which is not installed: pip install 'mfp-engine[dev]'"
        ) from None
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise RuntimeMissingError(f"expected a browser ({', '.join(BROWSERS)}) on PATH: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        try:
            yield browser.new_page(viewport=WINDOW), f"Chromium {browser.version}"
        finally:
            browser.close()


if __name__ == "__main__":
    sys.exit(main())
