"""What every store promises, held against each of them."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time

import pytest

from mfp.engine.errors import OptionError
from mfp.serve.errors import RevisionError, StoreError, UnknownSessionError
from mfp.serve.events import Event, SessionRecord
from mfp.serve.stores import clock, open_store

OPTIONS = {"size": (384, 384), "flip": True, "threshold": 0.5, "n_early": 7, "r_max": 100.0}
CLICK = Event("click", 1.25, 2.5, False)


def record(id):
    return SessionRecord(id, "lite0", "sha256:1", dict(OPTIONS), 640, 480, "image/jpeg", 123.0)


@pytest.fixture(params=["sqlite", "redis"])
def url(request, tmp_path):
    if request.param == "redis":
        return request.getfixturevalue("redis_url")
    return f"sqlite:///{tmp_path / 'folder' / 'sessions.sqlite'}"


@pytest.fixture
def store(url):
    store = open_store(url)
    yield store
    store.close()


def test_a_session_comes_back(store):
    store.create(record("a"), b"image")
    assert store.record("a") == record("a")
    assert store.image("a") == b"image"
    assert store.events("a") == []
    assert store.revision("a") == 0
    events = [CLICK, Event("undo"), Event("redo"), Event("reset"), Event("finish", counts="0Pt\\")]
    for revision, event in enumerate(events):
        store.append("a", revision, event)
    assert store.events("a") == events
    assert store.revision("a") == len(events)


def test_it_comes_back_from_another_connection(url, store):
    store.create(record("a"), b"image")
    store.append("a", 0, CLICK)
    other = open_store(url)
    assert other.events("a") == [CLICK]
    other.append("a", 1, Event("undo"))
    other.close()
    assert store.revision("a") == 2


@pytest.mark.parametrize("revision", [0, 2, -1])
def test_an_event_at_another_revision_is_refused(store, revision):
    store.create(record("a"), b"image")
    store.append("a", 0, CLICK)
    with pytest.raises(RevisionError, match=f"revision {revision}, it is at 1"):
        store.append("a", revision, Event("undo"))
    assert store.events("a") == [CLICK]


def test_of_two_that_append_at_one_revision_one_fails(url, store):
    store.create(record("a"), b"image")
    others = [open_store(url) for _ in range(4)]
    won = []

    def race(number):
        for revision in range(20):
            try:
                others[number].append("a", revision, Event("click", float(number), float(revision)))
                won.append((number, revision))
            except RevisionError:
                while others[number].revision("a") <= revision:
                    pass

    threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert sorted(revision for _, revision in won) == list(range(20))
    assert {(int(event.x), int(event.y)) for event in store.events("a")} == set(won)


def test_what_is_deleted_is_unknown(store):
    store.create(record("a"), b"image")
    store.create(record("b"), b"other")
    store.append("a", 0, CLICK)
    assert store.count() == 2
    store.delete("a")
    assert store.count() == 1
    for ask in (store.record, store.image, store.events, store.revision, store.delete):
        with pytest.raises(UnknownSessionError, match="'a'"):
            ask("a")
    with pytest.raises(UnknownSessionError):
        store.append("a", 0, CLICK)
    assert store.image("b") == b"other"


def test_what_is_not_used_expires(store):
    for id in ("old", "used", "touched"):
        store.create(record(id), b"image")
    assert store.expire(60) == []
    time.sleep(0.05)
    now = time.monotonic()
    store.append("used", 0, CLICK)
    assert sorted(store.expire(time.monotonic() - now + 0.02)) == ["old", "touched"]
    assert store.count() == 1


@pytest.mark.parametrize("url", ["sessions.sqlite", "sqlite://relative", "mysql://x", "sqlite:///", ""])
def test_other_urls_are_refused(url):
    with pytest.raises(OptionError, match="expected a store like"):
        open_store(url)


class TestSqlite:
    def test_the_file_is_its_owners_alone(self, tmp_path):
        store = open_store(f"sqlite:///{tmp_path / 'sessions.sqlite'}")
        store.create(record("a"), b"image")
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        store.close()

    def test_files_of_others_are_refused(self, tmp_path):
        (tmp_path / "text").write_text("no database at all, but long enough to be looked at as one" * 20)
        with pytest.raises(StoreError, match="not a database"):
            open_store(f"sqlite:///{tmp_path / 'text'}")
        sqlite3.connect(tmp_path / "other").execute("CREATE TABLE things (id)")
        with pytest.raises(StoreError, match="another program"):
            open_store(f"sqlite:///{tmp_path / 'other'}")
        sqlite3.connect(tmp_path / "later").execute("PRAGMA user_version = 99")
        with pytest.raises(StoreError, match="another version"):
            open_store(f"sqlite:///{tmp_path / 'later'}")
        with pytest.raises(StoreError, match="cannot open"):
            open_store(f"sqlite:///{tmp_path / 'text' / 'below'}")

    @pytest.mark.parametrize("gone", [lambda store: store.delete("a"), lambda store: store.expire(-1)])
    def test_what_is_deleted_is_given_back_to_the_disk(self, tmp_path, gone):
        store = open_store(f"sqlite:///{tmp_path / 'sessions.sqlite'}")
        taken = [sum(file.stat().st_size for file in tmp_path.iterdir())]
        store.create(record("a"), os.urandom(3_000_000))
        taken.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
        gone(store)
        taken.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
        assert taken[1] - taken[0] > 3_000_000
        assert taken[2] - taken[0] < 100_000
        store.close()

    def test_a_damaged_row_is_named(self, tmp_path):
        store = open_store(f"sqlite:///{tmp_path / 'sessions.sqlite'}")
        store.create(record("a"), b"image")
        store.append("a", 0, CLICK)
        with sqlite3.connect(tmp_path / "sessions.sqlite") as other:
            other.execute("UPDATE events SET event = 'nothing'")
        with pytest.raises(StoreError, match="expected an event"):
            store.events("a")
        store.close()

    def test_what_was_appended_survives_a_killed_process(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'sessions.sqlite'}"
        code = (
            "import os, signal, sys\n"
            "from mfp.serve.stores import open_store\n"
            "from mfp.serve.events import Event, SessionRecord\n"
            f"store = open_store({url!r})\n"
            f"store.create(SessionRecord.from_json({record('a').to_json()!r}), b'image')\n"
            "for i in range(50): store.append('a', i, Event('click', float(i), 0.0))\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        assert subprocess.run([sys.executable, "-c", code]).returncode == -9
        store = open_store(url)
        assert [event.x for event in store.events("a")] == list(range(50))
        store.close()


class TestExpiry:
    """By the time that servers ran on the store (stores/clock.py), whatever the date is."""

    @pytest.mark.parametrize("days", [40, -20, 4000])
    def test_a_wrong_date_makes_no_session_old(self, url, days):
        """Processes of their own, so that the date is wrong for everything in them."""
        if shutil.which("faketime") is None:
            pytest.skip("needs faketime: apt-get install faketime")

        def run(code, *command):
            text = (
                "import sys, time\n"
                "from mfp.serve.stores import open_store\n"
                "from mfp.serve.events import Event, SessionRecord\n"
                "store = open_store(sys.argv[1])\n"
                f"{code}\n"
                "store.close()\n"
            )
            done = subprocess.run([*command, sys.executable, "-c", text, url], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout

        make = "store.create(SessionRecord.from_json({!r}), b'image')"
        ask = "print(int(time.time()), store.expire(30 * 86400), store.count())"
        run(make.format(record("a").to_json()))
        wrong = run(f"{ask}; {make.format(record('b').to_json())}", "faketime", "-f", f"{days:+}d")
        assert abs(int(wrong.split()[0]) - time.time() - days * 86400) < 86400 / 2  # it was wrong
        assert wrong.split()[1:] == ["[]", "1"]
        assert run(ask).split()[1:] == ["[]", "2"]

    def test_the_date_is_not_asked(self, url, monkeypatch):
        store = open_store(url)
        store.create(record("a"), b"image")
        for days in (40, -40, 400):
            monkeypatch.setattr(time, "time", lambda real=time.time, days=days: real() + days * 86400)
            assert store.expire(60) == []
            store.close()
            store = open_store(url)
            store.touch("a")
            assert store.expire(60) == []
            monkeypatch.undo()
        assert store.expire(60) == []
        assert store.count() == 1
        store.close()

    def test_running_time_counts_over_restarts_and_between_processes(self, url, monkeypatch):
        seconds = 1000.0
        monkeypatch.setattr(clock.time, "monotonic", lambda: seconds)
        one, other = open_store(url), open_store(url)
        one.create(record("old"), b"image")
        for hour in range(10):  # both go by the same hours, not by twenty
            seconds += 3600
            assert one.expire(9.5 * 3600) == (["old"] if hour == 9 else [])
            assert other.expire(9.5 * 3600) == []
        one.create(record("new"), b"image")
        seconds += 1800
        one.probe()  # as every /readyz, and each look for old sessions, it moves the store's clock
        one.close()
        other.close()
        seconds += 1e9  # no server ran, or its machine was started anew
        one = open_store(url)
        assert one.expire(1801) == []
        seconds += 10
        assert one.expire(1801) == ["new"]
        one.close()

    @pytest.mark.parametrize("days", [-40, 40])
    def test_sessions_of_a_store_without_a_clock_count_from_now(self, url, days):
        """A store as mfp wrote it before: marked with the date, which may have been wrong."""
        store = open_store(url)
        store.create(record("a"), b"image")
        store.create(record("b"), b"image")
        store.close()
        then = time.time() + days * 86400
        if url.startswith("redis"):
            import redis

            with redis.Redis.from_url(url) as connection:
                connection.delete("mfp:clock")
                connection.zadd("mfp:in_use", {"a": then})
        else:
            with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
                connection.execute("DROP TABLE server")
                connection.execute("UPDATE sessions SET touched = ? WHERE id = 'a'", (then,))
            connection.close()
        store = open_store(url)
        assert store.expire(3600) == []
        time.sleep(0.05)
        assert sorted(store.expire(0.02)) == ["a", "b"]
        store.close()


def test_a_probe_writes(store):
    store.probe()
    store.create(record("a"), b"image")
    store.probe()
    assert store.count() == 1
    assert store.revision("a") == 0


def test_a_home_folder_in_a_url(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///~/below/sessions.sqlite").close()
    assert [path.name for path in tmp_path.iterdir()] == ["below"]
    with pytest.raises(StoreError, match="cannot open ~nobody-of-this-name"):
        open_store("sqlite:///~nobody-of-this-name/sessions.sqlite")
