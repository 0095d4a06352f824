"""What commands print on: whole lines for pipes, folded tables for terminals, text as it is."""

import io
import re
from pathlib import Path

import pytest
from rich.table import Table

from mfp.engine.terminal.console import Output, description

ROOT = Path(__file__).parents[2]
LONG = "/folder" + "/with a long name" * 12 + "/[red]:cat:.onnx"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """``shown(draw, terminal=False, **environment)``: what ``draw(output)`` prints."""

    def run(draw, terminal=False, **environment):
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        stream = Terminal() if terminal else io.StringIO()
        monkeypatch.setattr("sys.stdout", stream)
        draw(Output())
        return stream.getvalue()

    return run


def everything(output):
    table = Table("name", "words", title=LONG, caption=LONG)
    table.add_row(LONG, "a command that is long: pip install 'onnxruntime-gpu[cuda,cudnn]'")
    output.print(table)
    output.say(("skipped:", "yellow"), f" {LONG} and more")
    output.print("an error", "and", LONG)
    with output.status("[red]working") as status:
        status.update(f"{LONG} …")
    with output.progress(description()) as bar:
        bar.add_task(LONG, total=2)


def test_no_module_but_one_makes_a_console():
    rooms = ("bench", "engine", "examples", "export", "kernels", "serve")
    files = {path for room in rooms for path in (ROOT / room).rglob("*.py")}
    assert ROOT / "engine/terminal/console.py" in files
    for path in files - {ROOT / "engine/terminal/console.py"}:
        assert not re.search(r"\bConsole\(|\brich import print", path.read_text("utf-8")), path


def test_a_pipe_gets_whole_lines_and_nothing_else(shown):
    text = shown(everything)
    assert text == shown(everything, COLUMNS="40") == shown(everything, TERM="dumb")
    assert "\x1b" not in text
    assert "…" not in text
    lines = text.splitlines()
    assert [line.strip() for line in lines].count(LONG) == 2  # title and caption
    assert sum(LONG in line for line in lines) == 5
    assert any("pip install 'onnxruntime-gpu[cuda,cudnn]'" in line for line in lines)
    assert f"skipped: {LONG} and more" in lines
    assert f"an error and {LONG}" in lines
    assert len(lines) == 9  # no trace of the status and of the bar


def test_colours_go_to_a_pipe_where_they_are_demanded(shown):
    def say(output):
        output.say(("skipped:", "yellow"), " it")

    assert shown(say, FORCE_COLOR="1") == "\x1b[33mskipped:\x1b[0m it\n"
    for environment in ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, {"FORCE_COLOR": "0"}, {"FORCE_COLOR": ""}):
        assert shown(say, **environment) == "skipped: it\n"
    assert not re.search(r"\x1b\[\??\d*[A-HJKhl]", shown(everything, FORCE_COLOR="1"))  # nothing moves the cursor
    assert "\x1b[33m" in shown(say, terminal=True)
    assert "\x1b[33m" not in shown(say, terminal=True, NO_COLOR="1")


def test_a_terminal_wraps_lines_itself_and_tables_fold(shown):
    def draw(output):
        output.say(LONG)
        table = Table("name", title=LONG)
        table.add_row("x" * 100)
        output.print(table)

    lines = shown(draw, terminal=True, COLUMNS="40", NO_COLOR="1").splitlines()
    assert lines[0] == LONG
    assert re.sub(r"\x1b\[\d*m", "", lines[1]) == LONG
    assert sum(line.count("x") for line in lines[2:]) == 100
    assert all(len(re.sub(r"\x1b\[\d*m", "", line)) <= 40 for line in lines[2:])
    assert "…" not in "".join(lines)


def test_a_status_on_a_terminal_takes_names_as_they_are(shown):
    def draw(output):
        with output.status("[bold]one[/x]") as status:
            status.update("[red]two[/y]")

    text = shown(draw, terminal=True, COLUMNS="80")
    assert "[bold]one[/x]" in text or "[red]two[/y]" in text


def test_an_encoding_without_lines_gets_tables_of_ascii(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1251")
    monkeypatch.setattr("sys.stdout", stream)
    table = Table("name")
    table.add_row("имя")
    Output().print(table)
    stream.flush()
    assert "| имя  |" in stream.buffer.getvalue().decode("cp1251")


def test_without_standard_output_nothing_fails(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    everything(Output())
