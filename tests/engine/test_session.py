"""Sessions: the release's trajectories, and what holds for any sequence of calls (spec sections 1 and 5)."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp import Session
from mfp.engine.contract import NetworkInfo
from mfp.engine.errors import ClickError, ImageError, NothingToUndoError, OptionError, SessionError
from mfp.engine.network import Network

SMALL = 64  # network size that keeps a pass at a few milliseconds


@pytest.fixture(scope="module")
def small_photograph(photograph):
    return photograph("coffee")[::4, ::4]  # 100×150


@pytest.mark.parametrize("i", range(11))
def test_toy_trajectories_are_the_releases(i, golden, toy, photograph, assert_trajectory):
    data = np.load(golden("trajectory_toy.npz"))
    target = data[f"{i}_target"].tolist()
    session = Session(
        toy,
        photograph(str(data[f"{i}_image"])),
        size=tuple(target) if len(target) == 2 else target[0],
        flip=bool(data[f"{i}_flip"]),
    )
    passes = data[f"{i}_passes"] if f"{i}_passes" in data else [2] + [1] * 9
    assert_trajectory(session, data[f"{i}_clicks"], data[f"{i}_prob_stride8"], passes)
    if f"{i}_gt" in data:
        truth = np.unpackbits(data[f"{i}_gt"])[: session.height * session.width].reshape(session.height, -1) > 0
        mask = session.mask.array
        assert (mask & truth).sum() / (mask | truth).sum() == pytest.approx(data[f"{i}_iou"][-1], abs=1e-4)


call = st.one_of(
    st.tuples(st.integers(0, 599), st.integers(0, 399), st.booleans()), st.sampled_from(["undo", "redo", "reset"])
)


@settings(max_examples=25)
@given(st.lists(call, min_size=1, max_size=9), st.booleans())
def test_the_click_list_determines_every_bit(toy, photograph, calls, with_initial_mask):
    image = photograph("coffee")  # large enough for regions that are not the whole image
    initial = np.zeros((400, 600), bool)
    initial[30:60, 40:90] = with_initial_mask
    options = {"size": SMALL, "initial_mask": initial if with_initial_mask else None}
    session = Session(toy, image, **options)
    done, undone = [], []
    for step in calls:
        if step == "undo":
            if not done:
                with pytest.raises(NothingToUndoError):
                    session.undo()
                continue
            undone.append(done.pop())
            session.undo()
        elif step == "redo":
            if not undone:
                with pytest.raises(NothingToUndoError):
                    session.redo()
                continue
            done.append(undone.pop())
            session.redo()
        elif step == "reset":
            done, undone = [], []
            session.reset()
        else:
            done, undone = [*done, step], []
            session.click(*step)
        assert (session.can_undo, session.can_redo) == (bool(done), bool(undone))
    replay = Session(toy, image, **options)
    for step in done:
        replay.click(*step)
    assert [(c.x, c.y, c.positive) for c in session.clicks] == done
    assert session.roi == replay.roi
    np.testing.assert_array_equal(session.probability, replay.probability)
    assert session.mask == replay.mask


def test_undo_and_redo_run_no_network(toy, small_photograph):
    class Counting(Network):
        runtime, device, info, passes = "onnxruntime", "cpu", toy.info, 0

        def __call__(self, *tensors):
            self.passes += 1
            return toy(*tensors)

    network = Counting()
    session = Session(network, small_photograph, size=SMALL)
    session.click(70, 50)
    session.click(10, 10, positive=False)
    assert network.passes == 3
    session.undo()
    session.redo()
    assert network.passes == 3


def test_a_failing_network_loses_nothing(toy, small_photograph):
    class Fragile(Network):
        runtime, device, info, broken = "onnxruntime", "cpu", toy.info, False

        def __call__(self, *tensors):
            if self.broken:
                raise RuntimeError("out of memory")
            return toy(*tensors)

    network = Fragile()
    session = Session(network, small_photograph, size=SMALL)
    session.click(70, 50)
    session.click(20, 20)
    session.undo()
    before = session.probability
    network.broken = True
    with pytest.raises(RuntimeError, match="out of memory"):
        session.click(30, 30)
    np.testing.assert_array_equal(session.probability, before)
    assert len(session.clicks) == 1
    assert session.can_redo


def test_objects_one_after_another(toy, small_photograph):
    session = Session(toy, small_photograph, size=SMALL)
    session.click(70, 50)
    first = session.finish()
    assert session.mask.area == 0
    assert session.roi is None
    assert session.clicks == []
    session.click(20, 20)
    second = session.finish()
    assert session.finished == (first, second)
    alone = Session(toy, small_photograph, size=SMALL)
    assert alone.click(20, 20) == second


def test_finish_needs_an_object(toy, small_photograph):
    with pytest.raises(SessionError, match="click on the object first"):
        Session(toy, small_photograph).finish()


def test_initial_mask_starts_the_map_and_the_index(toy, small_photograph):
    mask = np.zeros((100, 150), np.uint8)
    mask[20:50, 30:80] = 255
    session = Session(toy, small_photograph, size=SMALL, initial_mask=mask)
    np.testing.assert_array_equal(session.probability, mask > 0)
    session.click(60, 40)
    assert session.clicks[0].index == 1
    assert session.timing.passes == 1  # the map is not empty: nothing to bootstrap
    session.undo()
    np.testing.assert_array_equal(session.probability, mask > 0)
    session.finish()
    assert session.mask.area == 0


def test_the_first_region_follows_the_initial_mask(toy, photograph):
    mask = np.zeros((512, 512), bool)
    mask[100:200, 300:420] = True
    session = Session(toy, photograph("astronaut"), size=SMALL, initial_mask=mask)
    session.click(350, 150)
    assert session.roi == (50, 250, 260, 460)  # 200 pixels high at least, around 149.5; 1.4 · 120 wide is less
    probability = session.probability
    session.click(450, 240, positive=False)
    session.undo()
    np.testing.assert_array_equal(session.probability, probability)


def test_undo_keeps_what_earlier_regions_painted(toy, photograph):
    """Spec section 1, step 9: outside its region a pass leaves the map as it was."""
    mask = np.zeros((512, 512), bool)
    mask[20:60, 20:60] = True
    session = Session(toy, photograph("astronaut"), size=SMALL, initial_mask=mask)
    maps, regions = [], set()
    for x, y in [(40, 40), (450, 450), (300, 100)]:
        session.click(x, y)
        maps.append(session.probability)
        regions.add(session.roi)
    assert len(regions) > 1
    for before in reversed(maps[:-1]):
        session.undo()
        np.testing.assert_array_equal(session.probability, before)
    for after in maps[1:]:
        session.redo()
        np.testing.assert_array_equal(session.probability, after)


def test_the_region_follows_one_half_whatever_the_threshold(golden, toy, photograph):
    data = np.load(golden("trajectory_toy.npz"))
    session = Session(toy, photograph(str(data["9_image"])), size=(448, 448), threshold=0.95)
    assert len({tuple(row[3:7]) for row in data["9_clicks"]}) > 1
    for row in data["9_clicks"]:
        session.click(row[1], row[0], bool(row[2]))
        assert session.roi == tuple(row[3:7])


def test_the_mirrored_pass_sees_mirrored_colours(toy, photograph):
    """At the network's size a mirrored photograph with mirrored clicks swaps the two passes, and mirrors the map."""
    image = photograph("coffee")[:64, 100:164]
    maps = []
    for mirrored in (False, True):
        session = Session(toy, image[:, ::-1] if mirrored else image, size=(64, 64), distance="rgb", r_max=20)
        for x, y in [(20, 30), (45, 10)]:
            session.click(63 - x if mirrored else x, y)
        maps.append(session.probability)
    np.testing.assert_allclose(maps[1], maps[0][:, ::-1], atol=1e-5)
    assert np.abs(maps[1] - maps[0]).max() > 0.01


