"""Evaluations: the protocol over many objects, what they leave behind, and what they are held against."""

import json
import os
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfp import Session
from mfp.bench.datasets import open_dataset
from mfp.bench.evaluation.protocol import area_under_curve, play, run_object
from mfp.bench.evaluation.published import PUBLISHED, departures, published, published_size
from mfp.bench.evaluation.record import Evaluation, Journal, comparable, settings_of
from mfp.bench.evaluation.run import Conditions, NetworkSource, Result, evaluate, evaluate_target
from mfp.engine.errors import DatasetError, ImageError, NetworkError, OptionError

GOLDEN = Path(__file__).parents[2] / "golden"
CONDITIONS = Conditions(size=48, max_clicks=4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Four photographs in GrabCut's layout, each with a bright disk to be found."""
    root = tmp_path_factory.mktemp("grabcut")
    for folder in ("data_GT", "boundary_GT"):
        (root / folder).mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        height, width = 50 + 6 * number, 60
        ys, xs = np.mgrid[:height, :width]
        distance = np.hypot(ys - 25 - number, xs - 20 - 5 * number)
        photograph = rng.integers(0, 90, (height, width, 3), np.uint8)
        photograph[distance < 12] += 120
        trimap = np.where(distance < 11, 255, np.where(distance < 12, 128, 0)).astype(np.uint8)
        cv2.imwrite(str(root / "data_GT" / f"p{number}.png"), photograph)
        cv2.imwrite(str(root / "boundary_GT" / f"p{number}.png"), trimap)
    return open_dataset(root)


@pytest.fixture(scope="module")
def targets(dataset):
    return dataset.targets()[1]


@pytest.fixture(scope="module")
def source():
    return NetworkSource(GOLDEN / "toy.onnx", device="cpu", threads=1)


@pytest.fixture
def settings(dataset, toy):
    return settings_of(dataset, toy, GOLDEN / "toy.onnx", CONDITIONS)


def result(name="p0", ious=(0.5, 0.9), **changes):
    count = len(ious)
    return replace(Result(name, name, tuple(ious), ((1, 2, True),) * count, (1.0,) * count), **changes)


def evaluation(settings, ious, names=None, **conditions):
    settings = {**settings, "conditions": {**settings["conditions"], "max_clicks": 20, **conditions}}
    names = names or [f"o{number}" for number in range(len(ious))]
    return Evaluation(settings, tuple(result(name, curve) for name, curve in zip(names, ious, strict=True)), {})


# The clicks


@pytest.mark.parametrize(
    ("conditions", "session"),
    [
        (CONDITIONS, {"size": 48}),
        (
            Conditions((32, 40), False, 0.4, 2, 30.0, "rgb", 3, 0.8),
            {"size": (32, 40), "flip": False, "threshold": 0.4, "n_early": 2, "r_max": 30.0, "distance": "rgb"},
        ),
    ],
)
def test_an_object_is_clicked_on_as_the_protocol_says(toy, targets, conditions, session):
    photograph, truth = targets[1].read()
    found = evaluate_target(toy, targets[1], conditions)
    turns = list(play(Session(toy, photograph, **session), truth, conditions.max_clicks, conditions.stop_iou))
    assert list(found.ious) == [turn.iou for turn in turns]
    assert list(found.clicks) == [(turn.click.x, turn.click.y, turn.click.positive) for turn in turns]
    assert len(found.ms) == len(turns)
    assert min(found.ms) > 0


def test_without_stop_iou_an_object_gets_all_its_clicks():
    class Perfect:
        def click(self, x, y, positive=True):
            return truth == 1

    truth = np.zeros((5, 5), np.int8)
    truth[1:4, 1:4] = 1
    assert run_object(Perfect(), truth) == [1.0]
    assert [turn.iou for turn in play(Perfect(), truth)] == [1.0]  # nothing is left to click on

    class Hopeless(Perfect):
        def click(self, x, y, positive=True):
            return truth == 0

    assert [turn.iou for turn in play(Hopeless(), truth)] == [0.0] * 20
    assert len(list(play(Hopeless(), truth, stop_iou=0.0))) == 1


def test_processes_give_the_same_as_one(targets, source):
    jobs = [(target, CONDITIONS) for target in targets]
    here = dict(evaluate(jobs, source))
    there = dict(evaluate(jobs, source, workers=2))
    assert sorted(here) == sorted(there) == [0, 1, 2, 3]
    for number, found in here.items():
        other = there[number]
        assert (other.name, other.clicks) == (found.name, found.clicks)
        np.testing.assert_allclose(other.ious, found.ious, atol=0.01)
        assert (found.workers, other.workers) == (1, 2)


class Fatal:
    """What ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_is_raised_here(targets, source, workers, tmp_path):
    lost = replace(targets[0], photograph=tmp_path / "lost.png")
    with pytest.raises(ImageError, match=r"lost\.png"):
        list(evaluate([(lost, CONDITIONS)] * 2, source, workers))
    with pytest.raises(OptionError, match="at least 1 worker"):
        list(evaluate([], source, 0))


def test_a_worker_that_dies_is_noticed(targets, source):
    with pytest.raises(NetworkError, match=r"ended without a word \(exit code 3\).*fewer --workers than 2"):
        list(evaluate([(Fatal(), CONDITIONS)] * 2, source, workers=2))


def test_conditions_out_of_range():
    for wrong in ({"max_clicks": 0}, {"stop_iou": 0.0}, {"stop_iou": 1.1}):
        with pytest.raises(OptionError):
            Conditions(400, **wrong)


# The journal


def test_a_journal_gives_back_what_it_was_given(tmp_path, settings):
    first, second = result("p0", (0.1, 1 / 3)), result("p1", (0.9,), workers=4)
    journal = Journal(tmp_path / "new" / "folder", settings)
    journal.add(first)
    journal.add(second)
    assert Journal(tmp_path / "new" / "folder", settings).results == {"p0": first, "p1": second}
    assert Journal(tmp_path / "new" / "folder", settings, restart=True).results == {}
    assert Journal(tmp_path / "new" / "folder", settings).results == {}


@given(cut=st.integers(0, 2000))
def test_a_journal_may_be_cut_anywhere(tmp_path_factory, cut, toy, dataset):
    settings = settings_of(dataset, toy, GOLDEN / "toy.onnx", CONDITIONS)
    folder = tmp_path_factory.mktemp("cut")
    journal = Journal(folder, settings)
    for number in range(4):
        journal.add(result(f"p{number}"))
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[: min(cut, len(whole))])
    again = Journal(folder, settings)
    assert len(again.results) == max(whole[:cut].count(b"\n") - 1, 0)
    for number in range(4):
        if f"p{number}" not in again.results:
            again.add(result(f"p{number}"))
    assert journal.path.read_bytes() == whole


def test_other_settings_are_refused_by_name(tmp_path, dataset, settings, toy):
    Journal(tmp_path, settings)
    other = settings_of(dataset, toy, GOLDEN / "toy.onnx", replace(CONDITIONS, threshold=0.49, size=(32, 48)))
    with pytest.raises(OptionError, match=r"\(size 48 there, 32×48 now; threshold 0\.5 there, 0\.49 now\).*--restart"):
        Journal(tmp_path, other)
    renamed = settings_of(replace(dataset, name="X"), toy, GOLDEN / "toy.onnx", CONDITIONS)
    assert Journal(tmp_path, renamed).results == {}
    fewer = settings_of(replace(dataset, pairs=dataset.pairs[1:]), toy, GOLDEN / "toy.onnx", CONDITIONS)
    Journal(tmp_path, fewer).add(result("p1", fingerprint="as it was"))
    assert Journal(tmp_path, settings, fingerprints={"p0": "a", "p1": "as it was"}).results.keys() == {"p1"}
    Journal(tmp_path, settings).add(result("p2"))  # as an older version wrote it: good while all files are the same
    assert Journal(tmp_path, settings).results.keys() == {"p1", "p2"}
    with pytest.raises(OptionError, match=r"\(dataset fingerprint of an older version.*--restart"):
        Journal(tmp_path, fewer)


def test_a_result_is_good_while_its_own_files_are(tmp_path, settings):
    journal = Journal(tmp_path, settings)
    for name in ("p0", "p1"):
        journal.add(result(name, fingerprint=f"{name} once"))
    again = Journal(tmp_path, settings, fingerprints={"p0": "p0 once", "p1": "p1 mended", "p2": "new"})
    assert (list(again.results), again.changed) == (["p0"], ["p1"])
    mended = result("p1", (0.7,), fingerprint="p1 mended")
    again.add(mended)
    later = Journal(tmp_path, settings, fingerprints={"p0": "p0 once", "p1": "p1 mended"})
    assert (later.results["p1"], later.changed) == (mended, [])
    back = Journal(tmp_path, settings, fingerprints={"p1": "p1 once"})
    assert (back.results["p1"].fingerprint, back.changed) == ("p1 once", [])


@pytest.mark.parametrize(
    "line", ["{}", "[]", "no json", '{"name": "a", "image": "a", "ious": [], "clicks": [], "ms": []}']
)
def test_a_damaged_journal_is_said(tmp_path, settings, line):
    journal = Journal(tmp_path, settings)
    with journal.path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DatasetError, match=r"line 2 of .*eval\.jsonl is damaged.*--restart"):
        Journal(tmp_path, settings)
    journal.path.write_text(line + "\n")
    with pytest.raises(DatasetError, match="line 1"):
        Journal(tmp_path, settings)


def test_a_folder_that_cannot_be_written(tmp_path, settings):
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"cannot write to .*file"):
        Journal(tmp_path / "file", settings)


# The figures


def test_figures_of_the_release(settings):
    golden = json.loads((GOLDEN / "noc.json").read_text("utf-8"))
    assert golden["max_clicks"] == 20
    found = evaluation(settings, golden["ious"])
    summary = found.summary()
    for threshold, mean, std, at_max in zip(
        golden["thresholds"], golden["noc"], golden["noc_std"], golden["clicks_at_max"], strict=True
    ):
        key = f"{threshold:.2f}"
        if key in summary["noc"]:
            assert (summary["noc"][key], summary["noc_std"][key], summary["nof"][key]) == (mean, std, at_max)
    assert {"0.85", "0.90"} <= set(summary["noc"]) & {f"{q:.2f}" for q in golden["thresholds"]}


def test_area_under_the_curve_is_normalised_trapezoids():
    assert area_under_curve(np.ones(20)) == 1
    assert area_under_curve(np.array([0.3])) == 0.3
    assert area_under_curve(np.linspace(0, 1, 20)) == pytest.approx(0.5)
    curve = np.random.default_rng(0).random(20)
    area = sum((a + b) / 2 for a, b in pairwise(curve))
    assert area_under_curve(curve) == pytest.approx(area / 19)


def test_a_record_is_read_as_it_was_written(tmp_path, settings):
    found = replace(evaluation(settings, [(0.5, 0.9), (1 / 3,)]), notes=("a note",), machine={"processor": "x"})
    path = found.write(tmp_path / "eval.json")
    assert Evaluation.read(path) == Evaluation.read(tmp_path) == found
    record = json.loads(path.read_text())
    assert record["summary"] == found.summary()
    assert len(record["summary"]["miou"]) == 20
    assert len(path.read_text().split('"objects": [')[1].splitlines()) == 5  # a line an object


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"kind": "latency", "schema": 1}', '{"kind": "accuracy", "schema": 1}']
)
def test_other_files_are_no_records(tmp_path, text):
    (tmp_path / "eval.json").write_text(text)
    with pytest.raises(DatasetError, match=r"eval\.json is no record of mfp eval"):
        Evaluation.read(tmp_path)
    with pytest.raises(DatasetError, match="cannot read"):
        Evaluation.read(tmp_path / "nowhere.json")


def test_clicks_are_not_counted_beyond_where_objects_stopped(settings):
    found = evaluation(settings, [(0.5, 0.92)], stop_iou=0.9)
    assert found.thresholds == (0.85, 0.90)
    assert set(found.summary()["noc"]) == {"0.85", "0.90"}


def test_what_runs_do_not_share_is_said(settings):
    first = evaluation(settings, [(0.5,), (0.6,)])
    assert comparable([first, evaluation(settings, [(0.1,), (0.2,)])]) == []
    other = evaluation(settings, [(0.5,)], flip=False, size=[448, 448])
    assert comparable([first, other]) == [
        "not over the same objects",
        "different size: 48, 448×448",
        "different flip: True, False",
    ]


# The published figures


def test_published_figures_are_those_of_the_method():
    text = (Path(__file__).parents[3] / "docs/method.md").read_text("utf-8")
    table = re.findall(r"^\| (ViT-B|HRNet-18|ResNet-34) \| (\S+) \|(.*)\|$", text, re.MULTILINE)
    assert len(table) == 4
    names = {"ViT-B": "vit_b", "HRNet-18": "hrnet18", "ResNet-34": "resnet34"}
    expected = [
        (names[backbone], trained_on, dataset, tuple(float(value) for value in cell.split("/")))
        for backbone, trained_on, cells in table
        for dataset, cell in zip(("GrabCut", "Berkeley", "DAVIS", "SBD"), cells.split("|"), strict=True)
    ]
    assert [tuple(row) for row in PUBLISHED] == expected
    assert [str(row) for row in published("SBD", "hrnet18")] == ["published: HRNet-18, SBD"]
    assert len(published("DAVIS", "toy")) == 4
    assert published("mine", "vit_b") == []


def test_departures_from_the_published_protocol_are_named(settings):
    def found(dataset, backbone, objects, **conditions):
        changed = {
            "dataset": {**settings["dataset"], "name": dataset},
            "network": {**settings["network"], "backbone": backbone},
            "conditions": settings["conditions"],
        }
        return departures(evaluation(changed, [(0.5,)] * objects, **conditions))

    assert published_size("DAVIS", "vit_b") == (672, 672)
    assert found("GrabCut", "hrnet18", 50, size=400) == []
    assert found("DAVIS", "resnet34", 345, size=600) == []
    assert found("GrabCut", "vit_b", 50, size=[448, 448]) == []
    assert found("mine", "vit_b", 1, size=7) == []
    assert found("Berkeley", "vit_b", 2, size=400, flip=False, threshold=0.49) == [
        "2 objects instead of 100",
        "size 400 instead of 448×448",
        "flip off instead of on",
        "threshold 0.49 instead of 0.5",
    ]
    assert found("GrabCut", "toy", 50, size=48) == ["another network, toy"]
