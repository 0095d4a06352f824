"""The twin of ``Device`` has its face, and finds out what a GPU would let pass."""

import inspect

import numpy as np
import pytest

from mfp.kernels.block import WINDOW
from mfp.kernels.device import Device


def faces(cls):
    members = inspect.getmembers(cls, inspect.isfunction)
    return {name: list(inspect.signature(member).parameters) for name, member in members if not name.startswith("_")}


def test_the_twin_has_the_devices_face(host_cuda):
    twin = faces(host_cuda.HostDevice)
    for name, parameters in faces(Device).items():
        assert twin.get(name) == parameters, name


def test_a_graph_keeps_arguments_and_addresses_not_contents(host_device):
    device = host_device(threads=32)
    stream = device.new_stream().ptr
    bits, mask = device.empty(1, np.uint32), device.empty((1, 32), np.uint8)
    staging, width = device.pinned(4), np.array(32, np.int32)
    staging.view(np.uint32)[0] = 1

    def steps():
        device.copy_in(bits, staging, stream)
        device.launch("mfp_unpack", (device.address(bits), device.address(mask), np.int32(1), width), 32, stream)

    launch = device.graph(steps, stream)
    assert (mask == 0xFF).all(), "recording runs nothing"
    width[...] = 3
    staging.view(np.uint32)[0] = 0x80000001
    launch(stream)
    np.testing.assert_array_equal(np.flatnonzero(mask), [0, 31])
    assert device.launches == device.graphs == 1


def test_memory_that_is_gone(host_device):
    device = host_device()
    stream = device.new_stream().ptr

    def forgets_its_memory():
        array = device.empty(100, np.float32)
        assert device.used_bytes() == 400
        launch = device.graph(lambda: device.clear(array, stream), stream)
        launch(stream)
        assert not array.any()
        return launch

    launch = forgets_its_memory()
    assert device.used_bytes() == 0
    with pytest.raises(RuntimeError, match="or no longer"):
        launch(stream)


def test_nothing_runs_before_it_is_waited_for(host_device):
    device = host_device(deferred=True)
    stream, other = device.new_stream().ptr, device.new_stream().ptr
    array, staging = device.empty(4, np.uint8), device.pinned(4)
    staging[...] = 1
    device.copy_in(array, staging, stream)
    staging[...] = 2  # too early
    device.synchronize(other)
    assert (array == 0xFF).all()
    device.synchronize(stream)
    assert (array == 2).all()
    device.copy_in(array, np.full(4, 3, np.uint8), stream)  # not pinned: read at once
    device.synchronize(stream)
    assert (array == 3).all()


def test_what_a_gpu_refuses(host_device):
    device = host_device()
    stream = device.new_stream().ptr
    array = device.empty(4, np.uint8)
    refused = [
        lambda: device.copy_in(array, np.zeros(4, np.uint8), stream),  # not pinned
        lambda: device.clear(array, stream + 1),
        lambda: device.synchronize(stream),
        lambda: device.graph(lambda: None, stream),
    ]
    for steps in refused:
        with pytest.raises(RuntimeError, match="recorded"):
            device.graph(steps, stream)
    with pytest.raises(ValueError, match="default stream"):
        device.graph(lambda: None, 0)
    with pytest.raises(ValueError, match="contiguous"):
        device.clear(device.empty((4, 4), np.uint8)[:, :2], stream)
    with pytest.raises(ValueError, match="bytes"):
        device.copy(array, device.empty(5, np.uint8), stream)
    with pytest.raises(TypeError, match="no structures"):
        device.empty(1, WINDOW)
