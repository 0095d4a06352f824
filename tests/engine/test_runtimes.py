"""All runtimes that need no GPU through the same tests: masks, threads, precision, and what each refuses."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest

from mfp import Session, load_network
from mfp.engine.contract import BackboneSpec, NetworkInfo
from mfp.engine.errors import NetworkError, OptionError, RuntimeMissingError
from mfp.engine.network import RUNTIMES

FULL = [("onnxruntime", "fp32"), ("openvino", "fp32"), ("torch", "fp32")]
HALF = [("openvino", "bf16"), ("torch", "fp16"), ("torch", "bf16")]
# PyTorch imitates half precision on a CPU without units for it, slowly
SOME_HALF = [HALF[0], *(pytest.param(*one, marks=pytest.mark.slow) for one in HALF[1:])]
ON_GPUS = ["onnxruntime-tensorrt", "onnxruntime-tensorrt-rtx", "tensorrt", "tensorrt-rtx"]

# Of the probability map after every click, mean distance from ONNX Runtime's in FP32, on a seeded HRNet-18 whose every
# pixel is near the threshold: about three times what was measured, and a third, for half precision that is none.
BOUNDS = {"fp32": (0, 1e-5), "fp16": (5e-4, 6e-3), "bf16": (2e-3, 3e-2)}

CLICKS = [(300, 200, True), (20, 30, False)]


@pytest.fixture(scope="module")
def torch_toy():
    """The golden toy network as a PyTorch module."""
    torch = pytest.importorskip("torch")

    def blur(x, side):
        across = torch.nn.functional.avg_pool2d(x, (side, 1), 1, (side // 2, 0))
        return torch.nn.functional.avg_pool2d(across, (1, side), 1, (0, side // 2))

    class Toy(torch.nn.Module):
        spec = BackboneSpec("toy", (96, 128), 0)
        weights = "unknown"

        def forward(self, image, prev_mask, modulated_mask, clicks):
            grey = image.mean(1, keepdim=True)
            positive, negative = blur(blur(clicks, 91), 91).split(1, dim=1)
            edges = torch.nn.functional.pad(grey[..., 1:], (0, 1)) - grey
            y = 700 * positive - 500 * negative + 4 * (modulated_mask - 0.5) + 2 * (prev_mask - 0.5)
            return y + 3 * (grey - 0.5) + 3 * blur(edges, 5) - 0.5

    return Toy().eval()


@pytest.fixture(scope="session")
def open_network():
    """``open_network(runtime, file, module, precision=None)``: calls the one it needs; skips what is not here."""

    def open_it(runtime, file, module, precision=None):
        pytest.importorskip(RUNTIMES[runtime].library)
        if (runtime, precision) == ("openvino", "bf16"):
            from mfp.engine.runtimes.openvino import has_bf16

            if not has_bf16() or "ONEDNN_MAX_CPU_ISA" in os.environ:
                pytest.skip("this processor has no BF16, or oneDNN is held to less")
        if runtime.startswith("torch"):
            return load_network(module(), runtime, "cpu", precision=precision)
        return load_network(file(), runtime, "cpu", precision=precision, threads=1)  # several run at once below

    return open_it


def arrays(seed, batch, height, width):
    """Random arrays of the contract's shapes."""
    rng = np.random.default_rng(seed)
    return [rng.random((batch, channels, height, width), np.float32) for channels in (3, 1, 1, 2)]


def maps(network, image, **options):
    """Probability map and mask after every click."""
    session, found = Session(network, image, **options), []
    for x, y, positive in CLICKS:
        mask = session.click(x, y, positive)
        found.append((session.probability.copy(), mask.array))
    return found


