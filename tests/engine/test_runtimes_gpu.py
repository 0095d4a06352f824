"""The runtimes on a CUDA GPU: sessions against the CPU, and passes on arrays that lie in the GPU's memory."""

import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from mfp import Session, load_network
from mfp.engine.contract import INPUT_CHANNELS
from mfp.engine.devices import cuda_driver, wait_for_stream
from mfp.engine.doctor import examine
from mfp.engine.errors import OptionError
from mfp.kernels.device import device_for
from mfp.kernels.driver import driver

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_driver()[0] == 0, reason=cuda_driver()[1] or "a GPU is there"),
]

RUNTIMES = ["onnxruntime", "onnxruntime-tensorrt", "onnxruntime-tensorrt-rtx", "tensorrt", "tensorrt-rtx", "torch"]
SIZE = 320, 480


@cache
def why_unusable(runtime):
    """What the doctor says; what it calls usable must then work."""
    return next(
        "" if finding.usable else finding.detail
        for finding in examine()
        if (finding.runtime, finding.device) == (runtime, "cuda")
    )


@pytest.fixture(scope="module", params=RUNTIMES)
def network(request, exported, golden_module, tmp_path_factory):
    """HRNet-18 in FP32 on the first GPU."""
    runtime = request.param
    if why_unusable(runtime):
        pytest.skip(f"{runtime}: {why_unusable(runtime)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFP_CACHE_DIR", str(tmp_path_factory.mktemp("engines")))
        source = golden_module("hrnet18") if runtime == "torch" else exported("hrnet18").path
        if runtime == "torch":
            import torch

            # PyTorch rounds the inputs of FP32 convolutions to 10 bits on newer GPUs unless it is told not to.
            patch.setattr(torch.backends.cudnn, "allow_tf32", False)
        yield load_network(source, runtime, "cuda:0")


@pytest.fixture(scope="module")
def reference(exported):
    return load_network(exported("hrnet18").path, "onnxruntime", "cpu")


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy")


def inputs(seed, batch=2):
    rng = np.random.default_rng(seed)
    return [rng.random((batch, channels, *SIZE), np.float32) for channels in INPUT_CHANNELS.values()]


def test_sessions_give_the_masks_of_the_cpu(network, reference, photograph):
    assert network.device == "cuda:0"
    assert network.choice == ""
    sessions = [Session(each, photograph("astronaut"), size=SIZE) for each in (network, reference)]
    for x, y, positive in [(300, 200, True), (20, 30, False), (350.5, 220, True)]:
        found, expected = (session.click(x, y, positive).array for session in sessions)
        difference = np.abs(sessions[0].probability - sessions[1].probability)
        # TensorRT rounds the inputs of FP32 convolutions to 10 bits, as in FP16; the others were told not to.
        assert difference.max() < (5e-2 if "tensorrt" in network.runtime else 2e-3)
        assert difference.mean() < 5e-3
        assert (found & expected).sum() / (found | expected).sum() > 0.98


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("stream_kind", ["default", "own", "own, not blocking"])
def test_device_arrays_give_the_logits_of_host_arrays(network, cupy, batch, stream_kind):
    host = inputs(batch, batch)
    expected = network(*host)
    stream = cupy.cuda.Stream.null
    if stream_kind != "default":
        stream = cupy.cuda.Stream(non_blocking="not" in stream_kind)
    with stream:
        zeros = [cupy.zeros_like(cupy.asarray(array)) for array in host]
        logits = cupy.full((batch, 1, *SIZE), cupy.nan, cupy.float32)
        # Late on purpose: a pass that did not wait for the stream would see zeros.
        slow = cupy.ones((4096, 4096), cupy.float32)
        for _ in range(20):
            slow = slow @ slow / 4096
        for array, values in zip(zeros, host, strict=True):
            array += cupy.asarray(values) * slow[0, 0]
        network.enqueue(*zeros, logits, stream.ptr)
        copied = logits * 1  # after it on the same stream
    stream.synchronize()
    np.testing.assert_allclose(cupy.asnumpy(copied), expected, atol=2e-3 * expected.std())


