"""The structures of Python are those of the kernels: names, offsets, sizes."""

import numpy as np

from mfp.kernels import block
from mfp.kernels.cubin import OPTIONS, source

STRUCTURES = {
    "MfpClick": block.CLICK,
    "MfpClickBlock": block.BLOCK,
    "MfpLane": block.LANE,
    "MfpWindow": block.WINDOW,
    "MfpPlaced": block.PLACED,
    "MfpResult": block.RESULT,
}


def assertions():
    """C++ that compiles where all is alike."""
    for structure, dtype in STRUCTURES.items():
        for name, (field, offset) in dtype.fields.items():
            yield f"static_assert(offsetof({structure}, {name}) == {offset});"
            yield f"static_assert(sizeof({structure}::{name}) == {field.itemsize});"
        if structure != "MfpResult":
            yield f"static_assert(sizeof({structure}) == {dtype.itemsize});"
    yield f"static_assert(offsetof(MfpResult, bits) == {block.RESULT.itemsize});"  # they follow the head
    yield f"static_assert(MFP_NOT_FINITE == {block.NOT_FINITE} && MFP_NEEDS_BOOTSTRAP == {block.NEEDS_BOOTSTRAP});"


def test_structures_are_alike_in_python_and_cpp(host_cuda, tmp_path):
    file = tmp_path / "structures.cpp"
    file.write_text("\n".join(["#include <cstddef>", '#include "click_block.h"', *assertions(), "int main() {}"]))
    host_cuda.compile_cpp(file, tmp_path / "structures")


def test_structures_are_alike_in_python_and_on_the_gpu(nvrtc):
    sizes = [line for line in assertions() if "offsetof" not in line]  # which NVRTC does not have
    nvrtc.compile("\n".join([source(), *sizes]), *OPTIONS, "-arch=compute_75")


def test_clicks_follow_the_block_where_their_doubles_may_lie():
    assert block.BLOCK.itemsize % np.dtype(np.float64).alignment == 0
    assert block.RESULT.itemsize % 4 == 0


def test_words_of_a_mask():
    assert [block.mask_words(3, width) for width in (1, 32, 33)] == [3, 3, 6]
