"""Store of sessions in one SQLite file: the default, for one machine."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ..errors import RevisionError, StoreError, UnknownSessionError
from ..events import Event, SessionRecord
from .clock import RunningClock
from .reserve import Reserve
from .store import SessionStore

T = TypeVar("T")
_Run = Callable[..., sqlite3.Cursor]
SCHEMA = 1
WAIT = 10.0  # seconds to wait for another process that writes
TOUCH_EVERY = 60.0  # seconds between two notes that a session is in use
PROBE = 16 * 1024  # bytes that a probe writes: at least as many as a click's pages
STEP = 256  # free pages returned to the disk at a time; each is written to the log
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
# One row: the store's clock (stores/clock.py) and a probe's bytes. In files without this table, `touched` is a date.
CLOCK = "CREATE TABLE server (one INTEGER PRIMARY KEY CHECK (one = 1), clock REAL NOT NULL, probe BLOB)"


class SqliteStore(SessionStore):
    """Store in an SQLite file; see :class:`~mfp.serve.stores.SessionStore`.

    The file has a write-ahead log that is synced to disk at every commit, so an event survives a power failure. On a
    full disk, sessions can be read and deleted and a server can start, because a second file reserves space for that.

    Args:
        path: path of the file. If it is missing, it is created with its folder, readable only by its owner.

    Raises:
        StoreError: the file cannot be opened, or belongs to another program.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._log = Path(f"{self._path}-wal")
        self._reserve = Reserve(Path(f"{self._path}-reserve"))
        self._lock = threading.Lock()  # one lock is enough: SQLite has one writer, and a read takes microseconds
        self._damage = ""  # error of the newest write, if the file is damaged
        try:
            self._open()
        except sqlite3.OperationalError as error:
            if not _full(error):
                raise self._unusable(error) from None
            self._reserve.release()
            try:
                self._open()
            except sqlite3.Error as again:
                raise self._unusable(again) from None
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        self._files = self._identities()
        self._reserve.fill()

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))  # other users must not read the photographs
            self._connection = sqlite3.connect(self._path, WAIT, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open {self._path}: {error}; expected a file that can be written") from None
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        (version,) = run("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA):
            raise StoreError(f"{self._path} is of another version of mfp (schema {version}, this one writes {SCHEMA})")
        if version == 0 and run("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            raise StoreError(f"{self._path} is a database of another program: name another file")
        run("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect in a new file: deleted pages are returned
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA foreign_keys = ON")
        if version == 0:  # a complete file is not written, so that a server starts on a full disk
            self._connection.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
        self._clock = RunningClock(time.time())
        self._counted = False  # whether the store's clock has been read
        try:
            self._adopt()
        except sqlite3.OperationalError as error:
            if not _full(error):
                raise  # else: an older mfp's file without clock on a full disk. Nothing expires until it is writable

    def _adopt(self) -> None:
        """Read the store's clock. A file without one gets one, and the age of its sessions counts from now."""
        run = self._connection.execute
        has_clock = "SELECT count(*) FROM sqlite_master WHERE name = 'server'"
        if run(has_clock).fetchone() == (0,):
            run("BEGIN IMMEDIATE")
            try:
                if run(has_clock).fetchone() == (0,):  # checked again: another process may have created it meanwhile
                    run(CLOCK)
                    run("INSERT INTO server VALUES (1, ?, NULL)", (self._clock.now(),))
                    run("UPDATE sessions SET touched = ?", (self._clock.now(),))
                run("COMMIT")
            finally:
                if self._connection.in_transaction:
                    run("ROLLBACK")
        (clock,) = run("SELECT clock FROM server").fetchone()
        self._clock = RunningClock(clock)
        self._counted = True

    def create(self, record: SessionRecord, image: bytes) -> None:
        if self._free() < 2 * len(image):  # in the log and in the file; otherwise a full disk could not be cleaned up
            raise StoreError(f"cannot write {self._path}: its disk is full; make room there, or delete sessions")
        with self._writing() as run:
            run("INSERT INTO sessions VALUES (?, ?, 0, ?)", (record.id, record.to_json(), self._clock.now()))
            run("INSERT INTO images VALUES (?, ?)", (record.id, image))
        with self._lock, suppress(sqlite3.Error):  # the session is stored; this moves its photograph out of the log
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

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
            run("UPDATE sessions SET revision = ?, touched = ? WHERE id = ?", (revision + 1, self._clock.now(), id))

    def delete(self, id: str) -> None:
        def delete() -> None:
            with self._writing() as run:
                _found(run("DELETE FROM sessions WHERE id = ? RETURNING 1", (id,)).fetchone(), id)

        self._with_reserve(delete)
        self._give_back()

    def touch(self, id: str) -> None:
        with suppress(StoreError), self._writing() as run:  # on a full disk a session can still be read
            now = self._clock.now()  # an update that changes no row does not wait for the disk
            run("UPDATE sessions SET touched = ? WHERE id = ? AND touched < ?", (now, id, now - TOUCH_EVERY))

    def expire(self, older_than: float) -> list[str]:
        def expire() -> list[str]:
            if not self._counted:
                with self._reading():
                    self._adopt()
            with self._writing() as run:
                now = self._clock.meet(run("SELECT clock FROM server").fetchone()[0])
                run("UPDATE server SET clock = ?", (now,))
                gone = run("DELETE FROM sessions WHERE touched < ? RETURNING id", (now - older_than,)).fetchall()
            return [id for (id,) in gone]

        ids = self._with_reserve(expire)
        if ids:
            self._give_back()
        return ids

    def count(self) -> int:
        with self._reading() as run:
            (number,) = run("SELECT count(*) FROM sessions").fetchone()
        return int(number)

    def probe(self) -> None:
        self._check_files()
        with self._reading() as run:
            run("SELECT 1")
        if self._damage:
            raise StoreError(f"cannot write {self._path}: {self._damage}")
        try:
            # A separate connection: the other one's cache may hide the present state of the file.
            address = f"{self._path.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(address, WAIT, isolation_level=None, uri=True)) as connection:
                run = connection.execute
                run("PRAGMA synchronous = FULL")
                run("BEGIN IMMEDIATE")
                run("SAVEPOINT click")  # looks up its place in each table, as a click does
                run("INSERT INTO sessions (id, record, revision, touched) VALUES ('', '', 0, 0)")
                run("INSERT INTO events (id, revision, event) VALUES ('', 0, '')")
                run("INSERT INTO images (id, data) VALUES ('', '')")
                run("ROLLBACK TO click")
                if self._counted:
                    run("UPDATE server SET clock = max(clock, ?), probe = zeroblob(?)", (self._clock.now(), PROBE))
                run("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"cannot write {self._path}: {error}") from error

    def close(self) -> None:
        with self._lock:
            with suppress(sqlite3.Error):
                self._connection.execute("UPDATE server SET clock = max(clock, ?)", (self._clock.now(),))
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
            self._check_files()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection.execute
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
                self._damage = ""
            except sqlite3.Error as error:
                self._damage = str(error) if type(error) is sqlite3.DatabaseError else ""  # malformed, or no database
                raise StoreError(f"cannot write {self._path}: {error}") from error

    def _with_reserve(self, call: Callable[[], T]) -> T:
        """Run a call that frees space; on a full disk, release the reserve for it first."""
        try:
            return call()
        except StoreError as error:
            if not isinstance(error.__cause__, sqlite3.OperationalError) or not _full(error.__cause__):
                raise
        self._reserve.release()
        try:
            with self._reading() as run:  # overwriting a photograph with zeros would need its size again in the log
                (usual,) = run("PRAGMA secure_delete").fetchone()
                run("PRAGMA secure_delete = OFF")
            try:
                return call()
            finally:
                with self._reading() as run:
                    run(f"PRAGMA secure_delete = {usual}")
        finally:
            self._give_back()
            self._reserve.fill()

    def _give_back(self) -> None:
        """Move the log into the file, and return unused space of both to the disk, if it has room for the move."""
        with self._lock, suppress(sqlite3.Error):
            run = self._connection.execute
            (pages,), (size,) = run("PRAGMA page_count").fetchone(), run("PRAGMA page_size").fetchone()
            if self._free() < pages * size - self._path.stat().st_size:
                return
            left = pages
            while left > (free := run("PRAGMA freelist_count").fetchone()[0]):  # until a step frees no more pages
                left = free
                run("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self._connection.executescript(f"PRAGMA incremental_vacuum({STEP})")  # execute() would free one page
            run("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _free(self) -> int:
        try:
            return shutil.disk_usage(self._path.parent).free
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error}") from None

    def _identities(self) -> list[tuple[int, int]]:
        with self._reading() as run:
            run("SELECT count(*) FROM sessions").fetchone()  # the log exists from the first query on
        return [(file.stat().st_dev, file.stat().st_ino) for file in (self._path, self._log)]

    def _check_files(self) -> None:
        """Check that the files were not removed or replaced: SQLite does not notice, and writes would be lost."""
        for file, identity in zip((self._path, self._log), self._files, strict=True):
            try:
                found = file.stat()
            except OSError as error:
                raise StoreError(f"cannot write {self._path}: {error}; {_MOVED}") from None
            if (found.st_dev, found.st_ino) != identity:
                raise StoreError(f"cannot write {self._path}: another file {file.name} is in its place; {_MOVED}")

    def _unusable(self, error: sqlite3.Error) -> StoreError:
        remedy = "make room on its disk" if _full(error) else "expected a file that `mfp serve` made"
        return StoreError(f"cannot use {self._path}: {error}; {remedy}")


_MOVED = "stop the server, put the file back, and start it again (docs/deploying.md, backup)"


def _full(error: sqlite3.Error) -> bool:
    """Return whether more disk space may help. On a full disk, SQLite's shared memory fails with an I/O error."""
    return any(words in str(error) for words in ("is full", "disk I/O error", "unable to open database file"))


def _found(row: tuple[Any, ...] | None, id: str) -> tuple[Any, ...]:
    if row is None:
        raise UnknownSessionError(f"no session {id!r}: it was deleted, expired, or never was; create a new one")
    return row
