"""``mfp eval`` on data sets of which some files do not fit."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from mfp.bench.datasets import open_dataset
from mfp.bench.evaluation import run as evaluation
from mfp.bench.evaluation.record import Evaluation
from mfp.bench.evaluation.run import evaluate_target
from mfp.cli.main import main
from mfp.engine.errors import DatasetError

OPTIONS = ("--size", 48, "--max-clicks", 2, "--device", "cpu", "--output")
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def data(tmp_path):
    """Four photographs, each with a bright rectangle."""
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for name in NAMES:
        mask = np.zeros((50, 60), np.uint8)
        mask[10:30, 15:45] = 255
        cv2.imwrite(str(root / f"images/{name}.jpg"), rng.integers(0, 90, (50, 60, 3), np.uint8) + mask[..., None] // 2)
        cv2.imwrite(str(root / f"masks/{name}.png"), mask)
    return root


@pytest.fixture
def clicked(monkeypatch):
    """Names of the objects that were clicked on."""
    names = []

    def watched(network, target, conditions):
        names.append(target.name)
        return evaluate_target(network, target, conditions)

    monkeypatch.setattr(evaluation, "evaluate_target", watched)
    return names


@pytest.fixture
def mfp(capsys, golden):
    def run(*arguments):
        code = main([str(golden("toy.onnx")) if word == "TOY" else str(word) for word in arguments])
        return code, *capsys.readouterr()

    return run


def taller(data, name):
    mask = cv2.imread(str(data / f"masks/{name}.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(data / f"masks/{name}.png"), np.vstack([mask, mask[:1]]))


def shorter(data, name):
    mask = cv2.imread(str(data / f"masks/{name}.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(data / f"masks/{name}.png"), mask[:50])


def test_all_that_do_not_fit_are_named_before_the_first_click(mfp, data, tmp_path, clicked):
    taller(data, "a")
    photograph = data / "images/b.jpg"
    photograph.write_bytes(photograph.read_bytes()[:-300])
    (data / "masks/c.png").write_bytes(b"")
    cv2.imwrite(str(data / "images/e.jpg"), np.zeros((9, 9, 3), np.uint8))
    cv2.imwrite(str(data / "images/f.jpg"), np.zeros((9, 9, 3), np.uint8))
    cv2.imwrite(str(data / "masks/f.png"), np.zeros((9, 9), np.uint8))
    out = tmp_path / "out"
    code, _, err = mfp("eval", data, "--network", "TOY", *OPTIONS, out)
    assert (code, clicked) == (2, [])
    assert not out.exists()
    for words in (
        "3 photograph(s) or mask(s) of data do not fit: mend them, or go on without them with --skip-unfit",
        f"{data}/masks/a.png and {data}/images/a.jpg have different sizes, 51×60 and 50×60",
        f"{data}/images/b.jpg is no image that can be read: its JPEG data are cut short",
        f"{data}/masks/c.png is no mask that can be read: the file is empty (0 bytes)",
        "photograph(s) without a mask: e",
        "without a pixel of object are left out: f",
    ):
        assert words in err


def test_going_on_without_them_and_coming_back_when_they_are_mended(mfp, data, tmp_path, clicked):
    taller(data, "c")
    out = tmp_path / "out"
    arguments = ("eval", data, "--network", "TOY", *OPTIONS, out)
    code, text, err = mfp(*arguments, "--skip-unfit")
    assert (code, clicked) == (0, ["a", "b", "d"]), err
    assert "masks/c.png and" in text
    record = json.loads((out / "eval.json").read_text())
    assert record["summary"]["objects"] == 3
    assert any("masks/c.png and" in note for note in record["notes"])
    shorter(data, "c")
    code, text, err = mfp(*arguments)
    assert (code, clicked) == (0, ["a", "b", "d", "c"]), err
    assert "3 of 4 object(s) are there already" in text
    assert [result.name for result in Evaluation.read(out).results] == list(NAMES)
    assert Evaluation.read(out).notes == ()


def test_a_changed_file_loses_its_own_results_alone(mfp, data, tmp_path, clicked):
    arguments = ("eval", data, "--network", "TOY", *OPTIONS, tmp_path / "out")
    assert mfp(*arguments)[0] == 0
    mask = np.zeros((50, 60), np.uint8)
    mask[5:40, 10:20] = 255
    cv2.imwrite(str(data / "masks/b.png"), mask)
    (data / "masks/d.png").unlink()
    clicked.clear()
    code, text, err = mfp(*arguments)
    assert (code, clicked) == (0, ["b"]), err
    assert "1 object(s) are clicked on again, since their files have changed: b" in text
    assert len(Evaluation.read(tmp_path / "out").results) == 3


def test_a_journal_of_an_older_version(mfp, data, tmp_path, clicked):
    out = tmp_path / "out"
    arguments = ("eval", data, "--network", "TOY", *OPTIONS, out)
    assert mfp(*arguments)[0] == 0
    journal = out / "eval.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines[1:]:
        assert line.pop("fingerprint")
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    clicked.clear()
    assert mfp(*arguments)[0] == 0
    assert clicked == []
    (data / "masks/d.png").unlink()
    code, _, err = mfp(*arguments)
    assert code == 2
    assert "older version, which did not tell the files apart" in err
    assert "--restart" in err


def test_a_sweep_looks_first_as_well(mfp, data, tmp_path, clicked):
    taller(data, "a")
    taller(data, "d")
    sweep = ("eval", "sweep", data, "--network", "TOY", *OPTIONS, tmp_path / "s", "--n-early", 1, 7, "--r-max", 100,
             "--distance", "probability")  # fmt: skip
    code, _, err = mfp(*sweep)
    assert (code, clicked) == (2, [])
    assert "masks/a.png and" in err
    assert "masks/d.png and" in err
    assert mfp(*sweep, "--skip-unfit")[0] == 0
    assert clicked == ["b", "c"] * 2


def test_a_mask_that_was_drawn_before_the_photograph_was_turned(data):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(data / "images/a.jpg").save(data / "images/a.jpg", exif=exif)
    with pytest.raises(DatasetError, match=r"sizes, 50×60 and 60×50; .*before its EXIF orientation: turn the mask"):
        open_dataset(data).targets()


def test_every_soft_mask_is_named(data):
    for name in ("b", "d"):
        soft = (np.arange(3000) % 200).reshape(50, 60).astype(np.uint8)
        cv2.imwrite(str(data / f"masks/{name}.png"), soft)
    with pytest.raises(DatasetError) as caught:
        open_dataset(data).targets()
    for name in ("b", "d"):
        assert f"{data}/masks/{name}.png holds 200 values" in str(caught.value)


def test_a_file_that_changes_after_the_look_is_not_clicked_on(data):
    target = open_dataset(data).targets()[1][0]
    cv2.imwrite(str(target.mask), 255 - cv2.imread(str(target.mask), cv2.IMREAD_GRAYSCALE))
    with pytest.raises(DatasetError, match="is not the file that it was at first"):
        target.read()


def test_options_are_checked_before_the_look(mfp, data, tmp_path):
    taller(data, "a")
    (tmp_path / "file").touch()
    for option, words in (
        (("--workers", 0), "at least 1 worker"),
        (("--max-clicks", 0), "at least 1 click"),
        (("--stop-iou", 2), "an IoU to stop at"),
        (("--threshold", 1), "a threshold between 0 and 1"),
        (("--output", tmp_path / "file"), "cannot write to"),
    ):
        code, _, err = mfp("eval", data, "--network", "TOY", *OPTIONS, tmp_path / "out", *option)
        assert code == 2
        assert words in err
        assert not (tmp_path / "out").exists()


def test_the_packaged_network_is_the_default(mfp, data, tmp_path):
    code, _, err = mfp("eval", data, "--limit", 1, *OPTIONS[2:], tmp_path / "out")
    assert code == 0, err
    assert Evaluation.read(tmp_path / "out").settings["network"]["backbone"] == "lite0"


def test_masks_of_the_ignored_value_alone_are_told(data, mfp, tmp_path):
    mask = cv2.imread(str(data / "masks/a.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(data / "masks/a.png"), mask // 255)  # one of four is 0 and 1, so that all are read as labels
    code, out, _ = mfp("eval", data, "--network", "TOY", *OPTIONS, tmp_path / "out")
    assert code == 0
    assert "3 of them hold 255 alone, which is ignored" in out
    assert "b, c, d. Say how to read all of them" in out
    code, out, _ = mfp("eval", data, "--network", "TOY", "--mask-values", "any", *OPTIONS, tmp_path / "any")
    assert code == 0
    assert "4 objects" in out
    assert "ignored where" not in out


def test_photographs_in_inner_folders_are_told(data, mfp, tmp_path):
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        (data / folder / "inner").mkdir()
        (data / folder / f"d.{suffix}").rename(data / folder / "inner" / f"d.{suffix}")
    code, out, _ = mfp("eval", data, "--network", "TOY", *OPTIONS, tmp_path / "out")
    assert code == 0
    assert "left out: 1 folder(s) of photographs inside images/: inner/" in out
