"""The engine cache, with real files, threads and processes: built once, never half, within its limit."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from mfp.cli.main import main
from mfp.engine.errors import CacheError, OptionError, PlanError
from mfp.engine.plans.cache import EngineCache, cache_key
from mfp.engine.plans.plan_file import read_plan, write_plan

PARTS = {"backbone": "hrnet18", "precision": "fp16", "onnx": "sha256:00", "profile": {"min": [1, 3, 320, 480]}}
PLAN = bytes(range(256)) * 8

# A process of its own. Arguments: folder, file that gets a letter for every build, what the builder does in its middle.
WORKER = """
import os, signal, sys, time
from mfp.engine.plans.cache import EngineCache
from mfp.engine.plans.plan_file import write_plan
PARTS = {parts!r}
def build(path):
    with open(sys.argv[2], "a") as counter:
        counter.write("x")
    path.write_bytes(b"half")
    print("half", flush=True)
    exec(sys.argv[3])
    write_plan(path, {{"key": PARTS}}, {plan!r})
print(EngineCache(sys.argv[1]).get(PARTS, build, lambda line: print(line, flush=True)))
"""


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "cache")


@pytest.fixture
def said():
    return []


class Builder:
    """Builds as the real one does, and counts."""

    def __init__(self, parts=PARTS, plan=PLAN, **more):
        self.parts, self.plan, self.more, self.count = parts, plan, more, 0

    def __call__(self, path):
        self.count += 1
        write_plan(path, {"key": dict(self.parts), **self.more}, self.plan)


def start(cache, counter, middle=""):
    code = WORKER.format(parts=PARTS, plan=PLAN)
    command = [sys.executable, "-c", code, cache.folder, counter, middle]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def names(cache):
    """Of the files in the folder, but for the locks."""
    return sorted(path.name for path in cache.folder.iterdir() if path.suffix != ".lock")


def fill(cache, count, size=1000, used_ago=(), **more):
    """That many entries of ``size`` bytes, the first used longest ago."""
    paths = []
    for number in range(count):
        parts = {**PARTS, "number": number}
        draft = write_plan(cache.folder / "draft", {"key": parts, **more}, b"")
        write_plan(draft, {"key": parts, **more}, bytes(size - draft.stat().st_size))
        os.replace(draft, cache.path(parts))
        paths.append(cache.path(parts))
        used = time.time() - (used_ago[number] if used_ago else 1000 - number)
        os.utime(paths[-1], (used, used))
    return paths


def test_the_first_call_builds_and_the_next_does_not(cache, said):
    build = Builder()
    path = cache.get(PARTS, build, said.append)
    assert read_plan(path)[1] == PLAN
    assert cache.get(dict(reversed(PARTS.items())), build, said.append) == path
    assert build.count == 1
    assert said == [f"building {path.stem}: not in the cache yet"]
    assert names(cache) == [path.name]
    assert re.fullmatch(r"hrnet18-fp16-[0-9a-f]{24}\.plan", path.name)


def test_every_part_of_the_key_counts():
    changes = [
        {},
        {"precision": "fp32"},
        {"onnx": "sha256:01"},
        {"profile": {"min": [2, 3, 320, 480]}},
        {"profile": None},
        {"more": 1},
        {"more": 1.0},
        {"more": "1"},
        {"more": True},
    ]
    assert len({cache_key({**PARTS, **change}) for change in changes}) == len(changes)
    assert cache_key({"a": (1, 2)}) == cache_key({"a": [1, 2]})
    with pytest.raises(TypeError):
        cache_key({"a": Path()})


@given(words=st.dictionaries(st.sampled_from(["backbone", "precision"]), st.text() | st.integers()))
def test_any_key_gives_a_name_that_is_found_again(words):
    name = EngineCache("folder").path(words).name
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*-[0-9a-f]{24}\.plan", name)


def truncate(path):
    os.truncate(path, path.stat().st_size - 100)


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, "is truncated or damaged"),
        (flip, "is damaged"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(b"ptrt" + PLAN), "bare TensorRT plan"),
        (lambda path: path.write_bytes(b"text\nof somebody"), "no plan file"),
        (lambda path: write_plan(path, {"key": {**PARTS, "onnx": "sha256:01"}}, PLAN), "built for another key"),
        (lambda path: write_plan(path, {}, PLAN), "built for another key"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"schema": 1', b'"schema": 2')), "newer mfp-engine"),
        (lambda path: path.unlink(), "not in the cache yet"),
    ],
)
def test_an_entry_that_cannot_be_used_is_explained_and_built_again(cache, said, damage, words):
    build = Builder()
    path = cache.get(PARTS, build, said.append)
    companion = path.with_name(f"{path.name}.runtime-cache")
    companion.write_bytes(b"of the old plan")
    damage(path)
    said.clear()
    assert cache.get(PARTS, build, said.append) == path
    assert read_plan(path)[1] == PLAN
    assert build.count == 2
    assert len(said) == 1
    assert words in said[0]
    assert "\n" not in said[0]
    assert names(cache) == [path.name]  # a runtime cache of another plan is gone too


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, PlanError])
def test_a_failing_build_raises_and_leaves_nothing(cache, said, error):
    def build(path):
        path.write_bytes(b"half")
        path.with_name(f"{path.name}.runtime-cache").write_bytes(b"more")
        raise error("no")

    for _ in range(2):
        with pytest.raises(error, match="no"):
            cache.get(PARTS, build, said.append)
        assert names(cache) == []
    cache.get(PARTS, Builder(), said.append)  # and the lock is free


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda path: None, PlanError, "does not exist"),
        (lambda path: path.write_bytes(b"junk"), PlanError, "no plan file"),
        (lambda path: write_plan(path, {}, PLAN), CacheError, "did not store its key"),
    ],
)
def test_what_the_builder_wrote_is_checked_before_it_is_kept(cache, said, build, error, words):
    with pytest.raises(error, match=words):
        cache.get(PARTS, build, said.append)
    assert names(cache) == []


def test_a_builder_killed_in_the_middle_leaves_nothing_that_matters(cache, said, tmp_path):
    worker = start(cache, tmp_path / "counter", "os.kill(os.getpid(), signal.SIGKILL)")
    assert worker.wait(timeout=60) == -signal.SIGKILL
    (draft,) = names(cache)
    assert draft.startswith(cache.path(PARTS).name)
    assert draft.endswith(".plan")  # which builders demand
    assert cache.entries()[0].files == (cache.folder / draft,)
    again = start(cache, tmp_path / "counter")
    assert again.communicate(timeout=60)[0].splitlines()[-1] == str(cache.path(PARTS))
    assert names(cache) == [cache.path(PARTS).name]
    assert read_plan(cache.path(PARTS))[1] == PLAN


def test_who_waits_for_a_builder_that_is_killed_builds(cache, tmp_path):
    counter = tmp_path / "counter"
    first = start(cache, counter, "time.sleep(60)")
    assert first.stdout.readline().startswith("building")
    assert first.stdout.readline() == "half\n"
    second = start(cache, counter)
    assert second.stdout.readline() == f"waiting for {cache.path(PARTS).stem}, which another process builds\n"
    assert counter.read_text() == "x"
    first.kill()
    assert second.communicate(timeout=60)[0].splitlines()[-1] == str(cache.path(PARTS))
    assert counter.read_text() == "xx"
    assert names(cache) == [cache.path(PARTS).name]
    first.communicate()


def test_processes_that_race_build_once(cache, tmp_path):
    counter = tmp_path / "counter"
    workers = [start(cache, counter, "time.sleep(1.5)") for _ in range(4)]
    lines = [worker.communicate(timeout=60)[0].splitlines() for worker in workers]
    assert counter.read_text() == "x"
    assert {each[-1] for each in lines} == {str(cache.path(PARTS))}
    starts = sorted(each[0].split()[0] for each in lines)
    assert starts == ["building", "waiting", "waiting", "waiting"]
    assert [len(each) for each in lines if each[0].startswith("waiting")] == [2, 2, 2]
    assert read_plan(cache.path(PARTS))[1] == PLAN


def test_threads_that_race_build_once(cache, said):
    build, barrier, found = Builder(), threading.Barrier(8), []

    def slowly(path):
        time.sleep(0.2)
        build(path)

    def work():
        barrier.wait()
        found.append(cache.get(PARTS, slowly, said.append))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert build.count == 1
    assert found == [cache.path(PARTS)] * 8


def test_the_least_recently_used_make_room(cache, said):
    cache.folder.mkdir()
    cache.limit = 4500
    first, second, third, fourth = fill(cache, 4)
    (cache.folder / f"{second.name}.runtime-cache").write_bytes(bytes(400))
    (cache.folder / f"{second.name}.ab.tmp").write_bytes(bytes(90))
    cache.get({**PARTS, "number": 0}, Builder(), said.append)  # a use
    assert not said
    path = cache.get(PARTS, Builder(plan=bytes(900)), said.append)
    assert names(cache) == sorted(p.name for p in (first, third, fourth, path))
    assert [entry.path for entry in cache.entries()][-2:] == [fourth, third]


def test_an_engine_larger_than_the_limit_is_kept_alone(cache, said):
    cache.limit = 10
    cache.folder.mkdir()
    fill(cache, 3)
    for plan in (PLAN, PLAN + b"x"):
        parts = {**PARTS, "length": len(plan)}
        for _ in range(2):
            path = cache.get(parts, Builder(parts, plan), said.append)
            assert names(cache) == [path.name]
            os.utime(path, (9, 9))
    assert len(said) == 2


def test_the_engine_just_made_is_kept_whatever_the_clock_says(cache, said, monkeypatch):
    cache.limit = 10
    monkeypatch.setattr(time, "time", lambda: 9e9)  # as on a file server whose clock is behind
    assert cache.get(PARTS, Builder(), said.append).exists()
    assert names(cache) == [cache.path(PARTS).name]


def test_a_new_engine_counts_as_used_when_its_build_ends(cache, said):
    def build(path):
        Builder()(path)
        os.utime(path, (9, 9))  # as one that was inspected for long after it was written

    path = cache.get(PARTS, build, said.append)
    assert time.time() - path.stat().st_mtime < 60


def test_an_entry_handed_out_a_moment_ago_or_being_built_is_not_removed(cache, said):
    cache.limit = 10
    cache.folder.mkdir()
    just_used, building, _ = fill(cache, 3, used_ago=(1, 1000, 1000))
    with FileLock(f"{building}.lock"):
        path = cache.get(PARTS, Builder(), said.append)
    assert names(cache) == sorted(p.name for p in (just_used, building, path))


def test_leftovers_of_killed_builds_go_after_a_day(cache, said):
    cache.folder.mkdir()
    (entry,) = fill(cache, 1)
    other = f"{cache.path({}).name}.00.tmp"
    for name, age in [
        (f"{entry.name}.11.tmp", 90_000),
        (f"{entry.name}.22.tmp", 80_000),
        (other, 90_000),
        (f"{entry.name}.0123abcd.plan", 90_000),
        (f"{entry.name}.runtime-cache", 90_000),
    ]:
        (cache.folder / name).write_bytes(b"half")
        os.utime(cache.folder / name, (time.time() - age,) * 2)
    path = cache.get(PARTS, Builder(), said.append)
    assert names(cache) == sorted([entry.name, f"{entry.name}.22.tmp", f"{entry.name}.runtime-cache", path.name])


def test_a_file_that_cannot_be_removed_is_survived(cache, said, monkeypatch):
    """As on Windows, where an open file cannot."""
    cache.limit = 2500
    cache.folder.mkdir()
    stuck, free = fill(cache, 2)
    unlink = Path.unlink

    def refuse(path, **options):
        if path == stuck:
            raise PermissionError
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    path = cache.get(PARTS, Builder(), said.append)
    assert names(cache) == sorted([stuck.name, path.name])
    assert free.name not in names(cache)


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_folder_that_cannot_be_used_names_the_variable(tmp_path, said, below):
    (tmp_path / "file").write_text("text")
    cache = EngineCache(tmp_path / "file" / below)
    build = Builder()
    with pytest.raises(CacheError, match=r"cannot use .*file.*MFP_CACHE_DIR"):
        cache.get(PARTS, build, said.append)
    assert build.count == 0
    with pytest.raises(CacheError, match="MFP_CACHE_DIR"):
        cache.entries()


def test_an_entry_that_is_a_folder_is_no_crash(cache, said):
    cache.path(PARTS).mkdir(parents=True)
    with pytest.raises(CacheError, match=r"Is a directory.*MFP_CACHE_DIR"):
        cache.get(PARTS, Builder(), said.append)


def test_a_full_disk_names_the_variable_and_leaves_nothing(cache, tmp_path):
    full = (
        "import resource; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"  # the system refuses to write more
    )
    code = WORKER.format(parts=PARTS, plan=PLAN)
    command = [sys.executable, "-c", code, cache.folder, tmp_path / "counter", full]
    done = subprocess.run(command, capture_output=True, text=True)
    assert re.search(r"CacheError: .*File too large.*MFP_CACHE_DIR", done.stderr.splitlines()[-1])
    assert names(cache) == []


def test_the_folder_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("MFP_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert EngineCache().folder == tmp_path / "home" / ".cache" / "mfp-engine"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the XDG specification says to ignore
    assert EngineCache().folder == tmp_path / "home" / ".cache" / "mfp-engine"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert EngineCache().folder == tmp_path / "xdg" / "mfp-engine"
    monkeypatch.setenv("MFP_CACHE_DIR", "~/engines")
    assert EngineCache().folder == tmp_path / "home" / "engines"
    monkeypatch.setenv("MFP_CACHE_DIR", "~no such user/engines")
    with pytest.raises(CacheError, match="MFP_CACHE_DIR"):
        EngineCache()
    assert EngineCache(tmp_path).folder == tmp_path


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("", 10_000_000_000),
        ("10G", 10_000_000_000),
        ("500M", 500_000_000),
        ("1.5 kb", 1500),
        ("2t", 2_000_000_000_000),
        ("123", 123),
        ("0", 0),
    ],
)
def test_the_limit_comes_from_the_environment(monkeypatch, text, limit):
    monkeypatch.setenv("MFP_CACHE_LIMIT", text)
    assert EngineCache("folder").limit == limit
    assert EngineCache("folder", limit=7).limit == 7


@pytest.mark.parametrize("text", ["-1", "G", "10 GiB", "1e9", "ten", "nan", "1G 2G"])
def test_a_limit_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("MFP_CACHE_LIMIT", text)
    with pytest.raises(OptionError, match="MFP_CACHE_LIMIT"):
        EngineCache("folder")
    with pytest.raises(OptionError, match="cache limit"):
        EngineCache("folder", limit=-1)


@pytest.fixture
def mfp(cache, monkeypatch, capsys):
    """``mfp("cache", …)`` on this cache → (exit code, standard output, standard error)."""
    monkeypatch.setenv("MFP_CACHE_DIR", str(cache.folder))
    monkeypatch.setenv("MFP_CACHE_LIMIT", "2M")
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments):
        code = main(list(arguments))
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def filled(cache):
    """Two entries, one damaged entry, what a killed build left, and files of others."""
    cache.folder.mkdir()
    built = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 3 * 86400 - 9))
    facts = {"backbone": "hr[red]net", "precision": "fp16", "built_for": "compute capability 8.9", "built": built}
    first, _, third = fill(cache, 3, used_ago=(7300, 7300, 5), **facts)
    third.write_bytes(b"junk")
    (cache.folder / f"{first.name}.runtime-cache").write_bytes(bytes(500_000))
    (cache.folder / f"{cache.path({}).name}.00.tmp").write_bytes(b"half")
    for name in ("notes.txt", "mine.plan", "hrnet18-fp16-0123.plan", f"{first.name}.bak", f"a{first.name}x"):
        (cache.folder / name).write_bytes(b"of somebody")
    (cache.folder / f"folder-{'0' * 24}.plan").mkdir()
    return first


def test_list_shows_the_entries_and_the_total(mfp, cache, filled):
    code, out, err = mfp("cache")
    assert code == 0, err
    assert out == mfp("cache", "list")[1]
    row = next(line for line in out.splitlines() if filled.stem in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        filled.stem, "hr[red]net", "fp16", "compute capability 8.9", "0.5 MB", "2 h", "3 d",
    ]  # fmt: skip
    assert "unusable" in out
    row = next(line for line in out.splitlines() if "an unfinished build" in line)
    assert row.split("│")[-3].strip() == "now"
    assert f"4 engines, 0.5 MB of 2 MB in {cache.folder}" in out
    assert "notes" not in out


def test_list_of_nothing(mfp, cache):
    assert mfp("cache")[1] == f"0 engines, 0.0 MB of 2 MB in {cache.folder}\n"
    assert not cache.folder.exists()
    assert mfp("cache", "clear")[:2] == (0, f"nothing to remove: 0 engines, 0.0 MB in {cache.folder}\n")


def test_clear_removes_entries_and_nothing_else(mfp, cache, filled):
    code, out, _ = mfp("cache", "clear", "--yes")
    assert code == 0
    assert out == f"removed 4 of 4 engines, 0.5 MB freed in {cache.folder}\n"
    others = {"notes.txt", "mine.plan", "hrnet18-fp16-0123.plan", f"{filled.name}.bak", f"folder-{'0' * 24}.plan"}
    assert set(names(cache)) == {*others, f"a{filled.name}x"}


def test_clear_leaves_what_is_being_built(mfp, cache, filled):
    with FileLock(f"{filled}.lock"):
        code, out, _ = mfp("cache", "clear", "--yes")
    assert code == 0
    assert "removed 3 of 4 engines" in out
    assert f"{filled.name} stays" in out
    assert filled.exists()


def test_clear_asks_on_a_terminal_and_refuses_without_one(mfp, cache, filled, monkeypatch):
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        code, _, err = mfp("cache", "clear")
    assert code == 2
    assert "mfp cache clear --yes" in err
    end_of_file = "\x04"
    for answer, code in [("n\n", 1), ("\n", 1), (end_of_file, 1), ("y\n", 0)]:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "mfp.cli.main", "cache", "clear"]
        with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, text=True) as process:
            os.write(ours, answer.encode())
            out = process.communicate(timeout=60)[0]
        os.close(ours)
        os.close(theirs)
        assert process.returncode == code
        assert f"Remove 4 engines, 0.5 MB in {cache.folder}? [y/N]" in out
        assert ("nothing removed" if code else "removed 4 of 4") in out
        assert filled.exists() == (code == 1)


def test_a_bad_environment_is_one_line(mfp, monkeypatch, tmp_path):
    monkeypatch.setenv("MFP_CACHE_LIMIT", "lots")
    assert mfp("cache")[2].startswith("mfp cache: MFP_CACHE_LIMIT")
    monkeypatch.setenv("MFP_CACHE_LIMIT", "1G")
    (tmp_path / "file").write_text("text")
    monkeypatch.setenv("MFP_CACHE_DIR", str(tmp_path / "file"))
    code, _, err = mfp("cache")
    assert code == 2
    assert err.startswith("mfp cache: the engine cache cannot use")
