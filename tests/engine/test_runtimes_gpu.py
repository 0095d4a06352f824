"""The runtimes on a CUDA GPU: sessions against the CPU, and passes on arrays that lie in the GPU's memory."""

from functools import cache

import numpy as np
import pytest

from mfp import Session, load_network
from mfp.engine.contract import INPUT_CHANNELS
from mfp.engine.devices import cuda_driver, wait_for_stream
from mfp.engine.doctor import examine
from mfp.engine.errors import OptionError

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
    from concurrent.futures import ThreadPoolExecutor

    stream = cupy.cuda.Stream(non_blocking=True)
    with ThreadPoolExecutor(1) as pool:
        for handle in (stream.ptr, 0):
            pool.submit(wait_for_stream, handle, 0).result()
