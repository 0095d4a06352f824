"""Sessions on a GPU: the release's trajectories, the host's masks, and everything that an application brings along.

``MFP_GRABCUT`` names a folder with GrabCut's ``data_GT`` and ``boundary_GT``: then all its photographs are clicked too.
"""

import ctypes
import gc
import os
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mfp import Session, load_network, read_image
from mfp.bench.accuracy import next_click, truth_from_trimap
from mfp.engine.contract import BackboneSpec, NetworkInfo
from mfp.engine.devices import cuda_driver
from mfp.engine.doctor import examine
from mfp.engine.errors import ImageError, OptionError
from mfp.engine.network import Network
from mfp.engine.plans.builder import build_plan
from mfp.engine.worker import Worker
from mfp.kernels.driver import driver

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_driver()[0] == 0, reason=cuda_driver()[1] or "a GPU is there"),
]

BACKBONES = ["hrnet18", "resnet34", "vit_b"]
POINTS = [(300, 200, True), (20, 30, False), (350.5, 220, True), (100, 300, True)]
SAME = 0.999  # mask IoU that the same arithmetic in another order must reach


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy")


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")
    return torch


@pytest.fixture(autouse=True)
def full_fp32(monkeypatch):
    """PyTorch rounds the inputs of FP32 convolutions to 10 bits on newer GPUs unless it is told not to."""
    try:
        import torch
    except ImportError:
        return
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="module")
def open_network(cupy, golden_module, exported, tmp_path_factory):
    """``open_network(runtime, backbone)``: a golden network in FP32 on the first GPU; skips what does not run here."""
    networks = {}
    why_unusable = {
        found.runtime: "" if found.usable else found.detail for found in examine() if found.device == "cuda"
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFP_CACHE_DIR", str(tmp_path_factory.mktemp("engines")))

        def open_it(runtime, backbone="hrnet18"):
            if why_unusable[runtime]:
                pytest.skip(f"{runtime}: {why_unusable[runtime]}")
            if (runtime, backbone) not in networks:
                source = golden_module(backbone) if runtime == "torch" else exported(backbone).path
                networks[runtime, backbone] = load_network(source, runtime, "cuda:0")
            return networks[runtime, backbone]

        yield open_it


@pytest.fixture(scope="module")
def simple(torch):
    """A network of PyTorch of any size that is quick and the same to the last bit in every run."""

    class Simple(torch.nn.Module):
        spec = BackboneSpec("simple", (96, 128), 0)
        weights = "unknown"

        def forward(self, image, prev_mask, modulated_mask, clicks):
            positive, negative = torch.nn.functional.avg_pool2d(clicks, 15, 1, 7).split(1, dim=1)
            return 9 * (positive - negative) + 3 * (modulated_mask - 0.5) + image.mean(1, keepdim=True) - 0.6

    return load_network(Simple(), "torch", "cuda:0")


def replay(session, points=POINTS):
    return [session.click(*point) for point in points]


def iou(a, b):
    either = np.count_nonzero(a.array | b.array)
    return np.count_nonzero(a.array & b.array) / either if either else 1.0


def assert_equals_the_host(network, image, **options):
    there, here = (Session(network, image, pipeline=where, **options) for where in ("device", "host"))
    for point in POINTS:
        masks = there.click(*point), here.click(*point)
        assert there.roi == here.roi
        assert iou(*masks) >= SAME
        assert np.abs(there.probability - here.probability).mean() < 1e-4
    there.close()


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_golden_trajectories(open_network, golden, photograph, assert_trajectory, runtime, backbone):
    data = np.load(golden(f"trajectory_{backbone}.npz"))
    size = tuple(data["target_size"].tolist())
    network = open_network(runtime, backbone)
    with Session(network, photograph(str(data["image"])), size=size, pipeline="device") as session:
        assert_trajectory(session, data["clicks"], data["prob_stride8"])
        assert session.timing.device > 0


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@pytest.mark.parametrize("options", [{}, {"flip": False, "distance": "rgb"}, {"n_early": 1}], ids=str)
def test_masks_are_the_hosts(open_network, photograph, name, options):
    assert_equals_the_host(open_network("torch"), photograph(name), size=(320, 480), **options)


@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt", "tensorrt-rtx"])
def test_masks_are_the_hosts_on_other_runtimes(open_network, photograph, runtime):
    assert_equals_the_host(open_network(runtime), photograph("astronaut"), size=(320, 480))


def test_masks_are_the_hosts_on_grabcut(open_network):
    if "MFP_GRABCUT" not in os.environ:
        pytest.skip("set MFP_GRABCUT to a folder with data_GT and boundary_GT")
    folder = Path(os.environ["MFP_GRABCUT"])
    truths = sorted((folder / "boundary_GT").iterdir())
    assert truths
    for file in truths:
        image = read_image(next((folder / "data_GT").glob(f"{file.stem}.*")))
        truth = truth_from_trimap(np.ascontiguousarray(read_image(file)[..., 0]))
        there, here = (Session(open_network("torch"), image, pipeline=where) for where in ("device", "host"))
        for k in range(5):
            click = next_click(truth, here.mask, here.clicks)
            if click is None:
                break
            masks = [session.click(click.x, click.y, click.positive) for session in (there, here)]
            assert iou(*masks) >= SAME, f"{file.stem}, click {k + 1}"
        there.close()


def test_a_click_is_one_graph(simple, photograph):
    from mfp.engine.pipelines.lane import lanes_of
    from mfp.kernels.device import device_for

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # which says that steps run one by one
        with Session(simple, photograph("coffee"), size=(96, 128)) as session:
            replay(session)
    with lanes_of(simple, device_for(0)).lend(simple, 2, 96, 128) as lane:
        assert lane.why_eager == ""


@pytest.mark.parametrize("runtime", ["tensorrt", "tensorrt-rtx"])
def test_plans_are_captured_or_say_why_not(open_network, photograph, runtime):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with Session(open_network(runtime), photograph("coffee"), size=(320, 480)) as session:
            replay(session)
    if said and runtime == "tensorrt-rtx":
        pytest.skip(str(said[0].message))
    assert not said


def test_undo_and_redo_give_the_same_bits(simple, photograph):
    with Session(simple, photograph("astronaut"), size=(96, 128)) as session:
        maps = [session.probability]
        for point in POINTS:
            session.click(*point)
            maps.append(session.probability)
        for before in reversed(maps[:-1]):
            session.undo()
            np.testing.assert_array_equal(session.probability, before)
        for after in maps[1:]:
            session.redo()
            np.testing.assert_array_equal(session.probability, after)


def test_two_hundred_sessions_leave_no_bytes(simple, cupy, photograph):
    from mfp.kernels.device import device_for

    image = photograph("coffee")
    device, theirs = device_for(0), cupy.get_default_memory_pool()

    def use(k):
        session = Session(simple, image, size=(96, 128), initial_mask=np.zeros(image.shape[:2], bool))
        session.click(*POINTS[k % 4][:2])
        if k % 2:
            session.close()

    use(0), use(1)
    gc.collect()
    gc.disable()  # counting references must do
    try:
        device.release()
        before = device.used_bytes(), theirs.used_bytes(), cupy.cuda.runtime.memGetInfo()[0]
        for k in range(200):
            use(k)
        device.release()
        after = device.used_bytes(), theirs.used_bytes(), cupy.cuda.runtime.memGetInfo()[0]
    finally:
        gc.enable()
    assert after[:2] == before[:2]
    assert before[2] - after[2] < 64 << 20  # of the whole GPU, on which others may be at work


def test_sessions_in_threads_on_own_streams_give_what_they_give_alone(simple, cupy, photograph):
    def run(results, k):
        with Session(
            simple, np.roll(photograph("coffee"), 30 * k, axis=1), size=(96, 128), stream=streams[k]
        ) as session:
            results[k] = [(mask, session.probability) for mask in replay(session)]

    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(6)]
    alone, together = {}, {}
    for k in range(6):
        run(alone, k)
    for _ in range(5):
        threads = [threading.Thread(target=run, args=(together, k)) for k in range(6)]
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # graphs are captured side by side
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(together) == 6
        for k, found in together.items():
            for (mask, probability), (expected_mask, expected) in zip(found, alone[k], strict=True):
                assert mask == expected_mask
                np.testing.assert_array_equal(probability, expected)
        together.clear()


