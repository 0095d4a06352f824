"""Replay of a session's log without a network: its objects, and the actions that undo and redo act on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..errors import StoreError
from ..events import Choice, Event


@dataclass(frozen=True)
class ObjectLog:
    """An object as its log describes it, without its network.

    Attributes:
        choice: network and options that its mask is computed with.
        clicks: click events, in order.
        counts: mask of a finished object, as COCO's compressed run lengths; None before.
        hidden: whether the object is marked as not to be drawn.
    """

    choice: Choice
    clicks: tuple[Event, ...] = ()
    counts: str | None = None
    hidden: bool = False


class Objects:
    """The objects that result from actions. Numbers count from 0 and are never given to a second object.

    Attributes:
        by_number: all objects by number; exactly one is unfinished.
        present: number of the unfinished object.
        choice: network and options that the next object will be computed with.
    """

    def __init__(self, start: Choice, actions: Iterable[Event] = ()) -> None:
        self.choice = start
        self.by_number: dict[int, ObjectLog] = {}
        self._next = 0
        self._begin()
        for event in actions:
            self._do(event)

    def after(self, event: Event) -> Objects:
        """Return a copy with one more action."""
        other = Objects.__new__(Objects)
        other.choice, other.by_number = self.choice, dict(self.by_number)
        other.present, other._next = self.present, self._next
        other._do(event)
        return other

    @property
    def unfinished(self) -> ObjectLog:
        """The present object."""
        return self.by_number[self.present]

    def _begin(self) -> None:
        """Add a new object and make it the present one."""
        self.present = self._next
        self.by_number[self.present] = ObjectLog(self.choice)
        self._next += 1

    def _change(self, number: int, **changes: object) -> None:
        self.by_number[number] = replace(self.by_number[number], **changes)  # type: ignore[arg-type]

    def _do(self, event: Event) -> None:
        kind, number, present = event.kind, event.object, self.present
        if number not in self.by_number and kind in ("select", "delete", "hide", "show"):
            raise StoreError(f"damaged log: {kind} of object {number}, which is not there")
        if kind == "click":
            self._change(present, clicks=(*self.unfinished.clicks, event))
        elif kind == "reset":
            self._change(present, clicks=())
        elif kind == "finish":
            self._change(present, counts=event.counts)
            self._begin()
        elif kind == "select":
            if self.unfinished.clicks:
                self._change(present, counts=event.counts)
            else:
                del self.by_number[present]
            self.present = number
            self._change(number, counts=None)
        elif kind == "delete":
            del self.by_number[number]
            if number == present:
                self._begin()
        elif kind == "network":
            self.choice = event.choice
            self._change(present, choice=event.choice)
        else:
            self._change(number, hidden=kind == "hide")


@dataclass(frozen=True)
class History:
    """The state of a session after its log.

    Attributes:
        start: network and options that the first object is computed with.
        actions: actions in effect, oldest first; undo takes the last one back.
        undone: actions that redo would bring back, the next one last.
        objects: objects that result from the actions.
    """

    start: Choice
    actions: tuple[Event, ...]
    undone: tuple[Event, ...]
    objects: Objects

    @classmethod
    def of(cls, start: Choice, events: Sequence[Event]) -> History:
        """Replay a log, without a network.

        Raises:
            StoreError: the log undoes or redoes an action that it lacks, or names an object that does not exist.
        """
        actions: list[Event] = []
        undone: list[Event] = []
        for number, event in enumerate(events):
            if event.kind in ("undo", "redo"):
                source, target = (actions, undone) if event.kind == "undo" else (undone, actions)
                if not source:
                    raise StoreError(f"damaged log: event {number} is {event.kind} with nothing to {event.kind}")
                target.append(source.pop())
            else:
                actions.append(event)
                undone.clear()
        return cls(start, tuple(actions), tuple(undone), Objects(start, actions))

    def after(self, event: Event) -> History:
        """Return the history after one more event. Undo and redo must have an action to act on."""
        if event.kind == "undo":
            actions, undone = self.actions[:-1], (*self.undone, self.actions[-1])
            return replace(self, actions=actions, undone=undone, objects=Objects(self.start, actions))
        if event.kind == "redo":
            event, undone = self.undone[-1], self.undone[:-1]
        else:
            undone = ()
        actions = (*self.actions, event)
        return replace(self, actions=actions, undone=undone, objects=self.objects.after(event))
