"""Data sets in the layouts they come in, made small."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mfp.bench.datasets import open_dataset
from mfp.bench.datasets.truth import MaskRule, read_labels, truth_of, values_in
from mfp.engine.errors import DatasetError, OptionError, RuntimeMissingError

SHAPE = (9, 12)
PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 else array)  # OpenCV has BGR
    return path


def mask(**regions):
    """A mask of zeros with rows set: ``mask(r2=255)``."""
    array = np.zeros(SHAPE, np.uint8)
    for rows, value in regions.items():
        array[int(rows[1:])] = value
    return array


def truth(**regions):
    return mask(**regions).astype(np.int8)


def folders(root, images="images", masks="masks", **files):
    """Photographs ``name`` with masks ``name=array``, or several by the masks' own names in a dict."""
    for name, entry in files.items():
        write(root / images / f"{name}.jpg", PHOTOGRAPH)
        for own, array in entry.items() if isinstance(entry, dict) else [(name, entry)]:
            write(root / masks / f"{own}.png", array)
    return root


def truths(root, *args, **options):
    """Name → truth of every object, and the data set."""
    dataset, targets = open_dataset(root, *args, **options).targets()
    found = {}
    for target in targets:
        photograph, found[target.name] = target.read()
        assert photograph.shape == (*SHAPE, 3)
        assert found[target.name].dtype == np.int8
    assert len(found) == len(targets)
    return found, dataset


