"""Two networks compared: the figures are recomputed here from sessions and passes of the test's own."""

import json
import weakref
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mfp import Mask, Session, load_network, read_image
from mfp.bench.comparison.compare import (
    MEASURES,
    ClickDifference,
    WorstCase,
    check_comparable,
    compare_networks,
    figure,
    logits_error,
)
from mfp.bench.comparison.picture import draw
from mfp.bench.workload import seeded_clicks
from mfp.cli.compare import NetworkSpec, parse_spec
from mfp.cli.main import main
from mfp.engine.errors import ImageError, NetworkError, OptionError
from mfp.engine.image import write_png
from mfp.engine.image_folders import image_files
from mfp.engine.network import Network

SIZE = 64  # longer side of the crop: small, so that a pass takes milliseconds


@pytest.fixture(scope="session")
def toy_file(golden, tmp_path_factory):
    """``toy_file(name, constants={old: new}, size=None, **metadata)``: the toy network with something changed."""
    folder = tmp_path_factory.mktemp("toys")

    def make(name, constants=None, size=None, **metadata):
        model = onnx.load(golden("toy.onnx"))
        for old, new in (constants or {}).items():
            found = [n.attribute[0].t for n in model.graph.node if n.op_type == "Constant"]
            found = [t for t in found if t.data_type == onnx.TensorProto.FLOAT and onnx.numpy_helper.to_array(t) == old]
            found[-1].CopyFrom(onnx.numpy_helper.from_array(np.array(new, np.float32)))
        if size:
            for tensor in model.graph.input:
                for dim, side in zip(tensor.type.tensor_type.shape.dim[2:], size, strict=True):
                    dim.dim_value = side
        onnx.helper.set_model_props(model, {f"mfp.{key}": str(value) for key, value in metadata.items()})
        onnx.save(model, folder / f"{name}.onnx")
        return folder / f"{name}.onnx"

    return make


@pytest.fixture(scope="session")
def planted_file(toy_file):
    """The toy whose answer to positive clicks is 1 % stronger."""
    return toy_file("planted", {700.0: 707.0})


@pytest.fixture(scope="session")
def planted(planted_file):
    return load_network(planted_file, device="cpu")


@pytest.fixture(scope="session")
def images(photograph):
    return [("coffee.png", photograph("coffee")), ("astronaut.png", photograph("astronaut"))]


