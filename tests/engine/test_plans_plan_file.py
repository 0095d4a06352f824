"""The ``.plan`` file: what is written is read back, and every other file is refused with one error."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mfp.cli.main import main
from mfp.engine.errors import NetworkError, PlanError
from mfp.engine.plans.plan_file import MAGIC, describe, plan_offset, read_metadata, read_plan, write_plan

READERS = [read_metadata, read_plan, plan_offset]
PLAN = bytes(range(256)) * 5

any_text = st.text(st.characters())  # lone surrogates too: they stand for odd bytes in file names
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner) | st.dictionaries(any_text, inner),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("plans")


def facts(plan=PLAN, **changes):
    own = {"schema": 1, "plan_sha256": hashlib.sha256(plan).hexdigest(), "plan_bytes": len(plan)}
    return {**own, **changes}


def file_of(metadata, plan=PLAN, length=None):
    """A plan file written by hand. ``metadata``: a JSON value, or its bytes."""
    text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    front = MAGIC + (len(text) if length is None else length).to_bytes(4, "little") + text
    return front + bytes(-len(front) % 64) + plan


@given(metadata=st.dictionaries(any_text, values), plan=st.binary())
def test_what_is_written_is_read_back(folder, metadata, plan):
    path = write_plan(folder / "a.plan", metadata, plan)
    expected = {**metadata, **facts(plan)}
    assert read_metadata(path) == expected
    found, data = read_plan(path)
    assert found == expected
    assert data == plan
    assert data.readonly
    assert plan_offset(path) % 64 == 0
    assert path.read_bytes()[plan_offset(path) :] == plan
    assert all(text.isprintable() for row in describe(found).items() for text in row)


def test_the_layout_is_the_one_that_is_documented(tmp_path):
    path = write_plan(tmp_path / "a.plan", {"precision": "fp16"}, PLAN)
    assert path.read_bytes() == file_of({"precision": "fp16", **facts()})


def test_any_buffer_is_a_plan_and_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "a.plan"
    path.write_bytes(b"old")
    numbers = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert read_plan(write_plan(path, {}, memoryview(numbers)))[1] == numbers.tobytes()
    assert list(tmp_path.iterdir()) == [path]


@given(data=st.binary() | st.binary().map(lambda tail: MAGIC + tail))
@example(MAGIC + b"\0\0\0\0")
def test_other_bytes_raise_one_error(folder, data):
    path = folder / "other.plan"
    path.write_bytes(data)
    for read in READERS:
        with pytest.raises(PlanError):
            read(path)


@given(metadata=values, plan=st.binary(), length=st.none() | st.integers(0, 2**32 - 1))
def test_other_metadata_raises_one_error(folder, metadata, plan, length):
    path = folder / "other.plan"
    path.write_bytes(file_of(metadata, plan, length))
    for read in READERS:
        with pytest.raises(PlanError):
            read(path)


@given(data=st.data())
def test_a_changed_or_shortened_file_raises_one_error_or_is_read(folder, data):
    whole = file_of(facts(source="a.onnx"))
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    path = folder / "changed.plan"
    path.write_bytes(changed)
    in_json = 12 <= at < len(json.dumps(facts(source="a.onnx"))) + 12
    try:
        assert read_plan(path)[1] == PLAN
        assert in_json  # "a.onnx" may become "b.onnx"
    except PlanError:
        pass
    path.write_bytes(whole[:at])
    for read in READERS:
        with pytest.raises(PlanError):
            read(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"ptrt" + bytes(100), "bare TensorRT plan"),
        ("toy.onnx", "an ONNX file"),
        ("coffee.png", r"starts with b'\x89PNG"),
        (MAGIC, "ends after 8 bytes"),
        (file_of(facts(), length=2**32 - 1), "promises 4294967295 bytes of metadata"),
        (file_of(facts(), length=5000), "promises 5000 bytes of metadata, and has 1408 bytes in all"),
        (MAGIC + (5 << 20).to_bytes(4, "little") + bytes(6 << 20), "promises 5242880 bytes"),
        (file_of(b"[1]"), "no JSON object (expected an object, found list)"),
        (file_of(b'{"schema": 1'), "no JSON object"),
        (file_of(b'{"a": "\xff"}'), "no JSON object"),
        (file_of(facts(x=float("nan"))), "NaN is no finite number"),
        (file_of(b'{"a": 1e999}'), "1e999 is no finite number"),
        (file_of(b'{"a": -Infinity}'), "-Infinity is no finite number"),
        (file_of(b'{"a": ' + b"9" * 5000 + b"}"), "no JSON object"),
        (file_of(b'{"a": ' + b"[" * 99999 + b"]" * 99999 + b"}"), "no JSON object"),
        (file_of(b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}"), "nested deeper than 32"),
        (file_of({"schema": 1}), "does not say what every plan file's says"),
        (file_of(facts(schema=None)), "does not say"),
        (file_of(facts(plan_bytes=True), b"x"), "does not say"),
        (file_of(facts(plan_sha256="no")), "does not say"),
        (file_of(facts(x=0)).replace(b"}\0", b"}\1"), "does not say"),
        (file_of(facts())[:-1], f"expected a plan of {len(PLAN)} bytes, found {len(PLAN) - 1}"),
        (file_of(facts()) + b"x", f"found {len(PLAN) + 1}"),
        (file_of(facts(plan_bytes=-3, x=0))[: -len(PLAN) - 3], "expected a plan of -3 bytes, found 0"),
        (file_of(facts(schema=2)), "made by a newer mfp-engine (schema 2, this version reads 1)"),
        (file_of(facts(schema=10**400)), "made by a newer mfp-engine"),
        (file_of({"schema": 2}), "Update mfp-engine, or build it again with: mfp build MODEL.onnx"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_refusal_says_what_was_found_and_how_to_rebuild(tmp_path, golden, content, words):
    path = tmp_path / "a.plan"
    path.write_bytes(golden(content).read_bytes() if isinstance(content, str) else content)
    for read in READERS:
        with pytest.raises(NetworkError) as caught:
            read(path)
        assert words in str(caught.value)
        assert str(path) in str(caught.value)
        assert "mfp build MODEL.onnx" in str(caught.value)
        assert caught.value.reason in str(caught.value)
        assert "\n" not in caught.value.reason


def test_a_damaged_plan_is_found_and_names_its_source(tmp_path):
    whole = bytearray(write_plan(tmp_path / "a.plan", {"source": "my net.onnx"}, PLAN).read_bytes())
    whole[-7] ^= 4
    (tmp_path / "a.plan").write_bytes(whole)
    assert read_metadata(tmp_path / "a.plan")["source"] == "my net.onnx"
    with pytest.raises(PlanError, match=r"is damaged.*mfp build 'my net.onnx'$"):
        read_plan(tmp_path / "a.plan")


@pytest.mark.parametrize("source", ["a\x1b[31m.onnx", "a\n.onnx", "", "x" * 5000, ["a.onnx"], None])
def test_a_source_that_cannot_be_printed_is_not_named(tmp_path, source):
    (tmp_path / "a.plan").write_bytes(file_of(facts(source=source)) + b"x")
    with pytest.raises(PlanError, match=r"mfp build MODEL\.onnx$"):
        read_metadata(tmp_path / "a.plan")


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.plan")
    for name, words in [("none.plan", "does not exist"), (".", "is no file"), ("pipe.plan", "is no file")]:
        with pytest.raises(PlanError, match=words):
            read_plan(tmp_path / name)
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"a": float("inf")}, "JSON"),
        ({"a": threading.Lock()}, "not JSON serializable"),
        ({"a": "x" * (5 << 20)}, "at most 4194304 are kept"),
    ],
)
def test_metadata_that_could_not_be_read_back_is_not_written(tmp_path, metadata, words):
    with pytest.raises(PlanError, match=words):
        write_plan(tmp_path / "a.plan", metadata, PLAN)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "folder.plan").mkdir()
    for path in (tmp_path / "none" / "a.plan", tmp_path / "folder.plan"):
        with pytest.raises(PlanError, match="cannot be written") as caught:
            write_plan(path, {}, PLAN)
        assert isinstance(caught.value.__cause__, OSError)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.plan"]


def test_a_disk_without_room_leaves_the_old_file(tmp_path):
    old = write_plan(tmp_path / "a.plan", {}, b"old")
    code = (
        "import resource, signal, sys\n"
        "from mfp.engine.plans.plan_file import write_plan\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"  # the system refuses to write more
        "write_plan(sys.argv[1], {}, bytes(50000))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, old], capture_output=True, text=True)
    assert "PlanError" in done.stderr.splitlines()[-1]
    assert "cannot be written (File too large)" in done.stderr
    assert read_plan(old)[1] == b"old"
    assert list(tmp_path.iterdir()) == [old]


def test_describe_flattens():
    nested = {"a": {"b": [1, 2.5, None], "c": {}}, "d": [{"e": True}, "x"], "f": [], "g": "a\x1bb", "h": "y" * 999}
    rows = describe(nested)
    assert rows.pop("h") == "y" * 199 + "…"
    assert rows == {"a.b": "1, 2.5, –", "d.0.e": "yes", "d.1": "x", "f": "", "g": "ab"}


def test_info_shows_a_plan(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    metadata = {"backbone": "[bold]", "versions": {"tensorrt": "11.1"}, "half": {"conv": 0.98}}
    path = write_plan(tmp_path / "a[red].plan", metadata, PLAN)
    assert main(["info", str(path)]) == 0
    out = capsys.readouterr().out
    for words in (
        "a[red].plan",
        "[bold]",
        "versions.tensorrt",
        "11.1",
        "0.98",
        f"{len(PLAN)} bytes",
        facts()["plan_sha256"],
    ):
        assert words in out
    first = int(re.search(r"tail -c \+(\d+)", out)[1])
    assert subprocess.run(["tail", "-c", f"+{first}", path], capture_output=True).stdout == PLAN

    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert main(["info", str(path)]) == 2
    assert "is damaged" in capsys.readouterr().err