def test_every_pass_writes_where_it_is_told(network, cupy):
    stream = cupy.cuda.Stream(non_blocking=True)
    seeds = range(3)
    expected = [network(*inputs(seed)) for seed in seeds]
    given = [[cupy.asarray(array) for array in inputs(seed)] for seed in seeds]
    logits = [cupy.zeros((2, 1, *SIZE), cupy.float32) for _ in seeds]
    cupy.cuda.Device().synchronize()
    for arrays, out in zip(given, logits, strict=True):
        network.enqueue(*arrays, out, stream.ptr)
    stream.synchronize()
    for out, values in zip(logits, expected, strict=True):
        np.testing.assert_allclose(cupy.asnumpy(out), values, atol=2e-3 * values.std())


class Work:
    """A pass between other work: arrays of inputs, to be filled, and twice the logits."""

    def __init__(self, network, seed=0, batch=2):
        self.device = device_for(0)
        self.own_stream = self.device.new_stream()
        self.stream = self.own_stream.ptr
        self.worker = network.worker()
        self.host = [self.device.pinned(array.nbytes) for array in inputs(seed, batch)]
        self.arrays = [self.device.empty(array.shape, np.float32) for array in inputs(seed, batch)]
        self.logits = self.device.empty((batch, 1, *SIZE), np.float32)
        self.copied = self.device.empty((batch, 1, *SIZE), np.float32)

    def steps(self):
        for array, host in zip(self.arrays, self.host, strict=True):
            self.device.copy_in(array, host, self.stream)
        self.worker.enqueue(*self.arrays, self.logits, self.stream)
        self.device.copy(self.copied, self.logits, self.stream)

    def run(self, launch, arrays):
        for host, array in zip(self.host, arrays, strict=True):
            host[:] = array.reshape(-1).view(np.uint8)
        launch()
        found = self.device.pinned(self.copied.nbytes)
        self.device.copy_out(found, self.copied, self.stream)
        self.device.synchronize(self.stream)
        return found.view(np.float32).reshape(self.copied.shape).copy()


def test_workers_and_their_graphs(network, cupy):
    work = Work(network)
    first, second = inputs(0), inputs(1)
    expected = [network(*first), network(*second)]
    for arrays, values in zip((first, second), expected, strict=True):
        np.testing.assert_allclose(work.run(work.steps, arrays), values, atol=2e-3 * values.std())
    work.worker.graph(work.device, work.steps, work.stream)  # and let go at once
    launch = work.worker.graph(work.device, work.steps, work.stream)
    if network.runtime.startswith("onnxruntime"):
        assert launch is None
        assert "stream of its own" in work.worker.why_eager
        return
    if network.runtime != "tensorrt-rtx":  # which has a say in it
        assert launch is not None
    if launch is None:
        pytest.skip(work.worker.why_eager)
    again = work.worker.graph(work.device, work.steps, work.stream)
    work.worker = None  # the graphs keep it
    gc.collect()
    for recorded in (launch, again, launch):
        for arrays, values in zip((second, first), reversed(expected), strict=True):
            found = work.run(lambda recorded=recorded: recorded(work.stream), arrays)
            np.testing.assert_allclose(found, values, atol=2e-3 * values.std())


