"""The stored form of a session: the `SessionRecord` and the log of `Event` objects, from which its masks follow."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import StoreError

ACTIONS = ("click", "reset", "finish", "select", "delete", "hide", "show", "network")  # actions, which undo takes back
KINDS = ("click", "undo", "redo", *ACTIONS[1:])
OF_AN_OBJECT = ("select", "delete", "hide", "show")
OPTIONS = {"size", "flip", "threshold", "n_early", "r_max"}
CHECK = "check"  # field of a stored line: the checksum of the rest


@dataclass(frozen=True)
class Choice:
    """The network and options that masks are computed with.

    Attributes:
        network: name of the network, as ``GET /networks`` lists it.
        weights: identity of its weights; another network of the same name would give other masks.
        options: options of the engine's session, all with values: size, flip, threshold, n_early, r_max.
    """

    network: str
    weights: str
    options: dict[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Event:
    """One action of a user, or an undo or redo.

    Attributes:
        kind: one of :data:`KINDS`.
        x, y: column and row of a click, in image pixels.
        positive: whether a click adds to the object.
        counts: mask in COCO's compressed run lengths. For a finish: the object's mask. For a select: the mask of the
            object that was left unfinished, empty if it had no clicks. The mask follows from the clicks before it; it
            is stored so that a session can be rebuilt without repeating the clicks of finished objects.
        object: number of the object, for a select, delete, hide or show.
        network, weights, options: for a network event, what later clicks are computed with (:class:`Choice`).
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
        """The choice that a network event makes."""
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
        """Read the output of :meth:`to_json`; numbers are restored bit for bit.

        Raises:
            StoreError: the text is not an event.
        """
        return cls._of(_fields(text, "an event"), text)

    def sealed(self, id: str, revision: int) -> str:
        """The line that a store keeps: :meth:`to_json` plus a checksum over it, the session's id and the revision."""
        text = self.to_json()
        return f'{text[:-1]},"{CHECK}":"{_checksum(id, revision, text)}"}}'

    @classmethod
    def opened(cls, text: str | bytes, id: str, revision: int) -> Event:
        """Read the output of :meth:`sealed`. Lines without a checksum, from older versions, are accepted as they are.

        Raises:
            StoreError: the line is not an event, was damaged, or was written at another place.
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
    """The part of a session that never changes.

    Attributes:
        id: 22 characters that cannot be guessed.
        network, weights, options: the choice that the session begins with (:class:`Choice`).
        width, height: size of the upright image, in pixels.
        media_type: media type of the image's file.
        created: time of creation, in seconds since the epoch.
        name: name of the photograph; empty if the client gave none.
        sha256: SHA-256 of the image's file, in hexadecimal digits; empty in records of versions that stored none.
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
        """The choice that the first object is computed with."""
        return Choice(self.network, self.weights, self.options)

    def to_json(self) -> str:
        text = json.dumps(asdict(self), separators=(",", ":"))
        return f'{text[:-1]},"{CHECK}":"{_checksum(text)}"}}'

    @classmethod
    def from_json(cls, text: str | bytes) -> SessionRecord:
        """Read the output of :meth:`to_json`, also of versions that wrote no name and no checksums.

        Raises:
            StoreError: the text is not a record, or was damaged.
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
    if isinstance(options.get("size"), list):  # JSON has no tuples
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
    """64-bit checksum in hexadecimal digits; detects damage, does not prevent forgery."""
    return hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=8).hexdigest()
