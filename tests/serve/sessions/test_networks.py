"""The networks that a server offers."""

import pytest

from mfp.engine.errors import NetworkError, OptionError
from mfp.serve.sessions.networks import load_networks


def test_names_and_runtimes(golden):
    pytest.importorskip("openvino")
    networks = load_networks(["lite0", str(golden("toy.onnx")), "lite0@openvino", "lite0@onnxruntime"], device="cpu")
    assert {name: network.runtime for name, network in networks.items()} == {
        "lite0": "onnxruntime",
        "toy": "onnxruntime",
        "lite0@openvino": "openvino",
        "lite0@onnxruntime": "onnxruntime",
    }


def test_two_of_one_name_are_refused(golden):
    with pytest.raises(OptionError, match="toy twice"):
        load_networks([str(golden("toy.onnx"))] * 2)


def test_what_is_no_runtime_is_part_of_the_name():
    with pytest.raises(NetworkError, match=r"no such file: photo@home\.onnx"):
        load_networks(["photo@home.onnx"])
