"""A real server, a real browser, and the page in it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from mfp import Session, load_network, read_image
from mfp.engine.sample import PATH as SAMPLE

GOLDEN = Path(__file__).parents[2] / "golden"
BROWSERS = ("chromium", "google-chrome")
CHOICES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}


class Server:
    """``mfp serve`` as a process of its own, which can die and come back at the same address with its store."""

    def __init__(self, folder, *networks, flags=(), token=""):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.command = [sys.executable, "-m", "mfp.cli.main", "serve", "--port", str(self.port)]
        self.command += ["--store", f"sqlite:///{folder}/sessions.sqlite", "--runtime", "onnxruntime", *flags]
        for network in networks:
            self.command += ["--network", str(network)]
        self.environment = {**os.environ, "MFP_TOKEN": token}
        self.log = Path(folder) / "log.txt"
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.url + "readyz", timeout=5).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server did not start:\n{self.log.read_text()}") from None
                time.sleep(0.1)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(30)

    def ask(self, path, method="GET", body=None):
        """What another client of the API would get."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + "api/v1/" + path, data, {"Content-Type": "application/json"})
        request.method = method
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


@pytest.fixture(scope="session")
def launch_server(tmp_path_factory):
    """``launch_server(*networks, flags=(), token="")``: ends with the tests."""
    pytest.importorskip("uvicorn", reason="needs the extra serve: pip install '.[serve]'")
    servers = []

    def launch(*networks, **options):
        servers.append(Server(tmp_path_factory.mktemp("server"), *networks, **options).start())
        return servers[-1]

    yield launch
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="session")
def server(launch_server):
    """With two networks: lite0, and the toy of the golden data."""
    return launch_server("lite0", GOLDEN / "toy.onnx")


