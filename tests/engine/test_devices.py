"""Which device is taken, and arrays in a GPU's memory, judged by what they say of themselves. No GPU is needed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mfp.engine.devices import address_of, choose_device, device_arrays
from mfp.engine.errors import OptionError, RuntimeMissingError
from mfp.engine.network import Network
from mfp.engine.worker import Worker


class Array:
    def __init__(self, shape, typestr="<f4", strides=None, read_only=False):
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": typestr, "strides": strides, "data": (4096, read_only), "version": 3,
        }  # fmt: skip


def given(**changes):
    shapes = {"image": 3, "prev_mask": 1, "modulated_mask": 1, "clicks": 2, "logits": 1}
    return {name: Array((2, channels, 8, 6)) for name, channels in shapes.items()} | changes


def test_what_keeps_the_contract():
    strided = Array((2, 1, 8, 6), strides=(192, 4, 24, 4))  # a side of 1 has no stride to speak of
    found = device_arrays(**given(prev_mask=strided, image=Array((2, 3, 8, 6), read_only=True)))
    assert found["image"] == (4096, (2, 3, 8, 6))
    assert list(found) == ["image", "prev_mask", "modulated_mask", "clicks", "logits"]
    assert address_of(strided) == 4096


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("image", np.zeros((2, 3, 8, 6), np.float32), "in a GPU's memory"),
        ("clicks", Array((2, 2, 8, 6), "<f2"), "float32"),
        ("clicks", Array((2, 2, 8, 6), strides=(4, 8, 16, 128)), "C-contiguous"),
        ("clicks", Array((2, 1, 8, 6)), r"expected clicks of shape \(2, 2, 8, 6\)"),
        ("logits", Array((1, 1, 8, 6)), r"expected logits of shape \(2, 1, 8, 6\)"),
        ("logits", Array((2, 1, 8, 6), read_only=True), "may be written"),
        ("image", Array((3, 8, 6)), "expected image of shape"),
    ],
)
def test_what_does_not(name, array, words):
    with pytest.raises(OptionError, match=words):
        device_arrays(**given(**{name: array}))


class OnGpu(Network):
    """A network that counts its workers, and they their passes."""

    device, info = "cuda:0", None

    def __init__(self):
        self.workers = []

    def __call__(self, *arrays):
        raise NotImplementedError

    def worker(self):
        self.workers.append(Passes())
        return self.workers[-1]

    def __repr__(self):
        return "<OnGpu>"


class Passes(Worker):
    def __init__(self):
        self.streams = []

    def enqueue(self, image, prev_mask, modulated_mask, clicks, logits, stream):
        self.streams.append(stream)

    def graph(self, device, steps, stream):
        return None


def test_every_thread_and_every_stream_has_a_worker_of_its_own():
    network = OnGpu()
    for stream in (5, 0, 5, 5):
        network.enqueue(**given(), stream=stream)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(network.enqueue, **given(), stream=5).result()
    assert [worker.streams for worker in network.workers] == [[5, 5, 5], [0], [5]]
    with pytest.raises(OptionError, match="float32"):
        network.enqueue(**given(clicks=Array((2, 2, 8, 6), "<f2")), stream=5)
    assert len(network.workers[0].streams) == 3


def test_networks_on_the_cpu_have_no_workers(toy):
    with pytest.raises(OptionError, match="runs on the CPU"):
        toy.worker()


@pytest.mark.parametrize(
    ("asked", "gpus", "device", "said"),
    [
        ("cpu", 2, "cpu", ""),
        ("auto", 2, "cuda:0", "a GPU is there"),
        ("auto", 0, "cpu", "no driver"),
        ("cuda", 1, "cuda:0", ""),
        ("cuda:1", 2, "cuda:1", ""),
    ],
)
def test_the_device_that_is_taken_and_why(asked, gpus, device, said):
    assert choose_device(asked, gpus, "" if gpus else "no driver") == (device, said)


def test_a_gpu_that_is_not_there():
    with pytest.raises(RuntimeMissingError, match="asked for cuda:0: no driver"):
        choose_device("cuda:0", 0, "no driver")
    with pytest.raises(RuntimeMissingError, match=r"asked for cuda:2: there are 2 GPU\(s\)"):
        choose_device("cuda:2", 2, "")
