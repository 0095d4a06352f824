"""The latency bench: it measures what it says. Nothing here depends on how fast the machine is."""

import json

import pytest

from mfp.bench import click_latency


def test_a_run_records_both_runtimes_and_the_machine(tmp_path, capsys):
    path = tmp_path / "results" / "run.json"
    assert click_latency.main(["--backbone", "hrnet18", "--clicks", "2", "--output", str(path)]) == 0
    assert "hrnet18" in capsys.readouterr().out
    record = json.loads(path.read_text())
    result = record["results"]["hrnet18"]
    for runtime in ("torch", "onnxruntime"):
        assert result[runtime]["first"]["passes"] == 2
        assert [row["passes"] for row in result[runtime]["later"]] == [1, 1]
        assert all(0 < row["network"] < row["total"] for row in result[runtime]["later"])
    assert record["machine"]["cores"] >= 1
    assert record["matrix_product_gflops"] > 0
    assert record["machine"]["versions"]["onnxruntime"]
    summary = click_latency.summary(result)
    assert summary["ratio"] == pytest.approx(summary["later_torch"] / summary["later"])
    assert summary["outside"] <= summary["outside_max"]
