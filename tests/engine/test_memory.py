"""Memory that stays within bounds: of networks of any size, whatever sizes come."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

SIZES = """
import sys
import numpy as np
from mfp import load_network
network = load_network(sys.argv[1], runtime=sys.argv[2], device="cpu", threads=1)
for i in range(120):
    height, width = 8 + i % 12, 8 + i // 12
    network(*(np.zeros((1, n, height, width), np.float32) for n in (3, 1, 1, 2)))
    if i in (39, 119):
        print(int(open("/proc/self/statm").read().split()[1]) * 4096 // 2**20)
"""


@pytest.fixture(scope="module")
def many_layers(tmp_path_factory):
    """The file of a network of any size with 40 convolutions, no two of which are alike."""
    names = {"image": 3, "prev_mask": 1, "modulated_mask": 1, "clicks": 2}
    nodes = [onnx.helper.make_node("Concat", list(names), ["x0"], axis=1)]
    weights, channels = [], 7
    for i in range(40):
        after = 8 + i if i < 39 else 1
        values = np.full((after, channels, 3, 3), 0.01, np.float32)
        weights.append(onnx.numpy_helper.from_array(values, f"w{i}"))
        end = f"x{i + 1}" if i < 39 else "logits"
        nodes.append(onnx.helper.make_node("Conv", [f"x{i}", f"w{i}"], [end], pads=[1] * 4))
        channels = after
    tensors = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", count, "h", "w"])
        for name, count in {**names, "logits": 1}.items()
    ]
    graph = onnx.helper.make_graph(nodes, "layers", tensors[:-1], tensors[-1:], weights)
    path = tmp_path_factory.mktemp("layers") / "layers.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the process's memory as Linux tells it")
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_new_sizes_do_not_take_new_memory_for_ever(runtime, many_layers):
    pytest.importorskip(runtime)
    ran = subprocess.run(
        [sys.executable, "-c", SIZES, str(many_layers), runtime], capture_output=True, text=True, check=True
    )
    after_40, after_120 = map(int, ran.stdout.split())
    assert after_120 - after_40 < 50  # MiB
