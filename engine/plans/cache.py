"""The engine cache: a folder of plan files (:mod:`.plan_file`), one for each key.

A key is a mapping of everything that an engine depends on. Its hash names the file. The builder also stores the mapping
in the metadata, under ``key``, so that an entry can be checked against the key it is opened for.

Companions of an entry are ``ENTRY.runtime-cache`` (what TensorRT for RTX compiled at first use), drafts named
``ENTRY.….plan`` and ``ENTRY.….tmp`` (a running build, or one that was killed) and ``ENTRY.lock``. Lock files are empty
and never removed: if one were removed while a process waits for it, two processes could hold the lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CacheError, OptionError, PlanError
from .plan_file import SCHEMA, read_metadata, read_plan

DEFAULT_LIMIT = 10_000_000_000  # bytes

# An entry and its possible companions, except the lock.
_NAME = re.compile(r"([A-Za-z0-9._-]+-[0-9a-f]{24}\.plan)(\.runtime-cache|(\..*)?\.tmp|\.[0-9a-f]{8}\.plan)?")
_LIMIT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_STALE = 24 * 3600  # seconds after which a draft is taken for abandoned
_OPENING = 10  # seconds for which an entry that was just returned is kept: its caller is about to read it


@dataclass(frozen=True)
class Entry:
    """The files of one key.

    Attributes:
        path: the plan file; it does not exist if a build was killed or is running.
        files: the plan file and its companions.
        size: total size of the files, in bytes.
        last_used: time of the last use, in seconds since the epoch.
    """

    path: Path
    files: tuple[Path, ...]
    size: int
    last_used: float


def cache_key(parts: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of the parts (JSON values by name, in any order) and the metadata's schema number."""
    return hashlib.sha256(_canonical({"schema": SCHEMA, "parts": dict(parts)})).hexdigest()