class TestImagesInPlace:
    """An image that is on the GPU already is read there, whatever its strides."""

    @pytest.fixture
    def assert_in_place(self, simple):
        from mfp.kernels.device import device_for

        def check(image, pixels):
            expected = Session(simple, pixels, size=(96, 128))
            before = device_for(0).used_bytes()
            session = Session(simple, image, size=(96, 128))
            assert device_for(0).used_bytes() - before < pixels.nbytes + 4 * pixels[..., 0].size
            for found, wanted in zip(replay(session), replay(expected), strict=True):
                assert found == wanted
            np.testing.assert_array_equal(session.probability, expected.probability)

        return check

    def test_cupy(self, cupy, photograph, assert_in_place):
        pixels = photograph("coffee")
        assert_in_place(cupy.asarray(pixels), pixels)
        larger = cupy.full((500, 700, 4), 7, cupy.uint8)
        larger[50:450, 60:660, :3] = cupy.asarray(pixels)
        cupy.cuda.Device().synchronize()
        assert_in_place(larger[50:450, 60:660, :3], pixels)
        assert_in_place(larger[449:49:-1, 60:660, :3], pixels[::-1])

    def test_torch(self, torch, photograph, assert_in_place):
        pixels = photograph("coffee")
        image = torch.from_numpy(pixels).to("cuda:0")
        assert_in_place(image, pixels)
        planes = image.permute(2, 0, 1).contiguous()
        torch.cuda.synchronize()
        assert_in_place(planes.permute(1, 2, 0), pixels)
        assert_in_place(image[20:, 30:], pixels[20:, 30:])

    def test_dlpack_alone(self, cupy, photograph, assert_in_place):
        array = cupy.asarray(photograph("coffee"))

        class Capsules:
            __dlpack__, __dlpack_device__ = array.__dlpack__, array.__dlpack_device__

        assert_in_place(Capsules(), photograph("coffee"))

    def test_what_is_no_image(self, simple, cupy):
        for array in (cupy.zeros((40, 60, 3), cupy.float32), cupy.zeros((0, 60, 3), cupy.uint8), cupy.zeros(7, "u1")):
            with pytest.raises(ImageError):
                Session(simple, array)


