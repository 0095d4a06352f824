"""``mfp eval`` and its pictures, on photographs made small."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from mfp import Click, Mask, Session, load_network, read_image
from mfp.bench import accuracy
from mfp.bench.datasets import open_dataset
from mfp.bench.evaluation import run as evaluation
from mfp.bench.evaluation import worst_sheet
from mfp.bench.evaluation.protocol import clicks_needed
from mfp.bench.evaluation.record import Evaluation, settings_of
from mfp.bench.evaluation.run import Conditions, NetworkSource, evaluate_target
from mfp.cli.eval_sweep import folder_name, plan
from mfp.cli.main import main
from mfp.engine.errors import OptionError

pytest.importorskip("matplotlib")
OPTIONS = ("--size", 48, "--max-clicks", 3, "--device", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three photographs of the unknown, each with a bright rectangle, in a folder whose name looks like markup."""
    root = tmp_path_factory.mktemp("data") / "my [bold]data"
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate(("a", "b", "c")):
        photograph = rng.integers(0, 90, (50, 60, 3), np.uint8)
        labels = np.zeros((50, 60), np.uint8)
        labels[10 : 20 + 8 * number, 15:45] = 1
        photograph[labels > 0] += 120
        if name == "c":
            labels[2:5, 50:55] = 2
        cv2.imwrite(str(root / "images" / f"{name}.png"), photograph)
        cv2.imwrite(str(root / "masks" / f"{name}.png"), labels)
    return root


@pytest.fixture(scope="module")
def finished(data, golden):
    """``finished(**conditions)``: an evaluation of all objects."""

    def make(**changes):
        dataset, targets = open_dataset(data).targets()
        conditions = Conditions(**{"size": 48, "max_clicks": 3, **changes})
        network = load_network(golden("toy.onnx"), device="cpu")
        results = tuple(evaluate_target(network, target, conditions) for target in targets)
        return Evaluation(settings_of(dataset, network, golden("toy.onnx"), conditions), results, {})

    return make


