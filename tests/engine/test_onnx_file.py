"""The metadata of a file, read without its graph."""

import onnx
from hypothesis import example, given
from hypothesis import strategies as st

from mfp.engine.onnx_file import read_properties


def test_the_same_as_the_onnx_package_reads(exported, golden):
    for path in (exported("hrnet18").path, golden("toy.onnx")):
        model = onnx.load(path, load_external_data=False)
        assert read_properties(path) == {entry.key: entry.value for entry in model.metadata_props}


@example(data=b"", cut=200)
@example(data=b"\x72" + b"\xff" * 9, cut=0)  # an entry that claims to be longer than any file
@given(data=st.binary(max_size=200), cut=st.integers(0, 200))
def test_damaged_files_raise_nothing(tmp_path_factory, data, cut):
    model = onnx.ModelProto(ir_version=8)
    onnx.helper.set_model_props(model, {"mfp.precision": "fp16"})
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    whole = model.SerializeToString()
    path.write_bytes(whole[:cut] + data)
    found = read_properties(path)
    if cut >= len(whole) and not data:
        assert found == {"mfp.precision": "fp16"}
    if not cut and not data:
        assert found == {}