@pytest.mark.parametrize("kind", ["cupy", "torch", "number", "default", "their default"])
def test_the_applications_stream(simple, cupy, torch, photograph, kind):
    """The session's work follows what the application has put there, with nobody waiting."""
    pixels = photograph("coffee")
    theirs = cupy.cuda.Stream(non_blocking=True)
    own = torch.cuda.ExternalStream(theirs.ptr)
    ours = torch.cuda.default_stream() if "default" in kind else own
    given = {
        "cupy": theirs,
        "torch": own,
        "number": own.cuda_stream,
        "default": 0,
        "their default": torch.cuda.default_stream(),
    }[kind]
    expected = Session(simple, pixels, size=(96, 128))
    source = torch.from_numpy(pixels).to("cuda:0")
    torch.cuda.synchronize()
    with torch.cuda.stream(ours):
        image, slow = torch.zeros_like(source), torch.ones(4096, 4096, device="cuda:0")
        for _ in range(20):  # the image is late on purpose
            slow = slow @ slow / 4096
        image += source * slow[0, 0].to(torch.uint8)
        with Session(simple, image, size=(96, 128), stream=given) as session:
            assert [mask.area for mask in replay(session)] == [mask.area for mask in replay(expected)]
            np.testing.assert_array_equal(session.probability, expected.probability)


