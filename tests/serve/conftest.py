"""A server in this process (a test client), and real ones in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
    """`mfp serve` in a process of its own, with ``lite0``."""

    def __init__(self, store, *flags, env=None):
        command = [sys.executable, "-m", "mfp.engine.cli", "serve", "--port", "0", "--store", f"sqlite:///{store}"]
        self.process = subprocess.Popen(
            [*command, "--log-format", "json", "--threads", "1", *flags],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.head = []  # of its log
        for line in self.process.stderr:
            self.head.append(line)
            if '"event": "serving"' in line:
                self.url = json.loads(line)["url"]
                return
        raise RuntimeError(f"the server did not start: {''.join(self.head)}")

    def wait(self):
        """Its exit code and the rest of its log, when it has ended."""
        rest = self.process.stderr.read()
        return self.process.wait(), rest


@pytest.fixture
def start_server(tmp_path):
    """``start_server(*flags)``: a :class:`ServerProcess` on a store that the servers of a test share."""
    started = []

    def start(*flags, **options):
        started.append(ServerProcess(tmp_path / "sessions.sqlite", *flags, **options))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.stderr.close()
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
