"""In-memory session: the state after its log, and the engine's session of the present object.

If the network of the present object is gone, there is no engine's session. Finished masks can then still be read, and
the session can switch to another network. The mask of an object without clicks is empty with any network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from ...engine.errors import ClickError, ImageError, NothingToUndoError, SessionError
from ...engine.image import U8
from ...engine.mask import RLE, Mask
from ...engine.network import F32, Network
from ...engine.roi import Roi
from ...engine.session import Session
from ..errors import NetworkGoneError, StoreError, UnknownSessionError
from ..events import Choice, Event, SessionRecord
from ..schemas import ClickMessage, ObjectState, Reply, Rle, SessionOptions, SessionState
from ..settings import Limits
from .choices import available, switched
from .history import History, ObjectLog


class LiveSession:
    """One image and its objects, at one revision of the log. Used from one thread at a time.

    Args:
        record: record of the session.
        networks: networks by name.
        read: function that returns the image, H×W×3 uint8 RGB; called again when the session switches networks.
        events: events of the log. The clicks of the present object are repeated; its mask is the same, bit for bit.
        limits: limits of the server.
        pixels: pixels of the image, if the caller has them already.

    Raises:
        OptionError: the network does not accept the record's options.
        StoreError: the log is damaged.
    """

    def __init__(
        self,
        record: SessionRecord,
        networks: Mapping[str, Network],
        read: Callable[[], U8],
        events: Sequence[Event],
        limits: Limits,
        pixels: U8 | None = None,
    ) -> None:
        self.record = record
        self.revision = len(events)  # -1: this state is invalid, and is rebuilt at the next call
        self._networks, self._read, self._limits = networks, read, limits
        self._history = History.of(record.choice, events)
        self._measured: dict[str, tuple[int, Roi | None]] = {}  # area and box of each finished mask, by its run lengths
        self._rle: Rle | None = None
        present = self._history.objects.unfinished
        self._open: tuple[Session, Mask] | NetworkGoneError
        try:
            self._open = self._opened(present.choice, present.clicks, pixels)
        except NetworkGoneError as error:
            self._open = error
        # State of the engine's session, which can undo or redo a click without a network pass.
        self._choice, self._clicks = present.choice, present.clicks

    def apply(self, event: Event) -> tuple[Event, dict[str, float], bool]:
        """Apply an event. If this raises an error, nothing has changed.

        Returns:
            The event as the log stores it, milliseconds by stage, and whether more has changed than the present
            object's clicks.

        Raises:
            ClickError: the engine's session refuses the click.
            NothingToUndoError, SessionError: the event is not possible now, or a limit is reached.
            UnknownSessionError: no object has this number.
            OptionError, UnavailableError: no network has this name, or the network is gone.
        """
        if self.revision >= self._limits.events:
            raise SessionError(f"this session has had its {self._limits.events} events: create a new one")
        started = time.perf_counter()
        event = self._kept(event)
        history = self._history.after(event)
        action = {"undo": self._history.actions, "redo": self._history.undone}.get(event.kind, (event,))[-1]
        everything = action.kind not in ("click", "reset")
        if everything:
            for entry in history.objects.by_number.values():
                if entry.counts is not None:
                    self._measure(entry)  # a damaged mask is found before the event is stored
        self._follow(event.kind, history.objects.unfinished)
        self._history = history
        if event.kind == "click":
            assert self._session.timing is not None
            stages = asdict(self._session.timing)
            del stages["passes"]
            timing = stages | {"total": self._session.timing.total}
        else:
            timing = {"total": (time.perf_counter() - started) * 1e3}
        return event, timing, everything

    def _kept(self, event: Event) -> Event:
        """Check that the present state allows the event, and return the event with the fields that follow from it."""
        kind, objects = event.kind, self._history.objects
        clicks = objects.unfinished.clicks
        if kind == "click":
            if len(clicks) >= self._limits.clicks:
                raise SessionError(f"this object has had its {self._limits.clicks} clicks: finish it, or undo some")
        elif kind == "undo" and not self._history.actions:
            raise NothingToUndoError("nothing to undo: nothing has been done in this session, or all of it is undone")
        elif kind == "redo" and not self._history.undone:
            raise NothingToUndoError("nothing to redo: nothing was undone since the last action")
        elif kind == "finish":
            if not clicks:
                raise SessionError("nothing to finish: click on the object first")
            return self._with_counts(event)
        elif kind == "network":
            before, network = objects.choice, self._networks.get(event.network)
            same = network is not None and (event.network, network.info.weights) == (before.network, before.weights)
            if same and objects.unfinished.choice == before:
                raise SessionError(f"the session is on the network {event.network!r} already")
            choice = switched(self._networks, before, event.network)
            return replace(event, network=choice.network, weights=choice.weights, options=choice.options)
        elif kind in ("select", "delete", "hide", "show"):
            entry = self._entry(event.object)
            if kind == "select" and event.object == objects.present:
                raise SessionError(f"object {event.object} is the present one already: click on it")
            if kind == "delete" and event.object == objects.present and not clicks:
                raise SessionError(f"nothing to delete: object {event.object} has no clicks")
            if kind in ("hide", "show") and entry.hidden == (kind == "hide"):
                raise SessionError(f"object {event.object} is {'hidden' if entry.hidden else 'shown'} already")
            if kind == "select" and clicks:
                return self._with_counts(event)
        return event

    def _with_counts(self, event: Event) -> Event:
        rle = self.rle
        self._measured[rle.counts] = self._mask.area, self._mask.box
        return replace(event, counts=rle.counts)

    def _entry(self, number: int) -> ObjectLog:
        objects = self._history.objects.by_number
        if number not in objects:
            present = ", ".join(map(str, sorted(objects)))
            raise UnknownSessionError(f"no object {number}: expected one of this session's objects, {present}")
        return objects[number]

    def _follow(self, kind: str, present: ObjectLog) -> None:
        """Bring the engine's session to the future state of the present object."""
        choice, clicks = present.choice, present.clicks
        if choice == self._choice and clicks == self._clicks:
            if isinstance(self._open, NetworkGoneError) and clicks:
                raise NetworkGoneError(str(self._open))  # before the event is stored: it could not be answered
            return
        if choice != self._choice or isinstance(self._open, NetworkGoneError):
            try:
                other: tuple[Session, Mask] | NetworkGoneError = self._opened(choice, clicks)
            except NetworkGoneError as error:
                if clicks:
                    raise
                other = error
            self.close()
            self._open, self._rle = other, None
            self._choice, self._clicks = choice, clicks
            return
        session = self._session
        if clicks and clicks[:-1] == self._clicks and not (kind == "redo" and session.can_redo):
            mask = _clicked(session, clicks[-1:])
        else:
            revision, self.revision = self.revision, -1  # stays -1 if the engine fails on the way
            if kind == "undo" and clicks == self._clicks[:-1]:
                mask = session.undo()
            elif kind == "redo" and clicks[:-1] == self._clicks:
                mask = session.redo()
            else:
                session.reset()
                mask = _replayed(session, clicks)
            self.revision = revision
        self._open, self._rle = (session, mask), None
        self._choice, self._clicks = choice, clicks

    def _opened(self, choice: Choice, clicks: Sequence[Event], pixels: U8 | None = None) -> tuple[Session, Mask]:
        network = available(self._networks, choice)
        session = Session(network, self._read() if pixels is None else pixels, **choice.options)
        try:
            return session, _replayed(session, clicks)
        except BaseException:
            session.close()
            raise

    @property
    def _session(self) -> Session:
        if isinstance(self._open, NetworkGoneError):
            raise NetworkGoneError(str(self._open))
        return self._open[0]

    @property
    def _mask(self) -> Mask:
        if isinstance(self._open, NetworkGoneError):
            if self._clicks:
                raise NetworkGoneError(str(self._open))
            return Mask(np.zeros((self.record.height, self.record.width), np.bool_))
        return self._open[1]

    @property
    def rle(self) -> Rle:
        """Return the present object's mask as RLE."""
        if self._rle is None:
            self._rle = _message(self._mask.to_rle())
        return self._rle

    def mask(self, number: int | None) -> Mask:
        """Return the mask of an object; ``number`` None means the present one.

        Raises:
            UnknownSessionError: no object has this number.
            NetworkGoneError: the object is the present one, and its network is not available.
            StoreError: the mask is damaged.
        """
        objects = self._history.objects
        entry = objects.unfinished if number is None else self._entry(number)
        return self._mask if entry.counts is None else self._finished(entry.counts)

    @property
    def present(self) -> int:
        """The present object's number."""
        return self._history.objects.present

    def probability(self) -> F32:
        """Return the present object's probability map, float32 H×W."""
        return self._session.probability

    def reply(self, timing: dict[str, float], everything: bool) -> Reply:
        """Return the present object, and all objects if ``everything`` is set."""
        started = time.perf_counter()
        history = self._history
        rle = self.rle
        reply = Reply(
            revision=self.revision,
            object=history.objects.present,
            clicks=[ClickMessage.of(click) for click in self._clicks],
            area=self._mask.area,
            box=self._mask.box,
            rle=rle,
            roi=None if isinstance(self._open, NetworkGoneError) else self._session.roi,
            network=history.objects.choice.network,
            can_undo=bool(history.actions),
            can_redo=bool(history.undone),
            objects=self._objects() if everything else None,
            timing=timing,
        )
        timing["respond"] = (time.perf_counter() - started) * 1e3
        return reply.model_copy(update={"timing": timing})

    def state(self) -> SessionState:
        """Return the state with all objects."""
        record, history = self.record, self._history
        return SessionState(
            id=record.id,
            name=record.name,
            network=history.objects.choice.network,
            width=record.width,
            height=record.height,
            options=SessionOptions(**history.objects.choice.options),
            revision=self.revision,
            can_undo=bool(history.actions),
            can_redo=bool(history.undone),
            present=history.objects.present,
            objects=self._objects(),
        )

    def _objects(self) -> list[ObjectState]:
        return [self._state_of(number, entry) for number, entry in sorted(self._history.objects.by_number.items())]

    def _state_of(self, number: int, entry: ObjectLog) -> ObjectState:
        area, box = self._measure(entry)
        rle = self.rle if entry.counts is None else _message(self._finished_rle(entry.counts))
        return ObjectState(
            object=number,
            finished=entry.counts is not None,
            hidden=entry.hidden,
            network=entry.choice.network,
            clicks=[ClickMessage.of(click) for click in entry.clicks],
            area=area,
            box=box,
            rle=rle,
        )

    def _measure(self, entry: ObjectLog) -> tuple[int, Roi | None]:
        if entry.counts is None:
            return self._mask.area, self._mask.box
        if entry.counts not in self._measured:
            mask = self._finished(entry.counts)
            self._measured[entry.counts] = mask.area, mask.box
        return self._measured[entry.counts]

    def _finished(self, counts: str) -> Mask:
        try:
            return Mask.from_rle(self._finished_rle(counts))
        except ImageError as error:
            raise StoreError(f"the mask of a finished object is damaged in the store: {error}") from error

    def _finished_rle(self, counts: str) -> RLE:
        return {"size": [self.record.height, self.record.width], "counts": counts}

    @property
    def bytes(self) -> int:
        """Approximate bytes in memory: the engine's session with its undo and redo state, and the mask."""
        engine = 0 if isinstance(self._open, NetworkGoneError) else self._session.nbytes
        return engine + self.record.width * self.record.height

    def close(self) -> None:
        if not isinstance(self._open, NetworkGoneError):
            self._session.close()


def _clicked(session: Session, clicks: Sequence[Event]) -> Mask:
    mask = session.mask
    for click in clicks:
        mask = session.click(click.x, click.y, click.positive)
    return mask


def _replayed(session: Session, clicks: Sequence[Event]) -> Mask:
    try:
        return _clicked(session, clicks)
    except ClickError as error:  # the clicks were accepted once
        raise StoreError(f"damaged log: {error}") from error


def _message(rle: RLE) -> Rle:
    height, width = rle["size"]
    return Rle(size=(height, width), counts=rle["counts"])
