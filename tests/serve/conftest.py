"""A server in this process (a test client), and real ones in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi")

from mfp import Session, load_network, read_image
from mfp.engine.sample import PATH as SAMPLE
from mfp.serve.app import create_app
from mfp.serve.service import LocalService
from mfp.serve.settings import Settings
from mfp.serve.stores.sqlite import SqliteStore

API = "/api/v1"


@pytest.fixture(scope="session")
def lite0():
    return load_network("lite0", device="cpu")


@pytest.fixture(scope="session")
def sample():
    """The bytes of a photograph's file."""
    return SAMPLE.read_bytes()


@pytest.fixture(scope="session")
def small(toy):
    """``small(height, width)``: the bytes of a PNG file, cheap to click on with the toy network."""
    from mfp.serve.downloads import png

    image = read_image(SAMPLE)
    return lambda height=40, width=56: png(image[:height, :width, 0].copy())


@pytest.fixture
def open_client(tmp_path, toy):
    """``with open_client(limits=…, settings=…) as client``: the application, with the toy network and SQLite."""
    from starlette.testclient import TestClient

    @contextmanager
    def open_one(networks=None, limits=None, settings=None, store=None):
        store = store or SqliteStore(tmp_path / "sessions.sqlite")
        app = create_app(LocalService(networks or {"toy": toy}, store, limits, 2), settings or Settings(rate=0))
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client

    return open_one


@pytest.fixture
def client(open_client):
    """The application with the toy network and SQLite."""
    with open_client() as client:
        yield client


class ServerProcess:
    """`mfp serve` in a process of its own, with ``lite0`` unless the flags name another network.

    ``before`` is a command that runs it.
    """

    def __init__(self, folder, number, *flags, before=()):
        store, self._log = folder / "sessions.sqlite", folder / f"server{number}.log"
        command = [
            *before,
            sys.executable,
            "-m",
            "mfp.engine.cli",
            "serve",
            "--port",
            "0",
            "--store",
            f"sqlite:///{store}",
        ]
        with self._log.open("w") as log:  # not a pipe, which fills up where nobody reads
            self.process = subprocess.Popen([*command, "--log-format", "json", "--threads", "1", *flags], stderr=log)
        while True:
            for line in self.lines():
                if line["event"] == "serving":
                    self.url = line["url"]
                    return
            if self.process.poll() is not None:
                raise RuntimeError(f"the server did not start: {self._log.read_text()}")
            time.sleep(0.02)

    @property
    def log(self):
        """What it has written so far."""
        return self._log.read_text()

    def lines(self):
        """Its log's whole lines, as they are read; not those that are written before it."""
        lines = self.log.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def end(self):
        """SIGTERM; returns its exit code."""
        self.process.terminate()
        return self.process.wait()


@pytest.fixture
def start_server(tmp_path):
    """``start_server(*flags)``: a :class:`ServerProcess` on a store that the servers of a test share."""
    started = []

    def start(*flags, before=()):
        started.append(ServerProcess(tmp_path, len(started), *flags, before=before))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="session")
def replayed():
    """``replayed(network, image, events, **options)``: RLEs of all objects, by the engine alone, and its session."""

    def replay(network, image, events, **options):
        session = Session(network, image, **options)
        finished = []
        for event in events:
            if event.kind == "click":
                session.click(event.x, event.y, event.positive)
            elif event.kind == "finish":
                finished.append(session.finish().to_rle())
            else:
                getattr(session, event.kind)()
        return [*finished, session.mask.to_rle()], session

    return replay
