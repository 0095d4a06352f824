"""``mfp eval --ray`` on a cluster of this machine: the same as without, whatever becomes of its workers."""

import os
import signal
import sys
from dataclasses import replace

import cv2
import pytest

from mfp.bench.datasets import open_dataset
from mfp.bench.evaluation.on_ray import evaluate_on_ray
from mfp.bench.evaluation.record import Evaluation
from mfp.bench.evaluation.run import Conditions, NetworkSource, evaluate
from mfp.bench.serving import failover
from mfp.cli.main import main
from mfp.engine.errors import ImageError, OptionError, RuntimeMissingError
from mfp.engine.packaged import find
from mfp.engine.sample import sample_photograph

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc"),
]
CONDITIONS = Conditions(size=(384, 384), max_clicks=3)


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, with room for two workers whatever its cores are."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Parts of the package's photograph, each with a mask of what is bright in it."""
    root = tmp_path_factory.mktemp("data")
    photograph = sample_photograph()[..., ::-1]
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number, left in enumerate((0, 60, 120, 180)):
        part = photograph[40:340, left : left + 320]
        bright = (cv2.blur(part, (15, 15)).mean(2) > 110).astype("uint8")
        cv2.imwrite(str(root / "images" / f"p{number}.png"), part)
        cv2.imwrite(str(root / "masks" / f"p{number}.png"), bright)
    return root


@pytest.fixture(scope="module")
def jobs(data):
    return [(target, CONDITIONS) for target in open_dataset(data).targets()[1]]


@pytest.fixture(scope="module")
def source():
    return NetworkSource(find("lite0"), "onnxruntime", "cpu", threads=1)


@pytest.fixture(scope="module")
def expected(jobs, source):
    return {number: (result.name, result.ious, result.clicks) for number, result in evaluate(jobs, source)}


def found(results):
    return {number: (result.name, result.ious, result.clicks) for number, result in results}


def test_a_cluster_gives_the_same_to_the_bit(cluster, jobs, source, expected):
    results = dict(evaluate_on_ray(jobs, source))
    assert found(results.items()) == expected
    assert {result.workers for result in results.values()} == {2}


def test_a_worker_that_is_killed_is_no_loss(cluster, jobs, source, expected):
    results = {}
    for number, result in evaluate_on_ray(jobs * 2, source, workers=2):
        if not results:
            workers = [pid for pid, name in failover.below(os.getpid()).items() if name.startswith(b"ray::Worker")]
            os.kill(workers[0], signal.SIGKILL)
        results[number] = result
    doubled = expected | {number + len(jobs): one for number, one in expected.items()}
    assert found(results.items()) == doubled


def test_what_fails_there_is_raised_here(cluster, jobs, source, tmp_path):
    lost = replace(jobs[0][0], photograph=tmp_path / "lost.png")
    with pytest.raises(ImageError, match=r"lost\.png"):
        list(evaluate_on_ray([(lost, CONDITIONS)], source))
    with pytest.raises(OptionError, match="at least 1 worker"):
        list(evaluate_on_ray(jobs, source, workers=0))
    with pytest.raises(
        RuntimeMissingError, match=r"expected a Ray cluster with 3 CPU\(s\) and 0 GPU\(s\) for a worker"
    ):
        list(evaluate_on_ray(jobs, replace(source, threads=3)))


def test_the_command_goes_on_where_it_was(cluster, data, tmp_path, capsys, expected):
    arguments = [
        "eval",
        data,
        "--network",
        "lite0",
        "--device",
        "cpu",
        "--max-clicks",
        3,
        "--ray",
        "--output",
        tmp_path,
    ]
    arguments = [str(word) for word in arguments]
    assert main([*arguments, "--limit", "2"]) == 0
    assert main(arguments) == 0
    assert "2 of 4 object(s) are there already" in capsys.readouterr().out
    results = Evaluation.read(tmp_path).results
    assert [(result.name, result.ious, result.clicks) for result in results] == list(expected.values())
