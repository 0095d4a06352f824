"""What ``mfp train`` refuses before it trains: data that do not fit, and outputs that cannot be written."""

import os
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mfp.cli.main import main
from mfp.engine.errors import DatasetError, OptionError
from mfp.training import photographs
from mfp.training.loop import train
from mfp.training.options import Options
from mfp.training.saves import check_outputs

SHAPE = (60, 80)
PHOTO = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[10:40, 20:60] = 3


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path / "data")


def fill(path, suffix=".png", count=3):
    """Photographs s_0, s_1, … with a label map each; none of them is held out."""
    for part in ("images", "labels"):
        (path / part).mkdir(parents=True)
    for number in range(count):
        Image.fromarray(PHOTO).save(path / f"images/s_{number}{suffix}")
        Image.fromarray(LABELS).save(path / f"labels/s_{number}.png")
    return path


def run(folder, output, *more):
    options = ("--steps", "1", "--batch", "2", "--size", "64", "--validate", "0", "--device", "cpu", *more)
    return main(["train", "--init", "lite0", "--data", str(folder), "--output", str(output), *options])


def test_every_pair_of_different_sizes_is_named(folder, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save(folder / "images/s_0.png", exif=exif)
    Image.fromarray(LABELS[::2, ::2]).save(folder / "labels/s_1.png")
    assert run(folder, tmp_path / "o.pth") == 2
    said = capsys.readouterr().err
    assert "2 photograph(s) or label map(s) do not fit" in said
    assert f"{folder}/labels/s_0.png and {folder}/images/s_0.png have different sizes, 60×80 and 80×60" in said
    assert "before its EXIF orientation" in said
    assert f"{folder}/labels/s_1.png and {folder}/images/s_1.png have different sizes, 30×40 and 60×80" in said
    assert not (tmp_path / "o.pth").exists()


def test_a_turned_photograph_with_a_turned_label_map_is_right(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save(folder / "images/s_0.png", exif=exif)
    Image.fromarray(np.ascontiguousarray(np.rot90(LABELS, -1))).save(folder / "labels/s_0.png")
    found = photographs.load(folder)
    np.testing.assert_array_equal(found.images[0, :, :80, :60].permute(1, 2, 0), np.rot90(PHOTO, -1))
    assert found.regions[0].size == (80, 60)


def test_whatever_else_does_not_fit_is_named_at_once(folder):
    (folder / "images/s_0.png").write_bytes((folder / "images/s_0.png").read_bytes()[:-30])
    Image.fromarray(LABELS).save(folder / "labels/s_1.jpg")
    (folder / "labels/s_1.png").unlink()
    (folder / "images/s_2.png").unlink()
    with pytest.raises(DatasetError) as caught:
        photographs.load(folder)
    for words in (
        "3 photograph(s) or label map(s) do not fit",
        "images/s_0.png is no image that can be read: its PNG data are cut short",
        "labels/s_1.jpg is no mask that can be read: JPEG compression changes values",
        "labels/s_2.png: expected a photograph images/s_2.jpg (or .png, .tif, …)",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize("suffix", [".bmp", ".PNG", ".tif", ".TIFF", ".webp", ".jpeg", ".JPG"])
def test_photographs_of_all_kinds_are_taken(tmp_path, suffix):
    path = fill(tmp_path / "data", suffix)
    found = photographs.load(path)
    expected = cv2.imread(str(path / f"images/s_0{suffix}"))[:, :, ::-1]
    np.testing.assert_array_equal(found.images[0, :, : SHAPE[0], : SHAPE[1]].permute(1, 2, 0), expected)


def test_two_photographs_of_a_name_are_refused(folder):
    Image.fromarray(PHOTO).save(folder / "images/s_0.jpg")
    with pytest.raises(DatasetError, match=r"one file of a name in .*images, got s_0\.jpg and s_0\.png"):
        photographs.load(folder)


def test_a_label_map_with_a_palette_gives_its_indices(folder):
    indexed = Image.fromarray(LABELS)
    indexed.putpalette([0, 0, 0, 250, 9, 9, 9, 250, 9, 9, 9, 250])
    indexed.save(folder / "labels/s_0.png")
    found = photographs.load(folder)
    assert torch.equal(found.labels[0], found.labels[1])


def test_large_labels_stay_apart(folder):
    deep = LABELS.astype(np.uint16) * 100
    deep[45:55, 20:60] = 300 + 255  # the same as 300, were it reduced by 255
    cv2.imwrite(str(folder / "labels/s_0.png"), deep)
    assert photographs.load(folder).regions[0].labels.tolist() == [1, 2]


def outputs(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "log.jsonl").mkdir()
    (tmp_path / "saved.resume").touch()
    return [
        ("folder", "expected a file's name for the checkpoint, got the folder"),
        ("file/a.pth", "cannot write .*file"),
        ("log.pth", r"cannot write .*log\.jsonl: Is a directory"),
        ("saved.pth", r"expected no file of the name .*saved\.resume"),
        ("a.jsonl", r"a checkpoint's name such as .*a\.pth, got"),
        ("a.resume", r"a checkpoint's name such as .*a\.pth, got"),
    ]


@pytest.mark.parametrize("number", range(6))
def test_outputs_are_checked_before_anything_else(tmp_path, number):
    name, words = outputs(tmp_path)[number]
    before = sorted(tmp_path.rglob("*"))
    # The data are not there either: the output is what is said first.
    options = Options(None, tmp_path / "nowhere", tmp_path / name, init="lite0", steps=1, batch=2)
    with pytest.raises(OptionError, match=words):
        train(options)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_check_leaves_nothing_behind(tmp_path):
    (tmp_path / "b.jsonl").write_text("a log\n")
    for name in ("new/a.pth", "b.pth"):
        check_outputs(tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b.jsonl", "new"]
    assert (tmp_path / "b.jsonl").read_text() == "a log\n"


def test_a_log_that_cannot_be_written_later_is_said_in_words(folder, tmp_path):
    log = tmp_path / "o.jsonl"

    def taken(line):
        if "settings" in line:
            log.unlink()
            log.mkdir()

    options = Options(None, folder, tmp_path / "o.pth", init="lite0", steps=1, batch=2, size=64, validate=0)
    with pytest.raises(OptionError, match=r"cannot write the log .*o\.jsonl: Is a directory; .*--resume"):
        train(options, taken)


def test_names_of_any_bytes_are_taken(tmp_path):
    folder = fill(tmp_path / "data")
    try:
        for file in (folder / "images/s_0.png", folder / "labels/s_0.png"):
            file.rename(file.with_name(os.fsdecode(b"by\xff_0.png")))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    assert len(photographs.load(folder).sets) == 3


def test_label_maps_that_are_all_held_out_are_not_called_empty(tmp_path):
    folder = fill(tmp_path / "data", count=1)
    name = next(f"s_{i}" for i in range(1000) if zlib.crc32(f"s_{i}".encode()) % photographs.HELD_OUT == 0)
    for kind in ("images", "labels"):
        for file in (folder / kind).iterdir():
            file.rename(file.with_stem(name))
    with pytest.raises(DatasetError, match=r"all 1 label map.* held out"):
        photographs.load(folder)
