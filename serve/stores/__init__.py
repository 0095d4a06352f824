"""Stores of sessions in SQLite or in Redis; :func:`open_store` opens either."""

from __future__ import annotations

import os
from pathlib import Path

from ...engine.errors import OptionError
from ..errors import StoreError
from .store import SessionStore as SessionStore


def home_path(path: str) -> Path:
    """Return a path with a leading ``~`` replaced by the home folder: no shell replaces it inside a URL.

    Raises:
        StoreError: the home folder does not exist.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise StoreError(f"cannot open {path}: {error}") from None


def open_store(url: str) -> SessionStore:
    """Open the store of a URL.

    Args:
        url: ``sqlite:///sessions.sqlite`` for a file (four slashes begin an absolute path, ``~/`` one in the home
            folder), or ``redis://…``.

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
    """Return the URL of the default store, a file of the user.

    Raises:
        StoreError: the user has no home folder.
    """
    folder = os.environ.get("XDG_DATA_HOME")
    try:
        base = Path(folder) if folder else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise StoreError(f"{error}: name a file with --store sqlite:///FILE") from None
    return f"sqlite:///{base / 'mfp-engine' / 'sessions.sqlite'}"