def test_results_stay_on_the_gpu(simple, torch, photograph):
    with Session(simple, photograph("coffee"), size=(96, 128)) as session:
        replay(session)
        probability = torch.from_dlpack(session.device_probability)
        assert probability.data_ptr() == session.device_probability.data.ptr
        np.testing.assert_array_equal(probability.cpu().numpy(), session.probability)
        inside = torch.from_dlpack(session.device_mask)
        assert inside.dtype == torch.bool
        np.testing.assert_array_equal(inside.cpu().numpy(), session.mask.array)
        np.testing.assert_array_equal(torch.as_tensor(session.device_mask, device="cuda:0").cpu(), session.mask.array)


class Copier(Network):
    """A network that needs no library: the logits are the modulated map."""

    info, runtime, device = NetworkInfo(size=(96, 128)), "none", "cuda:0"

    def __call__(self, *tensors):
        raise NotImplementedError

    def worker(self):
        from mfp.kernels.device import device_for

        return CopierWorker(device_for(0))


class CopierWorker(Worker):
    def __init__(self, where):
        self.where = where

    def enqueue(self, image, prev_mask, modulated_mask, clicks, logits, stream):
        self.where.copy(logits, modulated_mask, stream)

    def graph(self, device, steps, stream):
        return device.graph(steps, stream)


@contextmanager
def another_context():
    """A CUDA context of the application's own, current in this thread."""
    context, device = ctypes.c_void_p(), ctypes.c_int()
    assert driver().cuDeviceGet(ctypes.byref(device), 0) == 0
    assert driver().cuCtxCreate_v2(ctypes.byref(context), 0, device) == 0
    try:
        yield context
    finally:
        # Not destroyed: the device that belongs to it lives as long as the process.
        assert driver().cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p())) == 0


class TestAnotherContext:
    def test_the_kernels(self, cupy, photograph):
        from mfp.kernels.device import device_for

        image = photograph("coffee")
        expected = Session(Copier(), image, threshold=0.65)
        expected_masks = replay(expected)
        assert len({mask.area for mask in expected_masks}) > 2  # that equal masks mean something
        with another_context():
            assert device_for(0) is not expected._pipeline._device
            with Session(Copier(), image, threshold=0.65) as session:
                assert replay(session) == expected_masks
                np.testing.assert_array_equal(session.probability, expected.probability)
                masks = {}
                # a thread starts without a context, and the session knows its own
                thread = threading.Thread(target=lambda: masks.update(undone=session.undo()))
                thread.start()
                thread.join()
                assert masks["undone"] == expected.undo()

    def test_a_plan(self, cupy, golden, photograph, tmp_path):
        flavour = next((f.runtime for f in examine() if f.usable and f.runtime in ("tensorrt", "tensorrt-rtx")), None)
        if flavour is None:
            pytest.skip("needs TensorRT or TensorRT for RTX")
        path = build_plan(golden("toy.onnx"), tmp_path / "toy.plan", flavour=flavour).path
        image = photograph("coffee")
        with Session(load_network(path, device="cuda:0"), image, size=(96, 128)) as session:
            expected = replay(session)
        with another_context():
            network = load_network(path, device="cuda:0")
            with Session(network, image, size=(96, 128)) as session:
                for found, wanted in zip(replay(session), expected, strict=True):
                    assert iou(found, wanted) >= SAME
            network.close()
            del network  # while its context is current

    def test_pytorchs_networks_need_the_primary_one(self, simple, photograph):
        with another_context(), pytest.raises(OptionError, match="primary CUDA context"):
            Session(simple, photograph("coffee"), size=(96, 128))
        with Session(simple, photograph("coffee"), size=(96, 128)) as session:
            assert session.click(300, 200).shape == (400, 600)
