"""Reading ONNX files without a runtime."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .contract import PREFIX, NetworkInfo, check_signature, graph_tensors
from .errors import NetworkError

if TYPE_CHECKING:
    import onnx

_METADATA = 14  # field of onnx.ModelProto: metadata_props, each a message of key (1) and value (2)
_LONGEST = 1 << 20  # bytes of an entry that is kept
_FIELDS = 10_000  # of a file, more than any needs: one made of millions must not keep us


def read_onnx(path: Path) -> tuple[onnx.ModelProto, NetworkInfo]:
    """An ONNX file and what it says of itself, held against the contract.

    Raises:
        NetworkError: no such file, no ONNX file, weights in other files, or it does not keep the contract.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.external_data_helper import uses_external_data

    if not path.is_file():
        raise NetworkError(
            f"expected a network file, got a folder: {path}" if path.is_dir() else f"no such file: {path}"
        )
    try:
        model = onnx.load(path, load_external_data=False)
        next(entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    except (DecodeError, OSError, StopIteration, TypeError, UnicodeDecodeError) as error:
        raise NetworkError(f"{path} is no ONNX file ({error}). Export one with: mfp export") from None
    if any(uses_external_data(tensor) for tensor in model.graph.initializer):
        raise NetworkError(f"{path} keeps weights in other files; expected one file with all. Export it again.")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = graph_tensors(value for value in model.graph.input if value.name not in weights)
    size = check_signature(path.name, inputs, graph_tensors(model.graph.output))
    properties = {entry.key: entry.value for entry in model.metadata_props}
    half = {onnx.TensorProto.FLOAT16: "fp16", onnx.TensorProto.BFLOAT16: "bf16"}
    kinds = {half.get(tensor.data_type) for tensor in model.graph.initializer} - {None}
    if len(kinds) == 1:  # files of other exporters do not say
        properties.setdefault(PREFIX + "precision", str(kinds.pop()))
    return model, NetworkInfo.from_properties(properties, size)


def read_properties(path: Path) -> dict[str, str]:
    """The ``metadata_props`` of an ONNX file, read in a millisecond where loading the graph takes a second.

    Of a damaged file what can be read; whoever opens it will complain.
    """
    found = {}
    with path.open("rb") as file:
        for number, data in islice(_fields(file), _FIELDS):
            if number == _METADATA:
                entry = dict(_fields(io.BytesIO(data)))
                found[entry.get(1, b"").decode(errors="replace")] = entry.get(2, b"").decode(errors="replace")
    return found


def _fields(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of every field of a protobuf message; no bytes of numbers and of what is long (the graph)."""
    while (tag := _varint(file)) is not None:
        kind, data = tag & 7, b""
        if kind == 0:
            _varint(file)
        elif kind in (1, 5):
            file.seek(8 if kind == 1 else 4, io.SEEK_CUR)
        elif kind == 2 and (length := _varint(file)) is not None:
            if length <= _LONGEST:
                data = file.read(length)
            else:
                file.seek(length, io.SEEK_CUR)
        else:
            return
        yield tag >> 3, data


def _varint(file: IO[bytes]) -> int | None:
    """A number in seven bits a byte, lowest first; None at the end of the file."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    return None
