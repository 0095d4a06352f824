"""What tests of several rooms share: golden data, photographs, networks. Each network is made once a run."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from mfp import Click, load_network, read_image
from mfp.cli.main import main

GOLDEN = Path(__file__).parent / "golden"

# PyTorch's, also in processes that tests start; read when it is imported. See one_thread().
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("timeless", deadline=None)  # no test asserts a time
settings.load_profile("timeless")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """ONNX Runtime on one thread, unless it is told otherwise.

    Its threads, as PyTorch's, are waited for in loops. `make test` runs two tests at a time, and on a busy machine two
    threads wait for each other far longer than they save.
    """
    try:
        import onnxruntime
    except ImportError:  # tests that need it say so
        return

    class OneThread(onnxruntime.SessionOptions):
        def __init__(self):
            super().__init__()
            self.intra_op_num_threads = 1

    onnxruntime.SessionOptions = OneThread


@pytest.fixture(scope="session")
def golden():
    """``golden(name)``: path of a file of the ground truth."""
    return GOLDEN.joinpath


@pytest.fixture
def mfp(capsys):
    """``mfp(*arguments)`` → (exit code, standard output, standard error)."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def toy():
    """A network of any size that needs no weights, on ONNX Runtime."""
    return load_network(GOLDEN / "toy.onnx", device="cpu")


@pytest.fixture(scope="session")
def photograph():
    """``photograph(name)``: H×W×3 uint8 RGB."""
    return lambda name: read_image(GOLDEN / f"{name}.png")


@pytest.fixture(scope="session")
def clicks_of():
    """``clicks_of(points)``: the golden files' point arrays (positives, then negatives; −1 is padding) as clicks."""

    def convert(points):
        half = len(points) // 2
        return [
            Click(float(column), float(row), i < half, int(index))
            for i, (row, column, index) in enumerate(points)
            if index >= 0 or max(row, column) >= 0
        ]

    return convert


@pytest.fixture(scope="session")
def golden_inputs():
    """``golden_inputs(pcg64, batch, height, width)``: the arrays that the recorded logits were computed on."""

    def make(pcg64, batch, height, width):
        g = np.random.Generator(np.random.PCG64(int(pcg64)))
        arrays = [g.random((batch, channels, height, width), dtype=np.float32) for channels in (3, 1, 1, 2)]
        arrays[3] = (arrays[3] > 0.97).astype(np.float32)
        return arrays

    return make


def golden_network(backbone):
    """The PyTorch network with the weights that the ground truth was made with; the packaged ones of ``lite0``."""
    from mfp.export import checkpoint, models
    from mfp.export.seeded import seed_weights

    if backbone == "lite0":
        return checkpoint.load(backbone)
    layout = json.loads((GOLDEN / f"layout_{backbone}.json").read_text())
    module = models.build({"class": layout["config"]["class_"], "params": layout["config"]["params"]})
    seed_weights(module, layout["seed"])
    output = module.get_submodule(layout["output_layer"])
    output.weight.data.mul_(layout["output_scale"])
    output.bias.data.mul_(layout["output_scale"]).add_(layout["output_shift"])
    module.weights = "untrained, seed 0"
    return module


@pytest.fixture(scope="session")
def golden_module():
    """``golden_module(backbone)``: the PyTorch network with the weights that the ground truth was made with.

    Of ``lite0``, which the release does not have, the packaged weights.
    """
    pytest.importorskip("torch")
    return cache(golden_network)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """``made_once(name, make)``: what ``make(folder)`` returned, once for all processes of a run."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of the run
    folder /= "made_once"
    folder.mkdir(exist_ok=True)

    def get(name, make):
        kept = folder / f"{name}.pickle"
        with FileLock(folder / f"{name}.lock"):
            if not kept.exists():
                kept.write_bytes(pickle.dumps(make(folder)))
            return pickle.loads(kept.read_bytes())  # noqa: S301  this run wrote it

    return get


@pytest.fixture(scope="session")
def exported(golden_module, made_once):
    """``exported(backbone, any_size=False)``: the report of its export, made once."""

    @cache
    def export(backbone, any_size=False):
        from mfp.export.onnx_export import export_module

        name = f"{backbone}{'_any' if any_size else ''}"
        return made_once(
            name, lambda folder: export_module(golden_module(backbone), folder / f"{name}.onnx", any_size=any_size)
        )

    return export


@pytest.fixture(scope="session")
def converted(exported, made_once):
    """``converted(backbone)``: the report of its conversion to FP16, made once."""

    @cache
    def convert(backbone):
        from mfp.export.convert import convert_onnx

        return made_once(f"{backbone}_fp16", lambda _: convert_onnx(exported(backbone).path))

    return convert


@pytest.fixture(scope="session")
def assert_trajectory():
    """Replay recorded clicks and hold regions and maps against the record (tests/golden/README.md: agreement)."""

    def check(session, clicks, maps, passes=None):
        for k, row in enumerate(clicks):
            session.click(row[1], row[0], bool(row[2]))
            assert session.roi == tuple(row[3:7].astype(int)), f"region after click {k + 1}"
            difference = np.abs(session.probability[::8, ::8] - maps[k])
            assert difference.max() < 2e-3, f"click {k + 1}"
            assert difference.mean() < 1e-4, f"click {k + 1}"
            if passes is not None:
                assert session.timing.passes == passes[k]

    return check


@pytest.fixture(scope="session")
def host_cuda():
    """The module that compiles the kernels for the CPU and runs them (tests/host_cuda/host_device.py)."""
    spec = importlib.util.spec_from_file_location("host_device", Path(__file__).parent / "host_cuda/host_device.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses ask for it
    spec.loader.exec_module(module)
    if module.compiler() is None:
        pytest.skip("needs a C++ compiler with C++20, g++ 11 or newer: set CXX, or install g++")
    return module


@pytest.fixture(scope="session")
def host_kernels(host_cuda, made_once):
    """The kernels, compiled for the CPU."""
    source, flags = host_cuda.HERE / "kernels.cpp", ("-O2", "-shared", "-fPIC")
    return host_cuda.HostKernels(
        made_once("kernels", lambda folder: host_cuda.compile_cpp(source, folder / "kernels.so", *flags))
    )


@pytest.fixture(scope="session")
def host_device(host_cuda, host_kernels):
    """``host_device(threads=64, blocks=4, backward=False, deferred=False)``: runs the kernels on the CPU."""
    return lambda **options: host_cuda.HostDevice(host_kernels, **options)


@pytest.fixture(scope="session")
def start_redis(tmp_path_factory):
    """``start_redis(*flags)``: the port and the process of a Redis of its own, which keeps what it acknowledges."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server: apt-get install redis-server")
    pytest.importorskip("redis")
    started = []

    def start(*flags, port=None, folder=None):
        if port is None:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
        folder = folder or tmp_path_factory.mktemp("redis")
        command = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        process = subprocess.Popen([str(word) for word in (*command, *durable, *flags)], stdout=subprocess.DEVNULL)
        started.append(process)
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return port, process
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"redis-server ended with {process.returncode}")

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def redis_port(start_redis):
    """The port of a Redis that the tests share."""
    return start_redis()[0]


@pytest.fixture
def redis_url(redis_port):
    """The URL of an empty database there."""
    import redis

    with redis.Redis(port=redis_port) as connection:
        connection.flushall()
    return f"redis://127.0.0.1:{redis_port}/0"