def test_workers_side_by_side(network, cupy):
    """Threads that run passes while others record."""
    expected = {seed: network(*inputs(seed)) for seed in range(4)}

    def use(seed):
        work = Work(network)
        for _ in range(3):
            work.run(work.steps, inputs(seed))
        recorded = work.worker.graph(work.device, work.steps, work.stream)
        launch = work.steps if recorded is None else lambda: recorded(work.stream)
        return [work.run(launch, inputs(seed)) for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for seed, found in zip(expected, pool.map(use, expected), strict=True):
            for values in found:
                np.testing.assert_allclose(values, expected[seed], atol=2e-3 * values.std())


def test_workers_give_their_memory_back(network, cupy):
    def use():
        work = Work(network)
        work.run(work.steps, inputs(0))
        recorded = work.worker.graph(work.device, work.steps, work.stream)
        if recorded is not None:
            work.run(lambda: recorded(work.stream), inputs(0))

    def free_memory():
        gc.collect()
        device_for(0).release()
        if network.runtime == "torch":
            import torch

            torch.cuda.empty_cache()
        return cupy.cuda.runtime.memGetInfo()[0]

    for _ in range(3):
        use()
    before = free_memory()
    for _ in range(10):
        use()
    assert before - free_memory() < 32 << 20


def test_what_another_context_means(network, cupy):
    """Passes run in the context that the network was loaded in, and say so elsewhere."""
    context, gpu = ctypes.c_void_p(), ctypes.c_int()
    assert driver().cuDeviceGet(ctypes.byref(gpu), 0) == 0
    assert driver().cuCtxCreate_v2(ctypes.byref(context), 0, gpu) == 0
    try:
        with pytest.raises(OptionError, match="CUDA context"):
            network.worker()
    finally:
        driver().cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        driver().cuCtxDestroy_v2(context)
    work = Work(network)
    expected = network(*inputs(0))
    np.testing.assert_allclose(work.run(work.steps, inputs(0)), expected, atol=2e-3 * expected.std())


def test_compiled_pytorch_in_a_graph(golden_module, cupy):
    if why_unusable("torch-compile"):
        pytest.skip(why_unusable("torch-compile"))
    network = load_network(golden_module("resnet34"), "torch-compile", "cuda:0")
    work = Work(network)
    expected = [work.run(work.steps, inputs(seed)) for seed in range(2)]
    launch = work.worker.graph(work.device, work.steps, work.stream)
    for seed in (1, 0):
        found = work.run(lambda: launch(work.stream), inputs(seed))
        np.testing.assert_allclose(found, expected[seed], atol=1e-4 * found.std())


def test_what_is_no_device_array_is_refused(network, cupy):
    arrays = [cupy.asarray(array) for array in inputs(0)]
    logits = cupy.zeros((2, 1, *SIZE), cupy.float32)
    with pytest.raises(OptionError, match="in a GPU's memory"):
        network.enqueue(*inputs(0), logits, 0)
    with pytest.raises(OptionError, match="C-contiguous"):
        network.enqueue(arrays[0][..., ::-1], *arrays[1:], logits, 0)
    with pytest.raises(OptionError, match="float32"):
        network.enqueue(*arrays, logits.astype(cupy.float16), 0)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_pytorch_in_half_precision(golden_module, reference, precision):
    torch = pytest.importorskip("torch")
    if why_unusable("torch"):
        pytest.skip(why_unusable("torch"))
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU has no BF16")
    module = golden_module("hrnet18")
    network = load_network(module, device="cuda:0", precision=precision)
    found, expected = network(*inputs(0)), reference(*inputs(0))
    error = np.sqrt(((found - expected) ** 2).mean()) / expected.std()
    assert 1e-4 < error < {"fp16": 2e-2, "bf16": 1.5e-1}[precision]
    assert all(tensor.device.type == "cpu" for tensor in module.state_dict().values())  # the caller's stays


def test_auto_takes_the_gpu_and_says_so(exported):
    if why_unusable("onnxruntime"):
        pytest.skip(why_unusable("onnxruntime"))
    network = load_network(exported("hrnet18").path)
    assert network.device == "cuda:0"
    assert network.choice == "onnxruntime on cuda:0: a GPU is there"


def test_waiting_for_streams(cupy):
    for stream in (cupy.cuda.Stream.null, cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream.ptds):
        with stream:
            array = cupy.ones((4096, 4096), cupy.float32)
            for _ in range(10):
                array = array @ array / 4096
        wait_for_stream(stream.ptr, 0)
        assert stream.done
    del array


def test_waiting_in_a_thread_that_has_no_context(cupy):
    stream = cupy.cuda.Stream(non_blocking=True)
    with ThreadPoolExecutor(1) as pool:
        for handle in (stream.ptr, 0):
            pool.submit(wait_for_stream, handle, 0).result()