@pytest.mark.parametrize(("runtime", "precision"), FULL)
def test_masks_of_the_toy_network(open_network, golden, torch_toy, photograph, toy, runtime, precision):
    network = open_network(runtime, lambda: golden("toy.onnx"), lambda: torch_toy, precision)
    assert (network.runtime, network.device, network.choice) == (runtime, "cpu", "")
    assert network.info.precision == precision
    image = photograph("coffee")
    expected = maps(toy, image, size=(96, 128))
    for (a, a_mask), (b, b_mask) in zip(maps(network, image, size=(96, 128)), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        assert (a_mask == b_mask).mean() > 0.9999


@pytest.fixture(scope="module")
def real_maps(exported, photograph):
    """Of a session of HRNet-18 on ONNX Runtime."""
    network = load_network(exported("hrnet18").path, "onnxruntime", "cpu")
    return maps(network, photograph("astronaut"), size=(320, 480), flip=False)


@pytest.mark.parametrize(("runtime", "precision"), FULL[1:] + SOME_HALF)
def test_a_session_of_a_real_network(open_network, exported, golden_module, photograph, real_maps, runtime, precision):
    network = open_network(runtime, lambda: exported("hrnet18").path, lambda: golden_module("hrnet18"), precision)
    assert network.info.precision == precision
    least, most = BOUNDS[precision]
    found = maps(network, photograph("astronaut"), size=(320, 480), flip=False)
    for (a, a_mask), (b, b_mask) in zip(found, real_maps, strict=True):
        assert least <= np.abs(a - b).mean() <= most
        assert (a_mask & b_mask).sum() / (a_mask | b_mask).sum() > 0.95


@pytest.mark.parametrize(("runtime", "precision"), FULL + SOME_HALF)
def test_one_network_in_several_threads(open_network, exported, golden_module, runtime, precision):
    """Sessions of several sizes and batches on one network, at once: each gets its own logits."""
    precise = None if runtime == "onnxruntime" else precision
    file = exported("hrnet18", any_size=True).path
    network = open_network(runtime, lambda: file, lambda: golden_module("hrnet18"), precise)
    inputs = [arrays(seed, 1 + seed % 2, 64, 64 + 32 * (seed % 3)) for seed in range(6)]
    expected = [network(*each) for each in inputs]
    with ThreadPoolExecutor(4) as pool:
        for found, alone in zip(pool.map(lambda each: network(*each), inputs * 4), expected * 4, strict=True):
            np.testing.assert_allclose(found, alone, atol=1e-5 * alone.std())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "torch"])
def test_device_arrays_are_for_gpus(open_network, golden, torch_toy, runtime):
    network = open_network(runtime, lambda: golden("toy.onnx"), lambda: torch_toy)
    with pytest.raises(OptionError, match="runs on the CPU"):
        network.enqueue(*arrays(0, 1, 32, 32), np.zeros((1, 1, 32, 32), np.float32), stream=0)


@pytest.mark.parametrize(("runtime", "device"), [*((name, "cpu") for name in ON_GPUS), ("openvino", "cuda:0")])
def test_devices_that_a_runtime_does_not_have(golden, runtime, device):
    with pytest.raises((OptionError, RuntimeMissingError), match=r"GPU|CPU"):
        load_network(golden("toy.onnx"), runtime, device)


@pytest.mark.parametrize(
    ("runtime", "precision", "words"),
    [
        ("onnxruntime", "fp16", r"mfp convert toy\.onnx --precision fp16"),
        ("openvino", "fp16", "OpenVINO computes in fp32 or bf16"),
    ],
)
def test_precisions_that_a_runtime_does_not_have(golden, runtime, precision, words):
    pytest.importorskip(RUNTIMES[runtime].library)
    with pytest.raises(OptionError, match=words):
        load_network(golden("toy.onnx"), runtime, "cpu", precision=precision)


@pytest.mark.parametrize(
    ("runtime", "words"), [("onnxruntime", "Load the fp32 file"), ("openvino", "is fp16; OpenVINO")]
)
def test_half_precision_files_are_not_widened(golden, tmp_path, runtime, words):
    pytest.importorskip(RUNTIMES[runtime].library)
    model = onnx.load(golden("toy.onnx"))
    onnx.helper.set_model_props(model, NetworkInfo(precision="fp16").to_properties())
    onnx.save(model, tmp_path / "half.onnx")
    with pytest.raises(OptionError, match=words):
        load_network(tmp_path / "half.onnx", runtime, "cpu", precision="fp32")


class TestOpenVino:
    @pytest.fixture(autouse=True)
    def _needs_it(self):
        pytest.importorskip("openvino")

    def test_precision_and_threads_reach_it(self, golden):
        compiled = load_network(golden("toy.onnx"), "openvino", threads=1)._compiled
        assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1

    def test_bf16_where_the_processor_has_none(self, golden, monkeypatch):
        monkeypatch.setattr("mfp.engine.runtimes.openvino.has_bf16", lambda: False)
        assert load_network(golden("toy.onnx"), "openvino").info.precision == "fp32"
        with pytest.raises(RuntimeMissingError, match="no BF16 instructions"):
            load_network(golden("toy.onnx"), "openvino", precision="bf16")

    def test_sizes_that_a_file_does_not_take(self, exported):
        network = load_network(exported("hrnet18").path, "openvino")
        with pytest.raises(NetworkError, match="could not run"):
            network(*arrays(0, 1, 64, 64))
        assert network(*arrays(0, 1, 320, 480)).shape == (1, 1, 320, 480)  # and goes on


