"""The development install: editors and type checkers find the package in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import mfp
from mfp.engine.roi import Roi

reveal_type(mfp.load_network("lite0"))
reveal_type(Roi(0, 1, 0, 1))
Roi("0", 1, 0, 1)
"""


@pytest.mark.skipif(shutil.which("make") is None or os.name == "nt", reason="needs make")
def test_a_type_checker_resolves_the_package(tmp_path):
    pytest.importorskip("mypy")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    subprocess.run(["make", "-C", ROOT, f"VENV={tmp_path}/venv", "dev-path"], check=True, stdout=subprocess.DEVNULL)
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    python = tmp_path / "venv" / "bin" / "python"
    # NumPy and others are not in that environment
    command = [sys.executable, "-m", "mypy", "--python-executable", python, "--ignore-missing-imports", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    revealed = [line.partition("Revealed type is ")[2] for line in done.stdout.splitlines() if "Revealed" in line]
    assert len(revealed) == 2, done.stdout
    assert "mfp.engine.network.Network" in revealed[0]
    assert "mfp.engine.roi.Roi" in revealed[1]
    assert 'program.py:7: error: Argument 1 to "Roi"' in done.stdout
    done = subprocess.run([python, "-c", "import mfp; print(mfp.__file__)"], env=environment, stdout=subprocess.PIPE)
    assert Path(os.fsdecode(done.stdout).strip()).resolve() == ROOT / "__init__.py"
