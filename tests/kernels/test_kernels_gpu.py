"""kernels/cuda.py and kernels/device.py on a CUDA GPU."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from mfp.engine.devices import cuda_driver
from mfp.kernels import reference
from mfp.kernels.block import BLOCK, CLICK, LANE, PLACED, WINDOW
from mfp.kernels.clicks import Click
from mfp.kernels.device import device_for
from mfp.kernels.driver import current_handle, driver

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_driver()[0] == 0, reason=cuda_driver()[1] or "a GPU is there"),
]

CLICKS = [Click(30, 20, True, 0), Click(70.5, 60.25, False, 1), Click(33, 24.5, True, 2)]


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy")


@pytest.fixture(scope="module")
def cuda(cupy):
    from mfp.kernels import cuda

    return cuda


@pytest.fixture
def device(cupy):
    return device_for(0)


@pytest.fixture
def probability():
    return np.random.default_rng(0).random((90, 120), np.float32)


@contextmanager
def own_context():
    """A context of GPU 0 that is not its primary one, current in this thread; as PyCUDA makes them."""
    context, gpu = ctypes.c_void_p(), ctypes.c_int()
    assert driver().cuDeviceGet(ctypes.byref(gpu), 0) == 0
    assert driver().cuCtxCreate_v2(ctypes.byref(context), 0, gpu) == 0
    try:
        yield context.value
    finally:
        assert driver().cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p())) == 0
        assert driver().cuCtxDestroy_v2(context) == 0


def test_disks_are_the_releases(cuda, cupy, golden, clicks_of):
    data = np.load(golden("disks.npz"))
    for i in range(int(data["n"])):
        shape = tuple(data[f"{i}_shape"])
        expected = np.unpackbits(data[f"{i}_disks"])[: np.prod(shape)].reshape(shape)
        found = cuda.encode_clicks(clicks_of(data[f"{i}_points"]), *shape[1:])
        assert isinstance(found, cupy.ndarray)
        np.testing.assert_array_equal(cupy.asnumpy(found), expected)


def test_modulation_is_the_releases(cuda, cupy, golden, clicks_of):
    data = np.load(golden("modulation.npz"))
    worst = 0.0
    for i, tag in enumerate(data["tags"]):
        stride, expected = int(data[f"{i}_stride"]), data[f"{i}_out"]
        clicks, n, r_max = clicks_of(data[f"{i}_points"]), int(data[f"{i}_N"]), float(data[f"{i}_R_max"])
        found = cupy.asnumpy(cuda.modulate(cupy.asarray(data[f"{i}_prev"]), clicks, n, r_max))
        assert np.isfinite(found).all(), tag
        np.testing.assert_allclose(found, reference.modulate(data[f"{i}_prev"], clicks, n, r_max), atol=1e-5)
        defined = np.isfinite(expected)
        worst = max(worst, np.abs(found[::stride, ::stride] - expected)[defined].max(initial=0))
    assert worst <= 1e-5


def test_modulation_by_colour(cuda, cupy, probability):
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    expected = reference.modulate(probability, CLICKS, 7, 40.0, "rgb", image)
    for given in (image, cupy.asarray(image), cupy.asarray(image[:, ::-1])[:, ::-1], cupy.asarray(image / 255)):
        found = cuda.modulate(cupy.asarray(probability), CLICKS, 7, 40.0, "rgb", given)
        np.testing.assert_allclose(cupy.asnumpy(found), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"needs an image of shape \(90, 120, 3\), got none"):
        cuda.modulate(cupy.asarray(probability), CLICKS, distance="rgb")
    with pytest.raises(ValueError, match="got 'lab'"):
        cuda.modulate(cupy.asarray(probability), CLICKS, distance="lab")


@pytest.mark.parametrize("value", [1e-45, 1e-40, 1e-38, 0.0])
def test_tiny_probabilities_are_not_zero(cuda, cupy, value):
    """A clicked pixel of exactly zero makes a cone of its window, and no other number does."""
    source = np.full((40, 40), value, np.float32)
    source[5:15] = 0.25
    for click in (Click(20, 20), Click(20, 20, True, 9), Click(20, 10, False)):
        found = cupy.asnumpy(cuda.modulate(cupy.asarray(source), [click], r_max=15.0))
        np.testing.assert_allclose(found, reference.modulate(source, [click], r_max=15.0), atol=1e-5)


def test_what_is_given_stays_and_what_is_asked_for_is_written(cuda, cupy, probability):
    source = cupy.asarray(probability)
    out = cupy.full_like(source, cupy.nan)
    assert cuda.modulate(source, CLICKS, out=out) is out
    np.testing.assert_array_equal(cupy.asnumpy(source), probability)
    np.testing.assert_array_equal(cupy.asnumpy(out), cupy.asnumpy(cuda.modulate(probability, CLICKS)))
    transposed = cupy.ascontiguousarray(source.T).T  # not C-contiguous
    np.testing.assert_array_equal(cupy.asnumpy(out), cupy.asnumpy(cuda.modulate(transposed, CLICKS)))
    np.testing.assert_array_equal(cupy.asnumpy(out), cupy.asnumpy(cuda.modulate(source.astype(cupy.float64), CLICKS)))
    disks = cupy.empty((2, 90, 120), cupy.float32)
    assert cuda.encode_clicks(CLICKS, 90, 120, out=disks) is disks
    with pytest.raises(ValueError, match="expected out as C-contiguous float32"):
        cuda.encode_clicks(CLICKS, 120, 90, out=disks)


def test_the_current_stream_is_used(cuda, cupy, probability):
    expected = reference.modulate(probability, CLICKS)
    for stream in (cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream.null, cupy.cuda.Stream.ptds):
        with stream:
            source = cupy.zeros((90, 120), cupy.float32)
            slow = cupy.ones((4096, 4096), cupy.float32)
            for _ in range(20):  # late on purpose: work on another stream would see zeros
                slow = slow @ slow / 4096
            source += cupy.asarray(probability) * slow[0, 0]
            found = cuda.modulate(source, CLICKS) * 1
        stream.synchronize()
        np.testing.assert_allclose(cupy.asnumpy(found), expected, atol=1e-5)


def test_threads_do_not_meet(cuda, cupy):
    rng = np.random.default_rng(2)
    cases = [
        (rng.random((50 + k, 80), np.float32), [Click(10 + k, 20), Click(60 - k, 30, False, 1)]) for k in range(16)
    ]

    def run(case):
        source, clicks = case
        with cupy.cuda.Stream(non_blocking=True) as stream:
            for _ in range(5):
                found = cuda.modulate(cupy.asarray(source), clicks)
                disks = cuda.encode_clicks(clicks, *source.shape)
            stream.synchronize()
            return cupy.asnumpy(found), cupy.asnumpy(disks)

    with ThreadPoolExecutor(4) as pool:
        for (found, disks), (source, clicks) in zip(pool.map(run, cases), cases, strict=True):
            np.testing.assert_allclose(found, reference.modulate(source, clicks), atol=1e-5)
            np.testing.assert_array_equal(disks, reference.encode_clicks(clicks, *source.shape))


def test_further_calls_allocate_nothing(cuda, cupy, device, probability):
    image = cupy.asarray(np.zeros((90, 120, 3), np.uint8))
    source, out = cupy.asarray(probability), cupy.empty((90, 120), cupy.float32)
    disks = cupy.empty((2, 90, 120), cupy.float32)

    def run():
        cuda.encode_clicks(CLICKS, 90, 120, out=disks)
        cuda.modulate(source, CLICKS, out=out)
        cuda.modulate(source, CLICKS, distance="rgb", image=image, out=out)

    def reserved():
        pool = cupy.get_default_memory_pool()
        return device.used_bytes(), device._pool.total_bytes(), pool.used_bytes(), pool.total_bytes()

    run()
    before = reserved()
    for _ in range(100):
        run()
    assert reserved() == before

    device.release()
    before = device.used_bytes()
    for _ in range(100):
        cuda.modulate(source, CLICKS)  # its result is dropped
    cupy.cuda.get_current_stream().synchronize()
    device.release()
    assert device.used_bytes() == before


def disks_of(device, stream, height=40, width=50):
    """Everything for ``mfp_begin`` and ``mfp_disks``: parameters on the host, steps, and the maps."""
    host = device.pinned(BLOCK.itemsize + 4 * CLICK.itemsize)
    host[:] = 0
    block, clicks = host[: BLOCK.itemsize].view(BLOCK), host[BLOCK.itemsize :].view(CLICK)
    block["mapped"], block["newest"], block["disk_radius"] = 1, -1, 5.0
    there, maps = device.empty(host.size, np.uint8), device.empty((2, height, width), np.float32)
    memory = device.empty(WINDOW.itemsize, np.uint8), device.empty(4 * PLACED.itemsize, np.uint8)
    lane = np.zeros((), LANE)
    lane["batch"], lane["height"], lane["width"], lane["capacity"] = 1, height, width, 4
    lane["windows"], lane["placed"] = map(device.address, memory)
    lane["clicks"] = device.address(maps)

    def steps(keep=memory):
        device.copy_in(there, host, stream)
        device.clear(maps, stream)
        device.launch("mfp_begin", (lane, device.address(there)), 1, stream)
        device.launch("mfp_disks", (lane, device.address(there)), height * width, stream)

    def set_clicks(given):
        block["n_clicks"] = len(given)
        clicks[: len(given)] = [(click.y, click.x, click.positive, click.index) for click in given]

    return steps, set_clicks, maps


def on_host(device, array, stream):
    host = device.pinned(array.nbytes)
    device.copy_out(host, array, stream)
    device.synchronize(stream)
    return host.view(array.dtype).reshape(array.shape).copy()


def test_a_graph_runs_on_what_lies_at_its_addresses(device):
    stream, other = device.new_stream(), device.new_stream()
    steps, set_clicks, maps = disks_of(device, stream.ptr)
    set_clicks(CLICKS[:1])
    steps()
    device.synchronize(stream.ptr)
    launch = device.graph(steps, stream.ptr)
    device.clear(maps, stream.ptr)
    assert not on_host(device, maps, stream.ptr).any()  # recording ran nothing
    for clicks, where in [(CLICKS[:1], stream), (CLICKS[:2], stream), ([], other), (CLICKS, other)]:
        set_clicks(clicks)
        launch(where.ptr)
        expected = reference.encode_clicks(clicks, 40, 50)
        np.testing.assert_array_equal(on_host(device, maps, where.ptr), expected)


def test_a_graph_that_fails_leaves_nothing_behind(device, cupy):
    stream = device.new_stream()
    steps, set_clicks, maps = disks_of(device, stream.ptr)
    set_clicks(CLICKS)
    steps()

    def fails():
        steps()
        raise KeyError("on purpose")

    def waits():
        steps()
        device.synchronize(stream.ptr)  # which voids the recording

    with pytest.raises(KeyError, match="on purpose"):
        device.graph(fails, stream.ptr)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError):
        device.graph(waits, stream.ptr)
    with pytest.raises(ValueError, match="default stream"):
        device.graph(steps, 0)
    launch = device.graph(steps, stream.ptr)
    launch(stream.ptr)
    np.testing.assert_array_equal(on_host(device, maps, stream.ptr), reference.encode_clicks(CLICKS, 40, 50))


def test_graphs_are_destroyed(device):
    stream = device.new_stream()
    steps, set_clicks, _ = disks_of(device, stream.ptr)
    set_clicks(CLICKS)
    steps()
    device.synchronize(stream.ptr)

    def free_memory():
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        with device.current():
            driver().cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        return free.value

    def record(count):
        for _ in range(count):
            device.graph(steps, stream.ptr)(stream.ptr)
        device.synchronize(stream.ptr)

    record(50)
    before = free_memory()
    record(500)
    assert before - free_memory() < 8 << 20


def test_memory_comes_back(device, cupy):
    device.release()
    before = device.used_bytes()
    array = device.empty((1000, 1000), np.float32)
    assert device.used_bytes() - before >= array.nbytes
    assert device.why_out_of_reach(device.address(array)) == ""
    del array
    assert device.used_bytes() == before
    device.release()
    with pytest.raises(MemoryError):
        device.empty(1 << 50, np.uint8)


def test_copies(device):
    own = device.new_stream()
    stream, values = own.ptr, np.random.default_rng(3).integers(0, 256, 100_000, np.uint8)
    pinned = device.pinned(values.size)
    pinned[:] = values
    for source in (values, pinned):
        there, twin = device.empty(values.size, np.uint8), device.empty(values.size, np.uint8)
        device.copy_in(there, source, stream)
        device.copy(twin, there, stream)
        device.clear(there, stream)
        np.testing.assert_array_equal(on_host(device, twin, stream), values)
        assert not on_host(device, there, stream).any()
    with pytest.raises(ValueError, match="expected a target of the source's 100000 bytes, got 99999"):
        device.copy_in(there[1:], values, stream)
    with pytest.raises(ValueError, match="C-contiguous"):
        device.copy_in(there[::2], values[::2], stream)


def test_one_device_for_each_context(cuda, cupy, device, probability):
    expected = reference.modulate(probability, CLICKS)
    with device.current():  # whatever was current before this test
        primary = current_handle()
    for _ in range(2):  # the second context may get the first one's handle
        with own_context() as handle:
            mine = device_for(0)
            assert mine is not device
            assert mine is device_for(0)
            assert mine.context.handle == handle
            assert not mine.context.is_primary
            stream = mine.new_stream()
            with stream:
                source = mine.empty((90, 120), np.float32)
                mine.copy_in(source, probability, stream.ptr)
                np.testing.assert_allclose(
                    on_host(mine, cuda.modulate(source, CLICKS), stream.ptr), expected, atol=1e-5
                )
            steps, set_clicks, maps = disks_of(mine, stream.ptr)
            set_clicks(CLICKS)
            steps()
            mine.synchronize(stream.ptr)
            launch = mine.graph(steps, stream.ptr)
            with device.current():
                assert current_handle() == primary
                with mine.current():
                    assert current_handle() == handle
                assert current_handle() == primary
                launch(stream.ptr)  # makes its own context current
                np.testing.assert_array_equal(on_host(mine, maps, stream.ptr), reference.encode_clicks(CLICKS, 40, 50))
            theirs = device.empty(16, np.uint8)
            assert "another CUDA context" in mine.why_out_of_reach(device.address(theirs))
            assert "another CUDA context" in device.why_out_of_reach(mine.address(maps))
            mine.synchronize(stream.ptr)
            del source, steps, set_clicks, maps, launch, stream
            mine.release()
    assert device_for(0) is device
    np.testing.assert_allclose(cupy.asnumpy(cuda.modulate(cupy.asarray(probability), CLICKS)), expected, atol=1e-5)


def test_threads_without_a_context(device):
    def run():
        assert current_handle() == 0
        array = device.empty(1000, np.uint8)
        stream = device.new_stream()
        device.clear(array, stream.ptr)
        device.synchronize(stream.ptr)
        assert current_handle() == 0
        assert device_for(0) is device

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()