def equal(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


# The layouts, and the rules of the release's loaders


@pytest.mark.parametrize(
    ("folder", "images", "masks", "name"),
    [("GrabCut", "data_GT", "boundary_GT", "GrabCut"), ("my Berkeley", "images", "masks", "Berkeley")],
)
def test_grabcut_and_berkeley_ignore_128_and_take_what_is_above(tmp_path, folder, images, masks, name):
    root = folders(tmp_path / folder, images, masks, b=mask(r0=128, r1=255, r2=129, r3=127), a=mask(r1=255))
    found, dataset = truths(root)
    equal(found, {"a": truth(r1=1), "b": mask(r1=1, r2=1).astype(np.int8) - mask(r0=1).astype(np.int8)})
    assert (dataset.name, dataset.rule.kind, dataset.rule.ignored) == (name, "trimap", 128)


def test_davis_takes_whatever_is_not_zero(tmp_path):
    coloured = np.zeros((*SHAPE, 3), np.uint8)
    coloured[4, :, 1] = 7
    found, dataset = truths(folders(tmp_path / "DAVIS345", "img", "gt", a=mask(r1=1, r2=128), b=coloured))
    equal(found, {"a": truth(r1=1, r2=1), "b": truth(r4=1)})
    assert dataset.name == "DAVIS"
    assert open_dataset(folders(tmp_path / "COCO_MVal", "img", "gt", a=mask(r1=1))).name == "COCO_MVal"


def test_original_davis_has_videos_and_a_palette(tmp_path):
    image = pytest.importorskip("PIL.Image")

    def annotate(path, array):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = image.fromarray(array, mode="P")
        picture.putpalette(voc_palette().ravel().tolist())
        picture.save(path)

    for video in ("bear", "dogs", "new"):
        for frame in ("00000", "00001"):
            write(tmp_path / "JPEGImages/480p" / video / f"{frame}.jpg", PHOTOGRAPH)
    annotate(tmp_path / "Annotations/480p/bear/00000.png", mask(r1=1))
    annotate(tmp_path / "Annotations/480p/dogs/00000.png", mask(r1=1, r2=2, r3=255))
    annotate(tmp_path / "Annotations/480p/dogs/00001.png", mask(r5=2))
    (tmp_path / "ImageSets/2017").mkdir(parents=True)
    (tmp_path / "ImageSets/2017/val.txt").write_text("dogs\n")
    (tmp_path / "ImageSets/2017/pairs.txt").write_text(
        "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png\n"
    )
    first, second = truth(r1=1) - truth(r3=1), truth(r2=1) - truth(r3=1)
    dogs = {"dogs/00000#1": first, "dogs/00000#2": second, "dogs/00001#2": truth(r5=1)}
    found, dataset = truths(tmp_path)
    equal(found, {"bear/00000#1": truth(r1=1), **dogs})
    assert (dataset.name, dataset.rule.kind) == ("DAVIS (original)", "labels")
    equal(truths(tmp_path, split="2017/val")[0], dogs)
    equal(truths(tmp_path, split="2017/pairs")[0], {"bear/00000#1": truth(r1=1)})
    with pytest.raises(DatasetError, match=r"--split can be: 2017/pairs, 2017/val"):
        open_dataset(tmp_path, split="val")


def sbd(root, **labels):
    savemat = pytest.importorskip("scipy.io").savemat
    for name, array in labels.items():
        write(root / "img" / f"{name}.jpg", PHOTOGRAPH)
        (root / "inst").mkdir(exist_ok=True)
        savemat(root / "inst" / f"{name}.mat", {"GTinst": {"Segmentation": array, "Categories": np.ones((2, 1))}})
    (root / "val.txt").write_text("\n".join(labels) + "\n")
    return root


def test_sbd_has_an_object_a_value_and_a_list(tmp_path):
    root = sbd(tmp_path, b=mask(r1=1, r2=2), a=mask(r3=255), c=mask(r1=1))
    (root / "train.txt").write_text("c\n")
    found, dataset = truths(root)
    equal(found, {"b#1": truth(r1=1), "b#2": truth(r2=1), "a#255": truth(r3=1), "c#1": truth(r1=1)})
    assert dataset.name == "SBD"
    assert list(truths(root, split="train")[0]) == ["c#1"]
    (root / "inst" / "c.mat").write_bytes(b"MATLAB 5.0, cut short")
    with pytest.raises(DatasetError, match=r"c\.mat is no file of SBD"):
        truths(root, split="train")
    (root / "inst" / "c.mat").unlink()
    with pytest.raises(DatasetError, match=r"no such file: .*c\.mat; train\.txt of SBD names it"):
        open_dataset(root, split="train")


def test_sbd_without_scipy_says_what_to_install(tmp_path, monkeypatch):
    root = sbd(tmp_path, a=mask(r1=1))
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(RuntimeMissingError, match="pip install scipy"):
        open_dataset(root).targets()


# Any folders


def test_masks_belong_to_photographs_by_name(tmp_path):
    root = folders(
        tmp_path / "mine", "photos", "truth",
        cat={"cat_mask": mask(r1=255)}, dog={"dog": mask(r1=255), "dog_10": mask(r2=255), "dog#2": mask(r3=255)},
        dog_1={"dog_1": mask(r4=255)},
    )  # fmt: skip
    found, dataset = truths(root, Path("photos"), Path("truth"))
    expected = {"cat": truth(r1=1), "dog": truth(r1=1), "dog#2": truth(r3=1), "dog_10": truth(r2=1)}
    equal(found, {**expected, "dog_1": truth(r4=1)})
    assert (dataset.name, dataset.layout, dataset.notes) == ("mine", "folders", ())


def test_what_has_no_counterpart_is_left_out_and_said(tmp_path):
    root = folders(tmp_path, a=mask(r1=255), b={}, c=mask(), d={"stranger": mask(r1=255)})
    found, dataset = truths(root)
    assert list(found) == ["a"]
    assert dataset.notes == (
        "left out: 2 photograph(s) without a mask: b, d",
        "left out: 1 mask(s) without a photograph: stranger.png",
        "1 mask(s) without a pixel of object are left out: c",
    )


@pytest.mark.parametrize(
    ("values", "kind", "objects"),
    [
        ((0, 255), "trimap", {"a": 255}),
        ((0, 128, 255), "trimap", {"a": 255}),
        ((0, 1), "labels", {"a#1": 1}),
        ((0, 1, 255), "labels", {"a#1": 1}),  # 255 is ignored
        ((0, 128), "labels", {"a#128": 128}),
        ((0, 3, 40000), "labels", {"a#3": 3, "a#40000": 40000}),
    ],
)
def test_what_masks_mean_is_seen_from_all_their_values(tmp_path, values, kind, objects):
    labels = np.zeros(SHAPE, np.uint16 if max(values) > 255 else np.uint8)
    labels[: len(values)] = np.array(values)[:, None]
    found, dataset = truths(folders(tmp_path, a=labels))
    assert dataset.rule.kind == kind
    assert {name: labels[array == 1].tolist() for name, array in found.items()} == {
        name: [value] * SHAPE[1] for name, value in objects.items()
    }
    assert {values.index(v) for v in values if v == dataset.rule.ignored} == {
        int(row) for array in found.values() for row in np.nonzero(array == -1)[0]
    }


def test_one_rule_holds_for_all_masks(tmp_path):
    # Alone, the second would be a trimap with an object; beside the first it is a map of labels with nothing but void.
    found, dataset = truths(folders(tmp_path, a=mask(r1=1, r2=255), b=mask(r2=255)))
    assert list(found) == ["a#1"]
    assert "b" in dataset.notes[0]


def test_options_go_before_what_is_seen(tmp_path):
    root = folders(tmp_path, a=mask(r1=1, r2=2, r3=255))
    equal(truths(root, mask_values="any")[0], {"a": truth(r1=1, r2=1, r3=1)})
    equal(truths(root, mask_values="any", ignore=2)[0], {"a": truth(r1=1, r3=1) - truth(r2=1)})
    assert list(truths(root, mask_values="labels", ignore=None)[0]) == ["a#1", "a#2", "a#255"]
    equal(truths(root, ignore=2)[0], {"a#1": truth(r1=1) - truth(r2=1), "a#255": truth(r3=1) - truth(r2=1)})
    with pytest.raises(OptionError, match="mask values auto, trimap, labels, any"):
        open_dataset(root, mask_values="soft")
    with pytest.raises(OptionError, match="from 1 to ignore"):
        open_dataset(root, ignore=0)


def test_a_soft_mask_is_refused_unless_a_rule_is_given(tmp_path):
    soft = (np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) * 2).astype(np.uint8)
    root = folders(tmp_path, a=soft)
    with pytest.raises(DatasetError, match=r"a\.png holds 108 values.*--mask-values trimap"):
        open_dataset(root).targets()
    equal(truths(root, mask_values="trimap")[0], {"a": (soft > 128).astype(np.int8) - (soft == 128).astype(np.int8)})


