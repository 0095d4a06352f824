"""The `SessionStore` interface: a record, an image and a log for each session. Appended events survive a crash."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..events import Event, SessionRecord


class SessionStore(ABC):
    """Store of the sessions of one server, or of all its replicas. Safe between threads and between processes.

    Every method raises StoreError if the store cannot be reached, read or written, and UnknownSessionError if it is
    asked for a session that the store does not have.
    """

    @abstractmethod
    def create(self, record: SessionRecord, image: bytes) -> None:
        """Store a new session with an empty log. ``image`` is the file as it was uploaded."""

    @abstractmethod
    def record(self, id: str) -> SessionRecord:
        """Return the record that :meth:`create` was given."""

    @abstractmethod
    def image(self, id: str) -> bytes:
        """Return the image's file that :meth:`create` was given."""

    @abstractmethod
    def events(self, id: str) -> list[Event]:
        """Return the events of the log, oldest first."""

    @abstractmethod
    def revision(self, id: str) -> int:
        """Return the number of events in the log. Must be cheap: every call asks for it."""

    @abstractmethod
    def append(self, id: str, revision: int, event: Event) -> None:
        """Append an event to the log, which has ``revision`` events. The event is durable when this returns.

        If two callers append at the same revision, one of them fails. That keeps replicas consistent.

        Raises:
            RevisionError: the log has more or fewer events; nothing was changed.
        """

    @abstractmethod
    def delete(self, id: str) -> None:
        """Delete a session."""

    @abstractmethod
    def touch(self, id: str) -> None:
        """Note that a session is in use now; :meth:`create` and :meth:`append` do so too.

        If the store has no room for the note, this does nothing and raises nothing: the session can still be read.
        """

    @abstractmethod
    def expire(self, older_than: float) -> list[str]:
        """Delete the sessions unused for ``older_than`` seconds, and return their ids.

        Only seconds in which a server ran on this store count (:class:`~mfp.serve.stores.clock.RunningClock`): neither
        a wrong date nor time without a server makes a session old.
        """

    @abstractmethod
    def count(self) -> int:
        """Return the number of sessions."""

    @abstractmethod
    def probe(self) -> None:
        """Test that the store can be written, with a write as durable as an event.

        Raises:
            StoreError: a click could not be stored now.
        """

    @abstractmethod
    def close(self) -> None:
        """Close files and connections. Every acknowledged event is durable already."""
