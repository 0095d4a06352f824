"""Packer: writes the files of a packaged network (:mod:`mfp.engine.packaged`) from a checkpoint, in a clone.

    python -m mfp.export.pack lite0.pth

The checkpoint's weights are rounded to FP16, which halves its size; the ONNX files are exported from the result. The
FP32 file stores its matrices and kernels in FP16, each behind a Cast that runtimes compute once, at load time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..engine.errors import ExportError
from ..engine.network import load_network
from ..engine.packaged import FOLDER
from ..engine.terminal.guard import guarded
from .agreement import LIMITS, compare, worst

STORED = "_stored"  # suffix of the names of weights behind a Cast


def pack(checkpoint: str | Path, folder: Path = FOLDER) -> list[Path]:
    """Write ``BACKBONE.pth``, ``BACKBONE.onnx`` and ``BACKBONE_fp16.onnx``.

    Args:
        checkpoint: file as for :func:`mfp.export.checkpoint.load`; packing a packed one gives the same weights.
        folder: destination folder.

    Raises:
        MfpError: the checkpoint is refused, or a written file is too far from it.
    """
    from .checkpoint import load, write_checkpoint
    from .convert import convert_onnx
    from .onnx_export import export_onnx

    network = load(checkpoint)
    stem = folder / network.spec.name
    weights, wide, half = stem.with_suffix(".pth"), stem.with_suffix(".onnx"), folder / f"{stem.name}_fp16.onnx"
    write_checkpoint(weights, network.half())
    with tempfile.TemporaryDirectory() as drafts:
        plain = export_onnx(checkpoint=weights, output=Path(drafts) / wide.name)
        convert_onnx(plain.path, half)
        onnx.save(stored_in_half(onnx.load(plain.path)), wide)
        assert plain.info.size is not None
        differences = compare(
            load_network(wide, "onnxruntime", "cpu"), load_network(plain.path, "onnxruntime", "cpu"), (plain.info.size,)
        )
    if not worst(differences) <= LIMITS["fp16"]:
        raise ExportError(
            f"{wide} differs from what {weights} exports to by {worst(differences):.1e} of the logits' standard "
            f"deviation; expected at most {LIMITS['fp16']:g}. Weights this large or small cannot be stored in FP16"
        )
    return [weights, wide, half]


def stored_in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an FP32 model with its matrices and kernels in FP16, each with a Cast; the arithmetic stays FP32."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    casts = []
    for tensor in result.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and values.ndim > 1:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + STORED))
            casts.append(helper.make_node("Cast", [name + STORED], [name], f"{name}/Cast", to=TensorProto.FLOAT))
    nodes = [*casts, *result.graph.node]
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m mfp.export.pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, metavar="FILE.pth")
    parser.add_argument("--output", type=Path, default=FOLDER, metavar="FOLDER", help="default: engine/networks")
    args = parser.parse_args(argv)
    return guarded("python -m mfp.export.pack", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    for path in pack(args.checkpoint, args.output):
        print(f"wrote {path}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