@pytest.fixture
def mfp(capsys, monkeypatch, golden):
    """``mfp(*arguments)`` → (exit code, standard output, standard error); TOY is the toy network."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments):
        code = main([str(golden("toy.onnx")) if word == "TOY" else str(word) for word in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


# mfp eval


def test_an_evaluation_from_end_to_end(mfp, toy, data, tmp_path, golden):
    out = tmp_path / "new" / "folder"
    code, text, err = mfp("eval", data, "--network", "TOY", *OPTIONS, "--output", out, "--worst", 2, "--sheet", 3)
    assert code == 0, err
    found = Evaluation.read(out)
    targets = open_dataset(data).targets()[1]
    conditions = Conditions(48, max_clicks=3)
    for target, result in zip(targets, found.results, strict=True):
        expected = evaluate_target(toy, target, conditions)
        assert (result.name, result.ious, result.clicks) == (expected.name, expected.ious, expected.clicks)
    assert [result.name for result in found.results] == ["a#1", "b#1", "c#1", "c#2"]
    assert found.machine["versions"]["onnxruntime"]
    assert "my [bold]data: 4 objects on 3 photographs" in text
    for figure in (f"{found.noc(0.9).mean:.2f}", f"{100 * found.auc:.3f}", f"{100 * found.curve[1]:.2f}"):
        assert figure in text
        assert figure in (out / "eval.md").read_text()
    assert "published" not in text
    assert read_image(out / "miou.png").std() > 1
    ElementTree.parse(out / "miou.svg")
    assert read_image(out / "worst.png").shape[1] > 1000
    assert read_image(out / "sheet.jpg").std() > 1
    assert "![worst.png](worst.png)" in (out / "eval.md").read_text()


def test_an_evaluation_is_gone_on_with_after_ctrl_c(mfp, data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # pictures are not what this is about
    arguments = ("eval", data, "--network", "TOY", *OPTIONS, "--output", tmp_path)
    calls = []

    def until_the_third(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate_target(*args)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "evaluate_target", until_the_third)
        code, text, err = mfp(*arguments)
    assert code == 130
    assert "2 of 4 object(s) are kept" in text
    assert "interrupted" in err
    assert not (tmp_path / "eval.json").exists()

    def more(*args):
        calls.append(args)
        return evaluate_target(*args)

    monkeypatch.setattr(evaluation, "evaluate_target", more)
    code, text, err = mfp(*arguments)
    assert code == 0, err
    assert "2 of 4 object(s) are there already" in text
    assert len(calls) == 5
    assert mfp(*arguments, "--limit", 3)[0] == 0
    assert len(Evaluation.read(tmp_path).results) == 3
    assert len(calls) == 5  # nothing was clicked on again
    code, _, err = mfp(*arguments, "--threshold", 0.4)
    assert code == 2
    assert "threshold 0.5 there, 0.4 now" in err
    assert mfp(*arguments, "--threshold", 0.4, "--restart", "--limit", 1)[0] == 0
    assert len(calls) == 6


def test_known_data_sets_stand_beside_published_figures(mfp, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, text, err = mfp(
        "eval", data, "--network", "TOY", "--name", "DAVIS", "--max-clicks", 1, "--limit", 1, "--no-flip"
    )
    assert code == 0, err
    found = Evaluation.read(tmp_path / "eval_DAVIS_toy")
    assert found.settings["conditions"]["size"] == 600  # the published one: this network takes any
    assert "published: ViT-B, COCO+LVIS │   3.37 │   4.81 │   9.23" in text
    assert "not the published protocol: 1 objects instead of 345; another network" in text


def test_without_matplotlib_the_figures_are_there(mfp, data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = ("eval", data, "--network", "TOY", *OPTIONS, "--limit", 1, "--output", tmp_path)
    code, text, _ = mfp(*arguments)
    assert code == 0
    assert "pip install matplotlib" in text
    assert (tmp_path / "eval.json").exists()
    code, _, err = mfp(*arguments, "--worst", 1)
    assert code == 2
    assert "pip install matplotlib" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["eval", "nowhere", "--network", "TOY"], "no such folder: nowhere"),
        (["eval", "DATA", "--network", "missing.onnx"], "no such file: missing.onnx"),
        (["eval", "DATA", "--network", "TOY", "--limit", "0"], "a limit of at least 1"),
        (["eval", "DATA", "--network", "TOY", "--workers", "0"], "at least 1 worker"),
        (["eval", "DATA", "--network", "TOY", "--threshold", "1"], "threshold between 0 and 1"),
        (["eval", "DATA", "--network", "TOY", "--max-clicks", "0"], "at least 1 click"),
        (["eval", "DATA", "--network", "TOY", "--worst", "-1"], "for --worst, got -1"),
        (["eval", "DATA", "--network", "TOY", "--sheet", "-1"], "for --sheet, got -1"),
        (["eval", "DATA", "--network", "TOY", "--output", "file"], "cannot write to file"),
        (
            ["eval", "sweep", "DATA", "--network", "TOY", "--n-early", "7", "--r-max", "9", "--distance", "rgb"],
            "nothing",
        ),
        (["eval", "plot", "nowhere"], "cannot read nowhere"),
    ],
)
def test_misuse_is_one_line(mfp, data, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    code, _, err = mfp(*(str(data) if word == "DATA" else word for word in arguments))
    assert code == 2
    assert words in err
    assert err.count("\n") == 1


def test_the_door_is_the_command():
    done = subprocess.run(
        [sys.executable, accuracy.__file__, "sweep", "--help"], check=True, capture_output=True, text=True
    )
    assert "usage: mfp eval sweep" in done.stdout


# The sheet


def test_the_worst_come_first():
    def result(name, *ious):
        return evaluation.Result(name, name, ious, ((0, 0, True),) * len(ious), (1.0,) * len(ious))

    results = [result("good", 0.95), result("late", 0.5, 0.91), result("never", 0.5, 0.6), result("worse", 0.5, 0.4)]
    assert [r.name for r in worst_sheet.worst(results, 3, 0.9, 2)] == ["worse", "never", "late"]


def test_cases_are_the_clicks_once_more(toy, data, golden):
    target = open_dataset(data).targets()[1][1]
    conditions = Conditions(48, max_clicks=4)
    result = evaluate_target(toy, target, conditions)
    limit = sorted(result.ious)[1] - 1e-9  # reached before the last click, or with it
    (case,) = worst_sheet.replay(toy, [target], [result], conditions, limit)
    shown = clicks_needed(result.ious, limit, 4)
    session = Session(toy, target.read()[0], size=48)
    for x, y, positive in result.clicks[:shown]:
        mask = session.click(x, y, positive)
    assert case.mask == mask
    assert case.iou == result.ious[shown - 1]
    assert (len(case.clicks), case.reached) == (shown, True)


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (700, 5), (300, 400)])
def test_sheets_of_any_shape(shape, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 2, shape).astype(np.int8)
    truth[0, 0] = 1
    target = evaluation.Target("$a_b$ naïve\n", "a", Path("a"), Path("a"), None, None)
    mask = Mask(rng.random(shape) > 0.5)
    case = worst_sheet.Case(
        target, rng.integers(0, 256, (*shape, 3), np.uint8), truth, mask, (Click(0, 0), Click(0, 0, False)), 0.5, False
    )
    figure = worst_sheet.draw_sheet([case], "title", "subtitle")
    picture = read_image(worst_sheet.save_sheet(figure, tmp_path / "sheet.png"))
    assert picture.std() > 1


def test_a_small_object_is_shown_larger():
    truth = np.zeros((600, 800), np.int8)
    truth[100:140, 200:280] = 1
    case = worst_sheet.Case(
        None, np.zeros((600, 800, 3), np.uint8), truth, Mask(truth == 1), (Click(300, 90),), 1.0, True
    )
    whole, part, marked = worst_sheet._tiles(case)
    assert whole.frame == part.part == marked.part
    assert (part.part.row_min, part.part.col_max) == (82, 315)  # the click is in it, with some context
    assert whole.part.width == 800


# mfp eval plot, mfp eval sweep


def test_several_runs_in_one_picture(mfp, finished, tmp_path):
    for name, flip in (("one", True), ("two", False)):
        (tmp_path / name).mkdir()
        finished(flip=flip).write(tmp_path / name / "eval.json")
    code, text, err = mfp("eval", "plot", tmp_path / "one", f"off={tmp_path}/two/eval.json", "--output", tmp_path / "x")
    assert code == 0, err
    assert "compare with care: different flip: True, False" in text
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        "miou_my_bold_data.png",
        "miou_my_bold_data.svg",
        "my_bold_data.md",
    }
    page = (tmp_path / "x" / "my_bold_data.md").read_text()
    for name, shown in (("one", "one: unknown fp32, onnxruntime"), ("two", "off")):
        assert f"| {shown} | {Evaluation.read(tmp_path / name).noc(0.85).mean:.2f} |" in page
    code, _, err = mfp("eval", "plot", f"x={tmp_path}/one", f"x={tmp_path}/two")
    assert code == 2
    assert "two runs are called 'x'" in err


def test_curves_and_areas_are_drawn_as_they_are(finished):
    from mfp.bench.evaluation.plots import draw_curves, draw_sweep

    found = finished()
    figure = draw_curves([("run [a]", found)], "a $title$")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), 100 * found.curve)
    assert figure.legends[0].get_texts()[0].get_text() == f"run [a]  [{100 * found.auc:.2f}]"
    assert draw_curves([(f"run {n}", found) for n in range(20)], "many").legends
    panels = [("N", [("5", found), ("7", found)], "7"), ("distance", [("rgb", found), ("probability", found)], "7")]
    figure = draw_sweep(panels, "title")
    assert [axes.get_xlabel() for axes in figure.axes] == ["N", "distance"]
    assert list(figure.axes[0].lines[1].get_ydata()) == [found.noc(0.9).mean] * 2


def test_a_sweep_varies_one_value_after_another(mfp, data, tmp_path):
    sweep = ("--n-early", 1, 7, "--r-max", 100, 20, "--distance", "rgb", "probability")
    arguments = ("eval", "sweep", data, "--network", "TOY", *OPTIONS, "--output", tmp_path, "--limit", 2)
    code, text, err = mfp(*arguments, *sweep)
    assert code == 0, err
    names = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert names == {"n7_r100_probability", "n1_r100_probability", "n7_r20_probability", "n7_r100_rgb"}
    for name in names:
        conditions = Evaluation.read(tmp_path / name).settings["conditions"]
        assert name == f"n{conditions['n_early']}_r{conditions['r_max']:g}_{conditions['distance']}"
    page = (tmp_path / "sweep.md").read_text()
    assert "| 7 (trained with) |" in page
    assert "| rgb |" in page
    assert f"| 20 | {Evaluation.read(tmp_path / 'n7_r20_probability').noc(0.85).mean:.2f} |" in page
    assert read_image(tmp_path / "sweep.png").std() > 1
    assert "trained with" in text
    assert "8 of 8 object(s) are there already" in mfp(*arguments, *sweep)[1]


def test_a_plan_shares_what_is_the_same():
    trained = Conditions(400)
    panels = plan(trained, (9, 5, 7, 5), (100.0,), ("probability", "rgb"))
    assert [(panel.title.split(",")[0], [name for name, _ in panel.values]) for panel in panels] == [
        ("N", ["5", "7", "9"]),
        ("distance of early clicks", ["probability", "rgb"]),
    ]
    assert panels[0].values[1][1] == panels[1].values[0][1] == trained
    assert folder_name(replace(trained, r_max=12.5)) == "n7_r12.5_probability"
    for wrong in (((-1, 7), (100.0,), ("rgb",)), ((7,), (0.0, 1.0), ("rgb",)), ((7,), (100.0,), ("rgb", "lab"))):
        with pytest.raises(OptionError, match="expected N from 0"):
            plan(trained, *wrong)


def test_a_network_source_is_loaded_as_it_says(golden):
    network = NetworkSource(golden("toy.onnx"), "onnxruntime", "cpu", 1).load()
    assert (network.runtime, network.device) == ("onnxruntime", "cpu")
