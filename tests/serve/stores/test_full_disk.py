"""SQLite on a full disk, which is a real small file system, and on files that go or get damaged below a server."""

import os
import subprocess
import sys

import httpx2
import pytest

from mfp.serve.errors import StoreError
from mfp.serve.events import Event, SessionRecord
from mfp.serve.stores import open_store

API = "/api/v1"
CLICK = Event("click", 1.25, 2.5, False)
OPTIONS = {"size": (384, 384), "flip": True, "threshold": 0.5, "n_early": 7, "r_max": 100.0}


def record(id):
    return SessionRecord(id, "lite0", "sha256:1", dict(OPTIONS), 640, 480, "image/jpeg", 123.0)


@pytest.fixture
def disk(tmp_path):
    """A folder that is a file system of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"needs the command mount: {error}")
    if done.returncode:
        pytest.skip(f"needs leave to mount a file system: {done.stderr}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk, name="others"):
    """Somebody else's file takes all that is left, to the last byte."""
    file = os.open(disk / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for size in (65536, 4096, 1):
            try:
                while True:
                    os.write(file, bytes(size))
            except OSError:
                continue
    finally:
        os.close(file)


def append_all(store, id):
    """Events until one is refused; returns how many were taken."""
    revision = store.revision(id)
    refused = None
    while refused is None:
        try:
            store.append(id, revision, Event("finish", counts="x" * 5000))
            revision += 1
        except StoreError as error:
            refused = str(error)
    assert "cannot write" in refused
    return revision


def test_a_full_disk_refuses_clicks_and_nothing_else(disk):
    url = f"sqlite:///{disk / 'sessions.sqlite'}"
    store = open_store(url)
    images = {name: os.urandom(1_000_000) for name in ("a", "b", "c")}
    for name, image in images.items():
        store.create(record(name), image)
    store.append("a", 0, CLICK)
    store.probe()
    fill(disk)
    taken = append_all(store, "a")
    with pytest.raises(StoreError, match="cannot write"):
        store.probe()
    with pytest.raises(StoreError, match="cannot write"):
        store.create(record("d"), bytes(1_000_000))
    store.touch("a")
    assert store.revision("a") == len(store.events("a")) == taken
    assert {name: store.image(name) for name in images} == images
    store.close()

    fill(disk)  # and what closing has given back
    store = open_store(url)
    assert store.count() == 3
    assert store.revision("a") == taken
    store.delete("b")
    assert store.count() == 2
    fill(disk, "more")
    store.close()
    store = open_store(url)
    assert {name: store.image(name) for name in ("a", "c")} == {"a": images["a"], "c": images["c"]}

    for name in ("others", "more"):
        (disk / name).unlink()
    store.probe()
    store.append("a", taken, CLICK)
    assert store.events("a")[taken] == CLICK
    store.close()


def test_on_a_full_disk_the_oldest_can_expire(disk):
    store = open_store(f"sqlite:///{disk / 'sessions.sqlite'}")
    for name in ("a", "b", "c", "d"):
        store.create(record(name), os.urandom(1_500_000))
    fill(disk)
    append_all(store, "a")
    assert len(store.expire(-1)) == 4
    store.create(record("e"), os.urandom(1_500_000))  # in the room that they left
    store.close()


def test_a_server_on_a_full_disk(disk, start_server, small, golden):
    flags = ("--network", str(golden("toy.onnx")), "--store", f"sqlite:///{disk / 'sessions.sqlite'}")
    server = start_server(*flags)

    def ask(method, path, **options):
        return httpx2.request(method, server.url + path, timeout=60, **options)

    ids = [ask("POST", f"{API}/sessions", content=small(200, 300)).json()["id"] for _ in range(2)]
    click = {"json": {"x": 5, "y": 6}}
    assert ask("POST", f"{API}/sessions/{ids[0]}/clicks", **click).status_code == 200
    assert ask("GET", "/readyz").status_code == 200
    fill(disk)
    revision = 1
    while (answer := ask("POST", f"{API}/sessions/{ids[0]}/clicks", **click)).status_code == 200:
        revision += 1  # as long as SQLite's log has room
        assert revision < 150
    assert (answer.status_code, answer.json()["error"]) == (503, "StoreError")
    assert ask("GET", "/readyz").status_code == 503
    assert ask("GET", "/healthz").status_code == 200
    before = ask("GET", f"{API}/sessions/{ids[0]}").json()
    assert before["revision"] == revision
    assert server.end() == 0
    server = start_server(*flags)
    assert ask("GET", f"{API}/sessions/{ids[0]}").json() == before
    assert ask("DELETE", f"{API}/sessions/{ids[1]}").status_code == 204
    assert ask("GET", f"{API}/sessions/{ids[1]}").status_code == 404
    assert ask("GET", f"{API}/sessions/{ids[0]}").json() == before
    (disk / "others").unlink()
    assert ask("GET", "/readyz").status_code == 200
    assert ask("POST", f"{API}/sessions/{ids[0]}/clicks", **click).status_code == 200


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_gone_takes_no_clicks(tmp_path, suffix, replaced):
    """Else they would be acknowledged, and gone with the file."""
    store = open_store(f"sqlite:///{tmp_path / 'sessions.sqlite'}")
    store.create(record("a"), b"image")
    store.probe()
    file = tmp_path / f"sessions.sqlite{suffix}"
    (tmp_path / "copy").write_bytes(file.read_bytes())
    file.unlink()
    if replaced:
        (tmp_path / "copy").rename(file)
    for write in (store.probe, lambda: store.append("a", 0, CLICK), lambda: store.create(record("b"), b"image")):
        with pytest.raises(StoreError, match="stop the server, put the file back"):
            write()
    assert store.image("a") == b"image"
    store.close()


def test_a_probe_sees_a_damaged_file(tmp_path):
    path = tmp_path / "sessions.sqlite"
    store = open_store(f"sqlite:///{path}")
    store.create(record("a"), os.urandom(100_000))
    store.close()
    store = open_store(f"sqlite:///{path}")
    store.append("a", 0, CLICK)
    store.probe()
    with path.open("r+b") as file:  # all but its first page, which has the schema
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    log = path.with_name("sessions.sqlite-wal")
    with log.open("r+b") as file:
        file.write(os.urandom(log.stat().st_size))
    with pytest.raises(StoreError):
        store.probe()
    store.close()


def test_a_full_database_is_not_ready(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'sessions.sqlite'}")
    store.create(record("a"), b"image")
    store.probe()
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from mfp.serve.errors import StoreError\n"
        "from mfp.serve.stores import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: store.probe()\n"
        "except StoreError as error: print('refused:', error)\n"
        "print(store.image('a'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{tmp_path / 'sessions.sqlite'}"], capture_output=True, text=True
    )
    assert "refused: cannot write" in done.stdout, done.stderr
    assert "b'image'" in done.stdout
    store.close()