def test_limit_and_every_read_no_more_than_they_need(tmp_path):
    root = folders(tmp_path / "GrabCut", "data_GT", "boundary_GT", **{f"p{n}": mask(r1=255) for n in range(7)})
    (root / "boundary_GT" / "p5.png").write_bytes(b"damaged")
    dataset = open_dataset(root)
    seen = []
    _, targets = dataset.targets(limit=2, every=3, progress=lambda *counts: seen.append(counts))
    assert [target.name for target in targets] == ["p0", "p3"]
    assert seen == [(1, 3), (2, 3)]
    with pytest.raises(DatasetError, match=r"p5\.png is no mask"):
        dataset.targets()
    for options in ({"limit": 0}, {"every": 0}):
        with pytest.raises(OptionError):
            dataset.targets(**options)


def test_the_fingerprint_is_of_the_files_wherever_they_lie(tmp_path):
    one, other, more = (
        folders(tmp_path / name, a=mask(r1=255), **extra)
        for name, extra in (("one", {}), ("other", {}), ("more", {"b": mask(r1=255)}))
    )
    assert open_dataset(one).fingerprint == open_dataset(other).fingerprint != open_dataset(more).fingerprint
    noise = np.random.default_rng(1).integers(0, 2, SHAPE, np.uint8) * 255
    write(other / "masks" / "a.png", noise.astype(np.uint8))
    assert open_dataset(one).fingerprint != open_dataset(other).fingerprint


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({}, {}, r"has none of the layouts .*data_GT and boundary_GT \(GrabCut\).*It holds the folders: none"),
        ({"here/a.png": PHOTOGRAPH}, {}, r"It holds the folders: here\. Name them: --images FOLDER"),
        ({"images/a.jpg": PHOTOGRAPH, "masks/b.png": mask(r1=1)}, {}, r"no mask .*belongs .*for example a\.png"),
        ({"images/a.txt": None, "masks/a.png": mask()}, {}, "no image files in .*images"),
        ({"images/a.jpg": PHOTOGRAPH, "images/a.png": PHOTOGRAPH, "masks/a.png": mask()}, {}, "one file of a name"),
        ({"images/a.jpg": PHOTOGRAPH, "masks/a.png": mask()}, {}, "none of 1 mask"),
        ({"images/a.jpg": PHOTOGRAPH, "masks/a.png": mask(r1=1)}, {"split": "val"}, "--split is for SBD"),
        ({"images/a.jpg": PHOTOGRAPH, "masks/a.png": mask(r1=1)}, {"images": Path("images")}, "both photographs and"),
        ({"images/a.jpg": PHOTOGRAPH}, {"images": Path("images"), "masks": Path("x")}, "no such folder: .*x"),
        ({"img/a.jpg": PHOTOGRAPH, "inst/a.mat": None}, {}, r"cannot read the list .*val\.txt"),
    ],
)
def test_what_is_no_data_set_is_refused_with_advice(tmp_path, files, options, message):
    for name, array in files.items():
        if array is None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        else:
            write(tmp_path / name, array)
    with pytest.raises((DatasetError, OptionError), match=message):
        open_dataset(tmp_path, **options).targets()


