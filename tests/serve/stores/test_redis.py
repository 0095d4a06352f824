"""What Redis alone can do to a store of sessions: lose connections, restart, run full, have replicas of its own."""

import signal
import time

import pytest

from mfp.engine.errors import OptionError
from mfp.serve.errors import RevisionError, StoreError, UnknownSessionError
from mfp.serve.events import Event, SessionRecord
from mfp.serve.stores import open_store

redis = pytest.importorskip("redis")
CLICK = Event("click", 1.25, 2.5, False)
UNDO = Event("undo")


def record(id):
    options = {"size": (384, 384), "flip": True, "threshold": 0.5, "n_early": 7, "r_max": 100.0}
    return SessionRecord(id, "lite0", "sha256:1", options, 640, 480, "image/jpeg", 123.0)


@pytest.fixture
def store(redis_url):
    store = open_store(redis_url)
    yield store
    store.close()


def cut(port):
    """End all connections to a Redis, as a network does that fails."""
    with redis.Redis(port=port) as connection:
        connection.client_kill_filter(_type="normal", skipme=True)


def test_a_request_that_is_sent_again_is_done_once(redis_port, store):
    store.create(record("a"), b"image")
    for revision in range(20):
        cut(redis_port)
        store.append("a", revision, CLICK)
    assert store.events("a") == [CLICK] * 20


def test_an_answer_that_is_lost_is_no_second_event(store):
    """The script runs, the connection breaks before its answer: the client's library sends it again."""
    store.create(record("a"), b"image")
    keys = ["mfp:session:a", "mfp:log:a", "mfp:in_use"]
    line = f"0123 {CLICK.to_json()}"
    assert store._append(keys, ["a", 0, line]) == 0
    assert store._append(keys, ["a", 0, line]) == 0
    assert store.events("a") == [CLICK]
    assert store._append(keys, ["a", 0, f"4567 {CLICK.to_json()}"]) == 1  # another one's, refused
    assert store.events("a") == [CLICK]
    store.create(record("a"), b"image")
    assert store.events("a") == [CLICK]
    other = SessionRecord(**{**vars(record("a")), "width": 1})
    with pytest.raises(StoreError, match="there is a session 'a' already"):
        store.create(other, b"other")


def test_what_is_acknowledged_survives_a_kill(start_redis, tmp_path):
    port, process = start_redis(folder=tmp_path)
    store = open_store(f"redis://127.0.0.1:{port}/0")
    store.create(record("a"), b"image")
    for revision in range(100):
        store.append("a", revision, CLICK)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{port}/0: .*expected a Redis that can be reached"):
        store.append("a", 100, CLICK)
    start_redis(folder=tmp_path, port=port)
    assert store.revision("a") == 100
    store.append("a", 100, UNDO)
    assert store.events("a") == [CLICK] * 100 + [UNDO]
    assert store.image("a") == b"image"
    store.close()


def test_a_full_redis_refuses_and_forgets_nothing(start_redis):
    port, _ = start_redis("--maxmemory", "3mb", "--maxmemory-policy", "volatile-lru")
    store = open_store(f"redis://127.0.0.1:{port}/0")
    store.create(record("a"), b"image")
    store.append("a", 0, CLICK)

    def fill():
        for number in range(100):
            store.create(record(f"b{number}"), bytes(100_000))

    with pytest.raises(StoreError, match="maxmemory"):
        fill()
    assert store.events("a") == [CLICK]
    taken = store.count() - 1
    assert 1 < taken < 100
    assert [len(store.image(f"b{number}")) for number in range(taken)] == [100_000] * taken
    store.delete("b0")
    store.create(record("c"), b"image")
    store.close()