class EngineCache:
    """Cache of built engines in a folder. Safe between processes.

    The least recently used engines are removed when all together exceed a limit.

    Args:
        folder: the cache's folder, made when the first engine is built. Default: environment variable MFP_CACHE_DIR,
            else ``$XDG_CACHE_HOME/mfp-engine``, else ``~/.cache/mfp-engine``.
        limit: bytes that all entries may take together. Default: MFP_CACHE_LIMIT (``"10G"``, ``"500M"`` or bytes;
            powers of 1000), else 10 GB. The newest entry stays, however large.

    Raises:
        OptionError: a limit that is no number from 0.
        CacheError: no folder is given, and there is no home directory.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, limit: int | None = None) -> None:
        self.folder = _default_folder() if folder is None else Path(folder)
        self.limit = _default_limit() if limit is None else limit
        if not (isinstance(self.limit, int) and self.limit >= 0):
            raise OptionError(f"expected a cache limit in whole bytes, from 0, got {self.limit!r}")

    def path(self, parts: Mapping[str, Any]) -> Path:
        """Path of this key's plan file, which need not exist."""
        words = [str(parts[name]) for name in ("backbone", "precision") if name in parts]
        prefix = re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join(words)).strip(".-")[:40] or "engine"
        return self.folder / f"{prefix}-{cache_key(parts)[:24]}.plan"

    def get(self, parts: Mapping[str, Any], build: Callable[[Path], None], say: Callable[[str], None]) -> Path:
        """Path of this key's plan file, which is built if no usable one exists.

        Args:
            parts: the key, JSON values by name; ``backbone`` and ``precision`` appear in the file's name.
            build: function that writes the plan file to the path it is given, with ``parts`` in the metadata under
                ``key``.
            say: callback that gets one line on why a plan is built, or that another process is building it.

        Raises:
            CacheError: the folder cannot be used, or the disk is full.
            Exception: whatever ``build`` raised; its unfinished files are removed.
        """
        path = self.path(parts)
        if self._fault(path, parts) is None:
            return path
        with self._errors():
            self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock(path, lambda: say(f"waiting for {path.stem}, which another process builds")):
            fault = self._fault(path, parts)  # again: the process that held the lock may have built it
            if fault is None:
                return path
            say(f"building {path.stem}: {fault}")
            self._build(path, parts, build)
        self._trim(keep=path)
        return path

    def entries(self) -> list[Entry]:
        """All entries, last used first. Files that are not the cache's are left out.

        Raises:
            CacheError: the folder cannot be read.
        """
        groups: dict[str, list[tuple[Path, os.stat_result]]] = {}
        with self._errors(), suppress(FileNotFoundError):
            for file in self.folder.iterdir():
                match = _NAME.fullmatch(file.name)
                with suppress(FileNotFoundError):  # removed by another process just now
                    if match and file.is_file():
                        groups.setdefault(match[1], []).append((file, file.stat()))
        entries = []
        for name, files in groups.items():
            used = {file.name: stat.st_mtime for file, stat in files}
            size = sum(stat.st_size for _, stat in files)
            last_used = used.get(name, max(used.values()))
            entries.append(Entry(self.folder / name, tuple(file for file, _ in files), size, last_used))
        return sorted(entries, key=lambda entry: entry.last_used, reverse=True)

    def remove(self, entry: Entry) -> int:
        """Remove an entry and its companions. An entry that is being built, or is open on Windows, stays.

        Returns:
            The number of bytes freed.

        Raises:
            CacheError: the folder cannot be written.
        """
        return self._remove(entry.path, entry.files)

    def _fault(self, path: Path, parts: Mapping[str, Any]) -> str | None:
        """The reason why the entry cannot be used, or None. A usable entry is marked as used."""
        with self._errors():
            if not path.exists():
                return "not in the cache yet"
        with suppress(OSError):  # a read-only cache can be used too
            os.utime(path)  # before the check, so that no other process removes it meanwhile
        try:
            metadata, _ = read_plan(path)
        except PlanError as error:
            return f"the one in the cache {error.reason}"
        return None if _is_for(metadata, parts) else "the one in the cache was built for another key"

    def _build(self, path: Path, parts: Mapping[str, Any], build: Callable[[Path], None]) -> None:
        """Build under the lock. The file appears complete or not at all."""
        for entry in self.entries():
            if entry.path == path:  # damaged, or left by a killed build; its runtime cache is then invalid too
                _unlink(entry.files)
        draft = path.with_name(f"{path.name}.{os.urandom(4).hex()}.plan")
        try:
            build(draft)
            if not _is_for(read_metadata(draft), parts):
                raise CacheError(f'the builder of {path.name} did not store its key in the metadata, under "key"')
            with self._errors():
                os.utime(draft)  # last used now, not when the build wrote it
                os.replace(draft, path)
        except PlanError as error:
            if isinstance(error.__cause__, OSError):  # the folder is at fault, not the network
                raise self._error(error.__cause__.strerror or str(error)) from error
            raise
        finally:
            _unlink(draft.parent.glob(f"{draft.name}*"))

    def _trim(self, keep: Path) -> None:
        """Remove killed builds' files, then the least recently used entries until the rest is within the limit."""
        with suppress(CacheError):  # the engine is ready: cleaning up can wait
            now, entries = time.time(), self.entries()
            total = sum(entry.size for entry in entries)
            for entry in entries:
                drafts = {*entry.files} - {entry.path, Path(f"{entry.path}.runtime-cache")}
                if stale := [file for file in drafts if _is_stale(file, now)]:
                    total -= self._remove(entry.path, stale)
            for entry in reversed(entries):
                if total <= self.limit:
                    break
                if entry.path != keep and not 0 <= now - entry.last_used < _OPENING:
                    total -= self._remove(entry.path, entry.files)

    def _remove(self, path: Path, files: Iterable[Path]) -> int:
        with self._lock(path) as held:
            return _unlink(files) if held else 0

    @contextmanager
    def _lock(self, path: Path, before_waiting: Callable[[], None] | None = None) -> Iterator[bool]:
        """Hold the entry's lock, which the system releases when its holder dies.

        If another process holds it: wait for it, or yield False if ``before_waiting`` is None.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(f"{path}.lock")
        with self._errors(), suppress(Timeout):
            lock.acquire(blocking=False)
        try:
            if not lock.is_locked and before_waiting is not None:
                before_waiting()
                with self._errors():
                    lock.acquire()
            yield lock.is_locked
        finally:
            lock.release()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error

    def _error(self, what: str) -> CacheError:
        return CacheError(
            f"the engine cache cannot use {self.folder} ({what}). Expected a folder that can be written, with room for "
            "the engine; the environment variable MFP_CACHE_DIR names another one"
        )


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _is_for(metadata: Mapping[str, Any], parts: Mapping[str, Any]) -> bool:
    return _canonical(metadata.get("key")) == _canonical(dict(parts))


def _unlink(files: Iterable[Path]) -> int:
    """Remove files and return the bytes freed. Files that cannot be removed (on Windows: open ones) stay."""
    freed = 0
    for file in files:
        with suppress(OSError):
            size = file.stat().st_size
            file.unlink()
            freed += size
    return freed


def _is_stale(file: Path, now: float) -> bool:
    try:
        return now - file.stat().st_mtime > _STALE
    except OSError:
        return False


def _default_folder() -> Path:
    chosen, base = os.environ.get("MFP_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME", "")
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "mfp-engine"
    except RuntimeError:
        raise CacheError(
            "there is no home directory to keep built engines in; name a folder in the environment variable "
            "MFP_CACHE_DIR"
        ) from None


def _default_limit() -> int:
    text = os.environ.get("MFP_CACHE_LIMIT", "").strip()
    match = _LIMIT.fullmatch(text)
    if text and not match:
        raise OptionError(f'MFP_CACHE_LIMIT: expected a size such as "10G", "500M" or bytes, got {text!r}')
    return int(float(match[1]) * 1000 ** " KMGT".index(match[2].upper() or " ")) if match else DEFAULT_LIMIT
