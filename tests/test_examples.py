"""The examples: what they say without a GPU, and what they write with one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mfp import read_image
from mfp.engine.devices import cuda_driver
from mfp.engine.doctor import examine
from mfp.engine.plans.builder import build_plan
from mfp.engine.sample import PATH as SAMPLE

EXAMPLES = Path(__file__).parents[1] / "examples"
CLICKS = ["--pos", "240,130", "--pos", "300,330", "--neg", "60,100"]
NO_GPU = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
on_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_driver()[0] == 0, reason=cuda_driver()[1] or "a GPU is there"),
]


def run(name, *arguments, **options):
    command = [sys.executable, EXAMPLES / f"{name}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.mark.parametrize("name", ["cupy_torch_app", "pycuda_app"])
def test_without_a_gpu_they_say_what_is_missing(golden, name):
    done = run(name, golden("toy.onnx"), SAMPLE, *CLICKS, env=NO_GPU)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{name}: ")
    assert done.stderr.count("\n") == 1
    assert "GPU" in done.stderr or "NVIDIA" in done.stderr


@pytest.fixture(scope="module")
def plan(golden, tmp_path_factory):
    """The toy network's plan for this GPU."""
    flavour = next((f.runtime for f in examine() if f.usable and f.runtime in ("tensorrt", "tensorrt-rtx")), None)
    if flavour is None:
        pytest.skip("needs TensorRT or TensorRT for RTX")
    return build_plan(golden("toy.onnx"), tmp_path_factory.mktemp("plan") / "toy.plan", flavour=flavour).path


class TestOnAGpu:
    pytestmark = on_gpu

    def test_cupy_and_pytorch(self, golden, tmp_path):
        torch = pytest.importorskip("torch")
        pytest.importorskip("cupy")
        if not torch.cuda.is_available():
            pytest.skip("PyTorch finds no GPU")
        output = tmp_path / "overlay.png"
        # a checkpoint runs on PyTorch, on the stream of the application
        done = run("cupy_torch_app", golden("checkpoint_vit_small.pth"), SAMPLE, *CLICKS, "--output", output)
        assert (done.returncode, done.stderr) == (0, "")
        photo, overlay = read_image(SAMPLE), read_image(output)
        assert overlay.shape == photo.shape
        assert not np.array_equal(overlay, photo)

    @pytest.mark.parametrize("options", [[], ["--primary-context"]], ids=["own context", "primary context"])
    def test_pycuda(self, plan, tmp_path, options):
        pytest.importorskip("pycuda")
        output = tmp_path / "mask.png"
        done = run("pycuda_app", plan, SAMPLE, *CLICKS, *options, "--output", output)
        assert (done.returncode, done.stderr) == (0, "")
        assert set(np.unique(read_image(output))) <= {0, 255}

    def test_pytorchs_networks_in_another_context(self, golden):
        pytest.importorskip("pycuda")
        done = run("pycuda_app", golden("checkpoint_vit_small.pth"), SAMPLE, *CLICKS)
        assert done.returncode == 1
        assert "primary" in done.stderr
