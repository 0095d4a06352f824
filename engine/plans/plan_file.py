"""The ``.plan`` file: JSON metadata followed by a TensorRT plan.

Both are in one file, so that they cannot be separated and are replaced together::

    0        8 bytes    b"MFPPLAN1"
    8        uint32     little-endian: length of the JSON in bytes
    12       the JSON   an object, UTF-8
             zeros      up to a multiple of 64 bytes
    offset   the plan   as TensorRT serialised it, up to the end of the file

:func:`write_plan` puts ``schema``, ``plan_sha256`` and ``plan_bytes`` into the JSON. The rest is the builder's; these
keys have readers here: ``source`` (path of the ONNX file; messages name it), ``key`` (the parts of the cache key, see
:mod:`.cache`), and the texts ``backbone``, ``precision``, ``built_for`` and ``built`` (ISO 8601), which
``mfp cache list`` shows.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shlex
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from ..contract import MAX_TEXT
from ..errors import PlanError

MAGIC = b"MFPPLAN1"
SCHEMA = 1  # version of the metadata; a reader refuses newer ones

_ALIGNMENT = 64
_HEAD = struct.Struct("<8sI")
_SHA256 = re.compile("[0-9a-f]{64}")
MAX_SHOWN = 4096  # characters of a value that is shown in full: no path is longer
_MAX_JSON = 4 << 20  # bytes; builders write about 10 kB
_MAX_DEPTH = 32  # levels of nesting: far above any use, below what ends in a RecursionError


def write_plan(path: str | os.PathLike[str], metadata: Mapping[str, Any], plan: bytes | bytearray | memoryview) -> Path:
    """Write a plan file so that it appears complete or not at all.

    Args:
        path: path of the file; an existing file is replaced.
        metadata: JSON values by name. ``schema``, ``plan_sha256`` and ``plan_bytes`` are set here.
        plan: plan that TensorRT serialised, in any contiguous buffer, also TensorRT's ``IHostMemory``.

    Raises:
        PlanError: the file cannot be written (the cause is the OSError), or the metadata cannot be stored as JSON. No
            file is left.
    """
    path = Path(path)
    data = memoryview(plan).cast("B")
    own = {"schema": SCHEMA, "plan_sha256": hashlib.sha256(data).hexdigest(), "plan_bytes": len(data)}
    front = _front(path, {**metadata, **own})
    try:
        replace_file(path, front, data)
    except OSError as error:
        reason = f"cannot be written ({error.strerror}): the folder must exist, be writable and have room for it"
        raise PlanError(f"{path} {reason}") from error
    return path


def replace_file(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file so that it appears complete or not at all.

    Raises:
        OSError: the file cannot be written. No part of it is left.
    """
    partial = path.with_name(f"{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with partial.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink()


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A plan file's metadata. The plan is not read; its length is checked against the one in the JSON.

    Raises:
        PlanError: the file does not exist, is no plan file, is truncated, has damaged metadata, or was made by a newer
            mfp-engine.
    """
    path = Path(path)
    with _opened(path) as file:
        return _read_front(path, file)[0]


def plan_offset(path: str | os.PathLike[str]) -> int:
    """Offset in bytes, counted from 0, at which the TensorRT plan starts.

    Raises:
        PlanError: same as in :func:`read_metadata`.
    """
    path = Path(path)
    with _opened(path) as file:
        return _read_front(path, file)[1]


def read_plan(path: str | os.PathLike[str]) -> tuple[dict[str, Any], memoryview]:
    """A plan file's metadata and its plan (read-only bytes, one copy in memory), checked against their SHA-256.

    Raises:
        PlanError: same as in :func:`read_metadata`, or the plan is damaged.
    """
    path = Path(path)
    with _opened(path) as file:
        metadata, offset = _read_front(path, file)
        file.seek(offset)
        plan = bytearray(metadata["plan_bytes"])  # not memory-mapped: truncating the file later would crash the process
        length = file.readinto(plan)
    found, expected = hashlib.sha256(plan).hexdigest(), metadata["plan_sha256"]
    if length != len(plan) or found != expected:
        reason = f"is damaged: it was written with a plan of SHA-256 {expected[:12]}…, the plan in it has {found[:12]}…"
        raise _refusal(path, reason, metadata)
    return metadata, memoryview(plan).toreadonly()


def describe(metadata: Mapping[str, Any], limit: int = MAX_TEXT) -> dict[str, str]:
    """Metadata as printable texts, short enough for a table: ``{"a": {"b": [1, 2]}}`` becomes ``{"a.b": "1, 2"}``."""
    rows: dict[str, str] = {}
    for name, value in metadata.items():
        if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
            value = {str(index): item for index, item in enumerate(value)}
        if isinstance(value, dict):
            rows.update({printable(f"{name}.{key}"): text for key, text in describe(value, limit).items()})
        else:
            words = ", ".join(map(_word, value if isinstance(value, list) else [value]))
            rows[printable(name)] = printable(words, limit)
    return rows


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        if not path.is_file():  # nor a pipe, which would wait for a writer
            raise _refusal(path, "is no file" if path.exists() else "does not exist")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})") from error


def _front(path: Path, metadata: Mapping[str, Any]) -> bytes:
    """The bytes in front of the plan. The JSON is ASCII, so that odd file names (lone surrogates) survive in it."""
    try:
        text = json.dumps(metadata, allow_nan=False).encode()
        _parse(text)  # metadata that cannot be read back is not written
    except (TypeError, ValueError, RecursionError) as error:
        raise PlanError(f"{path} is not written: its metadata cannot be kept as JSON ({error})") from None
    front = _HEAD.pack(MAGIC, len(text)) + text
    return front.ljust(_aligned(len(front)), b"\0")


def _read_front(path: Path, file: BufferedReader) -> tuple[dict[str, Any], int]:
    """The metadata, and the offset in bytes at which the plan starts."""
    size = os.fstat(file.fileno()).st_size
    head = file.read(_HEAD.size)
    if not head.startswith(MAGIC):
        raise _refusal(path, f"is no plan file of mfp-engine: {_kind(head)}")
    if len(head) < _HEAD.size:
        raise _refusal(path, f"is truncated: it ends after {size} bytes")
    length = _HEAD.unpack(head)[1]
    if length > min(_MAX_JSON, size - len(head)):
        reason = f"is truncated or damaged: it promises {length} bytes of metadata, and has {size} bytes in all"
        raise _refusal(path, reason)
    try:
        metadata = _parse(file.read(length))
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"is damaged: its metadata is no JSON object ({error})") from None

    schema = metadata.get("schema")
    if type(schema) is int and schema > SCHEMA:
        reason = f"was made by a newer mfp-engine (schema {str(schema)[:9]}, this version reads {SCHEMA})"
        raise _refusal(path, reason, metadata, "Update mfp-engine, or build")
    offset = _aligned(len(head) + length)
    padding = file.read(offset - len(head) - length)
    digest, plan_bytes = metadata.get("plan_sha256"), metadata.get("plan_bytes")
    known = type(schema) is int and schema == SCHEMA and isinstance(digest, str) and _SHA256.fullmatch(digest)
    if not known or type(plan_bytes) is not int or any(padding):
        raise _refusal(path, "is damaged: its metadata does not say what every plan file's says", metadata)
    if not 0 <= plan_bytes == size - offset:
        reason = (
            f"is truncated or damaged: expected a plan of {str(plan_bytes)[:20]} bytes, found {max(size - offset, 0)}"
        )
        raise _refusal(path, reason, metadata)
    return metadata, offset


def _aligned(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT


def _parse(text: bytes) -> dict[str, Any]:
    """Parse a JSON object whose numbers are finite.

    Raises:
        ValueError, RecursionError: the text is something else.
    """
    if len(text) > _MAX_JSON:
        raise ValueError(f"{len(text)} bytes; at most {_MAX_JSON} are kept")
    value = json.loads(text.decode("utf-8"), parse_float=_finite, parse_constant=_finite)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {type(value).__name__}")
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
        level = [child for child in level if isinstance(child, (dict, list))]
        if not level:
            return value
    raise ValueError(f"nested deeper than {_MAX_DEPTH}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def _kind(head: bytes) -> str:
    """Probable kind of a file that is no plan file, for the message."""
    if not head:
        return "it is empty"
    if head[1:4] == b"trt":
        return "it seems to be a bare TensorRT plan, which does not say what it is"
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x3a", b"\x42"):  # field 1, then 2, 7 or 8 of a ModelProto
        return "it seems to be an ONNX file, from which one is built"
    return f"it starts with {head[: len(MAGIC)]!r} instead of {MAGIC!r}"


def rebuild_command(metadata: Mapping[str, Any] | None) -> str:
    """The command that builds a plan again from the ONNX file in its metadata, as far as these can be trusted."""
    source = (metadata or {}).get("source")
    known = isinstance(source, str) and source.isprintable() and 0 < len(source) <= MAX_TEXT
    return f"mfp build {shlex.quote(str(source)) if known else 'MODEL.onnx'}"


def _refusal(path: Path, reason: str, metadata: Mapping[str, Any] | None = None, remedy: str = "Build") -> PlanError:
    error = PlanError(f"{path} {reason}. {remedy} it again with: {rebuild_command(metadata)}")
    error.reason = reason
    return error


def _word(value: Any) -> str:
    return "–" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """Text from a file, made safe to print and cut to a bounded length."""
    text = "".join(c for c in text if c.isprintable())
    return text if len(text) <= limit else text[: limit - 1] + "…"
