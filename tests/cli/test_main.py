"""The ``mfp`` command, as a user runs it."""

import json
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import onnx
import pytest

from mfp import Mask, read_image
from mfp.cli.main import COMMANDS


def test_help_lists_the_commands_and_version_says_it(mfp):
    code, out, _ = mfp("--help")
    assert code == 0
    for name in COMMANDS:
        assert name in out
    assert mfp()[1] == out
    assert re.fullmatch(r"mfp-engine \d+\.\d+\.\d+\n", mfp("--version")[1])
    assert mfp("dance")[0] == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(mfp, name):
    code, out, _ = mfp(name, "--help")
    assert code == 0
    assert f"usage: mfp {name}" in out


def test_segment_writes_what_it_says(mfp, golden, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    photo = golden("coffee.png")
    clicks = ["--pos", "300,200", "--neg", "20,30", "--pos", "350.5,220"]
    folder = tmp_path / "new" / "folder"
    code, out, err = mfp(
        "segment", photo, *clicks, "--network", golden("toy.onnx"), "--size", "96x128", "--output", folder,
        "--probability", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert "first click" in out
    assert "later clicks: median" in out
    assert out.count("positive") == 2
    record = json.loads((folder / "coffee.json").read_text())
    assert [(c["x"], c["y"], c["positive"]) for c in record["clicks"]] == [
        (300, 200, True),
        (20, 30, False),
        (350.5, 220, True),
    ]
    mask = cv2.imread(str(folder / "coffee_mask.png"), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) <= {0, 255}
    assert Mask(mask > 0) == Mask.from_rle(record["mask"])
    probability = np.load(folder / "coffee_probability.npy")
    np.testing.assert_array_equal(probability > 0.5, mask > 0)
    overlay, image = read_image(folder / "coffee_overlay.png"), read_image(photo)
    assert overlay.shape == image.shape
    assert (overlay != image).any()


def test_segment_says_when_weights_are_untrained(mfp, exported, golden, tmp_path):
    network = exported("hrnet18").path
    code, out, err = mfp("segment", golden("coffee.png"), "--pos", "9,9", "--network", network, "--output", tmp_path)
    assert code == 0, err
    assert "UNTRAINED" in out


@pytest.mark.parametrize("blocked", ["file", "file/folder", "/proc/nothing", "/proc"])
def test_an_output_that_cannot_be_written_is_said_before_the_work(mfp, golden, tmp_path, monkeypatch, blocked):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("text")
    network = tmp_path / "not opened.onnx"
    code, _, err = mfp("segment", golden("coffee.png"), "--pos", "9,9", "--network", network, "--output", blocked)
    assert code == 2
    assert "cannot write to" in err


def test_names_with_brackets_are_no_markup(mfp, golden, tmp_path, monkeypatch):
    folder = tmp_path / "o[bold]"
    folder.mkdir()
    photo = folder / "cat[red].png"
    photo.write_bytes(golden("coffee.png").read_bytes())
    model = onnx.load(golden("toy.onnx"))
    onnx.helper.set_model_props(model, {"mfp.weights": "untrained [/x]", "mfp.backbone": "[bold]"})
    onnx.save(model, folder / "toy.onnx")
    code, out, err = mfp(
        "segment", photo, "--pos", "9,9", "--network", folder / "toy.onnx", "--size", "64", "--output", folder
    )
    assert code == 0, err
    assert "cat[red]_mask.png" in out
    assert "untrained [/x]" in out
    code, out, err = mfp("info", folder / "toy.onnx")
    assert code == 0, err
    assert "untrained [/x]" in out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--pos": "700,10"}, "outside the image"),
        ({"--pos": None}, "no clicks given"),
        ({"photo": "nothing.png"}, "cannot read nothing.png"),
        ({"photo": "README.md"}, "no image"),
        ({"--network": "nothing.onnx"}, "no such file"),
        ({"--size": "axb"}, "expected HxW"),
        ({"--pos": "5"}, "expected X,Y"),
        ({"--threshold": "2"}, "threshold"),
        ({"--device": "cuda:99"}, "cuda:99"),
    ],
)
def test_mistakes_get_one_line_and_leave_no_files(mfp, golden, tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("text")
    arguments = {"photo": golden("coffee.png"), "--pos": "10,10", "--network": golden("toy.onnx"), **change}
    photo = arguments.pop("photo")
    flags = [part for flag, value in arguments.items() if value is not None for part in (flag, value)]
    code, out, err = mfp("segment", photo, *flags)
    assert code == 2
    assert words in err
    assert "Traceback" not in out + err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_info_shows_contract_and_metadata(mfp, exported, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = mfp("info", exported("hrnet18").path)
    assert code == 0
    for word in ("hrnet18", "320×480", "untrained, seed 0", "prev_mask", "batch × 2 × 320 × 480", "Conv", "fp32"):
        assert word in out


def test_info_refuses_what_is_no_network(mfp, golden, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"text")
    for file, words in [
        (tmp_path / "a.onnx", "no ONNX file"),
        (tmp_path / "b.onnx", "no such file"),
        (golden("checkpoint_vit_small.pth"), "mfp export --checkpoint"),
    ]:
        code, _, err = mfp("info", file)
        assert code == 2
        assert words in err


def test_doctor_finds_the_cpu_and_explains_the_rest(mfp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    code, out, _ = mfp("doctor")
    assert code == 0
    assert re.search(r"onnxruntime\W+cpu\W+usable", out)
    from mfp.engine.doctor import examine

    text = re.sub(r"[\s│]+", "", out)
    for finding in examine():
        assert re.sub(r"\s+", "", finding.remedy) in text
        assert finding.detail
        assert finding.usable or finding.remedy


def test_doctor_without_any_runtime(mfp, monkeypatch):
    import mfp.engine.doctor as doctor

    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = mfp("doctor")
    assert code == 1
    assert "pip install onnxruntime" in out


def test_a_reader_that_stops_early_is_no_error(golden):
    command = f"{sys.executable} -m mfp.cli.main info '{golden('toy.onnx')}' | head -n 2"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert "toy.onnx" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pos", "-5,10"], "click outside the image"),
        (["--pos", "9,9", "--neg", "-.5,10"], "click outside the image"),
        (["--pos", "-5"], "expected X,Y, for example 240,130, got '-5'"),
        (["--pos", "9,9", "--size", "-5x10"], "expected HxW or one number"),
        (["--pos", "9,9", "--threshold", "-1e5"], "threshold"),
        (["--pos", "9,9", "--threads", "-2"], "threads"),
    ],
)
def test_values_may_begin_with_a_minus(mfp, golden, tmp_path, arguments, words):
    command = ["segment", golden("coffee.png"), "--network", golden("toy.onnx"), "--output", tmp_path]
    code, _, err = mfp(*command, *arguments)
    assert code == 2
    assert words in err
    assert "expected one argument" not in err


def test_the_mask_s_own_name(mfp, golden, tmp_path):
    command = ["segment", golden("coffee.png"), "--network", golden("toy.onnx"), "--size", "64", "--pos", "9,9"]
    code, _, err = mfp(*command, "--output", tmp_path / "new" / "mine.png", "--json", "--probability")
    assert code == 0, err
    files = {"mine.png", "mine_overlay.png", "mine.json", "mine_probability.npy"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == files
    mask = cv2.imread(str(tmp_path / "new" / "mine.png"), cv2.IMREAD_UNCHANGED)
    assert Mask(mask > 0) == Mask.from_rle(json.loads((tmp_path / "new" / "mine.json").read_text())["mask"])
    (tmp_path / "folder.png").mkdir()  # who has a folder of such a name gets his files in it
    assert mfp(*command, "--output", tmp_path / "folder.png")[0] == 0
    assert (tmp_path / "folder.png" / "coffee_mask.png").is_file()


def test_an_output_must_not_be_the_photograph_nor_a_folder_called_like_a_file(mfp, golden, tmp_path):
    photo = tmp_path / "cat.png"
    shutil.copy(golden("coffee.png"), photo)
    command = ["segment", photo, "--network", golden("toy.onnx"), "--size", "64", "--pos", "9,9", "--output"]
    for output, words in ((photo, "the photograph itself"), (tmp_path / "mask.jpg", "called like a file")):
        code, _, err = mfp(*command, output)
        assert code == 2
        assert words in err
    toy = golden("toy.onnx")
    for arguments in (["compare", toy, toy], ["triton-repo", toy], ["eval", tmp_path, "--images", ".", "--masks", "."]):
        code, _, err = mfp(*arguments, "--output", tmp_path / "result.json")
        assert code == 2, arguments
    assert photo.read_bytes() == golden("coffee.png").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]
