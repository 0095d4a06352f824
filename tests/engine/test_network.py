"""Opening networks: what is accepted, and what each refusal says."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mfp import Session, load_network
from mfp.engine.contract import INPUT_CHANNELS, NetworkInfo
from mfp.engine.devices import cuda_driver
from mfp.engine.errors import NetworkError, OptionError, RuntimeMissingError


def write_network(
    path, names=None, channels=None, batch="batch", size=("height", "width"), properties=None, dtype=TensorProto.FLOAT
):
    """A real, runnable ONNX file that averages its inputs; arguments bend the contract."""
    names = names or [*INPUT_CHANNELS, "logits"]
    channels = channels or INPUT_CHANNELS.values()
    inputs = [
        helper.make_tensor_value_info(name, dtype, [batch, count, *size])
        for name, count in zip(names[:-1], channels, strict=False)
    ]
    output = helper.make_tensor_value_info(names[-1], dtype, [batch, 1, *size])
    nodes = [helper.make_node("ReduceMean", [names[0]], [names[-1]], axes=[1], keepdims=1)]
    model = helper.make_model(
        helper.make_graph(nodes, "network", inputs, [output]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    helper.set_model_props(model, properties or {})
    onnx.save(model, path)
    return path


@pytest.fixture(params=["onnxruntime", "openvino"])
def runtime(request):
    """The runtimes of ONNX files that need no GPU: they refuse the same files."""
    pytest.importorskip(request.param)
    return request.param


def test_a_file_without_metadata_has_the_defaults(toy):
    assert toy.info == NetworkInfo()
    assert toy.info.size is None
    assert (toy.runtime, toy.device) == ("onnxruntime", "cpu")


def test_metadata_round_trip(tmp_path, runtime):
    info = NetworkInfo("hrnet18", (32, 48), "fp32", 5, 75.0, "untrained, seed 3", "mfp-engine 9")
    path = write_network(tmp_path / "a.onnx", size=(32, 48), properties=info.to_properties())
    network = load_network(path, runtime, device="cpu", threads=1)
    assert network.info == info
    assert not network.info.trained


@pytest.mark.parametrize("value", ["many", "-1", "7.5"])
def test_metadata_that_makes_no_sense(tmp_path, value, runtime):
    path = write_network(tmp_path / "a.onnx", properties={"mfp.n_early": value})
    with pytest.raises(NetworkError, match="n_early"):
        load_network(path, runtime)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": ["input", "prev_mask", "modulated_mask", "clicks", "logits"]}, "found the inputs input, prev_mask"),
        ({"names": ["image", "prev_mask", "modulated_mask", "clicks", "mask"]}, "the outputs mask"),
        (
            {"names": ["image", "prev_mask", "modulated_mask", "logits"]},
            "found the inputs image, prev_mask, modulated_mask and",
        ),
        ({"channels": [3, 1, 1, 4]}, r"expected clicks as N×2×H×W, found \S+×4×"),
        ({"batch": 1}, "the batch of image is fixed to 1"),
        ({"dtype": TensorProto.FLOAT16}, "expected image in float32"),
        ({"size": (320, "width")}, "both fixed or both open, found 320×any"),
    ],
)
def test_other_contracts_are_refused(tmp_path, change, words, runtime):
    path = write_network(tmp_path / "other.onnx", **change)
    with pytest.raises(NetworkError, match=words) as caught:
        load_network(path, runtime)
    assert "other.onnx" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"not a network", b"\x08\x07" * 50])
def test_damaged_files(tmp_path, data, runtime):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(data)
    with pytest.raises(NetworkError, match=r"damaged\.onnx"):
        load_network(path, runtime)


@pytest.mark.parametrize(
    ("change", "words"), [("half", "gave logits of"), ("nan", "not finite"), ("batch", "gave logits")]
)
def test_networks_that_break_their_word_when_they_run(tmp_path, change, words, runtime):
    """What no signature shows: the session says so, and keeps its clicks."""
    path = write_network(tmp_path / "a.onnx")
    model = onnx.load(path)
    (node,) = model.graph.node
    node.output[0] = "mean"
    if change == "half":
        scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 0.5, 0.5])
        model.graph.initializer.append(scales)
        last = helper.make_node("Resize", ["mean", "", "scales"], ["logits"])
    else:
        model.graph.initializer.append(helper.make_tensor("below", TensorProto.FLOAT, [], [-1.0]))
        model.graph.node.append(helper.make_node("Mul", ["mean", "below"], ["negative"]))
        last = helper.make_node("Sqrt", ["negative"], ["logits"])
    model.graph.node.append(last)
    onnx.save(model, path)
    session = Session(load_network(path, runtime, "cpu"), np.full((40, 60, 3), 99, np.uint8), size=(32, 48))
    with pytest.raises(NetworkError, match=words):
        session.click(5, 5)
    assert session.clicks == []


def test_a_file_that_is_cut_short(tmp_path, golden, runtime):
    path = tmp_path / "cut.onnx"
    path.write_bytes(golden("toy.onnx").read_bytes()[:3000])
    with pytest.raises(NetworkError, match=r"cut\.onnx"):
        load_network(path, runtime)


def test_files_that_are_not_there_or_of_another_kind(tmp_path, golden):
    with pytest.raises(NetworkError, match=r"no such file: .*mfp export"):
        load_network(tmp_path / "hrnet18.onnx")
    with pytest.raises(NetworkError, match="got a folder"):
        load_network(tmp_path)
    for source in (None, b"bytes", 3):
        with pytest.raises(NetworkError, match="expected a path or a module"):
            load_network(source)
    with pytest.raises(NetworkError, match=r"expected a file ending in \.onnx"):
        load_network(golden("astronaut.png"))
    with pytest.raises(
        NetworkError, match=r"runs on onnxruntime, .*tensorrt-rtx, not on torch\. PyTorch takes the \.pth"
    ):
        load_network(golden("toy.onnx"), runtime="torch")
    with pytest.raises(NetworkError, match=r"runs on torch, torch-compile, not on onnxruntime\. Export it"):
        load_network(golden("checkpoint_vit_small.pth"), runtime="onnxruntime")
    (tmp_path / "a.plan").write_bytes(b"")
    with pytest.raises(NetworkError, match="runs on tensorrt, tensorrt-rtx, not on openvino"):
        load_network(tmp_path / "a.plan", runtime="openvino")


@pytest.mark.parametrize(
    "options",
    [
        {"runtime": "tensorflow"},
        {"device": "tpu"},
        {"device": "cuda:x"},
        {"device": 0},
        {"threads": 0},
        {"threads": 10**9},
        {"threads": "2"},
        {"precision": "int8"},
        {"precision": "FP16"},
    ],
)
def test_unknown_options(golden, options):
    with pytest.raises(OptionError, match=r"expected|unknown"):
        load_network(golden("toy.onnx"), **options)


def test_a_gpu_that_is_not_there_is_no_quiet_fall_back(golden):
    if cuda_driver()[0]:
        pytest.skip("this machine has a CUDA GPU")
    pytest.importorskip("torch")
    for file in ("toy.onnx", "checkpoint_vit_small.pth"):
        with pytest.raises(RuntimeMissingError, match="cuda:0"):
            load_network(golden(file), device="cuda:0")
        assert load_network(golden(file)).device == "cpu"


def test_a_checkpoint_runs_on_pytorch(golden):
    pytest.importorskip("torch")
    network = load_network(golden("checkpoint_vit_small.pth"))
    assert network.runtime == "torch"
    assert network.info.size == (224, 224)
    assert network.info.weights.startswith("sha256:")
