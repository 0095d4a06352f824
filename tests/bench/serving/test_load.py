"""The server under load, on a small scale."""

import json

import pytest

pytest.importorskip("fastapi")

from mfp.bench.serving import load
from mfp.engine.errors import MfpError


def test_a_record_and_its_report(golden, tmp_path, capsys):
    flags = ["--network", str(golden("toy.onnx"))]
    output = tmp_path / "record.json"
    arguments = ["--users", "2", "--seconds", "2.1", "--sessions", "0", "--output", str(output)]
    assert load.main([*arguments, "--", *flags]) == 0
    record = json.loads(output.read_text())
    assert record["flags"] == flags
    assert [(one["users"], one["flip"], one["errors"]) for one in record["loads"]] == [(2, True, []), (2, False, [])]
    for one in record["loads"]:
        assert one["clicks"]
        assert all({"wait", "network", "store", "server"} <= set(click["timing"]) for click in one["clicks"])
        assert all(click["ms"] >= click["timing"]["server"] for click in one["clicks"])
    assert record["memory"] is None
    report = capsys.readouterr().out
    assert report.splitlines() == load.report(record)
    assert "| 2 | yes |" in report


def test_a_server_that_does_not_start_is_said(capsys):
    assert load.main(["--", "--network", "nothing.onnx"]) == 2
    assert "no such file: nothing.onnx" in capsys.readouterr().err


def test_pieces_that_make_no_sense(capsys):
    assert load.main(["--seconds", "1"]) == 2
    assert "expected --seconds above" in capsys.readouterr().err


@pytest.mark.slow
def test_memory_comes_back(golden):
    with load.server(["--network", str(golden("toy.onnx"))]) as address:
        found = load.memory(address, 300)
    assert found["open"] > 1.5 * found["before"]
    assert found["after"] < 1.05 * found["before"]
    assert "- 300 sessions: " in load.report({"loads": [], "memory": found})[-1]


def test_a_session_that_cannot_be_opened(golden):
    with (
        load.server(["--network", str(golden("toy.onnx")), "--max-image-pixels", "100"]) as address,
        pytest.raises(MfpError, match="413"),
    ):
        load.open_session(address, flip=True)
