"""The README does what it says: its Python runs as printed, its commands exist."""

import re
import shutil
from pathlib import Path

import pytest

from mfp.cli.main import COMMANDS
from mfp.engine.sample import PATH as SAMPLE

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


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
    exec(re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1], {})
    assert capsys.readouterr().out == "bf16 openvino cpu\n"


def test_the_commands_it_names_exist():
    named = set(re.findall(r"^mfp ([\w-]+)", README, re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile
