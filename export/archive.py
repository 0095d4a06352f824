"""Reader for PyTorch's file format since 1.6: an uncompressed zip archive that holds a pickle and tensors."""

from __future__ import annotations

import hashlib
import io
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import torch

from ..engine.errors import CheckpointError
from .safe_pickle import StorageRecord, TensorRecord, read_pickle

MAX_PICKLE = 1 << 23  # bytes; the largest network has 0.3 MB; a hostile pickle takes seconds per megabyte to read
# First bytes of files that PyTorch wrote before 1.6: a pickle of the number 0x1950a86a20f9469cfc6c.
LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"


class Archive:
    """A PyTorch file, read as data.

    Attributes:
        contents: object in its pickle (see ``read_pickle``), tensors as TensorRecord.
        sha256: SHA-256 of the file, in hexadecimal.
        size: file size in bytes.

    Raises:
        CheckpointError: the file is no PyTorch file, is damaged, or asks for anything that could run code.
    """

    contents: Any
    sha256: str
    size: int

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            what = "a directory" if path.is_dir() else "nothing"
            raise CheckpointError(f"{path}: expected a checkpoint file (.pth), found {what} there")
        try:
            # Read once, so that the hash belongs to the bytes that are parsed.
            data = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from error
        self.size = len(data)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._storages: dict[StorageRecord, torch.Tensor] = {}
        try:
            self._zip, self._root = _open(data)
            if f"{self._root}byteorder" in self._zip.namelist():  # PyTorch before 2.1 did not write this entry
                order = self._read("byteorder")
                if order != b"little":
                    raise CheckpointError(f"expected little-endian tensors, got byte order {order[:16]!r}")
            self.contents = read_pickle(self._read("data.pkl"))
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error

    def tensor(self, record: TensorRecord) -> torch.Tensor:
        """The tensor of a record; tensors with the same storage share memory.

        Raises:
            CheckpointError: the record exceeds its storage, or its bytes are damaged.
        """
        storage, elements = record.storage, prod(record.shape)
        if not elements:
            return torch.empty(record.shape, dtype=getattr(torch, storage.dtype))
        steps = zip(record.shape, record.stride, strict=True)
        last = record.offset + sum((length - 1) * stride for length, stride in steps)
        # The second condition stops a stride of 0 from turning a few bytes into a huge tensor.
        if last >= storage.numel or elements > storage.numel:
            raise CheckpointError(
                f"damaged: a tensor of shape {record.shape}, stride {record.stride} and offset {record.offset} "
                f"does not fit into its storage of {storage.numel} elements"
            )
        if storage not in self._storages:
            self._storages[storage] = self._storage(storage)
        return torch.as_strided(self._storages[storage], record.shape, record.stride, record.offset)

    def _storage(self, record: StorageRecord) -> torch.Tensor:
        dtype = getattr(torch, record.dtype)
        data = self._read(f"data/{record.key}")
        if len(data) != record.numel * dtype.itemsize:
            raise CheckpointError(
                f"damaged: storage {record.key!r} should hold {record.numel} elements of {record.dtype}, "
                f"it has {len(data)} bytes"
            )
        return torch.frombuffer(bytearray(data), dtype=dtype)

    def _read(self, name: str) -> bytes:
        try:
            return self._zip.read(self._root + name)
        except Exception as error:  # zipfile raises a dozen different ones for damaged archives
            raise CheckpointError(f"damaged: {name!r} in it cannot be read ({error}); get it again") from error


def _open(data: bytes) -> tuple[zipfile.ZipFile, str]:
    """The archive and the name of its root folder, with a slash."""
    if data.startswith(LEGACY_MAGIC):
        raise CheckpointError(
            "written by PyTorch before 1.6, in a format that is not supported. If you trust it, convert it where "
            "its own code is installed: torch.save(torch.load(OLD, weights_only=False), NEW)"
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
    # PyTorch stores entries uncompressed, so no entry can be larger than the archive.
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise CheckpointError("expected a PyTorch file; this archive is compressed or encrypted")
    if sum(entry.file_size for entry in entries) > len(data):
        raise CheckpointError("expected a PyTorch file; the entries of this archive overlap")
    roots = [name.removesuffix("data.pkl") for name in names if f"/{name}".endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(f"expected a PyTorch file with one 'data.pkl', found {len(roots)} in this archive")
    if archive.getinfo(f"{roots[0]}data.pkl").file_size > MAX_PICKLE:
        raise CheckpointError(f"refused: expected at most {MAX_PICKLE:,} bytes of names and shapes, found more")
    return archive, roots[0]
