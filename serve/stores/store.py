"""What every store of sessions offers: a record, an image and a log each. What was appended is there after a crash."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..events import Event, SessionRecord


class SessionStore(ABC):
    """Sessions of one server, or of all replicas of one. Safe between threads, and between processes.

    Every method raises StoreError where the store cannot be reached, read or written, and UnknownSessionError where it
    is asked for a session that it does not have.
    """

    @abstractmethod
    def create(self, record: SessionRecord, image: bytes) -> None:
        """Keep a new session, with an empty log. ``image`` is the file as it was uploaded."""

    @abstractmethod
    def record(self, id: str) -> SessionRecord:
        """What :meth:`create` was given."""

    @abstractmethod
    def image(self, id: str) -> bytes:
        """What :meth:`create` was given."""

    @abstractmethod
    def events(self, id: str) -> list[Event]:
        """The log, oldest first."""

    @abstractmethod
    def revision(self, id: str) -> int:
        """Number of events in the log. Cheap: it is asked for at every call."""

    @abstractmethod
    def append(self, id: str, revision: int, event: Event) -> None:
        """Put an event at the end of the log, which has ``revision`` events. It is durable when this returns.

        Two that append at the same revision are told apart here: one of them fails. That keeps replicas consistent.

        Raises:
            RevisionError: the log has more or fewer events; nothing was changed.
        """

    @abstractmethod
    def delete(self, id: str) -> None:
        """Forget a session."""

    @abstractmethod
    def touch(self, id: str) -> None:
        """Note that a session is in use now; :meth:`create` and :meth:`append` do so too.

        Where the store has no room to note it, nothing is noted and nothing raised: the session can still be read.
        """

    @abstractmethod
    def expire(self, older_than: float) -> list[str]:
        """Forget the sessions that were not in use for so many seconds. Returns their ids.

        Seconds in which a server ran on this store, by :class:`~mfp.serve.stores.clock.RunningClock`: neither a wrong
        date nor the time when no server ran makes a session old.
        """

    @abstractmethod
    def count(self) -> int:
        """How many sessions there are."""

    @abstractmethod
    def probe(self) -> None:
        """Write something, as durably as an event.

        Raises:
            StoreError: a click could not be kept now.
        """

    @abstractmethod
    def close(self) -> None:
        """Give files and connections back. Everything that was promised is durable already."""
