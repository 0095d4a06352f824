"""Store of sessions in Redis, for replicas on several machines."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit
from uuid import uuid4

from ...engine.errors import OptionError, RuntimeMissingError
from ..errors import RevisionError, StoreError, UnknownSessionError
from ..events import Event, SessionRecord
from .clock import RunningClock
from .store import SessionStore

PREFIX = "mfp:"
IN_USE = PREFIX + "in_use"  # sorted set: id → time of last use, by the store's clock
CLOCK = PREFIX + "clock"  # the store's clock (stores/clock.py), advanced by all servers on the store
EXPECTED = "expected a store like redis://HOST:6379/0, or redis://HOST:6379/0?copies=1"
TIMEOUT = 10.0  # seconds to wait for an answer
COPY_TIMEOUT_MS = 5000  # time for replicas to receive an event
EXPIRED_AT_ONCE = 100  # maximum sessions a script deletes: Redis does nothing else meanwhile

# A script is atomic: no other command runs between its check and its change. (A transaction is atomic too, but a Redis
# that is full accepts none, not even to read or to delete.) KEYS: session, log, in_use, clock. The last of ARGV is the
# present time; if it is not a number, the last stored value of the store's clock is used.
NOW = f"local now = tonumber(ARGV[#ARGV]) or tonumber(redis.call('GET', '{CLOCK}') or 0) "
# A store without a clock gets one that begins with Redis's time, and the age of its sessions counts from now: older
# versions marked them with Redis's time, which a wrong date sets forward.
ADOPT = """
local kept = redis.call('GET', KEYS[4])
if kept then return kept end
local time = redis.call('TIME')
for _, id in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do redis.call('ZADD', KEYS[3], time[1], id) end
redis.call('SET', KEYS[4], time[1])
return time[1]
"""
# A request may be sent again because its answer was lost. It then finds its own record, and succeeds.
CREATE = (
    NOW
    + """
local present = redis.call('HGET', KEYS[1], 'record')
if present then return present == ARGV[2] and 1 or 0 end
redis.call('HSET', KEYS[1], 'record', ARGV[2], 'image', ARGV[3])
redis.call('ZADD', KEYS[3], now, ARGV[1])
return 1
"""
)
APPEND = (
    NOW
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local length, expected = redis.call('LLEN', KEYS[2]), tonumber(ARGV[2])
if length == expected + 1 and redis.call('LINDEX', KEYS[2], -1) == ARGV[3] then return expected end
if length == expected then
    redis.call('RPUSH', KEYS[2], ARGV[3])
    redis.call('ZADD', KEYS[3], now, ARGV[1])
end
return length
"""
)
ADVANCE = NOW + "redis.call('SET', KEYS[4], string.format('%.6f', math.max(now, redis.call('GET', KEYS[4]) or 0)))"
REVISION = "if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end return redis.call('LLEN', KEYS[2])"
EVENTS = "if redis.call('EXISTS', KEYS[1]) == 0 then return false end return redis.call('LRANGE', KEYS[2], 0, -1)"
DELETE = "redis.call('ZREM', KEYS[3], ARGV[1]) return redis.call('UNLINK', KEYS[1], KEYS[2])"
TOUCH = NOW + "redis.call('ZADD', KEYS[3], 'XX', now, ARGV[1])"
EXPIRE = (
    NOW
    + """
now = math.max(now, tonumber(redis.call('GET', KEYS[4]) or 0))
local limit = string.format('(%.6f', now - ARGV[1])
local ids = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', limit, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
    redis.call('UNLINK', ARGV[3] .. id, ARGV[4] .. id)
    redis.call('ZREM', KEYS[3], id)
end
redis.pcall('SET', KEYS[4], string.format('%.6f', now))
return ids
"""
)