class TestTorch:
    @pytest.fixture(autouse=True)
    def _needs_it(self):
        pytest.importorskip("torch")

    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    def test_half_precision_leaves_the_module_alone(self, golden, precision):
        import torch

        from mfp.export.checkpoint import load

        module = load(golden("checkpoint_vit_small.pth")).train()
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        network = load_network(module, precision=precision)
        logits = network(*arrays(0, 1, 224, 224))
        assert logits.dtype == np.float32
        assert module.training
        for name, tensor in module.state_dict().items():
            assert tensor.dtype == before[name].dtype
            assert torch.equal(tensor, before[name])
        kinds = {type(part).__name__: part.weight.dtype for part in network.module.modules() if hasattr(part, "weight")}
        assert kinds["Linear"] == kinds["Conv2d"] == {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
        assert kinds["LayerNorm"] == kinds["GroupNorm"] == torch.float32

    def test_compiled(self, torch_toy):
        import torch

        try:
            torch._inductor.cpp_builder.get_cpp_compiler()
        except RuntimeError as error:
            pytest.skip(f"torch.compile needs a C++ compiler: {error}")
        network = load_network(torch_toy, "torch-compile", "cpu")
        assert network.runtime == "torch-compile"
        inputs = arrays(1, 2, 64, 96)
        expected = load_network(torch_toy, "torch", "cpu")(*inputs)
        np.testing.assert_allclose(network(*inputs), expected, atol=1e-4)
        with pytest.raises(NetworkError, match="could not run"):
            network(*arrays(0, 1, 64, 64)[:3], arrays(0, 1, 32, 32)[3])

    def test_a_compiler_that_is_missing(self, torch_toy, monkeypatch):
        import torch._inductor.config

        torch._dynamo.reset()
        monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "no-such-compiler"))
        with pytest.raises(RuntimeMissingError, match=r"C\+\+ compiler"):
            load_network(torch_toy, "torch-compile", "cpu")(*arrays(0, 1, 32, 40))

    def test_threads_are_the_process_s(self, torch_toy):
        with pytest.raises(OptionError, match="set_num_threads"):
            load_network(torch_toy, threads=1)


class TestChoice:
    """What "auto" takes, and that nothing else is taken quietly."""

    def test_what_auto_says(self, golden):
        network = load_network(golden("toy.onnx"))
        assert network.choice.startswith("onnxruntime on ")
        assert len(network.choice) > len("onnxruntime on the CPU: ")
        assert load_network(golden("toy.onnx"), device="cpu").choice == "onnxruntime on the CPU"
        assert load_network(golden("toy.onnx"), "onnxruntime", "cpu").choice == ""

    @pytest.mark.parametrize(
        ("missing", "device", "said"),
        [
            ("onnxruntime", "auto", "openvino on the CPU: onnxruntime is not installed"),
            ("onnxruntime", "cuda:0", "pip install onnxruntime"),
            ("onnxruntime openvino", "auto", "pip install onnxruntime"),
        ],
    )
    def test_without_onnxruntime(self, golden, missing, device, said):
        pytest.importorskip("openvino")
        code = (
            "import sys; sys.modules.update(dict.fromkeys(sys.argv[2].split()))\n"
            "from mfp import MfpError, load_network\n"
            "try: print(load_network(sys.argv[1], device=sys.argv[3]).choice)\n"
            "except MfpError as error: print(error)"
        )
        command = [sys.executable, "-c", code, golden("toy.onnx"), missing, device]
        assert said in subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def test_a_provider_that_is_missing_is_no_quiet_fall_back(self, golden, monkeypatch):
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("this ONNX Runtime has a CUDA provider")
        monkeypatch.setattr("mfp.engine.runtimes.ort_providers.cuda_driver", lambda: (1, ""))
        with pytest.raises(RuntimeMissingError, match=r"asked for cuda:0: .*CUDAExecutionProvider.*onnxruntime-gpu"):
            load_network(golden("toy.onnx"), device="cuda:0")
        assert "no CUDAExecutionProvider" in load_network(golden("toy.onnx")).choice
        for runtime in ("onnxruntime-tensorrt", "onnxruntime-tensorrt-rtx"):
            with pytest.raises(RuntimeMissingError, match=f"{runtime} finds no GPU to run on"):
                load_network(golden("toy.onnx"), runtime)

    def test_nodes_that_a_provider_leaves_to_the_cpu_are_found(self, exported, golden):
        import onnxruntime

        from mfp.engine.runtimes.ort_providers import misplaced

        settings = onnxruntime.SessionOptions()
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        session = onnxruntime.InferenceSession(exported("hrnet18").path, settings, ["CPUExecutionProvider"])
        if not hasattr(session, "get_provider_graph_assignment_info"):
            pytest.skip("ONNX Runtime before 1.24 cannot tell")
        assert "convolutions and matrix products to the CPU" in misplaced(session, "CUDAExecutionProvider")
        session = onnxruntime.InferenceSession(golden("toy.onnx"), settings, ["CPUExecutionProvider"])
        assert "took no node" in misplaced(session, "CUDAExecutionProvider")
        assert misplaced(session, "CPUExecutionProvider") == ""
