"""Files that are run by path: what lies beside them must not hide modules of Python or of others."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [
    path.relative_to(ROOT)
    for room in ("bench", "cli", "engine", "examples", "export", "kernels", "serve", "tests", "training")
    for path in sorted((ROOT / room).rglob("*.py"))
    if '\nif __name__ == "__main__":' in path.read_text("utf-8")
]
# those of the rooms that name what they import in full, as only a file outside a package has to
DOORS = [
    path.as_posix()
    for path in SCRIPTS
    if path.parts[0] not in ("tests", "examples")
    and not re.search(r"^from \.", (ROOT / path).read_text("utf-8"), re.MULTILINE)
]
REPORT = """
import atexit
import sys

def report():
    import statistics
    from statistics import median  # as torch.compile does

    print("library", statistics.__file__)
    print("path", *sys.path, sep="|")

atexit.register(report)
"""


def run_by_path(door, folder):
    """What a door says that is asked for help, and at its end where it would find modules."""
    (folder / "sitecustomize.py").write_text(REPORT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(ROOT / door), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_no_module_beside_a_script_bears_a_name_of_the_standard_library():
    folders = {path.parent for path in SCRIPTS}
    assert {Path("bench"), Path("engine"), Path("export"), Path("examples")} <= folders
    for folder in folders:
        found = (ROOT / folder).iterdir()
        names = {path.stem for path in found if path.is_dir() or path.suffix in (".py", ".so", ".pyd")}
        assert not names & set(sys.stdlib_module_names), folder


def test_the_documented_doors_are_among_them():
    assert {"bench/latency.py", "bench/accuracy.py", "bench/kernels.py", "export/to_onnx.py", "engine/build.py"} <= {
        *DOORS
    }


@pytest.mark.parametrize("door", DOORS)
def test_a_door_hides_no_module(door, tmp_path):
    said = run_by_path(door, tmp_path)
    assert "usage:" in said
    library = re.search("^library (.*)$", said, re.MULTILINE)[1]
    path = re.search(r"^path\|(.*)$", said, re.MULTILINE)[1].split("|")
    folder = (ROOT / door).parent.resolve()
    assert Path(library).resolve().parent != folder
    assert folder not in [Path(entry).resolve() for entry in path]
