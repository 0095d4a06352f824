"""Plans on a GPU: the three backbones in FP16 against recorded sessions of the release, and what lies beside a plan."""

import threading

import numpy as np
import pytest

from mfp import Session, load_network
from mfp.engine.devices import cuda_driver
from mfp.engine.doctor import examine
from mfp.engine.errors import OptionError, PlanError, RuntimeMissingError
from mfp.engine.plans.builder import build_plan
from mfp.engine.plans.flavour import MODULES, open_flavour, why_not_on_this_gpu
from mfp.engine.plans.options import BuildOptions
from mfp.engine.plans.plan_file import read_metadata, read_plan, write_plan

BACKBONES = ["resnet34", "hrnet18", "vit_b"]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_driver()[0] == 0, reason=cuda_driver()[1] or "a GPU is there"),
]


@pytest.fixture(scope="module", params=list(MODULES))
def flavour(request):
    pytest.importorskip("cupy")
    finding = next(found for found in examine() if found.runtime == request.param)
    if not finding.usable:
        pytest.skip(finding.detail)
    return request.param


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFP_CACHE_DIR", str(folder))
        yield folder


@pytest.mark.parametrize("backbone", BACKBONES)
def test_golden_trajectories_in_fp16(cache, flavour, converted, golden, photograph, backbone):
    data = np.load(golden(f"trajectory_{backbone}.npz"))
    network = load_network(converted(backbone).path, flavour, "cuda:0")
    assert network.info.precision == "fp16"
    session = Session(network, photograph(str(data["image"])), size=tuple(data["target_size"].tolist()))
    for row, expected in zip(data["clicks"], data["prob_stride8"], strict=True):
        session.click(row[1], row[0], bool(row[2]))
        assert session.roi == tuple(row[3:7].astype(int))
        assert np.percentile(np.abs(session.probability[::8, ::8] - expected), 99) < 5e-3
    plans = list(cache.glob(f"{backbone}-fp16-*.plan"))
    assert plans
    for plan in plans:
        metadata = read_metadata(plan)
        assert metadata["counted_in"] == "inspector"
        assert metadata["half_layers"] >= 0.95 * metadata["matrix_layers"]
        if metadata["flavour"] == "tensorrt-rtx":
            assert plan.with_name(f"{plan.name}.runtime-cache").stat().st_size > 0


def test_threads_share_one_engine(cache, flavour, converted):
    network = load_network(converted("resnet34").path, flavour, "cuda:0")
    rng = np.random.default_rng(0)
    inputs = [[rng.random((2, c, 384, 384), np.float32) for c in (3, 1, 1, 2)] for _ in range(4)]
    expected, found = [network(*arrays) for arrays in inputs], {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: network(*inputs[i])})) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, logits in enumerate(expected):
        np.testing.assert_array_equal(found[i], logits)


def test_shapes_outside_the_profile(flavour, golden, tmp_path):
    options = BuildOptions(sizes=((64, 64), (96, 128), (128, 128)))
    plan = build_plan(golden("toy.onnx"), tmp_path / "toy.plan", flavour=flavour, options=options).path
    network = load_network(plan, device="cuda:0")
    arrays = [np.zeros((1, channels, 96, 128), np.float32) for channels in (3, 1, 1, 2)]
    assert network(*arrays).shape == (1, 1, 96, 128)
    with pytest.raises(OptionError, match=r"from \(1, 64, 64\) to \(2, 128, 128\), got \(1, 256, 128\)"):
        network(*(np.zeros((1, channels, 256, 128), np.float32) for channels in (3, 1, 1, 2)))
    assert network(*arrays).shape == (1, 1, 96, 128)


def test_a_plan_that_tensorrt_refuses(flavour, golden, tmp_path):
    path = build_plan(golden("toy.onnx"), tmp_path / "toy.plan", flavour=flavour).path
    metadata, plan = read_plan(path)
    broken = bytearray(plan)
    broken[: len(broken) // 2] = bytes(len(broken) // 2)
    write_plan(path, {**metadata, "flavour_version": "1.0"}, broken)
    with pytest.raises(PlanError, match=r"it was built with .* 1\.0, here is .* mfp build .*toy\.onnx"):
        load_network(path, device="cuda:0")


def test_a_gpu_that_tensorrt_for_rtx_leaves_out(golden, tmp_path):
    pytest.importorskip("cupy")
    pytest.importorskip("tensorrt_rtx")
    if not why_not_on_this_gpu(open_flavour("tensorrt-rtx")):
        pytest.skip("TensorRT for RTX runs on this GPU")
    assert not next(found for found in examine() if found.runtime == "tensorrt-rtx").usable
    with pytest.raises(RuntimeMissingError, match="does not run on this GPU"):
        load_network(golden("toy.onnx"), "tensorrt-rtx", "cuda:0")
    plan = build_plan(golden("toy.onnx"), tmp_path / "toy.plan", flavour="tensorrt-rtx").path
    with pytest.raises(PlanError, match="does not run on this GPU"):
        load_network(plan, device="cuda:0")
