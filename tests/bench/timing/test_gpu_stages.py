"""Stages of a click on a GPU, on the kernels compiled for the CPU: all of the click is in one of them, once."""

import time

import numpy as np
import pytest

from mfp import Session
from mfp.bench.timing.gpu_stages import KERNELS, click_stages
from mfp.bench.workload import seeded_clicks
from mfp.engine.network import Network
from mfp.engine.worker import Worker

SIZE = (48, 64)


class HostClock:
    """The device's work is done when the call returns, so that the clock sees it."""

    def mark(self, stream):
        return time.perf_counter()

    def elapsed(self, start, end):
        return (end - start) * 1e3


class ToyNetwork(Network):
    runtime, device = "onnxruntime", "cuda:0"

    def __init__(self, network):
        self.info, self.run, self.passes = network.info, network, 0

    def __call__(self, *tensors):
        return self.run(*tensors)

    def worker(self):
        return ToyWorker(self)


class ToyWorker(Worker):
    def __init__(self, network):
        self.network = network

    def enqueue(self, image, prev_mask, modulated_mask, clicks, logits, stream):
        self.network.passes += 1
        logits[...] = self.network(image, prev_mask, modulated_mask, clicks)

    def graph(self, device, steps, stream):
        return device.graph(steps, stream)


@pytest.fixture
def device(monkeypatch, host_device):
    device = host_device(threads=32, blocks=2)  # few, as every barrier costs
    monkeypatch.setattr("mfp.engine.pipelines.gpu.open_device", lambda network: device)
    return device


def test_each_stage_of_each_click_is_timed(device, toy, photograph):
    image, network = photograph("coffee")[::4, ::4], ToyNetwork(toy)
    objects = [seeded_clicks(str(i), *image.shape[:2], 4) for i in range(2)]
    found = click_stages(network, image, SIZE, objects, device, HostClock(), ballast=1)
    assert (len(found["first"]), len(found["later"])) == (2, 6)
    for row in (*found["first"], *found["later"]):
        assert set(row) == {"copy", "crop", "encode", "modulate", "network", "paste", "total"}
        assert row["total"] == pytest.approx(sum(row.values()) - row["total"])
        assert all(value > 0 for value in row.values())
    assert device.graphs == 0  # nothing of it was one piece
    assert network.passes >= 2 * 2 + 6

    session = Session(network, image, size=SIZE)  # and what is used otherwise is as it was
    session.click(70, 50)
    session.click(20, 20, positive=False)
    assert device.graphs == 2


def test_every_kernel_of_a_click_has_a_stage(device, toy, photograph, monkeypatch):
    launched = set()
    launch = type(device).launch

    def note(self, kernel, *args, **kwargs):
        launched.add(kernel)
        return launch(self, kernel, *args, **kwargs)

    monkeypatch.setattr(type(device), "launch", note)
    session = Session(ToyNetwork(toy), np.ascontiguousarray(photograph("coffee")[::4, ::4]), size=SIZE)
    session.click(70, 50)
    assert launched == set(KERNELS)