def test_the_mask_is_where_the_probability_is_above_the_threshold(toy, small_photograph):
    sessions = [Session(toy, small_photograph, size=SMALL, threshold=t) for t in (0.3, 0.49, 0.7)]
    for session in sessions:
        session.click(70, 50)
        np.testing.assert_array_equal(session.mask.array, session.probability > session.threshold)
    assert sessions[0].mask.area > sessions[2].mask.area


def test_a_probability_of_exactly_the_threshold_is_not_above_it(toy, small_photograph):
    """Logits of zero: one half on every processor, whatever the last bit of its exponential."""

    class Undecided(Network):
        runtime, device, info = "onnxruntime", "cpu", toy.info

        def __call__(self, *tensors):
            return np.zeros_like(tensors[1])

    session = Session(Undecided(), small_photograph, size=SMALL)
    for point in ((70, 50), (10, 10), (149, 99)):
        assert session.click(*point).area == 0
        np.testing.assert_array_equal(session.probability, np.float32(0.5))
        assert session.roi == (0, 99, 0, 149)
    for threshold in (0.49, np.float64(0.49), np.nextafter(np.float32(0.5), np.float32(0))):
        assert Session(Undecided(), small_photograph, size=SMALL, threshold=threshold).click(5, 5).area == 100 * 150


