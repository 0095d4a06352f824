"""The bench of micro-batching: a short run, and what it writes."""

import json

from mfp.bench.serving.batching import main, report


def test_a_run_from_end_to_end(golden, tmp_path, capsys):
    file = tmp_path / "batching.json"
    arguments = ["--network", golden("toy.onnx"), "--device", "cpu", "--users", 1, 2, "--rounds", 1, "--seconds", 0.1]
    assert main([str(word) for word in (*arguments, "--output", file)]) == 0
    record = json.loads(file.read_text())
    assert [(found["way"], found["users"]) for found in record["ways"]] == [
        (way, users) for users in (1, 2) for way in ("plain", "batched", "plain, 1 thread a pass")
    ]
    for found in record["ways"]:
        assert len(found["ms"]) >= found["users"]
        assert min(found["ms"]) > 0
        assert found["seconds"] >= 0.1
    alone = record["ways"][1]["passes_a_batch"]
    assert alone == [1.0]
    assert capsys.readouterr().out.strip() == "\n".join(report(record))


def test_wrong_options_are_said(capsys):
    for wrong in (["--users", "0"], ["--rounds", "0"], ["--seconds", "0"], ["--pause", "-1"], ["--window", "-1"]):
        assert main(["--device", "cpu", *wrong]) == 2
        assert "expected" in capsys.readouterr().err
