"""What is kept of a session: its record, its image and the log of what was done, from which its masks follow."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import StoreError

ACTIONS = ("click", "reset", "finish", "select", "delete", "hide", "show", "network")  # what undo takes back
KINDS = ("click", "undo", "redo", *ACTIONS[1:])
OF_AN_OBJECT = ("select", "delete", "hide", "show")
OPTIONS = {"size", "flip", "threshold", "n_early", "r_max"}
CHECK = "check"  # the field of a stored line that says whether the rest is as it was written


@dataclass(frozen=True)
class Choice:
    """How masks are computed.

    Attributes:
        network: its name, as ``GET /networks`` lists it.
        weights: of that network; another network of the same name would give other masks.
        options: of the engine's session, all of them with values: size, flip, threshold, n_early, r_max.
    """

    network: str
    weights: str
    options: dict[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Event:
    """One thing that a user did.

    Attributes:
        kind: one of :data:`KINDS`.
        x, y: of a click, column and row in image pixels.
        positive: of a click, whether it adds to the object.
        counts: of a finish, the object's mask, COCO's compressed run lengths; of a select, that of the object which
            was left unfinished, empty where it had no clicks. It follows from the clicks before it; it is kept so that
            a session is rebuilt without the clicks of the objects that are done.
        object: of a select, delete, hide or show, the object's number.
        network, weights, options: of a network, what the clicks that follow are computed with (:class:`Choice`).
    """

    kind: str
    x: float = 0.0
    y: float = 0.0
    positive: bool = True
    counts: str = ""
    object: int = -1
    network: str = ""
    weights: str = ""
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def choice(self) -> Choice:
        """Of a network event."""
        return Choice(self.network, self.weights, self.options)

    def to_json(self) -> str:
        fields: dict[str, Any] = {"kind": self.kind}
        if self.kind == "click":
            fields |= {"x": self.x, "y": self.y, "positive": self.positive}
        elif self.kind == "network":
            fields |= {"network": self.network, "weights": self.weights, "options": self.options}
        if self.kind in OF_AN_OBJECT:
            fields["object"] = self.object
        if self.kind in ("finish", "select"):
            fields["counts"] = self.counts
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Event:
        """The event of :meth:`to_json`; numbers come back to the bit.

        Raises:
            StoreError: it is none.
        """
        return cls._of(_fields(text, "an event"), text)

    def sealed(self, id: str, revision: int) -> str:
        """The line that a store keeps: :meth:`to_json` with a checksum over it and its place in the log."""
        text = self.to_json()
        return f'{text[:-1]},"{CHECK}":"{_checksum(id, revision, text)}"}}'

    @classmethod
    def opened(cls, text: str | bytes, id: str, revision: int) -> Event:
        """The event of :meth:`sealed`. Lines of versions that wrote no checksum are taken as they are.

        Raises:
            StoreError: it is none, is not what was written, or was written at another place.
        """
        fields = _fields(text, "an event")
        check = fields.pop(CHECK, None)
        event = cls._of(fields, text)
        if check is not None and check != _checksum(id, revision, event.to_json()):
            raise StoreError(f"event {revision} of this session is damaged in the store: its checksum does not fit")
        return event

    @classmethod
    def _of(cls, fields: dict[str, Any], text: str | bytes) -> Event:
        try:
            event = cls(**fields)
            sound = (
                event.kind in KINDS
                and all(type(value) in (int, float) and math.isfinite(value) for value in (event.x, event.y))
                and isinstance(event.positive, bool)
                and type(event.object) is int
                and isinstance(event.options, dict)
                and all(isinstance(value, str) for value in (event.counts, event.network, event.weights))
                and (event.kind != "network" or set(event.options) == OPTIONS)
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise _no("an event", text, error) from None
        if not sound:
            raise _no("an event", text)
        _restore_size(event.options)
        return event


@dataclass(frozen=True)
class SessionRecord:
    """What does not change in a session's life.

    Attributes:
        id: 22 characters that cannot be guessed.
        network, weights, options: what it begins with (:class:`Choice`).
        width, height: of the image, upright, in pixels.
        media_type: of the image's file.
        created: seconds since the epoch.
        name: of the photograph; empty: nobody said.
        sha256: of the image's file, in hexadecimal digits; empty: made by a version that kept none.
    """

    id: str
    network: str
    weights: str
    options: dict[str, Any] = field(hash=False)
    width: int
    height: int
    media_type: str
    created: float
    name: str = ""
    sha256: str = ""

    @property
    def choice(self) -> Choice:
        """What its first object is computed with."""
        return Choice(self.network, self.weights, self.options)

    def to_json(self) -> str:
        text = json.dumps(asdict(self), separators=(",", ":"))
        return f'{text[:-1]},"{CHECK}":"{_checksum(text)}"}}'

    @classmethod
    def from_json(cls, text: str | bytes) -> SessionRecord:
        """The record of :meth:`to_json`, or of a version that wrote no name and no checksums.

        Raises:
            StoreError: it is none, or not what was written.
        """
        fields = _fields(text, "the record")
        check = fields.pop(CHECK, None)
        try:
            record = cls(**fields)
            sound = set(record.options) == OPTIONS and all(
                type(side) is int and side > 0 for side in (record.width, record.height)
            )
        except TypeError as error:
            raise _no("the record", text, error) from None
        if not sound:
            raise _no("the record", text)
        if check is not None and check != _checksum(json.dumps(asdict(record), separators=(",", ":"))):
            raise StoreError("the record of this session is damaged in the store: its checksum does not fit")
        _restore_size(record.options)
        return record


def _restore_size(options: dict[str, Any]) -> None:
    if isinstance(options.get("size"), list):  # JSON knows no tuples
        options["size"] = tuple(options["size"])


def _fields(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise _no(what, text, error) from None
    if not isinstance(fields, dict):
        raise _no(what, text)
    return fields


def _no(what: str, text: str | bytes, error: Exception | None = None) -> StoreError:
    return StoreError(f"expected {what} of a session, found {str(text)[:100]!r}" + (f" ({error})" if error else ""))


def _checksum(*parts: object) -> str:
    """64 bits in hexadecimal digits; for damage, not against forgery."""
    return hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=8).hexdigest()
