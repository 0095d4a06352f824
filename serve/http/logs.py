"""Logs: one line per request on stderr, as JSON or as text, with the time of each stage."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

FORMATS = ("text", "json")
SESSION = 8  # characters of an id that are logged: a whole id gives access to its session
log = logging.getLogger("mfp.serve")
_fields: ContextVar[dict[str, Any] | None] = ContextVar("fields", default=None)
_who: ContextVar[dict[str, Any] | None] = ContextVar("who", default=None)


@contextmanager
def who(**fields: Any) -> Iterator[None]:
    """Add fields that identify the client to every line written inside the block."""
    token = _who.set(fields)
    try:
        yield
    finally:
        _who.reset(token)


def asking() -> dict[str, Any]:
    """Return the fields that :func:`who` was given."""
    return dict(_who.get() or {})


@contextmanager
def line(event: str, **fields: Any) -> Iterator[dict[str, Any]]:
    """Write one line when the block ends, with the fields that :func:`note` adds inside, and ``ms``."""
    fields = {**asking(), **fields}
    token = _fields.set(fields)
    started = time.perf_counter()
    try:
        yield fields
    finally:
        _fields.reset(token)
        fields["ms"] = round((time.perf_counter() - started) * 1e3, 3)
        log.info(event, extra={"fields": fields})


def note(**fields: Any) -> None:
    """Add fields to the current line."""
    present = _fields.get()
    if present is not None:
        present.update(fields)


class JsonFormatter(logging.Formatter):
    """Formatter that writes one JSON object per line: time, level, logger, event, and the line's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)

    @staticmethod
    def _time(record: logging.LogRecord) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


class TextFormatter(logging.Formatter):
    """Formatter that writes the same as readable text: ``12:00:00 info request status=200 …``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={_short(value)}" for name, value in getattr(record, "fields", {}).items())
        when = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{when} {record.levelname.lower()} {record.getMessage()} {fields}".rstrip()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _short(value: Any) -> str:
    """Format a value on one line, without terminal control characters: paths come from untrusted clients."""
    text = str(value)
    return text if text.isprintable() and " " not in text else json.dumps(value, default=str)


def configuration(form: str) -> dict[str, Any]:
    """Build the configuration for ``logging.config.dictConfig``: everything goes to stderr, in one format."""
    formatter = JsonFormatter if form == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "loggers": {
            "mfp.serve": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            "uvicorn": {
                "handlers": ["stderr"],
                "level": "WARNING",
                "propagate": False,
            },  # mfp's own lines report the rest
        },
    }