def test_copies_are_waited_for(start_redis, monkeypatch):
    port, _ = start_redis("--repl-diskless-sync-delay", "0")
    store = open_store(f"redis://127.0.0.1:{port}/0?copies=1")
    store.create(record("a"), b"image")
    monkeypatch.setattr("mfp.serve.stores.redis.COPY_TIMEOUT_MS", 100)
    with pytest.raises(StoreError, match="expected 1 replicas to have the event, 0 do"):
        store.append("a", 0, CLICK)
    assert store.revision("a") == 1  # it is there, though not as safe as asked for: the state tells
    copy, _ = start_redis("--replicaof", "127.0.0.1", str(port))
    with redis.Redis(port=copy) as connection:
        while connection.info("replication")["master_link_status"] != "up":
            time.sleep(0.05)
        monkeypatch.undo()
        store.append("a", 1, CLICK)
        assert connection.llen("mfp:log:a") == 2
    store.close()
    store = open_store(f"redis://127.0.0.1:{copy}/0")
    with pytest.raises(StoreError, match="read only replica"):
        store.create(record("b"), b"image")
    store.close()


def test_a_redis_that_forgets_is_warned_of(start_redis):
    port, _ = start_redis("--appendonly", "no")
    with pytest.warns(RuntimeWarning, match="append-only"):
        open_store(f"redis://127.0.0.1:{port}/0").close()


def test_ids_of_strangers_meet_nothing_else(store):
    store.create(record("a"), b"image")
    store.append("a", 0, CLICK)
    for id in ("a:log", "log:a", "in_use", "", "*", "a\n", "ä" * 64):
        for ask in (store.record, store.image, store.events, store.revision, store.delete):
            with pytest.raises(UnknownSessionError):
                ask(id)


def test_expiry_goes_by_one_clock_and_takes_many(store):
    for number in range(250):
        store.create(record(f"s{number}"), b"image")
    time.sleep(0.5)
    now = time.monotonic()
    store.touch("s7")
    store.touch("nobody")
    assert store.count() == 250
    assert len(store.expire(time.monotonic() - now + 0.2)) == 249
    assert store.image("s7") == b"image"
    assert store.count() == 1


def test_passwords_stay_secret(start_redis):
    port, _ = start_redis("--requirepass", "Geheim")
    store = open_store(f"redis://:Geheim@127.0.0.1:{port}/0")
    store.create(record("a"), b"image")
    with pytest.raises(RevisionError):
        store.append("a", 1, CLICK)
    store.close()
    for url in (f"redis://:Falsch@127.0.0.1:{port}/0", f"redis://:Falsch@127.0.0.1:{port}/x", "redis://:Falsch@[/0"):
        with pytest.raises((StoreError, OptionError)) as caught:
            open_store(url)
        assert "Falsch" not in str(caught.value)


def test_urls_that_are_not_understood(redis_url):
    for url in (f"{redis_url}?copies=all", f"{redis_url}?copies=-1", "redis://127.0.0.1:x/0"):
        with pytest.raises(OptionError):
            open_store(url)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/0"):
        open_store("redis://127.0.0.1:1/0")


def test_a_redis_that_cannot_be_written_fails_the_probe_and_is_read(start_redis):
    port, _ = start_redis("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    store = open_store(f"redis://127.0.0.1:{port}/0")
    store.create(record("a"), b"image")
    store.probe()
    with redis.Redis(port=port) as connection:
        connection.config_set("maxmemory", "1mb")
        with pytest.raises(StoreError, match="maxmemory"):
            store.probe()
        store.touch("a")
        assert store.image("a") == b"image"
        assert store.expire(3600) == []
        other = open_store(f"redis://127.0.0.1:{port}/0")
        assert other.revision("a") == 0
        other.close()
        store.delete("a")
        connection.config_set("maxmemory", "0")
    store.probe()
    store.close()
    copy, _ = start_redis("--replicaof", "127.0.0.1", str(port))
    store = open_store(f"redis://127.0.0.1:{copy}/0")
    with pytest.raises(StoreError, match="read only replica"):
        store.probe()
    store.close()
