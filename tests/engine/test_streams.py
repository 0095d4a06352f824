"""Commands whose report cannot be printed: the work is done all the same."""

import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfp.cli.main import COMMANDS, main
from mfp.engine.terminal.guard import guarded
from mfp.engine.terminal.streams import LastingStream

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")


@pytest.fixture
def into(monkeypatch):
    """``into(encoding, *arguments)``: exit code of ``mfp``, and the text that came through that encoding."""

    def run(encoding, *arguments):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", stream)
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as stop:
                code = stop.code
        stream.flush()
        return code, stream.buffer.getvalue().decode(encoding)

    return run


@pytest.fixture
def segment(golden, tmp_path):
    """``segment(photo)``: arguments, and the files that shall be there."""

    def arguments(photo):
        folder = tmp_path / "masks"
        files = [folder / f"{photo.stem}_{what}.png" for what in ("mask", "overlay")]
        command = ["segment", photo, "--pos", "300,200", "--network", golden("toy.onnx"), "--size", "64"]
        return [*map(str, command), "--output", str(folder)], files

    return arguments


@pytest.mark.parametrize("encoding", ["ascii", "cp1251", "cp437", "cp1252", "latin-1", "shift_jis", "utf-16"])
@pytest.mark.parametrize("name", ["cat.png", "写真.png", "кот.png", "\udcff.png"])
def test_no_encoding_loses_a_mask(into, segment, golden, tmp_path, encoding, name):
    try:
        shutil.copy(golden("coffee.png"), tmp_path / name)
    except OSError:
        pytest.skip("this file system takes no such name")
    arguments, files = segment(tmp_path / name)
    code, out = into(encoding, *arguments)
    assert code == 0
    assert all(file.is_file() for file in files)
    assert "wrote " in out


@pytest.mark.parametrize("encoding", ["ascii", "cp1251", "cp437"])
def test_every_encoding_gets_help_facts_and_findings(into, golden, encoding):
    for name in COMMANDS:
        code, out = into(encoding, *name.split(), "--help")
        assert code == 0
        assert f"usage: mfp {name}" in out
    assert into(encoding, "--help")[0] == into(encoding, "--version")[0] == 0
    code, out = into(encoding, "info", golden("toy.onnx"))
    assert code == 0
    assert "toy.onnx" in out


def test_the_doctor_s_remedies_are_whole_in_every_encoding(into, monkeypatch):
    from mfp.engine.doctor import array_work, examine

    monkeypatch.setenv("COLUMNS", "40")
    code, out = into("ascii", "doctor")
    assert code == 0
    for finding in (*examine(), array_work()):
        assert not finding.remedy or f"  {finding.runtime} on {finding.device}: {finding.remedy}" in out.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_doctor_s_remedies_can_be_copied_from_a_narrow_terminal():
    import pty

    from mfp.engine.doctor import examine

    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    command = [sys.executable, "-m", "mfp.cli.main", "doctor"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 1 << 16):
                shown += block
        except OSError:  # its other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    assert "…" not in text
    lines = text.splitlines()
    for finding in examine():
        assert not finding.remedy or any(line.endswith(f": {finding.remedy}") for line in lines)


def test_a_process_in_another_encoding(segment, golden, tmp_path):
    photo = tmp_path / "写真.png"
    shutil.copy(golden("coffee.png"), photo)
    arguments, files = segment(photo)
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "mfp.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u5199\\u771f_mask.png" in done.stdout
    assert all(file.is_file() for file in files)


@pytest.mark.skipif(not FULL.exists(), reason="no device here that is always full")
def test_a_full_disk_behind_the_report_loses_nothing(segment, golden):
    arguments, files = segment(golden("coffee.png"))
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "mfp.cli.main", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("mfp segment: standard output took no more: No space left on device")
    assert done.stderr.count("\n") == 1
    assert all(file.is_file() for file in files)


