"""The packaged files belong together: the ONNX files are what the checkpoint exports to."""

import numpy as np
import onnx
import pytest

from mfp import load_network
from mfp.engine import packaged
from mfp.engine.errors import CheckpointError
from mfp.export import checkpoint, pack
from mfp.export.agreement import compare
from mfp.export.half import prepared


def test_the_files_are_what_the_checkpoint_exports_to():
    reference = load_network("lite0", runtime="torch", device="cpu")
    for precision, limit in (("fp32", 0.04), ("fp16", 0.08)):  # kernels rounded to FP16; everything rounded to it
        network = load_network("lite0", runtime="onnxruntime", device="cpu", precision=precision)
        assert network.info.weights == reference.info.weights
        assert max(compare(network, reference, (network.info.size,)).values()) < limit


def test_the_arithmetic_of_the_fp32_file_is_fp32():
    model = onnx.load(packaged.find("lite0"))
    types = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    assert onnx.TensorProto.FLOAT16 not in types.values()  # of all that nodes give
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert all(node.input[0].endswith(pack.STORED) for node in casts)
    onnx.checker.check_model(model, full_check=True)


def test_conversion_finds_weights_behind_their_casts():
    packed = onnx.load(packaged.find("lite0"))
    plain = prepared(packed)
    assert "Cast" not in {node.op_type for node in plain.graph.node}
    again = pack.stored_in_half(plain)
    assert {t.name: onnx.numpy_helper.to_array(t).tobytes() for t in again.graph.initializer} == {
        t.name: onnx.numpy_helper.to_array(t).tobytes() for t in packed.graph.initializer
    }


def test_a_checkpoint_is_found_by_name():
    network = checkpoint.load("lite0")
    assert network.spec.name == "lite0"
    assert all(np.isfinite(tensor.numpy()).all() for tensor in network.state_dict().values())
    with pytest.raises(CheckpointError, match="lite1"):
        checkpoint.load("lite1")


def test_a_checkpoint_that_cannot_be_read_is_one_line(tmp_path, capsys):
    assert pack.main([str(tmp_path / "none.pth"), "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
