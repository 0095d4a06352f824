"""Where sessions are kept: in SQLite or in Redis; :func:`open_store` opens either."""

from __future__ import annotations

import os
from pathlib import Path

from ...engine.errors import OptionError
from ..errors import StoreError
from .store import SessionStore as SessionStore


def home_path(path: str) -> Path:
    """The path, with ``~`` at its beginning as the home folder: no shell replaces it inside of a URL.

    Raises:
        StoreError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise StoreError(f"cannot open {path}: {error}") from None


def open_store(url: str) -> SessionStore:
    """The store of a URL: ``sqlite:///sessions.sqlite``, a path (four slashes begin an absolute one, ``~/`` one
    in the home folder), or ``redis://…``.

    Raises:
        OptionError: the URL is of another kind.
        StoreError: the store cannot be opened or reached.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        from .sqlite import SqliteStore

        return SqliteStore(home_path(rest[1:]))
    if separator and scheme in ("redis", "rediss"):
        from .redis import RedisStore

        return RedisStore(url)
    raise OptionError(f"expected a store like sqlite:///sessions.sqlite or redis://host:6379/0, got {url!r}")


def default_store() -> str:
    """A file of the user's own.

    Raises:
        StoreError: there is no home directory.
    """
    folder = os.environ.get("XDG_DATA_HOME")
    try:
        base = Path(folder) if folder else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise StoreError(f"{error}: name a file with --store sqlite:///FILE") from None
    return f"sqlite:///{base / 'mfp-engine' / 'sessions.sqlite'}"
