"""The latency bench: it measures what it says. Nothing here depends on how fast the machine is."""

import json
from pathlib import Path

import pytest

from mfp.bench import click_latency
from mfp.engine.errors import RuntimeMissingError

RESULTS = Path(click_latency.__file__).parent / "results"


def test_a_run_records_every_runtime_and_the_machine(tmp_path, capsys, monkeypatch):
    def load(source, runtime, device, precision):
        if precision == "bf16":
            raise RuntimeMissingError("no BF16 [here]")
        return load_network(source, runtime, device, precision=precision)

    load_network = click_latency.load_network
    monkeypatch.setattr(click_latency, "load_network", load)
    monkeypatch.setenv("COLUMNS", "160")
    path = tmp_path / "results" / "run.json"
    assert click_latency.main(["--backbone", "hrnet18", "--clicks", "1", "--output", str(path)]) == 0
    out = capsys.readouterr().out
    assert "hrnet18" in out
    assert "left out: openvino bf16: no BF16 [here]" in out
    record = json.loads(path.read_text())
    result, left_out = record["results"]["hrnet18"], record["left_out"]
    assert {*result, *left_out} == {run.name for run in click_latency.RUNS}
    assert {"onnxruntime", "torch"} <= set(result)
    for samples in result.values():
        assert samples["first"]["passes"] == 2
        assert [row["passes"] for row in samples["later"]] == [1]
        assert all(0 < row["network"] < row["total"] for row in samples["later"])
    assert record["machine"]["cores"] >= 1
    assert record["matrix_product_gflops"] > 0
    assert record["machine"]["versions"]["onnxruntime"]
    summary = click_latency.summary(result)
    assert summary["torch"]["ratio"] == 1
    for row in summary.values():
        assert row["ratio"] == pytest.approx(summary["torch"]["later"] / row["later"])
        assert row["outside"] <= row["outside_max"]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*_clicks.json")), ids=lambda path: path.name)
def test_the_records_are_still_read(path):
    for result in json.loads(path.read_text())["results"].values():
        assert click_latency.summary(result)["onnxruntime"]["ratio"] > 0