@pytest.fixture
def mfp(capsys, monkeypatch):
    """``mfp(*arguments)`` → (exit code, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


class Recorder(Network):
    """A network that keeps the arrays of its passes."""

    def __init__(self, network):
        self.info, self.runtime, self.device, self.network = network.info, network.runtime, network.device, network
        self.passes = []

    def __call__(self, *arrays):
        self.passes.append([array.copy() for array in arrays])
        return self.network(*arrays)


# The figures


def test_a_network_agrees_with_itself_exactly(toy, golden, images):
    comparison = compare_networks(toy, load_network(golden("toy.onnx"), device="cpu"), images, 3, size=SIZE)
    assert comparison.identical
    assert [(d.image, d.click) for d in comparison.differences] == [
        (name, click) for name, _ in images for click in (1, 2, 3)
    ]
    for measure in MEASURES:
        expected = 1.0 if measure == "mask_iou" else 0.0
        assert comparison.mean(measure) == getattr(comparison.worst(measure), measure) == expected
    assert not comparison.worst_case.gap.any()
    assert comparison.worst_case.reference == comparison.worst_case.other


@pytest.mark.parametrize("flip", [True, False])
def test_logits_are_compared_on_the_references_own_input(toy, planted, images, flip):
    name, image = images[0]
    comparison = compare_networks(toy, planted, [(name, image)], 3, flip=flip, size=SIZE)
    recorder = Recorder(toy)
    session = Session(recorder, image, size=SIZE, flip=flip)
    for click, found in zip(seeded_clicks(name, *image.shape[:2], 3), comparison.differences, strict=True):
        recorder.passes.clear()
        session.click(click.x, click.y, click.positive)
        assert len(recorder.passes) == (2 if found.click == 1 else 1)
        errors = []
        for arrays in recorder.passes:
            assert len(arrays[0]) == (2 if flip else 1)
            reference = toy(*arrays).astype(np.float64)
            errors.append(np.abs(planted(*arrays) - reference) / reference.std())
        assert found.logits_rms == pytest.approx(max(np.sqrt(np.square(e).mean()) for e in errors), rel=1e-5)
        assert found.logits_max == pytest.approx(max(e.max() for e in errors), rel=1e-5)
        assert 1e-4 < found.logits_rms < found.logits_max < 0.1  # 1 % of one weight


def test_probabilities_and_masks_come_from_sessions_of_their_own_and_the_worst_is_named(toy, planted, images):
    comparison = compare_networks(toy, planted, images, 3, seed=5, size=SIZE)
    expected = {}
    for name, image in images:
        sessions = [Session(network, image, size=SIZE) for network in (toy, planted)]
        for number, click in enumerate(seeded_clicks(name, *image.shape[:2], 3, seed=5), 1):
            a, b = (session.click(click.x, click.y, click.positive).array for session in sessions)
            gap = np.abs(sessions[0].probability - sessions[1].probability)
            expected[name, number] = np.sum(a & b) / np.sum(a | b), gap, a, b
    for found in comparison.differences:
        overlap, gap, *_ = expected[found.image, found.click]
        assert found.mask_iou == overlap
        measured = [getattr(found, f"probability_{p}") for p in ("p50", "p90", "p99", "p99_9", "max")]
        np.testing.assert_allclose(measured, [*np.percentile(gap, (50, 90, 99, 99.9)), gap.max()], rtol=1e-6)
    worst = min(expected, key=lambda key: expected[key][0])
    assert sorted(overlap for overlap, *_ in expected.values())[1] > expected[worst][0]  # the case is no tie
    case = comparison.worst_case
    assert case.difference == comparison.worst("mask_iou")
    assert (case.difference.image, case.difference.click) == worst
    np.testing.assert_array_equal(case.gap, expected[worst][1])
    assert (case.reference, case.other) == (Mask(expected[worst][2]), Mask(expected[worst][3]))
    np.testing.assert_array_equal(case.photograph, dict(images)[worst[0]])
    assert len(case.clicks) == worst[1]
    assert not comparison.identical
    assert comparison.mean("mask_iou", 2) == pytest.approx(np.mean([expected[name, 2][0] for name, _ in images]))
    assert comparison.mean("mask_iou") == pytest.approx(np.mean([overlap for overlap, *_ in expected.values()]))


def test_two_empty_masks_agree(toy_file, images):
    networks = [load_network(toy_file(f"empty_{bias}", {0.5: bias}), device="cpu") for bias in (1000.0, 1010.0)]
    comparison = compare_networks(*networks, images[:1], 1, size=SIZE)
    assert comparison.worst_case.reference.area == comparison.worst_case.other.area == 0
    assert comparison.differences[0].mask_iou == 1.0
    assert comparison.differences[0].logits_max > 0


@given(shift=st.floats(-2, 2, width=32), factor=st.sampled_from([0.25, 1.0, 64.0]))
def test_logits_error_is_in_standard_deviations(shift, factor):
    reference = np.random.default_rng(0).standard_normal((2, 1, 5, 7), np.float32)
    expected = abs(shift) / reference.std(dtype=np.float64)
    found = logits_error(reference * np.float32(factor), (reference + np.float32(shift)) * np.float32(factor))
    assert found == pytest.approx((expected, expected), abs=1e-6)


def test_logits_error_of_constant_logits_is_plain():
    reference = np.full((1, 1, 9, 9), 0.1, np.float32)
    assert logits_error(reference, reference + np.float32(2)) == pytest.approx((2, 2))
    assert logits_error(reference, reference) == (0, 0)


def test_pixels_of_the_worst_case_alone_are_kept(toy, planted):
    references = []
    rng = np.random.default_rng(0)

    def stream():
        for number in range(8):
            image = rng.integers(0, 256, (40, 40, 3), np.uint8)
            references.append(weakref.ref(image))
            yield str(number), image
            del image
            # the worst one, and the newest, whose session still lives
            assert sum(reference() is not None for reference in references) <= 2

    assert len(compare_networks(toy, planted, stream(), 1, size=32).differences) == 8


def test_progress_is_told_after_each_click(toy, images):
    told = []
    compare_networks(toy, toy, images, 2, size=SIZE, progress=lambda *what: told.append(what))
    assert told == [("coffee.png", 1), ("coffee.png", 2), ("astronaut.png", 1), ("astronaut.png", 2)]


def test_a_network_that_fails_is_named_with_image_and_click(toy, toy_file, images):
    broken = load_network(toy_file("nan", {0.5: np.nan}), device="cpu")
    with pytest.raises(NetworkError, match=r"coffee.png, click 1: .*not finite"):
        compare_networks(toy, broken, images, 1, size=SIZE)


def test_options_out_of_range(toy, images):
    with pytest.raises(OptionError, match="at least 1 click"):
        compare_networks(toy, toy, images, 0)
    with pytest.raises(OptionError, match="size"):
        compare_networks(toy, toy, images, size=0)
    with pytest.raises(ImageError, match="at least one image"):
        compare_networks(toy, toy, [])


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1.00000"), (1 - 1e-9, "0.99999"), (0.97, "0.97000"), (0.0, "0.00000")]
)
def test_an_iou_below_one_never_reads_as_one(value, text):
    assert figure("mask_iou", value) == text


# What can be compared


def test_different_sizes_or_hyperparameters_are_refused(toy_file, images):
    a, b, c = (
        load_network(toy_file(f"fixed_{n}", size=size, n_early=early), device="cpu")
        for n, (size, early) in enumerate([((48, 64), 7), ((64, 64), 7), ((48, 64), 3)])
    )
    with pytest.raises(OptionError, match="48×64 and 64×64"):
        compare_networks(a, b, images)
    with pytest.raises(OptionError, match=r"n_early=7, r_max=100 and n_early=3"):
        compare_networks(a, c, images)


@pytest.mark.parametrize("order", [1, -1])
def test_a_fixed_size_is_taken_by_a_network_of_any_size(toy, toy_file, images, order):
    fixed = load_network(toy_file("fixed", size=(48, 64)), device="cpu")
    comparison = compare_networks(*(toy, fixed)[::order], images[:1], 1)
    assert comparison.differences[0].logits_max < 1e-5  # both ran at 48×64; the fixed one would refuse another


def test_other_backbones_and_weights_are_a_warning(toy_file):
    a, b = (load_network(toy_file(n, backbone=n, weights=f"sha256:{n}"), device="cpu") for n in ("one", "two"))
    assert check_comparable(a, a) == []
    assert check_comparable(a, b) == [
        "the networks have different backbones: one and two",
        "the networks have different weights: sha256:one and sha256:two",
    ]


def test_openvino_against_onnx_runtime(toy, golden, images):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    other = load_network(golden("toy.onnx"), runtime="openvino", device="cpu")
    comparison = compare_networks(toy, other, images, 3, size=SIZE)
    assert comparison.worst("logits_max").logits_max < 1e-4
    assert comparison.worst("mask_iou").mask_iou > 0.99


# Clicks


def test_clicks_are_the_same_for_ever():
    clicks = [(c.x, c.y, c.positive, c.index) for c in seeded_clicks("photographs/cat.jpg", 300, 400, 4, seed=1)]
    assert clicks == [(185, 120, True, 0), (152, 251, True, 1), (101, 234, False, 2), (382, 82, False, 3)]
    assert clicks == [(c.x, c.y, c.positive, c.index) for c in seeded_clicks("elsewhere/cat.jpg", 300, 400, 4, seed=1)]
    assert clicks[:2] == [(c.x, c.y, c.positive, c.index) for c in seeded_clicks("cat.jpg", 300, 400, 2, seed=1)]
    for name, seed in (("dog.jpg", 1), ("cat.jpg", 2)):
        assert clicks != [(c.x, c.y, c.positive, c.index) for c in seeded_clicks(name, 300, 400, 4, seed)]


@given(name=st.text(), height=st.integers(1, 3000), width=st.integers(1, 3000), seed=st.integers())
def test_clicks_lie_in_the_image_and_begin_in_its_middle(name, height, width, seed):
    clicks = seeded_clicks(name, height, width, 12, seed)
    assert [click.index for click in clicks] == list(range(12))
    assert all(0 <= c.x < width and 0 <= c.y < height for c in clicks)
    assert clicks[0].positive
    assert 0.4 * width - 1 < clicks[0].x < 0.6 * width
    assert 0.4 * height - 1 < clicks[0].y < 0.6 * height


def test_later_clicks_are_spread_and_mixed():
    later = [click for n in range(100) for click in seeded_clicks(f"{n}.png", 100, 100, 5)[1:]]
    assert 0.4 < np.mean([click.positive for click in later]) < 0.6
    for values in ([c.x for c in later], [c.y for c in later]):
        assert np.histogram(values, 4, (0, 100))[0].min() > 60  # of 400


# Specs


@given(
    file=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(lambda t: t.strip("./")),
    runtime=st.sampled_from(["auto", "torch", "onnxruntime-tensorrt-rtx", "openvino"]),
    precision=st.sampled_from([None, "fp16", "bf16"]),
)
def test_specs_round_trip(file, runtime, precision):
    assume(len(file.encode()) < 200)
    spec = NetworkSpec(Path(file), runtime, precision)
    assert parse_spec(str(spec)) == spec


def test_an_existing_file_with_an_at_sign_is_a_file(tmp_path):
    file = tmp_path / "net@torch"
    assert parse_spec(str(file)) == NetworkSpec(tmp_path / "net", "torch")
    file.touch()
    assert parse_spec(str(file)) == NetworkSpec(file)
    assert parse_spec(f"{file}@openvino/bf16") == NetworkSpec(file, "openvino", "bf16")
    assert parse_spec("a@b/net.onnx") == NetworkSpec(Path("a@b/net.onnx"))


@pytest.mark.parametrize("tail", ["@", "@torch/", "@/fp16", "@torch/fp16/x", "@to rch"])
def test_bad_specs_say_the_form(golden, tail):
    with pytest.raises(OptionError, match=r"FILE\[@RUNTIME\[/PRECISION\]\].*got"):
        parse_spec(str(golden("toy.onnx")) + tail)


# Images


def test_folders_give_their_image_files_in_order(tmp_path):
    for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt", "c.tiff"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.png").touch()
    assert [file.name for file in image_files([tmp_path])] == ["a.jpg", "b.PNG", "c.tiff"]
    assert image_files([tmp_path / "notes.txt", tmp_path / "a.jpg"]) == [tmp_path / "notes.txt", tmp_path / "a.jpg"]


# The command


def test_the_command_writes_figures_and_picture(mfp, golden, planted_file, tmp_path):
    out = tmp_path / "new" / "folder"
    code, text, err = mfp(
        "compare", golden("toy.onnx"), f"{planted_file}@onnxruntime", "--images", golden("coffee.png"),
        golden("astronaut.png"), "--clicks", 2, "--seed", 3, "--size", SIZE, "--no-flip", "--device", "cpu",
        "--output", out,
    )  # fmt: skip
    assert code == 0, err
    record = json.loads((out / "compare.json").read_text())
    a, b = (load_network(file, device="cpu") for file in (golden("toy.onnx"), planted_file))
    pairs = [(str(file), read_image(file)) for file in (golden("coffee.png"), golden("astronaut.png"))]
    expected = compare_networks(a, b, pairs, 2, seed=3, flip=False, size=SIZE)
    assert record["clicks"] == [asdict(difference) for difference in expected.differences]
    for measure in MEASURES:
        worst = expected.worst(measure)
        assert record["measures"][measure] == {
            "mean": expected.mean(measure),
            "worst": getattr(worst, measure),
            "worst_image": worst.image,
            "worst_click": worst.click,
            "mean_by_click": [expected.mean(measure, click) for click in (1, 2)],
        }
    assert record["options"] == {"clicks": 2, "seed": 3, "flip": False, "size": SIZE}
    assert record["other"]["spec"] == f"{planted_file}@onnxruntime"
    assert record["reference"]["runtime"] == "onnxruntime"
    assert record["machine"]["versions"]["onnxruntime"]
    worst = expected.worst("mask_iou")
    assert f"at worst ({Path(worst.image).name}, click {worst.click})" in text
    assert figure("mask_iou", worst.mask_iou) in text
    picture = read_image(out / "worst.png")
    assert picture.shape[1] > 1200
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_a_network_against_itself_is_called_identical(mfp, golden):
    network = golden("toy.onnx")
    code, text, err = mfp("compare", network, network, "--clicks", 1, "--size", SIZE, "--min-iou", 1)
    assert code == 0, err
    assert "identical" in text
    assert "passed" in text


@pytest.mark.parametrize(("demanded", "code", "word"), [(0.9, 0, "passed"), (1, 1, "failed")])
def test_min_iou_decides_the_exit_code(mfp, golden, planted_file, demanded, code, word):
    done = mfp(
        "compare", golden("toy.onnx"), planted_file, "--images", golden("coffee.png"), "--clicks", 2, "--size", SIZE,
        "--min-iou", demanded,
    )  # fmt: skip
    assert done[0] == code, done
    assert word in done[1]


def test_an_unreadable_image_is_skipped_and_named(mfp, golden, tmp_path):
    photographs = tmp_path / "photo[graphs]"
    photographs.mkdir()
    (photographs / "a.png").write_bytes(b"no image")
    for name in ("b.png", "c.png", "d.png"):
        (photographs / name).write_bytes(golden("coffee.png").read_bytes())
    code, text, err = mfp(
        "compare", golden("toy.onnx"), golden("toy.onnx"), "--images", photographs, "--clicks", 1, "--size", SIZE,
        "--limit", 2, "--output", tmp_path,
    )  # fmt: skip
    assert code == 0, err
    assert "skipped" in text
    assert str(photographs / "a.png") in text
    record = json.loads((tmp_path / "compare.json").read_text())
    assert record["skipped"] == [str(photographs / "a.png")]
    assert [click["image"] for click in record["clicks"]] == [str(photographs / name) for name in ("b.png", "c.png")]


def test_untrained_weights_are_said(mfp, golden, toy_file):
    file = toy_file("untrained", weights="untrained, seed 0")
    code, text, err = mfp("compare", golden("toy.onnx"), file, "--clicks", 1, "--size", SIZE)
    assert code == 0, err
    assert "UNTRAINED" in text
    assert "different weights" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["TOY", "missing.onnx"], "no such file: missing.onnx"),
        (["TOY", "mis@sing.onnx"], "no such file: mis@sing.onnx"),
        (["TOY", "TOY@dance"], "unknown runtime 'dance'"),
        (["TOY", "TOY@onnxruntime/fp99"], "fp99"),
        (["TOY", "TOY@"], "FILE[@RUNTIME[/PRECISION]]"),
        (["TOY", "TOY", "--images", "nowhere"], "no such file or folder: nowhere"),
        (["TOY", "TOY", "--images", "empty"], "no image files in empty"),
        (["TOY", "TOY", "--images", "bad.png", "bad.png"], "none of 2 image file(s) can be read"),
        (["TOY", "TOY", "--min-iou", "1.5"], "expected --min-iou from 0 to 1, got 1.5"),
        (["TOY", "TOY", "--min-iou", "nan"], "expected --min-iou from 0 to 1"),
        (["TOY", "TOY", "--limit", "0"], "expected --limit from 1, got 0"),
        (["TOY", "TOY", "--clicks", "0"], "expected at least 1 click"),
        (["TOY", "TOY", "--output", "bad.png"], "cannot write to bad.png"),
    ],
)
def test_misuse_is_one_line(mfp, golden, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.png").write_bytes(b"no image")
    code, _, err = mfp("compare", *(argument.replace("TOY", str(golden("toy.onnx"))) for argument in arguments))
    assert code == 2
    assert words in err
    assert err.count("\n") == 1


# The picture


@settings(max_examples=15)
@given(row=st.integers(0, 1300), column=st.integers(0, 2000), data=st.data())
def test_a_single_pixel_that_differs_is_seen_in_a_small_picture(row, column, data):
    shape = data.draw(st.sampled_from([(1301, 2001), (1301, 2400)]))
    gap = np.zeros(shape, np.float32)
    gap[row, column] = 0.3
    empty = Mask(np.zeros(shape, np.bool_))
    figures = dict.fromkeys(MEASURES, 0.0) | {"probability_max": 0.3, "mask_iou": 1.0}
    difference = ClickDifference("cat.jpg", 1, 0, 0, True, **figures)
    case = WorstCase(difference, np.zeros((*shape, 3), np.uint8), (), empty, empty, gap)
    picture = draw(case, "a", "b")
    heat = picture[118 : 118 + round(shape[0] * 640 / shape[1]), 2 * 660 + 20 : 3 * 660]
    assert heat.sum(axis=2).max() > 500
    one = Mask(gap > 0)
    marked = draw(replace(case, other=one), "a", "b")
    assert (marked == (0, 225, 225)).all(axis=2).any()


def test_pictures_of_any_shape(toy, planted, images, tmp_path):
    image = images[0][1]
    for cut in (image[:, 200:230], image[100:102], image[:1, :1], image[:40, :50]):
        case = compare_networks(toy, planted, [("naïve\n[name].png", cut)], 2, size=SIZE).worst_case
        picture = draw(case, "x" * 300, "network")
        assert picture.dtype == np.uint8
        assert picture.std() > 1
        write_png(tmp_path / "worst.png", picture)