def test_options_act(toy, small_photograph):
    def result(**options):
        session = Session(toy, small_photograph, size=SMALL, **options)
        for x, y, positive in [(70, 50, True), (20, 20, False), (80, 40, True)]:
            session.click(x, y, positive)
        return session.probability

    base = result()
    for options in ({"flip": False}, {"n_early": 0}, {"r_max": 20.0}, {"distance": "rgb"}):
        assert not np.array_equal(result(**options), base), options
    np.testing.assert_array_equal(result(n_early=7, r_max=100, flip=True, distance="probability"), base)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (7, 5)])
def test_tiny_images(toy, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    session = Session(toy, image, size=(48, 64))
    mask = session.click(shape[1] - 1, shape[0] - 1)
    assert mask.shape == shape
    session.click(0, 0, positive=False)
    assert np.isfinite(session.probability).all()


def test_a_photograph_12000_pixels_wide(toy, photograph):
    image = np.ascontiguousarray(np.tile(photograph("coffee"), (1, 20, 1)))
    assert image.shape == (400, 12000, 3)
    session = Session(toy, image, size=(64, 400))
    assert session.click(11999, 399).shape == (400, 12000)
    session.click(6000.5, 200.25, positive=False)
    assert np.isfinite(session.probability).all()


def test_sessions_in_threads_give_what_they_give_alone(toy, small_photograph):
    def run(results, k):
        session = Session(toy, small_photograph, size=SMALL)
        for x in (20 + k, 60 + k, 100 + k):
            session.click(x, 40, x % 2 == 0)
        results[k] = session.probability

    alone, together = {}, {}
    for k in range(4):
        run(alone, k)
    threads = [threading.Thread(target=run, args=(together, k)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        np.testing.assert_array_equal(alone[k], together[k])


def test_the_callers_arrays_stay_apart(toy, small_photograph):
    image = small_photograph.copy()
    session, other = Session(toy, image, size=SMALL), Session(toy, image, size=SMALL)
    image[...] = 0
    session.probability[...] = 1
    assert session.click(70, 50).area > 0
    np.testing.assert_array_equal(
        session.probability, (other.click(70, 50), other.probability)[1], err_msg="the image was not copied"
    )


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (-1, 5, "outside the image: expected 0 <= x < 150 and 0 <= y < 100, got x=-1, y=5"),
        (150, 5, "outside"),
        (5, 100, "outside"),
        (float("nan"), 5, "finite"),
        (5, float("inf"), "finite"),
        ("left", 5, "expected numbers"),
        (None, 5, "expected numbers"),
        (10**400, 5, "expected numbers"),
    ],
)
def test_clicks_that_are_refused(toy, small_photograph, x, y, words):
    session = Session(toy, small_photograph, size=SMALL)
    session.click(70, 50)
    before = session.probability
    with pytest.raises(ClickError, match=words):
        session.click(x, y)
    assert len(session.clicks) == 1
    np.testing.assert_array_equal(session.probability, before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 0}, "threshold between 0 and 1"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"n_early": -1}, "n_early"),
        ({"n_early": 2.5}, "n_early"),
        ({"n_early": float("nan")}, "n_early"),
        ({"r_max": 0}, "r_max"),
        ({"r_max": float("inf")}, "r_max"),
        ({"distance": "lab"}, "distance"),
        ({"size": 0}, "size"),
        ({"size": (64,) * 3}, "size"),
        ({"size": 64.5}, "size"),
        ({"size": "64"}, "size"),
        ({"size": True}, "size"),
    ],
)
def test_options_that_are_refused(toy, small_photograph, options, words):
    with pytest.raises(OptionError, match=words):
        Session(toy, small_photograph, **options)


def test_a_fixed_network_takes_its_own_size_only(toy, small_photograph):
    class Fixed(Network):
        runtime, device, info = "onnxruntime", "cpu", NetworkInfo(size=(48, 64))

        def __call__(self, *tensors):
            assert tensors[0].shape == (2, 3, 48, 64)
            return toy(*tensors)

    assert Session(Fixed(), small_photograph).click(70, 50).area > 0
    assert Session(Fixed(), small_photograph, size=(48, 64)).click(70, 50).area > 0
    with pytest.raises(OptionError, match="fixed to 48×64, got size=64"):
        Session(Fixed(), small_photograph, size=64)


@pytest.mark.parametrize(
    "mask",
    [
        "object",
        [[1], [1, 0]],
        np.zeros((3, 3), bool),
        np.full((100, 150), 0.3),
        np.full((100, 150), 7),
        np.zeros((100, 150, 1)),
    ],
)
def test_initial_masks_that_are_refused(toy, small_photograph, mask):
    with pytest.raises(ImageError, match="initial mask"):
        Session(toy, small_photograph, initial_mask=mask)
