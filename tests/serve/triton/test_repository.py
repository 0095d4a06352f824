"""The model repository: its configurations, read by Triton's own message, and the click as its Python backend calls it.

The backend's own module exists in Triton alone; here a small one stands in for it, with the real network behind.
``test_server.py`` runs the same in Triton.
"""

import importlib.util
import json
import sys
import types
from importlib.metadata import distribution

import numpy as np
import pytest
from google.protobuf import text_format
from google.protobuf.json_format import MessageToDict

from mfp import Session, read_image
from mfp.cli.main import main
from mfp.engine.contract import INPUT_CHANNELS
from mfp.engine.errors import NetworkError, OptionError, PlanError
from mfp.engine.plans.plan_file import write_plan
from mfp.serve.triton.repository import write_repository


@pytest.fixture(scope="module")
def messages():
    """Triton's ModelConfig, from its client's package; without the package, which needs gRPC."""
    file = distribution("tritonclient").locate_file("tritonclient/grpc/model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def read(messages):
    return lambda path: text_format.Parse(path.read_text(), messages.ModelConfig())


def tensors(found):
    return {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in found}


def test_the_repository_of_a_fixed_network(tmp_path, read, messages, capsys):
    folder = tmp_path / "new" / "models"
    assert main(["triton-repo", "lite0", "--output", str(folder), "--instances", "3", "--no-flip"]) == 0
    written = {folder / line for line in capsys.readouterr().out.splitlines()}
    assert written == {path for path in folder.rglob("*") if path.is_file()}
    network = read(folder / "mfp_lite0_network" / "config.pbtxt")
    assert (network.name, network.backend, network.max_batch_size) == ("mfp_lite0_network", "onnxruntime", 16)
    fp32 = messages.TYPE_FP32
    assert tensors(network.input) == {name: (fp32, [n, 384, 384]) for name, n in INPUT_CHANNELS.items()}
    assert tensors(network.output) == {"logits": (fp32, [1, 384, 384])}
    assert network.dynamic_batching.max_queue_delay_microseconds > 0
    click = read(folder / "mfp_lite0" / "config.pbtxt")
    assert (click.name, click.backend, click.max_batch_size) == ("mfp_lite0", "python", 0)
    assert tensors(click.input) == {"image": (messages.TYPE_UINT8, [-1]), "clicks": (messages.TYPE_FP64, [-1, 3])}
    assert tensors(click.output) == {"mask": (messages.TYPE_BOOL, [-1, -1]), "score": (fp32, [1])}
    assert [(group.count, group.kind) for group in click.instance_group] == [(3, messages.ModelInstanceGroup.KIND_CPU)]
    assert click.parameters["network"].string_value == network.name
    assert click.parameters["session.flip"].string_value == "false"
    assert click.parameters["mfp.backbone"].string_value == "lite0"


def test_a_network_of_any_size(tmp_path, read, golden):
    write_repository(golden("toy.onnx"), tmp_path, "mine", size=64, max_batch=4)
    network = read(tmp_path / "mfp_mine_network" / "config.pbtxt")
    assert network.max_batch_size == 4
    assert [list(tensor.dims[1:]) for tensor in network.input] == [[-1, -1]] * 4
    assert read(tmp_path / "mfp_mine" / "config.pbtxt").parameters["session.size"].string_value == "64"


def test_a_plan_is_given_bare(tmp_path, read):
    metadata = {
        "flavour": "tensorrt",
        "network": {"mfp.backbone": "hrnet18", "mfp.n_early": "5"},
        "profile": [[1, 320, 480], [2, 320, 480], [8, 320, 480]],
    }
    write_plan(tmp_path / "a.plan", metadata, b"what TensorRT wrote")
    write_repository(tmp_path / "a.plan", tmp_path)
    network = read(tmp_path / "mfp_a_network" / "config.pbtxt")
    assert (network.backend, network.max_batch_size) == ("tensorrt", 8)
    assert list(network.input[0].dims) == [3, 320, 480]
    assert (tmp_path / "mfp_a_network" / "1" / "model.plan").read_bytes() == b"what TensorRT wrote"
    assert read(tmp_path / "mfp_a" / "config.pbtxt").parameters["mfp.n_early"].string_value == "5"
    write_plan(tmp_path / "b.plan", metadata | {"flavour": "tensorrt-rtx"}, b"plan")
    with pytest.raises(NetworkError, match="tensorrt-rtx"):
        write_repository(tmp_path / "b.plan", tmp_path)


@pytest.mark.parametrize(
    ("network", "options", "error", "words"),
    [
        ("lite0", {"name": "a/b"}, OptionError, "letters"),
        ("lite0", {"name": ""}, OptionError, "letters"),
        ("lite0", {"size": (64, 64)}, OptionError, "384"),
        ("lite0", {"instances": 0}, OptionError, "1 or more"),
        ("nothing.onnx", {}, NetworkError, "no such file"),
        ("nothing.plan", {}, PlanError, "does not exist"),
        ("nothing.pth", {}, NetworkError, r"expected an \.onnx file"),
    ],
)
def test_what_is_refused(tmp_path, network, options, error, words):
    with pytest.raises(error, match=words):
        write_repository(network, tmp_path / "models", **options)
    assert not (tmp_path / "models").exists()


class Tensor:
    def __init__(self, name, array):
        self.name, self.array = name, array

    def as_numpy(self):
        return self.array


class TritonError(Exception):
    INVALID_ARG = 3

    def __init__(self, text, code=0):
        self.text, self.code = text, code

    def message(self):
        return self.text


class Response:
    def __init__(self, output_tensors, error=None):
        self.tensors, self.failure = {tensor.name: tensor for tensor in output_tensors}, error

    def has_error(self):
        return self.failure is not None

    def error(self):
        return self.failure


@pytest.fixture
def backend(monkeypatch, tmp_path, golden, read, messages):
    """The click of a repository, as the Python backend runs it; calls of its other model go to ONNX Runtime."""
    import onnxruntime

    write_repository(golden("toy.onnx"), tmp_path, "toy", size=64)
    network = read(tmp_path / "mfp_toy_network" / "config.pbtxt")
    runtime = onnxruntime.InferenceSession(tmp_path / "mfp_toy_network" / "1" / "model.onnx")
    state = types.SimpleNamespace(passes=0, down=False)

    class Request:
        def __init__(self, model_name, requested_output_names, inputs, preferred_memory):
            assert model_name == network.name
            assert set(tensors(network.input)) == {tensor.name for tensor in inputs}
            assert all(tensor.array.dtype == np.float32 for tensor in inputs)
            assert all(len(tensor.array) <= network.max_batch_size for tensor in inputs)
            self.names, self.inputs = requested_output_names, inputs

        def exec(self):
            state.passes += 1
            if state.down:
                return Response([], TritonError("the model is not ready"))
            arrays = runtime.run(self.names, {tensor.name: tensor.array for tensor in self.inputs})
            return Response([Tensor(name, array) for name, array in zip(self.names, arrays, strict=True)])

    utils = types.ModuleType("triton_python_backend_utils")
    utils.Tensor, utils.TritonError, utils.InferenceResponse, utils.InferenceRequest = (
        Tensor,
        TritonError,
        Response,
        Request,
    )
    utils.get_input_tensor_by_name = lambda request, name: request[name]
    utils.get_output_tensor_by_name = lambda response, name: response.tensors[name]
    utils.PreferredMemory, utils.TRITONSERVER_MEMORY_CPU = (lambda kind: kind), 0
    monkeypatch.setitem(sys.modules, utils.__name__, utils)
    spec = importlib.util.spec_from_file_location("model", tmp_path / "mfp_toy" / "1" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    config = MessageToDict(read(tmp_path / "mfp_toy" / "config.pbtxt"), preserving_proto_field_name=True)
    model.initialize({"model_config": json.dumps(config)})

    def ask(*requests):
        return model.execute(
            [{"image": Tensor("image", np.frombuffer(i, np.uint8)), "clicks": Tensor("clicks", c)} for i, c in requests]
        )

    state.ask = ask
    return state


CLICKS = np.array([[300.0, 200.0, 1], [20.5, 30.0, 0], [350.0, 220.0, 1]])


def test_the_click(backend, toy, golden):
    photo = golden("coffee.png").read_bytes()
    session = Session(toy, read_image(golden("coffee.png")), size=64)
    for count, (x, y, sign) in enumerate(CLICKS, 1):
        mask = session.click(x, y, bool(sign))
        (response,) = backend.ask((photo, CLICKS[:count]))
        assert not response.has_error()
        np.testing.assert_array_equal(response.tensors["mask"].as_numpy(), mask.array)
        assert 0 <= response.tensors["score"].as_numpy()[0] <= 1
        assert backend.passes == count + 1
    (empty,) = backend.ask((photo, np.zeros((0, 3))))
    assert not empty.tensors["mask"].as_numpy().any()


def test_one_request_that_fails_leaves_the_others(backend, golden):
    photo = golden("coffee.png").read_bytes()
    wrong = [
        (b"text", CLICKS, "no image"),
        (photo, CLICKS[:, :2], "n×3"),
        (photo, CLICKS * 2, "n×3"),
        (photo, np.array([[1e4, 0, 1]]), "outside the image"),
    ]
    responses = backend.ask(*[request[:2] for request in wrong], (photo, CLICKS[:1]))
    for response, (_, _, words) in zip(responses, wrong, strict=False):
        assert response.error().code == TritonError.INVALID_ARG
        assert words in response.error().message()
    assert not responses[-1].has_error()
    backend.down = True
    (response,) = backend.ask((photo, CLICKS[:2]))
    assert "the model is not ready" in response.error().message()
    assert response.error().code != TritonError.INVALID_ARG
    backend.down = False
    assert not backend.ask((photo, CLICKS[:2]))[0].has_error()