class RedisStore(SessionStore):
    """Store in Redis; see :class:`~mfp.serve.stores.SessionStore`.

    The configuration of Redis decides how durable an event is: with ``appendfsync always`` it is on disk when it is
    acknowledged; with ``everysec`` a power failure loses the last second. Keys have no time to live: a full Redis
    refuses new sessions, and never drops old ones, whatever its eviction policy for keys with a time to live.

    Args:
        url: ``redis://[user:password@]host:port/database``, ``rediss://`` for TLS. With ``?copies=N`` an event is
            acknowledged once N replicas of that Redis have it too. Other options are those of redis-py.

    Raises:
        StoreError: Redis cannot be reached.
        OptionError: the URL is not understood.
        RuntimeMissingError: the package ``redis`` is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import redis
            from redis.backoff import ExponentialBackoff
            from redis.retry import Retry
        except ImportError:
            raise RuntimeMissingError("redis:// needs the package redis; install it with: pip install redis") from None
        address, self._name, self._copies = _parsed(url)
        self._errors = redis.RedisError
        retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 3)
        try:
            self._redis = redis.Redis.from_url(
                address, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=retry
            )
        except (TypeError, ValueError) as error:
            raise OptionError(f"{EXPECTED}, got {self._name} with options that are none: {error}") from None
        script = self._redis.register_script
        self._create, self._append, self._delete, self._touch = map(script, (CREATE, APPEND, DELETE, TOUCH))
        self._revision, self._events, self._expire = map(script, (REVISION, EVENTS, EXPIRE))
        self._adopt, self._advance = map(script, (ADOPT, ADVANCE))
        with self._reaching():
            self._redis.ping()
        self._clock: RunningClock | None = None
        with suppress(StoreError):  # Redis is full or read-only: the clock is read again before a write
            self._now()
        self._check_durable()

    def create(self, record: SessionRecord, image: bytes) -> None:
        with self._reaching():
            made = self._create(_keys(record.id), [record.id, record.to_json(), image, self._now()])
        if not made:
            raise StoreError(f"there is a session {record.id!r} already")

    def record(self, id: str) -> SessionRecord:
        return SessionRecord.from_json(self._field(id, "record"))

    def image(self, id: str) -> bytes:
        return self._field(id, "image")

    def events(self, id: str) -> list[Event]:
        with self._reaching():
            lines = self._events(_keys(id))
        if lines is None:
            raise _unknown(id)
        return [Event.opened(line.partition(b" ")[2], id, number) for number, line in enumerate(lines)]

    def revision(self, id: str) -> int:
        with self._reaching():
            present = int(self._revision(_keys(id)))
        if present < 0:
            raise _unknown(id)
        return present

    def append(self, id: str, revision: int, event: Event) -> None:
        # A unique mark distinguishes this request, sent again, from another one with the same click.
        line = f"{uuid4().hex} {event.sealed(id, revision)}"
        copies = 0
        with self._reaching():
            keys, arguments = _keys(id), [id, str(revision), line, self._now()]
            if self._copies:
                pipe: Any = self._redis.pipeline(transaction=False)  # WAIT covers only the writes of its own connection
                self._append(keys, arguments, client=pipe)
                pipe.execute_command("WAIT", self._copies, COPY_TIMEOUT_MS)
                present, copies = pipe.execute()
            else:
                present = self._append(keys, arguments)
        if present < 0:
            raise _unknown(id)
        if present != revision:
            raise RevisionError(f"expected the session at revision {revision}, it is at {present}")
        self._check_copies(copies, "the event")

    def delete(self, id: str) -> None:
        with self._reaching():
            removed = self._delete(_keys(id), [id])
        if not removed:
            raise _unknown(id)

    def touch(self, id: str) -> None:
        with suppress(StoreError), self._reaching():  # a full Redis can still be read
            self._touch(_keys(id), [id, self._now()])

    def expire(self, older_than: float) -> list[str]:
        expired: list[str] = []
        while True:
            with self._reaching():
                ids = self._expire(_keys(""), [older_than, EXPIRED_AT_ONCE, _session(""), _log(""), self._now()])
            expired += [id.decode() for id in ids]
            if len(ids) < EXPIRED_AT_ONCE:
                return expired

    def count(self) -> int:
        with self._reaching():
            return int(self._redis.zcard(IN_USE))

    def probe(self) -> None:
        with self._reaching():
            pipe: Any = self._redis.pipeline(transaction=False)
            self._advance(_keys(""), [self._now()], client=pipe)
            pipe.execute_command("WAIT", self._copies, COPY_TIMEOUT_MS)
            _, copies = pipe.execute()
        self._check_copies(copies, "a probe")

    def close(self) -> None:
        self._redis.close()

    def _now(self) -> str:
        """Return the time of the store's clock, as an argument of the scripts."""
        if self._clock is None:
            with self._reaching():
                self._clock = RunningClock(float(self._adopt(_keys(""))))
        return f"{self._clock.now():.6f}"

    def _check_copies(self, copies: int, what: str) -> None:
        if copies < self._copies:
            raise StoreError(f"{self._name}: expected {self._copies} replicas to have {what}, {copies} do")

    def _field(self, id: str, name: str) -> bytes:
        with self._reaching():
            found: Any = self._redis.hget(_session(id), name)
        if found is None:
            raise _unknown(id)
        return bytes(found)

    def _check_durable(self) -> None:
        try:
            settings = self._redis.config_get("appendonly")
        except self._errors:  # hosted services do not allow the query
            return
        if settings.get("appendonly") == "no":
            warnings.warn(
                f"{self._name} keeps no append-only file: when it ends, acknowledged clicks are lost. "
                "Start it with --appendonly yes, and --appendfsync always or everysec",
                RuntimeWarning,
                stacklevel=3,
            )

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise StoreError(f"{self._name}: {error}; expected a Redis that can be reached and written") from error


def _parsed(url: str) -> tuple[str, str, int]:
    """Split a URL into the URL for redis-py, a name without user and password, and the number of copies."""
    try:
        parts = urlsplit(url)
        name = f"{parts.hostname}:{parts.port or 6379}{parts.path or '/0'}"
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise OptionError(f"{EXPECTED}: {error}") from None
    copies = query.pop("copies", ["0"])[-1]
    if not parts.hostname or not re.fullmatch(r"(/\d*)?", parts.path) or not copies.isdecimal():
        raise OptionError(f"{EXPECTED}, got {name} with copies={copies}")
    return urlunsplit(parts._replace(query=urlencode(query, doseq=True))), name, int(copies)


def _session(id: str) -> str:
    return f"{PREFIX}session:{id}"


def _log(id: str) -> str:
    return f"{PREFIX}log:{id}"


def _keys(id: str) -> list[str]:
    return [_session(id), _log(id), IN_USE, CLOCK]


def _unknown(id: str) -> UnknownSessionError:
    return UnknownSessionError(f"no session {id!r}: it was deleted, expired, or never was; create a new one")
