"""Sessions in one SQLite file: the default, for one machine."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...engine.errors import RevisionError, StoreError, UnknownSessionError
from ..events import Event, SessionRecord
from . import SessionStore

_Run = Callable[..., sqlite3.Cursor]
SCHEMA = 1
WAIT = 10.0  # seconds for another process that writes
TOUCH_EVERY = 60.0  # seconds
TABLES = """
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, record TEXT NOT NULL, revision INTEGER NOT NULL, touched REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_use ON sessions (touched);
CREATE TABLE IF NOT EXISTS images (id TEXT PRIMARY KEY REFERENCES sessions ON DELETE CASCADE, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    id TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE, revision INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (id, revision)
) WITHOUT ROWID;
"""


class SqliteStore(SessionStore):
    """See :class:`~mfp.serve.stores.SessionStore`.

    Write-ahead log, and the disk is waited for at every commit: an event is there after a power failure too.

    Args:
        path: of the file; made, with its folder, where it is missing, readable by its owner alone.

    Raises:
        StoreError: it cannot be opened, or is of another program.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()  # SQLite has one writer anyhow, and a read takes microseconds
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))  # the photographs are nobody else's business
            self._connection = sqlite3.connect(self._path, WAIT, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open {self._path}: {error}; expected a file that can be written") from None
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreError(f"cannot use {self._path}: {error}; expected a file that `mfp serve` made") from None
        except StoreError:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        (version,) = run("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA):
            raise StoreError(f"{self._path} is of another version of mfp (schema {version}, this one writes {SCHEMA})")
        if version == 0 and run("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            raise StoreError(f"{self._path} is a database of another program: name another file")
        run("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file: what is deleted is given back
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA foreign_keys = ON")
        self._connection.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")

    def create(self, record: SessionRecord, image: bytes) -> None:
        with self._writing() as run:
            run("INSERT INTO sessions VALUES (?, ?, 0, ?)", (record.id, record.to_json(), time.time()))
            run("INSERT INTO images VALUES (?, ?)", (record.id, image))

    def record(self, id: str) -> SessionRecord:
        with self._reading() as run:
            row = run("SELECT record FROM sessions WHERE id = ?", (id,)).fetchone()
        return SessionRecord.from_json(_found(row, id)[0])

    def image(self, id: str) -> bytes:
        with self._reading() as run:
            row = run("SELECT data FROM images WHERE id = ?", (id,)).fetchone()
        data: bytes = _found(row, id)[0]
        return data

    def events(self, id: str) -> list[Event]:
        with self._reading() as run:
            (revision,) = _found(run("SELECT revision FROM sessions WHERE id = ?", (id,)).fetchone(), id)
            rows = run("SELECT revision, event FROM events WHERE id = ? ORDER BY revision", (id,)).fetchall()
        if [number for number, _ in rows] != list(range(revision)):
            raise StoreError(
                f"{self._path}: expected {revision} events of this session, found others or fewer: damaged"
            )
        return [Event.opened(text, id, number) for number, text in rows]

    def revision(self, id: str) -> int:
        with self._reading() as run:
            row = run("SELECT revision FROM sessions WHERE id = ?", (id,)).fetchone()
        return int(_found(row, id)[0])

    def append(self, id: str, revision: int, event: Event) -> None:
        with self._writing() as run:
            row = run("SELECT revision FROM sessions WHERE id = ?", (id,)).fetchone()
            present = _found(row, id)[0]
            if present != revision:
                raise RevisionError(f"expected the session at revision {revision}, it is at {present}")
            run("INSERT INTO events VALUES (?, ?, ?)", (id, revision, event.sealed(id, revision)))
            run("UPDATE sessions SET revision = ?, touched = ? WHERE id = ?", (revision + 1, time.time(), id))

    def delete(self, id: str) -> None:
        with self._writing() as run:
            _found(run("DELETE FROM sessions WHERE id = ? RETURNING 1", (id,)).fetchone(), id)

    def touch(self, id: str) -> None:
        with self._writing() as run:
            now = time.time()  # what changes nothing costs no wait for the disk
            run("UPDATE sessions SET touched = ? WHERE id = ? AND touched < ?", (now, id, now - TOUCH_EVERY))

    def expire(self, older_than: float) -> list[str]:
        with self._writing() as run:
            limit = time.time() - older_than
            ids = [id for (id,) in run("DELETE FROM sessions WHERE touched < ? RETURNING id", (limit,)).fetchall()]
        if ids:
            with self._reading() as run:
                run("PRAGMA incremental_vacuum").fetchall()
        return ids

    def count(self) -> int:
        with self._reading() as run:
            (number,) = run("SELECT count(*) FROM sessions").fetchone()
        return int(number)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _reading(self) -> Iterator[_Run]:
        with self._lock:
            try:
                yield self._connection.execute
            except sqlite3.Error as error:
                raise StoreError(f"cannot read {self._path}: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[_Run]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection.execute
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise StoreError(f"cannot write {self._path}: {error}") from error


def _found(row: tuple[Any, ...] | None, id: str) -> tuple[Any, ...]:
    if row is None:
        raise UnknownSessionError(f"no session {id!r}: it was deleted, expired, or never was; create a new one")
    return row
