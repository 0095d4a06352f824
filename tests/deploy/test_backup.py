"""The commands of docs/deploying.md for backups, as they stand there, against real stores."""

import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from mfp.serve.events import Event, SessionRecord
from mfp.serve.stores import open_store

PAGE = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text()
BACKUP, RESTORE, REDIS_BACKUP, REDIS_RESTORE = re.findall(r"```sh\n(.*?)```", PAGE.partition("## Backup")[2], re.DOTALL)
CLICK = Event("click", 1.25, 2.5, False)


def record(id):
    options = {"size": (384, 384), "flip": True, "threshold": 0.5, "n_early": 7, "r_max": 100.0}
    return SessionRecord(id, "lite0", "sha256:1", options, 640, 480, "image/jpeg", 123.0)


def run(commands, folder, **replaced):
    for old, new in replaced.items():
        assert old in commands
        commands = commands.replace(old, new)
    done = subprocess.run(["sh", "-e", "-c", commands], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("copy", ["backup.sqlite", "backup2.sqlite"])
def test_sqlite(tmp_path, copy):
    file = tmp_path / "sessions.sqlite"
    here = {"~/.local/share/mfp-engine/sessions.sqlite": str(file)}
    backup = BACKUP
    if shutil.which("sqlite3") is None:
        if copy == "backup2.sqlite":
            pytest.skip("needs the command sqlite3: apt-get install sqlite3")
        backup = "\n".join(line for line in BACKUP.splitlines() if not line.startswith("sqlite3 "))
    store = open_store(f"sqlite:///{file}")
    store.create(record("a"), os.urandom(100_000))
    image, taken, over = store.image("a"), [0], threading.Event()

    def click():
        while not over.is_set():
            store.append("a", taken[0], CLICK)
            taken[0] += 1

    clicking = threading.Thread(target=click)
    clicking.start()
    while taken[0] < 5:
        time.sleep(0.01)
    before = taken[0]
    run(backup, tmp_path, **here)
    over.set()
    clicking.join()
    assert (tmp_path / copy).stat().st_mode & 0o077 == 0
    store.append("a", taken[0], Event("reset"))
    store.close()
    assert run(RESTORE.replace("backup.sqlite", copy), tmp_path, **here) == "ok\n"
    store = open_store(f"sqlite:///{file}")
    assert store.image("a") == image
    assert before <= store.revision("a") <= taken[0]
    assert store.events("a") == [CLICK] * store.revision("a")
    store.append("a", store.revision("a"), CLICK)
    store.probe()
    store.close()


def test_redis(start_redis, tmp_path):
    if shutil.which("redis-cli") is None:
        pytest.skip("needs redis-cli: apt-get install redis-tools")
    port, process = start_redis()
    store = open_store(f"redis://127.0.0.1:{port}/0")
    store.create(record("a"), bytes(range(256)))
    store.append("a", 0, CLICK)
    run(REDIS_BACKUP, tmp_path, **{"6379": str(port)})
    store.append("a", 1, CLICK)
    store.close()
    process.kill()
    process.wait()
    (tmp_path / "data").mkdir()
    run(REDIS_RESTORE, tmp_path, **{"6379": str(port)})
    try:
        deadline = time.monotonic() + 60
        aof = tmp_path / "data" / "appendonlydir"
        while not list(aof.glob("*.base.rdb")) and time.monotonic() < deadline:
            time.sleep(0.05)
        store = open_store(f"redis://127.0.0.1:{port}/0")
        store.close()
    finally:
        subprocess.run(["redis-cli", "-p", str(port), "shutdown"], check=True, capture_output=True)
    start_redis(port=port, folder=tmp_path / "data")  # as usual
    store = open_store(f"redis://127.0.0.1:{port}/0")
    assert (store.events("a"), store.image("a")) == ([CLICK], bytes(range(256)))
    store.close()
