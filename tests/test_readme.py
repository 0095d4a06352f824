"""The README and the documents: Python runs as printed, commands and links exist, figures match their records."""

import re
import shutil
from pathlib import Path

import pytest

import mfp
from mfp.bench.markdown import NONE, number
from mfp.bench.timing import record
from mfp.bench.timing.readme import named_records
from mfp.bench.timing.results import by_backbone, figures
from mfp.cli.main import COMMANDS
from mfp.engine.sample import PATH as SAMPLE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "deploy/README.md"])


def test_the_ten_lines_of_python_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("engine").mkdir()
    shutil.copy(SAMPLE, "engine/sample.jpg")
    block = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    names = {}
    exec(block, names)
    assert Path("mask.png").is_file()
    assert names["session"].finished == (names["mask"],)


def test_the_lines_about_runtimes_run(exported, tmp_path, monkeypatch, capsys):
    pytest.importorskip("openvino")
    from mfp.engine.runtimes.openvino import has_bf16

    if not has_bf16():
        pytest.skip("this processor has no BF16")
    monkeypatch.chdir(tmp_path)
    shutil.copy(exported("hrnet18").path, "hrnet18.onnx")
    page = (ROOT / "docs/engines.md").read_text("utf-8")
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], {})
    assert capsys.readouterr().out == "bf16 openvino cpu\n"


def test_the_guide_to_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("engine").mkdir()
    shutil.copy(SAMPLE, "engine/sample.jpg")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs/guides/python.md").read_text("utf-8"), re.DOTALL):
        exec(block, names)
    assert names["masks"].shape == (1, *names["corrected"].shape)
    assert Path("corrected.png").is_file()


def test_the_reference_has_every_public_name():
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs/reference").glob("*.md"))
    assert [name for name in mfp.__all__ if f"mfp.{name}" not in pages] == []


def test_the_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    count = 0
    for page in PAGES:
        text = page.read_text("utf-8")
        text = "\n".join(re.findall(r"^ *```\n(.*?)```", text, re.MULTILINE | re.DOTALL))
        named = set(re.findall(r"^mfp ([a-z][\w-]*)", text, re.MULTILINE))
        assert named <= set(COMMANDS), page
        for target in re.findall(r"^make ([\w-]+)", text, re.MULTILINE):
            assert f"\n{target}:" in makefile, f"{page} names {target}"
        count += len(named)
    assert count > 20


def test_every_command_is_listed():
    page = (ROOT / "docs/commands.md").read_text("utf-8")
    assert [name for name in COMMANDS if not re.search(rf"^mfp {name}\b", page, re.MULTILINE)] == []


def anchors(page):
    """Link targets of a page's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:", link):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_document_is_in_the_index():
    linked = set(re.findall(r"\]\((docs/\w+\.md)\)", README))
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert pages - linked <= {"docs/registers.md"}  # a table of docs/gpu.md, generated


def test_the_table_of_speed_matches_its_records():
    cells = {}
    for name in named_records(ROOT / "docs/benchmarks.md"):
        found = record.read(ROOT / "docs" / name)
        kind = "cpu" if found["settings"]["device"] == "cpu" else "gpu"
        for backbone, rows in by_backbone(figures(found)).items():
            baseline = next(row for row in rows if row.is_reference)
            best = min((row for row in rows if not row.authors), key=lambda row: row.later.p50)
            median = f"{number(best.later.p50)} ({best.name})"
            cells[kind, backbone] = [number(baseline.later.p50), median, number(best.times)]
    table = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", README.partition("## Speed")[2], re.MULTILINE))
    for backbone in ("resnet34", "hrnet18", "vit_b", "lite0"):
        expected = [*cells["cpu", backbone], *cells.get(("gpu", backbone), [NONE] * 3)]
        assert table[backbone].split(" | ") == expected


def test_the_readme_stays_short():
    assert len(README.splitlines()) <= 160