@pytest.mark.skipif(not FULL.exists(), reason="no device here that is always full")
@pytest.mark.parametrize("command", ["compare", "eval", "eval plot", "triton-repo", "--help"])
def test_every_command_does_its_work_into_a_full_disk(golden, tmp_path, capsys, monkeypatch, command):
    toy, folder, data = golden("toy.onnx"), tmp_path / "out", tmp_path / "data"
    for part in ("images", "masks"):
        (data / part).mkdir(parents=True)
        shutil.copy(golden("coffee.png"), data / part / "coffee.png")
    assess = ["eval", data, "--network", toy, "--size", 48, "--max-clicks", 1, "--mask-values", "any"]
    if command == "eval plot":
        pytest.importorskip("matplotlib")
        assert main([str(word) for word in (*assess, "--output", tmp_path / "run")]) == 0
    arguments, written = {
        "compare": (["compare", toy, toy, "--size", 64, "--clicks", 1, "--output", folder], "compare.json worst.png"),
        "eval": ([*assess, "--output", folder], "eval.json eval.md eval.jsonl"),
        "eval plot": (["eval", "plot", tmp_path / "run", "--output", folder], "data.md miou_data.png"),
        "triton-repo": (["triton-repo", toy, "--output", folder], "mfp_toy/config.pbtxt mfp_toy_network/1/model.onnx"),
        "--help": (["segment", "--help"], ""),
    }[command]
    with FULL.open("w") as full, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", full)
        assert main([str(word) for word in arguments]) == 2
    assert "standard output took no more: No space left" in capsys.readouterr().err
    assert all((folder / name).is_file() for name in written.split())


class Refusing(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error, self.asked = error, 0

    def write(self, text):
        self.asked += 1
        raise self.error


@pytest.mark.parametrize(("number", "code"), [(errno.EPIPE, 141), (errno.ENOSPC, 2), (errno.EIO, 2)])
def test_work_goes_on_when_its_report_is_refused(monkeypatch, capsys, number, code):
    refusing, done = Refusing(OSError(number, os.strerror(number))), []

    def work():
        for step in range(5):
            print(f"step {step}")
            done.append(step)
        return 0

    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", refusing)
        assert guarded("mfp train", work) == code
    assert len(done) == 5
    assert refusing.asked == 1
    assert (os.strerror(number) in capsys.readouterr().err) == (number != errno.EPIPE)


def test_a_lasting_stream_is_the_stream_it_stands_for():
    stream = io.StringIO()
    lasting = LastingStream(stream)
    assert lasting.write("a") == 1
    lasting.writelines(["b", "c"])
    assert stream.getvalue() == "abc"
    assert not lasting.isatty()
    assert lasting.error is None


@pytest.mark.parametrize("words", [["segment", "--help"], ["info", "lite0"], ["--version"]])
def test_a_process_without_standard_output(words):
    command = f'exec "{sys.executable}" -m mfp.cli.main {" ".join(words)} >&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda folder: (folder / "file" / "new").write_text(""), "file/new: Not a directory"),
        (lambda folder: (folder / "none" / "new").write_text(""), "none/new: No such file or directory; expected one"),
        (lambda folder: folder.write_text(""), "Is a directory"),
        (lambda folder: Path("/proc/version").write_text("a"), "Input/output error"),
        (lambda folder: Path("/dev/full").write_text("a"), "No space left on device; free some space"),
        (lambda folder: os.replace(folder / "file", folder / "none" / "file"), "file → "),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the words are Linux's")
def test_errors_of_the_system_are_put_into_words(tmp_path, capsys, work, words):
    (tmp_path / "file").write_text("text")
    assert guarded("mfp dance", lambda: work(tmp_path) and 0) == 2
    error = capsys.readouterr().err
    assert error.startswith("mfp dance: ")
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("a library's own"), KeyError("a bug")])
def test_what_nobody_expects_keeps_its_traceback(error):
    def work():
        raise error

    with pytest.raises(type(error)):
        guarded("mfp dance", work)


def test_a_training_log_that_cannot_be_written_is_told_in_words(tmp_path, capsys):
    pytest.importorskip("torch")
    labels = np.zeros((64, 64), np.uint8)
    labels[20:40, 20:40] = 1
    for part, name in (("images", "a.jpg"), ("labels", "a.png")):
        (tmp_path / part).mkdir()
        cv2.imwrite(str(tmp_path / part / name), labels)
    (tmp_path / "x.jsonl").mkdir()
    command = ["train", "--init", "lite0", "--data", tmp_path, "--output", tmp_path / "x.pth"]
    command += ["--steps", "1", "--batch", "2", "--validate", "0", "--device", "cpu"]
    assert main([str(word) for word in command]) == 2
    assert "x.jsonl" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="descriptors are inherited otherwise there")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_number_of_a_closed_stream(closed, tmp_path):
    program = (
        "import os, sys; from mfp.engine.terminal.streams import lasting_streams\n"
        "with lasting_streams(): file = open(sys.argv[1], 'w'); file.write(str(file.fileno())); file.flush()\n"
        "try: os.write(2, b'')\n"
        "except OSError: file.write(' closed')\n"
    )
    file = tmp_path / "number"
    subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", program, str(file)], check=True)
    assert file.read_text().isdigit()
    assert int(file.read_text()) > 2