@pytest.fixture(scope="module")  # its event loop would be in the way of tests of other modules
def browser():
    """Debian's Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[dev]'")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("needs a browser: make test-tools, or apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root has no sandbox
        yield browser
        browser.close()


class Hold:
    """Clicks of a tab on their way to the server, held up while ``on``."""

    def __init__(self, tab):
        self.on = False
        self.held = []
        tab.route_web_socket("**/ws", self._between)

    def _between(self, socket):
        upstream = socket.connect_to_server()
        socket.on_message(lambda message: self.held.append((upstream, message)) if self.on else upstream.send(message))

    def release(self):
        self.on = False
        while self.held:
            upstream, message = self.held.pop(0)
            upstream.send(message)


class Page:
    """The page in a browser's tab, by what a person does and sees there."""

    def __init__(self, tab, shots):
        self.tab = tab
        self.shots = shots
        tab.add_init_script(  # as `mfp`, what the page's main module exports: scripts of modules have run by then
            "addEventListener('DOMContentLoaded', async () => { window.mfp = await import('/static/main.js'); })"
        )
        self.errors = []  # what goes wrong in its scripts, or is refused by its security policy
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("console", lambda message: self._note(message))

    def _note(self, message):
        if (
            message.type == "error"
            and "Failed to load resource" not in message.text
            and "WebSocket" not in message.text
        ):
            self.errors.append(message.text)

    def hold(self):
        """Holds up what is sent from now on; call it before a session is opened."""
        return Hold(self.tab)

    def open_sample(self):
        self.tab.click("#sample")
        self.wait_ready()

    def wait_ready(self):
        self.tab.wait_for_selector('#connection[data-state="ready"]')
        self.tab.wait_for_function("() => window.mfp")

    def wait_clicks(self, number, finished=0):
        """Until so many clicks of the present object are answered, and drawn."""
        self.tab.wait_for_function(
            """([clicks, finished]) => {
                const { session, stage } = mfp;
                const objects = session.state?.objects;
                const present = objects?.find((object) => object.object === session.state.present);
                return objects?.length === finished + 1 && present.clicks.length === clicks
                    && !session.channel.waiting.length && !stage.stale.size;
            }""",
            arg=[number, finished],
        )

    def state(self):
        """The session, as the page knows it."""
        return self.run("session.state")

    def run(self, expression, argument=None):
        """The value of an expression that knows the page's ``session``, ``stage`` and an ``argument``."""
        return self.tab.evaluate(
            f"(argument) => {{ const {{ session, stage }} = mfp; return {expression}; }}", argument
        )

    def place(self, x, y):
        """Where a pixel of the photograph is on the screen."""
        at = self.run("stage.view.fromClick(argument)", {"x": x, "y": y})
        frame = self.tab.locator("#stage").bounding_box()
        return frame["x"] + at["px"], frame["y"] + at["py"]

    def click(self, x, y, **options):
        self.tab.mouse.click(*self.place(x, y), **options)

    def tap(self, x, y):
        self.tab.touchscreen.tap(*self.place(x, y))

    def tinted(self):
        """H×W bool: where something of a mask is drawn over the middle of a pixel of the photograph."""
        rows = self.run(
            """(() => {
                const { width, height } = stage.photograph;
                const { finished, overlay } = stage.layers;
                const canvas = overlay.canvas;
                const pixels = (layer) => layer.getImageData(0, 0, canvas.width, canvas.height).data;
                const [done, seen] = [pixels(finished), pixels(overlay)];
                return Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => {
                    const { px, py } = stage.view.fromClick({ x, y });
                    const [column, row] = [Math.floor(px * stage.ratio), Math.floor(py * stage.ratio)];
                    const alpha = 4 * (row * canvas.width + column) + 3;
                    return seen[alpha] || done[alpha] ? "1" : "0";
                }).join(""));
            })()"""
        )
        return np.array([[mark == "1" for mark in row] for row in rows])

    def drop(self, name, media_type, data, paste=False):
        """A file from the desktop, or from the clipboard."""
        self.tab.evaluate(
            """([name, type, text, paste]) => {
                const transfer = new DataTransfer();
                const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type }));
                const way = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
                const stage = document.getElementById("stage");
                if (paste) stage.dispatchEvent(new ClipboardEvent("paste", way));
                else for (const kind of ["dragenter", "dragover", "drop"])
                    stage.dispatchEvent(new DragEvent(kind, way));
            }""",
            [name, media_type, base64.b64encode(data).decode(), paste],
        )

    def download(self, selector):
        """(name, bytes) of the file that a button gives."""
        with self.tab.expect_download() as waiting:
            self.tab.click(selector)
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()

    def screenshot(self, name):
        self.tab.screenshot(path=self.shots / f"{name}.png")


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    """The folder that screenshots go to: MFP_SCREENSHOTS, or one that goes with the tests."""
    folder = Path(os.environ.get("MFP_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def open_page(browser, server, shots):
    """``open_page(size="desktop", scheme="light", at=server, path="")``: the page in a tab of its own.

    Afterwards it is held that none of its scripts failed.
    """
    contexts, pages = [], []

    def open_(size="desktop", scheme="light", at=server, path=""):
        touch = size == "phone"
        contexts.append(
            browser.new_context(
                viewport=CHOICES[size], color_scheme=scheme, has_touch=touch, device_scale_factor=2 if touch else 1
            )
        )
        pages.append(Page(contexts[-1].new_page(), shots))
        pages[-1].tab.goto(at.url + path)
        return pages[-1]

    yield open_
    for context in contexts:
        context.close()
    assert [page.errors for page in pages] == [[] for _ in pages]


@pytest.fixture(scope="session")
def replay():
    """``replay(clicks, network="lite0", image=the sample, **options)``: the engine's session after these clicks."""
    networks = {}

    def run(clicks, network="lite0", image=SAMPLE, **options):
        if network not in networks:
            networks[network] = load_network(network, runtime="onnxruntime", device="cpu")
        session = Session(networks[network], read_image(image), **options)
        for click in clicks:
            session.click(click["x"], click["y"], click["positive"])
        return session

    return run
