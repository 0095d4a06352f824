"""A session in memory: the engine's session, and what of its log is not in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

from ..engine.errors import SessionError, UnknownSessionError
from ..engine.image import U8
from ..engine.mask import RLE, Mask
from ..engine.network import F32, Network
from ..engine.session import Session
from .events import Event, FinishedObject, Progress, SessionRecord
from .messages import ClickMessage, ObjectState, Reply, Rle, SessionOptions, SessionState
from .settings import Limits


class LiveSession:
    """One image and its objects, at one revision of the log. From one thread at a time.

    Args:
        record: of the session.
        network: of its name.
        pixels: H×W×3 uint8 RGB.
        revision, progress: where its log is. The clicks of the present object are done again here, those that redo
            would bring back too; the masks are those of before, to the bit.
        limits: of the server.
    """

    def __init__(
        self, record: SessionRecord, network: Network, pixels: U8, revision: int, progress: Progress, limits: Limits
    ) -> None:
        self.record = record
        self.revision = revision
        self._limits = limits
        self._finished = list(progress.finished)
        self._states: list[ObjectState] = []  # of the finished ones, as far as somebody has asked
        self._session = Session(network, pixels, **record.options)
        self._rle: Rle | None = None
        self._mask = self._session.mask
        redoable = progress.undone[::-1]
        for event in (*progress.clicks, *redoable):
            self._mask = self._session.click(event.x, event.y, event.positive)
        for _ in redoable:
            self._mask = self._session.undo()

    def apply(self, event: Event) -> tuple[Event, dict[str, float]]:
        """Do what the event says. Where it raises an error of ours, nothing has changed.

        Returns:
            The event as the log keeps it, and milliseconds by stage.

        Raises:
            ClickError, NothingToUndoError, SessionError: as the engine's session, or a limit is reached.
        """
        if self.revision >= self._limits.events:
            raise SessionError(f"this session has had its {self._limits.events} events: create a new one")
        session = self._session
        started = time.perf_counter()
        if event.kind == "click":
            if len(session.clicks) >= self._limits.clicks:
                raise SessionError(f"this object has had its {self._limits.clicks} clicks: finish it, or undo some")
            mask = session.click(event.x, event.y, event.positive)
            assert session.timing is not None
            stages = asdict(session.timing)
            del stages["passes"]
            timing = stages | {"total": session.timing.total}
        else:
            if event.kind == "undo":
                mask = session.undo()
            elif event.kind == "redo":
                mask = session.redo()
            else:
                if event.kind == "finish":
                    event = self._finish()
                session.reset()
                mask = session.mask
            timing = {"total": (time.perf_counter() - started) * 1e3}
        self._mask, self._rle = mask, None
        return event, timing

    def _finish(self) -> Event:
        # Not the engine's finish(), which keeps every object's mask at a byte a pixel. There is no initial mask here,
        # so a reset starts the next object as well.
        if not self._session.clicks:
            raise SessionError("nothing to finish: click on the object first")
        counts = self.rle.counts
        self._finished.append(FinishedObject(self._clicks, counts))
        return Event("finish", counts=counts)

    @property
    def _clicks(self) -> tuple[Event, ...]:
        return tuple(Event("click", click.x, click.y, click.positive) for click in self._session.clicks)

    @property
    def rle(self) -> Rle:
        """The present mask."""
        if self._rle is None:
            self._rle = _message(self._mask.to_rle())
        return self._rle

    def mask(self, number: int | None) -> Mask:
        """The mask of an object, None for the present one.

        Raises:
            UnknownSessionError: there is no object of this number.
        """
        if number is None or number == len(self._finished):
            return self._mask
        if not 0 <= number < len(self._finished):
            raise UnknownSessionError(f"no object {number}: this session has objects 0 to {len(self._finished)}")
        return Mask.from_rle(self._finished_rle(self._finished[number]))

    def probability(self) -> F32:
        """Of the present object, float32 H×W."""
        return self._session.probability

    def reply(self, timing: dict[str, float]) -> Reply:
        """The present object."""
        started = time.perf_counter()
        session = self._session
        rle = self.rle
        reply = Reply(
            revision=self.revision,
            object=len(self._finished),
            clicks=[ClickMessage.of(click) for click in self._clicks],
            area=self._mask.area,
            box=self._mask.box,
            rle=rle,
            roi=session.roi,
            can_undo=session.can_undo,
            can_redo=session.can_redo,
            timing=timing,
        )
        timing["respond"] = (time.perf_counter() - started) * 1e3
        return reply.model_copy(update={"timing": timing})

    def state(self) -> SessionState:
        """All objects."""
        for number, done in enumerate(self._finished[len(self._states) :], len(self._states)):
            rle = self._finished_rle(done)
            self._states.append(_object(number, True, done.clicks, Mask.from_rle(rle), _message(rle)))
        present = _object(len(self._finished), False, self._clicks, self._mask, self.rle)
        record = self.record
        return SessionState(
            id=record.id,
            network=record.network,
            width=record.width,
            height=record.height,
            options=SessionOptions(**record.options),
            revision=self.revision,
            can_undo=self._session.can_undo,
            can_redo=self._session.can_redo,
            objects=[*self._states, present],
        )

    def _finished_rle(self, done: FinishedObject) -> RLE:
        return {"size": [self.record.height, self.record.width], "counts": done.counts}

    @property
    def bytes(self) -> int:
        """About what it takes in memory: image, map and mask, and a map for each click that undo or redo could need."""
        size = self.record.options["size"]
        height, width = (size, size) if isinstance(size, int) else size
        clicks = len(self._session.clicks) + 1
        return self.record.width * self.record.height * 8 + height * width * (4 * clicks + 24)

    def close(self) -> None:
        self._session.close()


def _message(rle: RLE) -> Rle:
    height, width = rle["size"]
    return Rle(size=(height, width), counts=rle["counts"])


def _object(number: int, finished: bool, clicks: Sequence[Event], mask: Mask, rle: Rle) -> ObjectState:
    return ObjectState(
        object=number,
        finished=finished,
        clicks=[ClickMessage.of(click) for click in clicks],
        area=mask.area,
        box=mask.box,
        rle=rle,
    )
