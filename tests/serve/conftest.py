"""A server in this process (a test client), and real ones in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")

from mfp import Session, load_network, read_image
from mfp.engine.contract import NetworkInfo
from mfp.engine.sample import PATH as SAMPLE
from mfp.serve.http.app import create_app
from mfp.serve.sessions.service import LocalService
from mfp.serve.settings import Settings
from mfp.serve.stores.sqlite import SqliteStore

API = "/api/v1"
GOLDEN = Path(__file__).parents[1] / "golden"


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
    from mfp.serve.sessions.downloads import png

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
            "mfp.cli.main",
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


class Reference:
    """What a session must come to: copies of everything before each action, and masks by the engine from clicks alone.

    Args:
        networks: by name.
        image: its pixels.
        network: the name of the first one.
        options: that were asked for; the others are each network's own.
    """

    def __init__(self, networks, image, network, **options):
        self.networks, self.image = networks, image
        self.past, self.future, self.done = [], [], {}
        self.choice = (network, options)
        self.objects, self.present, self.next = {}, 0, 0
        self.begin()

    def begin(self):
        self.present = self.next
        self.objects[self.present] = {"choice": self.choice, "clicks": (), "hidden": False}
        self.next += 1

    def everything(self):
        objects = {number: dict(entry) for number, entry in self.objects.items()}
        return {"objects": objects, "present": self.present, "next": self.next, "choice": self.choice}

    def do(self, kind, x=0.0, y=0.0, positive=True, object=None, network=None):
        """Returns the status of a refusal, or None."""
        clicks = self.objects[self.present]["clicks"]
        before = self.everything()
        if kind in ("undo", "redo"):
            source, target = (self.past, self.future) if kind == "undo" else (self.future, self.past)
            if not source:
                return 409
            target.append(before)
            vars(self).update(source.pop())
            return None
        if kind == "click":
            if not (0 <= x < self.image.shape[1] and 0 <= y < self.image.shape[0]):
                return 400
            self.objects[self.present]["clicks"] = (*clicks, (x, y, positive))
        elif kind == "reset":
            self.objects[self.present]["clicks"] = ()
        elif kind == "finish":
            if not clicks:
                return 409
            self.begin()
        elif kind == "network":
            if network not in self.networks:
                return 400
            if network == self.choice[0] == self.objects[self.present]["choice"][0]:
                return 409
            options = dict(self.choice[1])
            if self.networks[network].info.size is not None:
                options.pop("size", None)
            self.choice = self.objects[self.present]["choice"] = (network, options)
        elif object not in self.objects:
            return 404
        elif kind == "select":
            if object == self.present:
                return 409
            if not clicks:
                del self.objects[self.present]
            self.present = object
        elif kind == "delete":
            if object == self.present and not clicks:
                return 409
            del self.objects[object]
            if object == self.present:
                self.begin()
        else:
            if self.objects[object]["hidden"] == (kind == "hide"):
                return 409
            self.objects[object]["hidden"] = kind == "hide"
        self.past.append(before)
        self.future.clear()
        return None

    def mask(self, number):
        """Of an object: its RLE, and the region of its newest pass."""
        (network, options), clicks = self.objects[number]["choice"], self.objects[number]["clicks"]
        key = (network, *sorted(options.items()), clicks)
        if key not in self.done:
            with Session(self.networks[network], self.image, **options) as session:
                for click in clicks:
                    session.click(*click)
                self.done[key] = session.mask.to_rle(), session.roi and list(session.roi)
        return self.done[key]

    def check(self, state):
        """Hold a state against it."""
        assert [one["object"] for one in state["objects"]] == sorted(self.objects)
        for one in state["objects"]:
            entry = self.objects[one["object"]]
            assert one["rle"] == self.mask(one["object"])[0]
            assert tuple((click["x"], click["y"], click["positive"]) for click in one["clicks"]) == entry["clicks"]
            assert (one["hidden"], one["network"]) == (entry["hidden"], entry["choice"][0])
            assert one["finished"] == (one["object"] != self.present)
        assert (state["present"], state["network"]) == (self.present, self.choice[0])
        assert (state["can_undo"], state["can_redo"]) == (bool(self.past), bool(self.future))


@pytest.fixture(scope="session")
def reference():
    """The class :class:`Reference`."""
    return Reference


@pytest.fixture(scope="session")
def replayed():
    """``replayed(network, image, events, **options)``: the :class:`Reference` after a log."""

    def replay(network, image, events, **options):
        found = Reference({"": network}, image, "", **options)
        for event in events:
            assert found.do(event.kind, event.x, event.y, event.positive, event.object) is None
        return found

    return replay


@pytest.fixture(scope="session")
def variant(toy, tmp_path_factory):
    """``variant(name, size=(H, W), n_early=…)``: the toy network with another bias, and other values of its own."""
    onnx = pytest.importorskip("onnx")

    def made(name, size=None, **info):
        model = onnx.load(GOLDEN / "toy.onnx")
        slope = next(node for node in model.graph.node if "/t/Constant_28_output_0" in node.output)
        slope.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(np.array(-2.0, np.float32)))
        for tensor in (*model.graph.input, *model.graph.output) if size else ():
            for side, length in zip(tensor.type.tensor_type.shape.dim[2:], size, strict=True):
                side.dim_value = length
        properties = NetworkInfo(size=size, weights=f"sha256:{name}", **info).to_properties()
        onnx.helper.set_model_props(model, properties)
        path = tmp_path_factory.mktemp("networks") / f"{name}.onnx"
        onnx.save(model, path)
        return load_network(path, device="cpu")

    return made
