"""Undo and redo: the bits of painting everything anew, in a bounded number of steps, within a bounded memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp import Session
from mfp.engine import history
from mfp.engine.contract import NetworkInfo
from mfp.engine.errors import NetworkError
from mfp.engine.network import Network
from mfp.kernels.resample import resize_bilinear

SIZE = 32
MAP = SIZE * SIZE * 4  # bytes
IMAGE = np.random.default_rng(0).integers(0, 256, (330, 300, 3), dtype=np.uint8)  # larger than the smallest region
LEAST = 2 * (IMAGE.shape[0] * IMAGE.shape[1] * 4 + MAP) + (history.SPACING + 2) * MAP  # kept whatever the budget


class Small(Network):
    """Objects about a click's size, so that regions wander about the image; no two passes give the same map."""

    runtime, device, info = "onnxruntime", "cpu", NetworkInfo()
    passes = 0
    failing = None

    def __call__(self, image, prev_mask, modulated_mask, clicks):
        self.passes += 1
        if self.failing is not None and self.passes >= self.failing:
            raise NetworkError("out of memory")
        positive, negative = clicks[:, :1], clicks[:, 1:]
        return 6 * positive - 9 * negative - 3 + image[:, :1] + 2 * prev_mask + modulated_mask


def open_session(initial=False, **options):
    mask = np.zeros(IMAGE.shape[:2], bool)
    mask[5:30, 10:40] = True
    session = Session(Small(), IMAGE, size=(SIZE, SIZE), flip=False, initial_mask=mask if initial else None, **options)
    counts = {"paste": 0, "start": 0, "restore": 0}
    pipeline = session._pipeline

    def counted(name, method, length):
        def call(*args):
            counts[name] += length(*args)
            return method(*args)

        setattr(pipeline, name, call)

    counted("paste", pipeline.paste, len)
    counted("start", pipeline.start, lambda: 1)
    counted("restore", pipeline.restore, lambda checkpoint: 1 + (checkpoint.under is not None))
    return session, counts, mask.astype(np.float32) if initial else np.zeros(mask.shape, np.float32)


def painted(start, done):
    """Everything pasted one after another, from the start."""
    image = start.copy()
    for _, roi, map_ in done:
        resize_bilinear(map_, roi.height, roi.width, out=image[roi.slices])
    return image


point = st.tuples(st.integers(0, 299), st.integers(0, 329), st.booleans())
clicks = st.lists(point, min_size=1, max_size=24)
calls = st.one_of(clicks, st.tuples(st.sampled_from(["undo", "redo"]), st.integers(1, 20)), st.just("reset"))


@settings(max_examples=40)
@given(st.lists(calls, min_size=1, max_size=8), st.booleans(), st.sampled_from([0, 20 * MAP, 2**28]))
def test_undo_is_painting_all_anew_and_its_work_is_bounded(calls, initial, budget):
    session, counts, start = open_session(initial)
    done, undone = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "BUDGET", budget)
        for call in calls:
            if call == "reset":
                session.reset()
                done, undone = [], []
            elif isinstance(call, list):
                for x, y, positive in call:
                    session.click(x, y, positive)
                    step = session._history.steps[-1]
                    done.append(((x, y, positive), step.roi, step.map.copy()))
                    undone = []
                passes = session.network.passes
                session.undo()
                session.redo()
                assert session.network.passes == passes  # whatever the budget
            else:
                name, times = call
                for _ in range(min(times, len(done if name == "undo" else undone))):
                    counts.update(paste=0, start=0, restore=0)
                    passes = session.network.passes
                    mask = getattr(session, name)()
                    if name == "undo":
                        undone.append(done.pop())
                    else:
                        done.append(undone.pop())
                    np.testing.assert_array_equal(session.probability, painted(start, done))
                    np.testing.assert_array_equal(mask.array, session.probability > session.threshold)
                    assert counts["paste"] + counts["start"] + counts["restore"] <= history.SPACING + 1
                    if budget == 2**28:
                        assert session.network.passes == passes
            np.testing.assert_array_equal(session.probability, painted(start, done))
            assert [(c.x, c.y, c.positive) for c in session.clicks] == [click for click, *_ in done]
            assert session._history.nbytes <= budget + LEAST


def test_memory_of_hundreds_of_clicks_is_bounded(monkeypatch):
    monkeypatch.setattr(history, "BUDGET", 2**20)
    session, _, _ = open_session(r_max=10.0, n_early=0)
    session.click(150, 150)
    before = session.nbytes
    rng = np.random.default_rng(0)
    for i in range(400):
        session.click(*rng.integers(300, size=2), i % 3 > 0)
        assert session.nbytes - before <= history.BUDGET + LEAST
    passes = session.network.passes
    for _ in range(history.SPACING):
        session.undo()
    assert session.network.passes == passes


class Stop(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("call", ["click", "undo", "redo", "reset"])
@pytest.mark.parametrize("place", ["paste", "start", "restore", "copy", "mask", "click"])
@pytest.mark.parametrize("error", [Stop, MemoryError])
def test_a_call_that_is_interrupted_changes_nothing(call, place, error):
    session, _, _ = open_session()
    rng = np.random.default_rng(1)
    for i in range(2 * history.SPACING + 3):
        session.click(*rng.integers(300, size=2), i % 3 > 0)
    session.undo()
    before = session.probability, session.mask, session.clicks, session.roi
    redone = session._history.undone[-1].click
    pipeline, method = session._pipeline, getattr(session._pipeline, place)

    def fails(*args):
        pipeline._probability[::2] = 0.7  # in the middle of its work
        raise error

    if place in ("copy", "mask", "click"):

        def fails(*args):  # these change nothing before they are done
            raise error

    setattr(pipeline, place, fails)
    arguments = (20, 30) if call == "click" else ()
    try:
        getattr(session, call)(*arguments)
    except error:
        setattr(pipeline, place, method)
        np.testing.assert_array_equal(session.probability, before[0])
        assert (session.mask, session.clicks, session.roi) == before[1:]
        assert session._history.undone[-1].click == redone
    else:  # it did not come by there, or can do without
        setattr(pipeline, place, method)
        assert session.clicks != before[2]
    session.reset()
    assert not session.probability.any()


def test_an_undo_that_needs_the_network_and_fails_changes_nothing():
    session, _, _ = open_session()
    rng = np.random.default_rng(2)
    for i in range(12):
        session.click(*rng.integers(300, size=2), i % 3 > 0)
    before = session.probability, session.mask, session.clicks
    for step in session._history.steps:
        step.drop()
    session.network.failing = session.network.passes + 5
    with pytest.raises(NetworkError):
        session.undo()
    np.testing.assert_array_equal(session.probability, before[0])
    assert (session.mask, session.clicks) == before[1:]
    session.network.failing = None
    session.undo()
    assert len(session.clicks) == 11


def test_a_click_without_memory_for_its_paste_starts_from_the_same_map(monkeypatch):
    """The second try, without the maps of other clicks, must not see half of the first."""
    from mfp.engine.pipelines import host

    session, alone = open_session()[0], open_session()[0]
    for other in (session, alone):
        other.click(150, 150)
    resize, refusals = host.resize_bilinear, [True]

    def scarce(plane, height, width, out=None):
        if plane.shape == (SIZE, SIZE) and refusals:
            refusals.pop()
            if out is not None:
                out[::2] = 0.7
            raise MemoryError
        return resize(plane, height, width, out)

    monkeypatch.setattr(host, "resize_bilinear", scarce)
    session.click(100, 120)
    assert not refusals
    alone.click(100, 120)
    np.testing.assert_array_equal(session.probability, alone.probability)
