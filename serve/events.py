"""What is kept of a session: its record, its image and the list of what was done, from which its masks follow."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..engine.errors import StoreError

KINDS = ("click", "undo", "redo", "reset", "finish")


@dataclass(frozen=True)
class Event:
    """One thing that a user did.

    Attributes:
        kind: one of :data:`KINDS`.
        x, y: of a click, column and row in image pixels.
        positive: of a click, whether it adds to the object.
        counts: of a finish, the object's mask, COCO's compressed run lengths. It follows from the clicks before it; it
            is kept so that a session is rebuilt without the clicks of the objects that are done.
    """

    kind: str
    x: float = 0.0
    y: float = 0.0
    positive: bool = True
    counts: str = ""

    def to_json(self) -> str:
        fields: dict[str, Any] = {"kind": self.kind}
        if self.kind == "click":
            fields |= {"x": self.x, "y": self.y, "positive": self.positive}
        elif self.kind == "finish":
            fields["counts"] = self.counts
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Event:
        """The event of :meth:`to_json`; numbers come back to the bit.

        Raises:
            StoreError: it is none.
        """
        try:
            fields = json.loads(text)
            event = cls(**fields)
            sound = (
                event.kind in KINDS
                and math.isfinite(event.x)
                and math.isfinite(event.y)
                and isinstance(event.positive, bool)
                and isinstance(event.counts, str)
            )
        except (TypeError, ValueError) as error:
            raise StoreError(f"expected an event of a session, found {text[:100]!r} ({error})") from None
        if not sound:
            raise StoreError(f"expected an event of a session, found {text[:100]!r}")
        return event


@dataclass(frozen=True)
class SessionRecord:
    """What does not change in a session's life.

    Attributes:
        id: 22 characters that cannot be guessed.
        network: name of the network, as ``GET /networks`` lists it.
        weights: of that network; another network of the same name would give other masks.
        options: of the engine's session, all of them with values: size, flip, threshold, n_early, r_max.
        width, height: of the image, upright, in pixels.
        media_type: of the image's file.
        created: seconds since the epoch.
    """

    id: str
    network: str
    weights: str
    options: dict[str, Any] = field(hash=False)
    width: int
    height: int
    media_type: str
    created: float

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> SessionRecord:
        """The record of :meth:`to_json`.

        Raises:
            StoreError: it is none.
        """
        try:
            record = cls(**json.loads(text))
            size = record.options["size"]
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"expected the record of a session, found {text[:100]!r} ({error})") from None
        if isinstance(size, list):  # JSON knows no tuples
            record.options["size"] = tuple(size)
        return record


@dataclass(frozen=True)
class FinishedObject:
    """An object that is done: its clicks, and its mask as COCO's compressed run lengths."""

    clicks: tuple[Event, ...]
    counts: str


@dataclass(frozen=True)
class Progress:
    """Where a log leaves a session.

    Attributes:
        finished: the objects that are done.
        clicks: of the present object, in order.
        undone: clicks that redo would bring back, the next one last.
    """

    finished: tuple[FinishedObject, ...]
    clicks: tuple[Event, ...]
    undone: tuple[Event, ...]


def progress(events: Sequence[Event]) -> Progress:
    """What a log comes to, without a network: the clicks that count, and those that redo would bring back.

    Raises:
        StoreError: the log takes back a click that it does not have.
    """
    finished: list[FinishedObject] = []
    clicks: list[Event] = []
    undone: list[Event] = []
    for number, event in enumerate(events):
        if event.kind == "click":
            clicks.append(event)
            undone.clear()
        elif event.kind in ("undo", "redo"):
            source, target = (clicks, undone) if event.kind == "undo" else (undone, clicks)
            if not source:
                raise StoreError(f"damaged log: event {number} is {event.kind} with nothing to {event.kind}")
            target.append(source.pop())
        else:
            if event.kind == "finish":
                finished.append(FinishedObject(tuple(clicks), event.counts))
            clicks.clear()
            undone.clear()
    return Progress(tuple(finished), tuple(clicks), tuple(undone))
