"""Reading a PyTorch file without running it.

A ``.pth`` file is a zip archive with a pickle inside, and unpickling calls whatever the file names. Here the
pickle only ever meets the inert classes of this file: no module is imported, no foreign name is looked up,
tensors are descriptions until :meth:`Archive.tensor` reads their bytes. A pickle that names anything outside
the allow-list (``os.system``, ``builtins.getattr``, …) is refused before it is called.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
import reprlib
import zipfile
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.errors import CheckpointError

if TYPE_CHECKING:
    import torch

# First bytes of files that PyTorch wrote before 1.6: a pickle of the number 0x1950a86a20f9469cfc6c.
LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
MAX_DIMENSIONS = 8

STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


class StandIn:
    """Takes the place of a class or function that this engine does not have; does nothing at all.

    Every object that a pickle can get hold of defines ``__setstate__``: without it, unpickling would write
    the file's values into the attributes of the object.
    """

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> StandIn:
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


class PlainDict(dict[Any, Any]):
    """In place of OrderedDict, whose instances would take attributes (a method's name among them)."""

    __slots__ = ()

    def __repr__(self) -> str:
        # Short: a few bytes of nested, shared dictionaries can be gigabytes when written out.
        return f"<dictionary of {len(self)}>"

    def __setstate__(self, state: object) -> None:
        pass


class StorageRecord:
    """The bytes of one or more tensors: entry ``data/<key>`` of the archive."""

    __slots__ = ("dtype", "key", "numel")
    dtype: str
    key: str
    numel: int

    def __init__(self, dtype: object, key: object, numel: Any) -> None:
        if not isinstance(dtype, str) or dtype not in STORAGES.values():
            raise CheckpointError(f"a tensor of unknown type {reprlib.repr(dtype)}")
        if not isinstance(key, str) or not _sizes((numel,)):
            raise CheckpointError(f"a malformed storage {reprlib.repr((key, numel))}")
        self.dtype, self.key, self.numel = dtype, key, numel

    def __setstate__(self, state: object) -> None:
        pass


class TensorRecord:
    """A tensor as the pickle describes it: ``shape`` and ``stride`` in elements of a storage."""

    __slots__ = ("offset", "shape", "storage", "stride")
    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __new__(cls, storage: object, offset: Any, shape: Any, stride: Any, *_: object) -> TensorRecord:
        if (
            not isinstance(storage, StorageRecord)
            or not isinstance(shape, tuple)
            or not isinstance(stride, tuple)
        ):
            raise CheckpointError("a malformed tensor")
        if not _sizes((offset, *shape, *stride)) or not len(shape) == len(stride) <= MAX_DIMENSIONS:
            raise CheckpointError(f"a malformed tensor of shape {reprlib.repr(shape)}")
        record = object.__new__(cls)
        record.storage, record.offset, record.shape, record.stride = storage, offset, shape, stride
        return record

    def __setstate__(self, state: object) -> None:
        pass


def _sizes(values: tuple[object, ...]) -> bool:
    return all(type(value) is int and 0 <= value < 1 << 48 for value in values)


class Parameter(StandIn):
    """``torch._utils._rebuild_parameter``: the parameter is its tensor."""

    __slots__ = ()

    def __new__(cls, data: object = None, *_: object, **__: object) -> Any:
        return data


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): PlainDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("torch", "Size"): tuple,
    ("torch", "device"): StandIn,
    # NumPy scalars: their type, their bytes and themselves.
    ("numpy", "dtype"): StandIn,
    ("_codecs", "encode"): StandIn,
    ("numpy.core.multiarray", "scalar"): StandIn,
    ("numpy._core.multiarray", "scalar"): StandIn,
    ("torch._utils", "_rebuild_tensor_v2"): TensorRecord,
    ("torch._utils", "_rebuild_parameter"): Parameter,
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
}
# Of known origin and of no use here: the authors' loss objects and layers. What they would hold is lost.
STAND_IN_PACKAGES = ("isegm.", "torch.nn.")


class InertUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) in ALLOWED:
            return ALLOWED[module_name, global_name]
        if f"{module_name}.".startswith(STAND_IN_PACKAGES):
            return StandIn
        raise CheckpointError(
            f"its pickle asks for {module_name}.{global_name}, which no MFP checkpoint needs and "
            "which could run code; nothing was executed. Get the file from its authors again"
        )

    def persistent_load(self, pid: Any) -> StorageRecord:
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage":
            raise CheckpointError(f"expected a storage, got {reprlib.repr(pid)}")
        _, dtype, key, _device, numel = pid
        return StorageRecord(dtype, key, numel)


