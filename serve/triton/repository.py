"""Writer of a Triton model repository: for each model a ``config.pbtxt`` and the files that it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...engine.contract import INPUT_CHANNELS, OUTPUT, NetworkInfo, Size
from ...engine.errors import NetworkError, OptionError
from ...engine.image import write_file
from ...engine.packaged import find

QUEUE_MICROSECONDS = 2000  # longest wait of a request for others to share a network pass with

MODEL_PY = '''"""Written by `mfp triton-repo`. The work is mfp-engine's, which is to be installed beside Triton."""

from mfp.serve.triton.model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


def write_repository(
    network: str | Path,
    folder: str | Path,
    name: str | None = None,
    instances: int = 1,
    max_batch: int = 16,
    size: Size | int | None = None,
    flip: bool = True,
) -> list[Path]:
    """Write the two models of a network; files of the same names are replaced.

    Args:
        network: a packaged network's name, an ``.onnx`` file, or a ``.plan`` for TensorRT.
        folder: the model repository, made if it is missing.
        name: NAME in the models' names, ``mfp_NAME`` and ``mfp_NAME_network``; None: the file's name.
        instances: number of the Python backend's processes.
        max_batch: largest number of rows of a pass; a plan's own limit also applies.
        size, flip: options of sessions, as in :class:`~mfp.engine.session.Session`.

    Returns:
        The paths of the files written.

    Raises:
        NetworkError: Triton cannot run this network.
        OptionError: an option is out of its range, or the folder cannot be written.
    """
    if instances < 1 or max_batch < 1:
        raise OptionError(f"expected 1 or more instances and rows of a batch, got {instances} and {max_batch}")
    source = find(network)
    info, backend, data, rows = _network(source)
    name = source.stem if name is None else name
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise OptionError(f"expected a name of letters, digits, '_', '.' and '-', got {name!r}")
    if info.size is not None and size not in (None, info.size):
        raise OptionError(f"{source} is fixed to {info.size[0]}×{info.size[1]}: leave --size out")
    click, pass_ = f"mfp_{name}", f"mfp_{name}_network"
    sides = "dynamic" if size is None else str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}"
    parameters = {"network": pass_, "session.size": sides, "session.flip": str(flip).lower(), **info.to_properties()}
    ending = source.suffix.lower()
    files = {
        Path(pass_, "config.pbtxt"): network_config(pass_, backend, info, min(max_batch, rows or max_batch)).encode(),
        Path(pass_, "1", f"model{ending}"): data,
        Path(click, "config.pbtxt"): click_config(click, parameters, instances).encode(),
        Path(click, "1", "model.py"): MODEL_PY.encode(),
    }
    written = []
    for path, content in files.items():
        target = Path(folder) / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"cannot write to {target.parent}: {error.strerror}; expected a folder") from None
        written.append(write_file(target, content))
    return written


def _network(source: Path) -> tuple[NetworkInfo, str, bytes, int | None]:
    """The file's network information, Triton's backend for it, its bytes, and the most rows of a pass (None: any)."""
    if source.suffix.lower() == ".onnx":
        from ...engine.onnx_file import read_onnx

        return read_onnx(source)[1], "onnxruntime", source.read_bytes(), None
    if source.suffix.lower() == ".plan":
        from ...engine.plans.plan_file import read_plan

        metadata, plan = read_plan(source)
        if metadata.get("flavour") != "tensorrt":
            raise NetworkError(f"{source} is a plan of {metadata.get('flavour')}, which Triton does not run")
        largest = tuple(metadata["profile"][-1])
        fixed = metadata["profile"][0][1:] == metadata["profile"][-1][1:]
        properties = {key: str(value) for key, value in dict(metadata["network"]).items()}
        info = NetworkInfo.from_properties(properties, (largest[1], largest[2]) if fixed else None)
        return info, "tensorrt", bytes(plan), int(largest[0])
    raise NetworkError(f"{source}: expected an .onnx file, a .plan, or the name of a packaged network")


def network_config(name: str, backend: str, info: NetworkInfo, max_batch: int) -> str:
    """``config.pbtxt`` of the network model, which runs on Triton's own runtime, batched over requests."""
    sides = info.size or (-1, -1)
    inputs = [(tensor, "TYPE_FP32", (channels, *sides)) for tensor, channels in INPUT_CHANNELS.items()]
    return f"""# Written by mfp triton-repo: one pass of {info.backbone}, {info.precision} inside.
# Weights: {info.weights}.
name: {_text(name)}
backend: {_text(backend)}
max_batch_size: {max_batch}
{_tensors("input", inputs)}
{_tensors("output", [(OUTPUT, "TYPE_FP32", (1, *sides))])}
# Passes of one size that arrive together run as one.
dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_MICROSECONDS} }}
instance_group [ {{ count: 1 kind: KIND_AUTO }} ]
"""


def click_config(name: str, parameters: Mapping[str, str], instances: int) -> str:
    """``config.pbtxt`` of the click model, which runs in the Python backend."""
    inputs = [("image", "TYPE_UINT8", (-1,)), ("clicks", "TYPE_FP64", (-1, 3))]
    outputs = [("mask", "TYPE_BOOL", (-1, -1)), ("score", "TYPE_FP32", (1,))]
    lines = "\n".join(
        f"parameters {{ key: {_text(key)} value {{ string_value: {_text(value)} }} }}"
        for key, value in parameters.items()
    )
    return f"""# Written by mfp triton-repo: a photograph and all clicks so far, the mask.
# image: the bytes of a JPEG, PNG, WebP, TIFF or BMP file. clicks: x, y in pixels, 1 adds and 0 removes; in order.
name: {_text(name)}
backend: "python"
max_batch_size: 0
{_tensors("input", inputs)}
{_tensors("output", outputs)}
# Each instance is a process that keeps the images it has seen, and goes on where it was. A request that another one
# gets is computed from its first click on: right, and slower.
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
{lines}
"""


def _tensors(kind: str, tensors: Iterable[tuple[str, str, tuple[int, ...]]]) -> str:
    return "\n".join(
        f"{kind} [ {{ name: {_text(name)} data_type: {type_} dims: {list(dims)} }} ]" for name, type_, dims in tensors
    )


def _text(value: str) -> str:
    """A string in protobuf's text format. An ASCII JSON string is one."""
    return json.dumps(value)
