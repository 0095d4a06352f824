"""Telemetry: a home folder that was empty stays so, nothing is asked of the network, and the user's own wish counts."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mfp
from mfp.engine import telemetry

SETTINGS = ("CI", "TF_BUILD", "JENKINS_URL", "ORT_RUNNING_UNIT_TESTS", *telemetry.OFF)
CLICKS = """
import sys
import numpy as np
from mfp import Session, load_network
image = np.zeros((40, 56, 3), np.uint8)
for runtime in ("onnxruntime", "openvino", "torch"):
    Session(load_network("lite0", runtime=runtime, device="cpu"), image).click(20, 20)
from mfp.cli.main import main
for words in (["info", "lite0"], ["doctor"]):
    try:
        main(words)
    except SystemExit:
        pass
print("done")
"""


def surroundings(home):
    """The environment of a user who has set nothing, with this home folder."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS and not name.startswith("XDG_")}
    return {**kept, "HOME": str(home)}


def files(folder):
    return [str(path.relative_to(folder)) for path in folder.rglob("*")]


def traced(log):
    """The words that a command starts with to have its connections recorded; none where that is not possible."""
    words = ["strace", "-f", "-qq", "-s", "64", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log)]
    if shutil.which("strace") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        return []
    return words


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_clicks_and_commands_leave_the_home_folder_and_the_network_alone(tmp_path, home):
    for library in ("onnxruntime", "openvino", "torch"):
        pytest.importorskip(library)
    log = tmp_path / "strace"
    words = [*traced(log), sys.executable, "-c", CLICKS]
    ran = subprocess.run(words, env=surroundings(home), cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout.endswith("done\n"), ran.stderr
    assert files(home) == []
    if words[0] == "strace":
        assert [line for line in log.read_text(errors="replace").splitlines() if "AF_INET" in line] == []


def test_a_server_leaves_no_foreign_file(tmp_path, home):
    pytest.importorskip("uvicorn")
    pytest.importorskip("openvino")
    command = [sys.executable, "-m", "mfp.cli.main", "serve", "--port", "0", "--runtime", "openvino"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=surroundings(home), cwd=tmp_path, stderr=log, stdout=log)
        try:
            while "http://" not in (tmp_path / "log").read_text():
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.05)
        finally:
            process.terminate()
            process.wait()
    foreign = [name for name in files(home) if not name.startswith(".local/share/mfp") and name not in ".local/share"]
    assert foreign == []


def test_a_home_folder_that_cannot_be_written_is_no_reason_for_a_warning(tmp_path):
    pytest.importorskip("onnxruntime")
    code = 'import mfp\nmfp.load_network("lite0", runtime="onnxruntime", device="cpu")'
    environment = surroundings("/dev/null")
    ran = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "")  # as good as not set
    telemetry.turn_off()
    assert {name: os.environ[name] for name in telemetry.OFF} == {
        "ORT_DISABLE_TELEMETRY": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@pytest.mark.parametrize(("setting", "calls"), [("1", 1), ("0", 0)])
def test_onnxruntime_that_was_imported_before_is_told_to_stop(monkeypatch, setting, calls):
    onnxruntime = pytest.importorskip("onnxruntime")
    called = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: called.append(1))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", setting)
    assert telemetry.import_silenced("onnxruntime") is onnxruntime
    assert len(called) == calls


def test_openvino_is_imported_in_one_place():
    root = Path(mfp.__file__).parent
    rooms = ("bench", "engine", "export", "kernels", "serve")
    found = [
        str(file.relative_to(root))
        for room in rooms
        for file in (root / room).rglob("*.py")
        if re.search(r"^\s*(import|from) openvino\b", file.read_text("utf-8"), re.MULTILINE)
    ]
    assert found == []


@pytest.mark.parametrize(("consent", "wanted"), [("1", True), ("0", False), ("?", False), (None, False)])
def test_openvinos_own_switch_counts(monkeypatch, home, consent, wanted):
    pytest.importorskip("openvino_telemetry")
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    if consent is not None:
        (home / "intel").mkdir()
        (home / "intel" / "openvino_telemetry").write_text(consent)
    assert telemetry._user_wants_openvinos_reports() is wanted


def test_the_applications_telemetry_package_is_not_taken_away(home, tmp_path):
    pytest.importorskip("openvino_telemetry")
    code = """
import openvino_telemetry as before
from mfp import load_network
load_network("lite0", runtime="openvino")
import openvino, openvino_telemetry, sys
assert openvino_telemetry is before
assert callable(openvino.convert_model)
"""
    ran = subprocess.run([sys.executable, "-c", code], env=surroundings(home), cwd=tmp_path, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
    assert files(home) == []