class Archive:
    """A PyTorch file, read as data.

    Attributes:
        contents: what the pickle holds: dictionaries, lists, scalars, TensorRecord, StandIn.
        sha256: of the file, in hexadecimal.

    Raises:
        CheckpointError: not such a file, damaged, or asking for anything that could run code.
    """

    contents: Any
    sha256: str

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            what = "a directory" if path.is_dir() else "nothing"
            raise CheckpointError(f"{path}: expected a checkpoint file (.pth), found {what} there")
        try:
            # Read once, so that what is hashed is what is parsed.
            data = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from error
        self.sha256 = hashlib.sha256(data).hexdigest()
        try:
            self._zip, self._root = _open_zip(data)
            self._storages: dict[tuple[str, str], torch.Tensor] = {}
            self.contents = _unpickle(self._read("data.pkl"))
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error

    def tensor(self, record: TensorRecord) -> torch.Tensor:
        """The tensor of a record; tensors of one storage share memory.

        Raises:
            CheckpointError: the record reaches out of its storage, or its bytes are damaged.
        """
        import torch

        elements = prod(record.shape)
        if not elements:
            return torch.empty(record.shape, dtype=getattr(torch, record.storage.dtype))
        steps = zip(record.shape, record.stride, strict=True)
        last = record.offset + sum((length - 1) * stride for length, stride in steps)
        # The second condition keeps a stride of 0 from making a huge tensor of a few bytes.
        if last >= record.storage.numel or elements > record.storage.numel:
            raise CheckpointError(
                f"a tensor of shape {record.shape}, stride {record.stride} and offset "
                f"{record.offset} does not fit into its storage of {record.storage.numel} elements"
            )
        return torch.as_strided(self._storage(record.storage), record.shape, record.stride, record.offset)

    def _storage(self, record: StorageRecord) -> torch.Tensor:
        import torch

        known = self._storages.get((record.key, record.dtype))
        if known is not None and len(known) == record.numel:
            return known
        dtype = getattr(torch, record.dtype)
        data = self._read(f"data/{record.key}")
        if len(data) != record.numel * dtype.itemsize:
            raise CheckpointError(
                f"storage {record.key!r} should have {record.numel} elements of {record.dtype}, "
                f"it has {len(data)} bytes"
            )
        storage = torch.frombuffer(bytearray(data), dtype=dtype)
        self._storages[record.key, record.dtype] = storage
        return storage

    def _read(self, name: str) -> bytes:
        try:
            return self._zip.read(self._root + name)
        except Exception as error:  # zipfile raises a dozen different ones for damaged archives
            raise CheckpointError(
                f"damaged archive: {name!r} cannot be read ({error}); get it again"
            ) from error


def _open_zip(data: bytes) -> tuple[zipfile.ZipFile, str]:
    """The archive and the name of its root folder, with a slash."""
    if data.startswith(LEGACY_MAGIC):
        raise CheckpointError(
            "written by PyTorch before 1.6, in a format that is not supported. If you trust the file, convert "
            "it where its own code is installed: torch.save(torch.load(OLD, weights_only=False), NEW)"
        )
    if not data.startswith(b"PK"):
        raise CheckpointError(
            f"expected a PyTorch file (a zip archive), got {len(data)} bytes that start with {data[:16]!r}; "
            "a page of a download service or a Git LFS pointer in place of the file looks like this"
        )
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = archive.infolist()
    except Exception as error:
        raise CheckpointError(f"damaged or cut short ({error}); get the file again") from error
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise CheckpointError("expected a PyTorch file; this archive holds two entries of the same name")
    # PyTorch stores, it never compresses: so nothing in the archive can be larger than the archive.
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise CheckpointError("expected a PyTorch file; this archive is compressed or encrypted")
    if sum(entry.file_size for entry in entries) > len(data):
        raise CheckpointError("expected a PyTorch file; the entries of this archive overlap")
    roots = [
        name.removesuffix("data.pkl") for name in names if name == "data.pkl" or name.endswith("/data.pkl")
    ]
    if len(roots) != 1:
        raise CheckpointError(
            f"expected a PyTorch file with one 'data.pkl', found {len(roots)} in this archive"
        )
    _check_byte_order(archive, roots[0])
    return archive, roots[0]


def _check_byte_order(archive: zipfile.ZipFile, root: str) -> None:
    name = f"{root}byteorder"
    if name not in archive.namelist():  # PyTorch before 2.1 did not say
        return
    try:
        order = archive.read(name)
    except Exception as error:
        raise CheckpointError(
            f"damaged archive: 'byteorder' cannot be read ({error}); get it again"
        ) from error
    if order != b"little":
        raise CheckpointError(
            f"expected little-endian tensors, this file says {order[:16]!r}; save it again here"
        )


def _unpickle(data: bytes) -> Any:
    try:
        for opcode, argument, _ in pickletools.genops(data):
            # CPython sizes its memo by the largest index that the file names: without this, one opcode of
            # five bytes asks for 64 GB. Extension codes bypass find_class where they are cached.
            too_large = opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > len(data)
            if too_large or opcode.name.startswith("EXT"):
                raise CheckpointError(f"refused: its pickle holds a hostile {opcode.name}")
        return InertUnpickler(io.BytesIO(data), encoding="utf-8").load()
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle may fail in any way
        raise CheckpointError(
            f"damaged: its pickle cannot be read ({type(error).__name__}: {error})"
        ) from error
