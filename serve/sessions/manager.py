"""Session manager of one process: the store keeps every acknowledged event, so that memory can be freed at will."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from secrets import token_urlsafe

from ...engine.errors import MfpError, OptionError
from ...engine.image import U8
from ...engine.network import Network
from ..errors import RevisionError, StoreError, UnavailableError, UnknownSessionError
from ..events import Event, SessionRecord
from ..schemas import NetworkEntry, Reply, SessionOptions, SessionState
from ..settings import Limits
from ..stores import SessionStore
from ..uploads import DecodingRoom, checked_name
from .choices import chosen
from .downloads import Download, coco_file, mask_file, probability_file
from .live_session import LiveSession
from .malloc_trim import Trim
from .stored_image import stored_image, stored_pixels

ATTEMPTS = 3  # tries to append an event if another replica appends first


@dataclass
class _Slot:
    """A place for a live session. The thread that has the lock may use it, fill it or empty it.

    ``bytes`` is the memory of the session after its last use; any thread may read it without the lock.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    live: LiveSession | None = None
    bytes: int = 0


class Sessions:
    """Sessions by id. Arguments and results are plain data, so that they can cross processes.

    Safe between threads; calls to one session wait for one another.

    Args:
        networks: networks by name; the first is the default of new sessions.
        store: store that keeps acknowledged events.
        limits: limits on images, sessions and memory.
    """

    def __init__(self, networks: Mapping[str, Network], store: SessionStore, limits: Limits | None = None) -> None:
        self._networks = dict(networks)
        self._store = store
        self._limits = limits or Limits()
        self._slots: OrderedDict[str, _Slot] = OrderedDict()  # slots, least recently used first
        self._guard = threading.Lock()
        self._trim = Trim()
        self._decoding = DecodingRoom(self._limits.memory // 2, self._make_room)

    def networks(self) -> list[NetworkEntry]:
        """Return the networks that sessions can use."""
        return [
            NetworkEntry(
                name=name,
                backbone=network.info.backbone,
                size=network.info.size,
                precision=network.info.precision,
                runtime=network.runtime,
                device=network.device,
                default=number == 0,
            )
            for number, (name, network) in enumerate(self._networks.items())
        ]

    def create(
        self,
        image: bytes,
        network: str | None = None,
        options: SessionOptions | None = None,
        id: str | None = None,
        name: str = "",
    ) -> SessionState:
        """Create a session.

        Args:
            image: bytes of a photograph's file.
            network: name of a network; None: the default.
            options: options of the session.
            id: id that other clients cannot guess; None: a new one.
            name: name of the photograph.

        Raises:
            ImageError: the file is not an image, or is damaged.
            TooLargeError: the image has too many pixels.
            OptionError: an option is out of its range, no network has this name, or the photograph's name is invalid.
            UnavailableError: the store is full.
        """
        name = checked_name(name)
        network = next(iter(self._networks)) if network is None else network
        choice = chosen(self._networks, network, options or SessionOptions(), self._limits.side)
        if self._store.count() >= self._limits.sessions:
            raise UnavailableError(f"this server keeps {self._limits.sessions:,} sessions and is full: delete some")
        with self._decoding.decoded(image, self._limits.image_pixels) as (pixels, media_type):
            record = SessionRecord(
                id=id or token_urlsafe(16),
                network=choice.network,
                weights=choice.weights,
                options=choice.options,
                width=pixels.shape[1],
                height=pixels.shape[0],
                media_type=media_type,
                created=time.time(),
                name=name,
                sha256=hashlib.sha256(image).hexdigest(),
            )
            live = self._opened(record, (), pixels)
            self._store.create(record, image)
            with self._guard:
                self._slots[record.id] = _Slot(live=live, bytes=live.bytes)
        self._make_room()
        return live.state()

    def act(self, id: str, event: Event, revision: int | None = None) -> Reply:
        """Apply an event. When this returns, the event is durable; if it raises, the event has no effect.

        Args:
            id: id of the session.
            event: action of the user.
            revision: revision that the session must have; None: any.

        Raises:
            UnknownSessionError: no session has this id, or it has no such object.
            RevisionError: the session is at another revision; nothing was changed.
            ClickError, NothingToUndoError, SessionError, OptionError, UnavailableError: the event is not possible
                (:meth:`~mfp.serve.sessions.live_session.LiveSession.apply`); nothing was changed.
            StoreError: the event could not be stored. The session's state shows whether it was stored after all.
        """
        attempts = ATTEMPTS if revision is None else 1
        while True:
            attempts -= 1
            try:
                return self._act_once(id, event, revision)
            except RevisionError:
                if attempts <= 0:
                    raise

    def _act_once(self, id: str, event: Event, revision: int | None) -> Reply:
        with self._held(id) as (slot, live, rebuild):
            if revision is not None and revision != live.revision:
                raise RevisionError(
                    f"expected the session at revision {revision}, it is at {live.revision}: "
                    "ask for its state, and see whether your event is in it"
                )
            try:
                kept, timing, everything = live.apply(event)
                started = time.perf_counter()
                # Computed before it is stored, so that a failure leaves no trace; answered only once it is stored.
                try:
                    self._store.append(id, live.revision, kept)
                except BaseException:
                    _empty(slot)
                    raise
                timing["store"] = (time.perf_counter() - started) * 1e3
            except MfpError:
                raise  # these errors leave the session as it was
            except BaseException:
                _empty(slot)
                raise
            live.revision += 1
            return live.reply(timing | {"rebuild": rebuild}, everything)

    def state(self, id: str) -> SessionState:
        """Return the whole state of a session.

        Raises:
            UnknownSessionError: no session has this id.
        """
        self._store.touch(id)
        with self._held(id) as (_, live, _):
            return live.state()

    def mask(self, id: str, number: int | None = None, form: str = "png") -> Download:
        """Return the mask of an object as ``png``, ``rle`` or ``polygons``; ``number`` None means the present one.

        Raises:
            UnknownSessionError: no session has this id, or it has no such object.
            OptionError: the form is none of these.
        """
        with self._held(id) as (_, live, _):
            mask = live.mask(number)
            number = live.present if number is None else number
            name = live.record.name
        return mask_file(mask, form).named(name, f"_{number}")

    def probability(self, id: str, form: str = "png") -> Download:
        """Return the probability map of the present object, as ``png`` (8 bits) or ``npy`` (float32 H×W).

        Raises:
            UnknownSessionError: no session has this id.
            OptionError: the form is none of these.
        """
        with self._held(id) as (_, live, _):
            probability = live.probability()
            name = live.record.name
        return probability_file(probability, form).named(name, "_probability")

    def image(self, id: str) -> Download:
        """Return the photograph as it was uploaded.

        Raises:
            UnknownSessionError: no session has this id.
            StoreError: the stored file differs from the uploaded one.
        """
        return stored_image(self._store, id)

    def coco(self, id: str) -> Download:
        """Return all objects that have a mask, as a COCO file.

        Raises:
            UnknownSessionError: no session has this id.
        """
        with self._held(id) as (_, live, _):
            state = live.state()
        return coco_file(state).named(state.name)

    def delete(self, id: str) -> None:
        """Delete a session.

        Raises:
            UnknownSessionError: no session has this id.
        """
        self._store.delete(id)
        self._forget(id)

    def expire(self, older_than: float) -> int:
        """Delete sessions unused for ``older_than`` seconds, and return their number."""
        ids = self._store.expire(older_than)
        for id in ids:
            self._forget(id)
        return len(ids)

    def counts(self) -> dict[str, int]:
        """Return the number of sessions in memory, the bytes they take, and the number in the store."""
        with self._guard:
            live = [slot.bytes for slot in self._slots.values() if slot.bytes]
        return {"live": len(live), "bytes": sum(live), "stored": self._store.count()}

    def close(self) -> None:
        """Free the memory and close the store."""
        with self._guard:
            slots = list(self._slots.values())
            self._slots.clear()
        for slot in slots:
            with slot.lock:
                _empty(slot)
        self._trim.close()
        self._store.close()

    @contextmanager
    def _held(self, id: str) -> Iterator[tuple[_Slot, LiveSession, float]]:
        """Lock a session for this thread, with its state rebuilt to its log's revision if necessary.

        Yields:
            The slot, the live session, and the milliseconds that the rebuild took.
        """
        with self._guard:
            slot = self._slots.setdefault(id, _Slot())
            self._slots.move_to_end(id)
        with slot.lock:
            try:
                revision = self._store.revision(id)
            except UnknownSessionError:
                _empty(slot)
                with self._guard:
                    if self._slots.get(id) is slot:
                        del self._slots[id]
                raise
            started = time.perf_counter()
            if slot.live is None or slot.live.revision != revision:  # another replica may have changed it
                _empty(slot)
                slot.live = self._rebuilt(id)
                rebuild = (time.perf_counter() - started) * 1e3
            else:
                rebuild = 0.0
            yield slot, slot.live, rebuild
            slot.bytes = 0 if slot.live is None else slot.live.bytes
        self._make_room()

    def _rebuilt(self, id: str) -> LiveSession:
        try:
            return self._opened(self._store.record(id), self._store.events(id))
        except OptionError as error:  # the options were accepted once
            raise StoreError(f"the record of this session is damaged in the store: {error}") from error

    def _opened(self, record: SessionRecord, events: Sequence[Event], pixels: U8 | None = None) -> LiveSession:
        read = partial(stored_pixels, self._store, record.id, self._decoding)
        return LiveSession(record, self._networks, read, events, self._limits, pixels)

    def _make_room(self) -> None:
        """Empty the least recently used slots until the rest are within the limit on memory; skip busy ones."""
        with self._guard:
            taken = sum(slot.bytes for slot in self._slots.values())
            for id, slot in list(self._slots.items())[:-1]:
                if taken + self._decoding.taken <= self._limits.memory:
                    break
                if slot.lock.acquire(blocking=False):
                    taken -= slot.bytes
                    _empty(slot)
                    del self._slots[id]
                    slot.lock.release()
                    self._trim.later()

    def _forget(self, id: str) -> None:
        with self._guard:
            slot = self._slots.pop(id, None)
        if slot is not None:
            with slot.lock:
                _empty(slot)
            self._trim.later()


def _empty(slot: _Slot) -> None:
    if slot.live is not None:
        slot.live.close()
        slot.live = None
    slot.bytes = 0