def test_sizes_must_agree(tmp_path):
    root = folders(tmp_path, a=mask(r1=255))
    write(root / "images" / "a.jpg", PHOTOGRAPH[:, :5])
    with pytest.raises(DatasetError, match="different sizes, 9×12 and 9×5"):
        truths(root)
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "nowhere")


# From values to truth


def voc_palette():
    """Pascal VOC's own definition."""
    palette = np.zeros((256, 3), np.uint8)
    for index in range(256):
        rest = index
        for level in range(8):
            for channel in range(3):
                palette[index, channel] |= (rest >> channel & 1) << (7 - level)
            rest >>= 3
    return palette


def test_the_whole_palette_is_read_back(tmp_path):
    path = write(tmp_path / "palette.png", voc_palette().reshape(16, 16, 3))
    np.testing.assert_array_equal(read_labels(path), np.arange(256).reshape(16, 16))


def test_other_colours_are_numbered_and_black_is_background(tmp_path):
    colours = np.array([[(0, 0, 0), (255, 255, 254), (10, 200, 30), (10, 199, 31)]], np.uint8)
    assert read_labels(write(tmp_path / "a.png", colours)).tolist() == [[0, 3, 2, 1]]
    assert read_labels(write(tmp_path / "b.png", colours[:, 1:])).tolist() == [[3, 2, 1]]


def test_alpha_is_dropped(tmp_path):
    grey = mask(r1=3)
    assert cv2.imwrite(str(tmp_path / "a.png"), np.dstack([grey, grey, grey, 255 - grey]))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), grey)


@given(
    arrays(np.uint8, (5, 6), elements=st.integers(0, 4)),
    st.sampled_from(["labels", "any"]),
    st.sampled_from([None, 1, 3]),
)
def test_each_pixel_is_object_ignored_or_background(labels, kind, ignore):
    rule = MaskRule(kind, ignore)
    values = values_in(labels)
    assert values == sorted(set(labels.ravel().tolist()))
    objects = rule.labels(values)
    expected = [v for v in values if v not in (0, ignore)]
    assert objects == (expected if kind == "labels" else [None] * bool(expected))
    for label in objects:
        found = truth_of(labels, rule, label)
        for value, state in zip(labels.ravel().tolist(), found.ravel().tolist(), strict=True):
            inside = value == label if kind == "labels" else value > 0
            assert state == (-1 if value == ignore else int(inside))
