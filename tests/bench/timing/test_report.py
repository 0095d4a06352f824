"""Reports of latency records: they say what the samples say, in tables that nobody writes by hand."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from mfp.bench.markdown import number, plain
from mfp.bench.samples import stage
from mfp.bench.timing import plots, readme
from mfp.bench.timing.record import find_run, read, save
from mfp.bench.timing.report import command, page
from mfp.bench.timing.report_compare import comparison, differing, pairs
from mfp.bench.timing.results import STAGES, alike, by_backbone, fastest, figures
from mfp.cli.main import main
from mfp.engine.errors import OptionError

ROOT = Path(__file__).parents[3]
MARKS = "# title\n\n<!-- bench:cpu -->\nby hand\n<!-- /bench -->\n\n<!-- bench:gpu -->\n<!-- /bench -->\nend\n"


@pytest.fixture
def written(tmp_path, latency_record):
    """``written(name, **options)``: the path of a record."""

    def write(name="results/cpu.json", **options):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        save(path, latency_record(**options))
        return path

    return write


def cells(text):
    """Every table of a page: lists of rows, each a list of cells."""
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()] for table in tables]


def test_the_benchmarks_page_matches_its_records():
    page_ = ROOT / "docs/benchmarks.md"
    assert len(readme.named_records(page_)) == 2
    assert not readme.stale(page_), "regenerate its tables: mfp bench report --readme docs/benchmarks.md"


def test_a_page_in_docs_links_into_its_repository(written, tmp_path):
    page_ = tmp_path / "docs" / "benchmarks.md"
    page_.parent.mkdir()
    page_.write_text(MARKS)
    text = readme.rewritten(page_, {"cpu": written()})
    assert "<!-- bench:cpu ../results/cpu.json -->" in text
    (tmp_path / "docs" / "docs").mkdir()
    inner = tmp_path / "docs" / "docs" / "page.md"
    inner.write_text(MARKS)
    with pytest.raises(OptionError, match="does not lie below"):
        readme.rewritten(inner, {"cpu": written()})


def test_figures_come_from_the_samples(latency_record):
    record = latency_record()
    rows = figures(record)
    assert [(row.backbone, row.name) for row in rows] == [(run["backbone"], run["name"]) for run in record["runs"]]
    for row in rows:
        run, reference = (find_run(record, row.backbone, name) for name in (row.name, "authors' way"))
        mine, theirs = (np.array(stage(found["later"])) for found in (run, reference))
        assert row.later.p99 == np.percentile(mine, 99)
        assert row.times == pytest.approx(np.median(theirs) / np.median(mine))
        assert row.times in row.times_interval
        assert row.later.p50 in row.median
        assert sum(row.stages.values()) == pytest.approx(mine.mean())
        assert row.from_floor == (pytest.approx(row.later.p50 / 250) if row.precision == "fp32" else None)


def test_stages_on_a_gpu_are_those_of_clicks_step_by_step(latency_record):
    for row in figures(latency_record(device="cuda:0")):
        assert (row.stages["copy"] > 0) == (not row.authors)
        assert row.stages["network"] > 0.9 * sum(row.stages[name] for name in STAGES)


def test_differences_within_the_spread_are_named(latency_record):
    record = latency_record()
    assert not any(alike(mine) for mine in by_backbone(figures(record)).values())
    last, before = (find_run(record, "vit_b", name) for name in ("torch bf16", "torch"))
    last["later"] = [{**row, "total": 1.001 * row["total"]} for row in before["later"]]
    rows = by_backbone(figures(record))["vit_b"]
    assert alike(rows) == [["torch", "torch bf16"]]
    assert fastest(rows) == {"torch", "torch bf16"}
    text = page(record, figures(record), "x.json")
    assert "vit_b, differences smaller than the spread (the intervals overlap): torch ≈ torch bf16." in text


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_page_has_everything(latency_record, device):
    record = latency_record(device=device)
    record["peers"] = [
        {"name": "sam2 tiny", "device": device, "first": [500.0, 510.0], "later": [20.0] * 6 + [40.0] * 6}
    ]
    for run in record["runs"][:1]:
        run["later"] = [{"total": 100.0 + 10 * place} for place in range(24)]
    text = page(record, figures(record), "cpu.json", ["cpu_latency.png"])
    tables = cells(text)
    assert len(tables) == 4  # clicks, stages, cold start and sessions, peers
    for table in tables:
        assert {len(row) for row in table} == {len(table[0])}
    assert [len(table) for table in tables] == [2 + len(record["runs"])] * 3 + [3]
    where = "GPU of a test; driver 580.1" if device != "cpu" else r"Processor \| of a_test, 2 cores"
    assert (
        len(re.findall(re.escape(where) + ".*commit abc1234; 2026-11-23 04:00:00 UTC.*`mfp bench --device", text)) == 4
    )
    assert (
        "hrnet18, drift over 10 %, median of the last third of the clicks against that of the first: authors' way +"
        in text
    )
    assert "p99 of 24 clicks lies between the two slowest of them." in text
    assert "- tensorrt: runs on CUDA GPUs alone." in text
    assert r"- sam2: \`no\` \<b\>\| weights \<!-- /bench --\>." in text
    assert "![cpu_latency](cpu_latency.png)" in text
    assert "**+100 %**" in text  # the peer's drift


def test_the_command_of_a_record_can_be_given_again(latency_record):
    import argparse

    from mfp.cli import bench

    settings = latency_record()["settings"] | {"runtimes": ["onnxruntime"], "compile": True}
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    asked = vars(parser.parse_args(command(settings).split()[2:]))
    for name in ("backbones", "runtimes", "clicks", "warmup", "sessions", "compile", "device"):
        assert asked[name] == settings[name]
    assert list(asked["photograph"]) == settings["photograph"]


def test_a_block_of_a_readme_is_written_and_held(written, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plots, "PICTURES", {"latency": plots.draw_latency})
    path, page_ = written(), tmp_path / "README.md"
    page_.write_text(MARKS)
    assert main(["bench", "report", str(path), "--readme", str(page_)]) == 0
    text = page_.read_text()
    assert text.startswith("# title\n\n<!-- bench:cpu results/cpu.json -->\n\n| backbone |")
    assert text.endswith("<!-- /bench -->\n\n<!-- bench:gpu -->\n<!-- /bench -->\nend\n")
    assert "by hand" not in text
    assert "](results/cpu_latency.png)" in text
    assert "[All figures](results/cpu.md)" in text
    assert "Left out: tensorrt; sam2." in text
    (table,) = cells(text)
    assert len(table) == 2 + len(json.loads(path.read_text())["runs"])
    assert main(["bench", "report", "--readme", str(page_), "--check"]) == 0
    assert main(["bench", "report", "--readme", str(page_)]) == 0
    assert page_.read_text() == text

    record = json.loads(path.read_text())
    record["runs"][3]["later"][0]["total"] *= 3
    save(path, record)
    capsys.readouterr()
    assert main(["bench", "report", "--readme", str(page_), "--check"]) == 1
    assert "does not say what its records say" in capsys.readouterr().out
    assert page_.read_text() == text  # checked, not written


def test_blocks_that_cannot_be_written_are_refused(written, tmp_path, latency_record):
    page_ = tmp_path / "pages" / "README.md"
    page_.parent.mkdir()
    page_.write_text(MARKS.replace("gpu", "other"))
    with pytest.raises(OptionError, match=r"does not lie below .*pages.*copy the record to bench/results/ first"):
        readme.rewritten(page_, {"cpu": written()})
    with pytest.raises(OptionError, match="has no block for figures of a gpu; put these two lines"):
        readme.rewritten(page_, {"gpu": written(device="cuda:0")})
    page_.write_text(MARKS.replace("bench:gpu", "bench:gpu ../results/cpu.json"))
    with pytest.raises(OptionError):
        readme.stale(page_)
    shutil.copy(written(), page_.parent / "cpu.json")
    page_.write_text(MARKS.replace("bench:gpu", "bench:gpu cpu.json"))
    with pytest.raises(OptionError, match=r"its block bench:gpu names cpu\.json, which was measured on a cpu"):
        readme.stale(page_)
    save(page_.parent / "cpu.json", {**latency_record(), "finished": False})
    page_.write_text(MARKS.replace("bench:cpu", "bench:cpu cpu.json"))
    with pytest.raises(OptionError, match="is not finished; finish it first with: mfp bench --resume"):
        readme.stale(page_)


def test_two_records_are_compared(written, capsys, monkeypatch):
    monkeypatch.setattr(plots, "PICTURES", {})  # others draw
    before, after = written("before.json"), written("after.json", seed=1, pace={"openvino": 1.5})
    assert main(["bench", "report", str(before), str(after)]) == 0
    out = capsys.readouterr().out
    assert "intervals apart: hrnet18, openvino: " in out
    assert "onnxruntime" not in re.sub(r"^(before|after|wrote).*$", "", out, flags=re.MULTILINE)  # but for itself alike
    text = (before.parent / "before_and_after.md").read_text()
    (table,) = cells(text)
    judged = {tuple(part.strip() for part in row[:2]): row[-1].strip() for row in table[2:]}
    assert judged["hrnet18", "openvino"] == "**no**"
    assert judged["hrnet18", "onnxruntime"] == "yes"
    assert judged["hrnet18", "authors' way"] == "–"
    assert (before.parent / "before.md").is_file()


def test_what_was_not_measured_alike_is_said(latency_record):
    before, after = latency_record(), latency_record()
    after["machine"]["versions"]["onnxruntime"] = "2.0"
    after["machine"]["date"] = "later"
    after["settings"]["clicks"] = 7
    after["runs"] = [run for run in after["runs"] if run["name"] != "torch"]
    assert differing(before, after) == ["versions onnxruntime 1.32.0 and 2.0", "clicks 24 and 7"]
    text = comparison([before, after], ["a.json", "b.json"])
    assert "**Not measured alike**" in text
    assert "- Only in a.json: hrnet18, torch; vit_b, torch." in text
    assert len(pairs(figures(before), figures(after))) == len(after["runs"])
    alone = comparison([before, {**after, "runs": after["runs"][:1]}], ["a.json", "b.json"])
    assert "those of 0 of 0 do" in alone


def test_without_matplotlib_there_are_tables(written, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = written()
    assert main(["bench", "report", str(path), "--output", str(path.parent / "new" / "folder")]) == 0
    out = capsys.readouterr().out
    assert "no pictures: they need matplotlib, which is not installed; install it with: pip install matplotlib" in out
    assert [file.name for file in (path.parent / "new" / "folder").iterdir()] == ["cpu.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a record to report on"),
        (["a.json", "b.json", "c.json"], "expected one record, or two to compare"),
        (["a.json", "a.json"], "expected one record, or two to compare"),
        (["a.json", "b.json", "--readme", "README.md"], "expected one record for README.md, got two"),
        (["a.json", "--check"], "expected --check with --readme"),
        (["a.json"], "cannot read a.json"),
        (["--readme", "missing.md"], "cannot read missing.md"),
    ],
)
def test_commands_that_make_no_sense(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "report", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_readme_without_a_record_is_told_how(tmp_path, capsys):
    page_ = tmp_path / "README.md"
    page_.write_text(MARKS)
    assert main(["bench", "report", "--readme", str(page_)]) == 2
    assert "names no record yet; name one: mfp bench report FILE.json" in capsys.readouterr().err


def test_three_digits_count():
    assert [number(value) for value in (None, 0.1234, 9.994, 9.996, 99.94, 99.96, 1234.5)] == [
        "–", "0.12", "9.99", "10.0", "99.9", "100", "1234",
    ]  # fmt: skip


def test_foreign_text_is_no_markdown():
    assert plain("a_b *c* _d_ `e`\n|<f>|") == r"a_b \*c\* \_d\_ \`e\` \|\<f\>\|"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "cpp_latency"}, "examples/cpp/latency"),
        ({"kind": "accuracy"}, "mfp eval"),
        ({"networks": None}, "lacks networks"),
        ({"runs": [{"backbone": "toy", "first": [], "later": []}]}, r"lacks name of runs\[0\]"),
        ({"runs": [[]]}, r"lacks backbone of runs\[0\]"),
    ],
)
def test_records_that_only_look_alike_are_refused(tmp_path, latency_record, change, words):
    path = tmp_path / "other.json"
    record = {key: value for key, value in (latency_record() | change).items() if value is not None}
    path.write_text(json.dumps(record), "utf-8")
    with pytest.raises(OptionError, match=words):
        read(path)
