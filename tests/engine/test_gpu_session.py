"""Sessions on a device: the very pipeline, lanes and kernels that run on a GPU, on the kernels compiled for the CPU.

The device is the twin of ``kernels.device.Device`` in tests/host_cuda: its graphs replay what was recorded with the
arguments as they were then, so that whatever varies from click to click must have come through the parameter block.
"""

import gc
import threading
import warnings

import numpy as np
import pytest

from mfp import Session
from mfp.engine.devices import cuda_driver
from mfp.engine.errors import NetworkError, OptionError, RuntimeMissingError, SessionError
from mfp.engine.network import Network
from mfp.engine.worker import Worker

SMALL = (48, 64)
POINTS = [(70, 50, True), (20, 20, False), (80, 40, True), (72, 55, True), (140, 90, False)]


class OnDevice(Network):
    """A network of the host as one of the device: its workers read and write the device's memory."""

    runtime, device = "onnxruntime", "cuda:0"

    def __init__(self, network, device, eager=""):
        self.info, self.run, self.on, self.eager = network.info, network, device, eager
        self.passes = self.workers = 0

    def __call__(self, *tensors):
        return self.run(*tensors)

    def worker(self):
        self.workers += 1
        return ToyWorker(self)


class ToyWorker(Worker):
    def __init__(self, network):
        self.network, self.why_eager = network, network.eager

    def enqueue(self, image, prev_mask, modulated_mask, clicks, logits, stream):
        def step():
            self.network.passes += 1
            logits[...] = self.network(image, prev_mask, modulated_mask, clicks)

        self.network.on.record(step, stream)

    def graph(self, device, steps, stream):
        return None if self.why_eager else device.graph(steps, stream)


@pytest.fixture
def on_device(monkeypatch, host_device, toy):
    """``on_device(network=toy, **options)``: a network and the device that sessions on it work on."""

    def make(network=toy, eager="", **options):
        device = host_device(**{"threads": 32, "blocks": 2, **options})  # few, as every barrier costs
        monkeypatch.setattr("mfp.engine.pipelines.gpu.open_device", lambda network: device)
        return OnDevice(network, device, eager), device

    return make


@pytest.fixture(scope="module")
def small_photograph(photograph):
    return photograph("coffee")[::4, ::4]  # 100×150


def replay(session, points=POINTS):
    return [session.click(*point) for point in points]


@pytest.mark.parametrize(
    "options",
    [{}, {"flip": False}, {"size": 64}, {"distance": "rgb", "r_max": 20.0}, {"n_early": 1}, {"threshold": 0.6}],
    ids=str,
)
def test_equals_the_session_on_the_host(on_device, toy, small_photograph, options):
    network, device = on_device(deferred=True)
    options = {"size": SMALL, **options}
    there, here = Session(network, small_photograph, **options), Session(toy, small_photograph, **options)
    for point in POINTS:
        mask, expected = there.click(*point), here.click(*point)
        assert there.roi == here.roi
        np.testing.assert_allclose(there.probability, here.probability, atol=2e-5)
        clear = np.abs(here.probability - here.threshold) > 1e-4
        np.testing.assert_array_equal(mask.array[clear], expected.array[clear])
        assert there.timing.passes == here.timing.passes
        assert there.timing.device > 0
    if options["size"] == SMALL:
        assert device.graphs == 2
    np.testing.assert_array_equal(there.device_mask, there.mask.array)
    np.testing.assert_array_equal(there.device_probability, there.probability)


@pytest.mark.parametrize("i", [8, 10])
def test_toy_trajectories_are_the_releases(on_device, i, golden, photograph, assert_trajectory):
    data = np.load(golden("trajectory_toy.npz"))
    network, _ = on_device(blocks=8)
    target = data[f"{i}_target"].tolist()
    session = Session(
        network,
        photograph(str(data[f"{i}_image"])),
        size=tuple(target) if len(target) == 2 else target[0],
        flip=bool(data[f"{i}_flip"]),
    )
    assert_trajectory(session, data[f"{i}_clicks"], data[f"{i}_prob_stride8"], data[f"{i}_passes"])


def test_one_pair_of_graphs_serves_all_sessions(on_device, small_photograph):
    network, device = on_device()
    sessions = [Session(network, image, size=SMALL) for image in (small_photograph, small_photograph[:, ::-1])]
    launches = device.launches
    for x, y, positive in POINTS:
        for session in sessions:
            session.click(x, y, positive)
    assert (device.graphs, network.workers) == (2, 1)
    assert device.launches > launches
    alone = Session(network, small_photograph, size=SMALL)
    replay(alone)
    np.testing.assert_array_equal(sessions[0].probability, alone.probability)
    assert not np.array_equal(sessions[1].probability, alone.probability)


def test_a_size_that_comes_once_is_not_captured(on_device, small_photograph):
    network, device = on_device()
    session = Session(network, small_photograph, size=64)
    session.click(70, 50)
    assert device.graphs == 0
    session.reset()
    session.click(20, 20)
    assert device.graphs == 2


def test_undo_and_redo_give_the_same_bits_without_a_pass(on_device, photograph):
    network, _ = on_device()
    mask = np.zeros((256, 256), bool)
    mask[10:30, 10:30] = True
    session = Session(network, photograph("astronaut")[::2, ::2], size=SMALL, initial_mask=mask)
    maps, masks, regions = [session.probability], [session.mask], set()
    np.testing.assert_array_equal(maps[0], mask)
    for x, y in [(20, 20), (225, 225), (150, 50)]:
        masks.append(session.click(x, y))
        maps.append(session.probability)
        regions.add(session.roi)
    assert len(regions) > 1
    passes = network.passes
    for before, expected in zip(reversed(maps[:-1]), reversed(masks[:-1]), strict=True):
        assert session.undo() == expected
        np.testing.assert_array_equal(session.probability, before)
    for after, expected in zip(maps[1:], masks[1:], strict=True):
        assert session.redo() == expected
        np.testing.assert_array_equal(session.probability, after)
    assert network.passes == passes
    session.finish()
    assert session.mask.area == 0
    assert not session.probability.any()


def test_undo_far_back_gives_the_same_bits(on_device, toy, photograph, monkeypatch):
    monkeypatch.setattr("mfp.engine.history.SPACING", 2)

    class Small:
        info = toy.info

        def __call__(self, image, prev_mask, modulated_mask, clicks):
            return 6 * clicks[:, :1] - 9 * clicks[:, 1:] - 3 + image[:, :1] + 2 * prev_mask  # objects of a click's size

    network, _ = on_device(Small(), blocks=1)
    session = Session(network, photograph("coffee")[:220, :200], size=64, flip=False, n_early=0)
    maps, masks, regions = [session.probability], [session.mask], set()
    rng = np.random.default_rng(3)
    for k in range(6):
        masks.append(session.click(*rng.integers(200, size=2), k % 3 == 0))
        maps.append(session.probability)
        regions.add(session.roi)
    assert len(regions) > 1
    assert sum(step.checkpoint is not None for step in session._steps) > 1
    passes, pastes = network.passes, []
    paste = session._pipeline.paste
    session._pipeline.paste = lambda steps: (pastes.append(len(steps)), paste(steps))
    for before, expected in zip(reversed(maps[:-1]), reversed(masks[:-1]), strict=True):
        assert session.undo() == expected
        np.testing.assert_array_equal(session.probability, before)
    assert max(pastes) <= 2
    assert session.nbytes > session._history.nbytes > 0
    for after, expected in zip(maps[1:], masks[1:], strict=True):
        assert session.redo() == expected
        np.testing.assert_array_equal(session.probability, after)
    assert network.passes == passes


def test_an_interrupted_undo_changes_nothing(on_device, small_photograph, monkeypatch):
    network, _ = on_device()
    session = Session(network, small_photograph, size=SMALL)
    replay(session, POINTS[:3])
    before, mask, passes = session.probability, session.mask, network.passes

    def interrupted():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(session._pipeline, "_fetch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.undo()
    assert len(session.clicks) == 3
    np.testing.assert_array_equal(session.probability, before)
    assert (session.mask, network.passes) == (mask, passes)


def test_undo_and_redo_without_memory_for_their_maps_run_the_network_again(on_device, small_photograph):
    network, device = on_device()
    session = Session(network, small_photograph, size=SMALL)
    maps = [(session.click(*point), session.probability)[1] for point in POINTS[:4]]
    session._pipeline._maps.clear()
    empty, refusals = device.empty, [True, True]  # of the next piece for many maps, and of that for one

    def scarce(shape, dtype):
        if refusals:
            refusals.pop()
            raise MemoryError("out of memory")
        return empty(shape, dtype)

    device.empty = scarce
    maps.append((session.click(*POINTS[4]), session.probability)[1])
    passes = network.passes
    session.undo()
    assert network.passes == passes + 5  # all four clicks, the first of them with its two passes
    np.testing.assert_array_equal(session.probability, maps[3])
    session.undo()
    np.testing.assert_array_equal(session.probability, maps[2])
    session.redo()
    session.redo()
    np.testing.assert_array_equal(session.probability, maps[4])


def test_a_full_gpu_loses_nothing(on_device, small_photograph):
    network, device = on_device()
    session = Session(network, small_photograph, size=SMALL)
    session.click(70, 50)
    before = session.probability
    session._pipeline._maps.clear()
    empty = device.empty

    def full(shape, dtype):
        raise MemoryError("out of memory")

    device.empty = full
    with pytest.raises(MemoryError):
        session.click(20, 20)
    device.empty = empty
    np.testing.assert_array_equal(session.probability, before)
    assert len(session.clicks) == 1
    session.click(20, 20)
    session.undo()
    np.testing.assert_array_equal(session.probability, before)


def test_logits_that_are_not_finite_change_nothing(on_device, toy, small_photograph):
    class Broken:
        info, broken = toy.info, False

        def __call__(self, *tensors):
            logits = toy(*tensors)
            if self.broken:
                logits[-1, 0, 5, 7] = np.nan
            return logits

    inner = Broken()
    network, _ = on_device(inner)
    session = Session(network, small_photograph, size=SMALL)
    session.click(70, 50)
    before, mask = session.probability, session.mask
    inner.broken = True
    with pytest.raises(NetworkError, match="not finite"):
        session.click(20, 20)
    np.testing.assert_array_equal(session.probability, before)
    assert session.mask == mask
    assert len(session.clicks) == 1
    inner.broken = False
    session.click(20, 20)


def test_a_later_click_on_an_empty_crop_starts_anew(on_device, toy, small_photograph):
    """Spec section 1, step 6: two passes wherever the crop of the map holds only zeros."""

    class Low:
        info, shift = toy.info, -1000.0

        def __call__(self, *tensors):
            return toy(*tensors) + np.float32(self.shift)

    maps = []
    for where in ("device", "host"):
        inner = Low()
        network, _ = on_device(inner)
        session = Session(network, small_photograph, size=SMALL, pipeline=where)
        session.click(70, 50)
        assert not session.probability.any()
        inner.shift = 0.0
        session.click(20, 20)
        assert session.timing.passes == (3 if where == "device" else 2)
        maps.append(session.probability)
    np.testing.assert_allclose(*maps, atol=2e-5)


class InPlace:
    """An image in the device's memory, as CuPy, PyTorch and PyCUDA hand one over."""

    def __init__(self, device, pixels, view=lambda array: array):
        self.memory = device.empty(pixels.shape, np.uint8)
        self.memory[...] = pixels
        array = view(self.memory)
        self.__cuda_array_interface__ = {**array.__array_interface__, "version": 3, "strides": array.strides}


@pytest.mark.parametrize(
    ("store", "view"),
    [
        (lambda image: image, lambda array: array),
        (lambda image: image.transpose(2, 0, 1), lambda array: array.transpose(1, 2, 0)),
        (lambda image: np.pad(image, ((3, 2), (5, 1), (0, 1))), lambda array: array[3:-2, 5:-1]),
        (lambda image: image[::-1, ::-1], lambda array: array[::-1, ::-1]),
    ],
    ids=["as it is", "channels first", "cut out of RGBA", "from the end"],
)
def test_an_image_that_is_there_already_is_used_in_place(on_device, small_photograph, store, view):
    network, device = on_device()
    image = InPlace(device, np.ascontiguousarray(store(small_photograph)), view)
    session, expected = Session(network, image, size=SMALL), Session(network, small_photograph, size=SMALL)
    for point in POINTS[:2]:
        assert session.click(*point) == expected.click(*point)
    np.testing.assert_array_equal(session.probability, expected.probability)
    image.memory[...] = 0
    assert session.click(*POINTS[2]) != expected.click(*POINTS[2])


def test_a_session_goes_to_the_stream_it_is_given(on_device, small_photograph):
    network, device = on_device()
    used = set()
    put = device._put
    device._put = lambda step, stream: (used.add(stream), put(step, stream))
    session = Session(network, small_photograph, size=SMALL, stream=4711)
    used.clear()  # graphs are captured on a stream of their own
    replay(session, POINTS[:2])
    session.undo()
    session.device_mask, session.probability  # noqa: B018
    assert used == {4711}


def test_more_clicks_than_there_was_room_for(on_device, small_photograph):
    network, device = on_device()
    session = Session(network, small_photograph[:40, :40], size=(24, 24))
    rng = np.random.default_rng(0)
    clicks = [(*rng.integers(40, size=2), bool(k % 2)) for k in range(40)]
    replay(session, clicks)
    expected = Session(network, small_photograph[:40, :40], size=(24, 24), pipeline="host")
    replay(expected, clicks)
    np.testing.assert_allclose(session.probability, expected.probability, atol=5e-5)
    assert device.graphs == 4  # once more, with more room


def test_sessions_in_threads_give_what_they_give_alone(on_device, small_photograph):
    network, _ = on_device()

    def run(results, k):
        with Session(network, np.roll(small_photograph, 10 * k, axis=1), size=SMALL) as session:
            replay(session, POINTS[:3])
            results[k] = session.probability

    alone, together = {}, {}
    for k in range(3):
        run(alone, k)
    threads = [threading.Thread(target=run, args=(together, k)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(3):
        np.testing.assert_array_equal(alone[k], together[k])


def test_closed_and_forgotten_sessions_leave_no_memory_behind(on_device):
    network, device = on_device(blocks=1)
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)

    def use(click, close):
        session = Session(network, image, size=(8, 8), n_early=0)  # no medians: fewer barriers
        mask = session.click(5, 6) if click else session.mask
        if close:
            session.close()
        return mask.area  # unpacks it, and so gives its page-locked memory back

    use(click=True, close=True)
    gc.collect()
    gc.disable()  # counting references must do
    try:
        before = device.used_bytes()
        for k in range(200):
            use(click=k % 4 < 2, close=k % 2 == 0)
        assert device.used_bytes() == before
    finally:
        gc.enable()


def test_a_closed_network_keeps_nothing_ready(on_device, small_photograph):
    network, device = on_device()
    before = device.used_bytes()
    with Session(network, small_photograph, size=SMALL) as session:
        mask = session.click(70, 50)
    assert mask.area > 0
    assert device.used_bytes() > before
    gc.disable()
    try:
        network.close()
        assert device.used_bytes() == before
    finally:
        gc.enable()
    assert Session(network, small_photograph, size=SMALL).click(70, 50) == mask


def test_a_pass_that_fails_changes_nothing(on_device, toy, small_photograph):
    class Fragile:
        info, broken = toy.info, False

        def __call__(self, *tensors):
            if self.broken:
                raise NetworkError("out of memory")
            return toy(*tensors)

    inner = Fragile()
    network, _ = on_device(inner)
    session = Session(network, small_photograph, size=SMALL)
    session.click(70, 50)
    before = session.probability
    inner.broken = True
    with pytest.raises(NetworkError, match="out of memory"):
        session.click(20, 20)
    np.testing.assert_array_equal(session.probability, before)
    assert len(session.clicks) == 1
    inner.broken = False
    session.click(20, 20)
    session.undo()
    np.testing.assert_array_equal(session.probability, before)


def test_nothing_is_allocated_in_the_steady_state(on_device, small_photograph):
    network, device = on_device()
    session = Session(network, small_photograph, size=SMALL)
    session.click(70, 50)
    empty, asked = device.empty, []
    device.empty = lambda *what: asked.append(what) or empty(*what)
    for point in POINTS[1:]:
        session.click(*point)
    pinned = [what for what in asked if np.dtype(what[1]) == np.uint8]  # from a pool that is warm; the twin has none
    assert asked == pinned
    assert len(pinned) == len(POINTS) - 1


def test_a_closed_session_says_so(on_device, small_photograph):
    network, _ = on_device()
    with Session(network, small_photograph, size=SMALL) as session:
        mask = session.click(70, 50)
    session.close()  # once more does no harm
    assert mask.area > 0
    calls = [
        lambda: session.click(1, 1),
        session.undo,
        session.redo,
        session.reset,
        session.finish,
        lambda: session.mask,
        lambda: session.probability,
        lambda: session.device_mask,
        lambda: session.device_probability,
    ]
    for call in calls:
        with pytest.raises(SessionError, match="closed"):
            call()


def test_steps_that_cannot_be_captured_run_one_by_one_and_that_is_said_once(on_device, toy, small_photograph):
    network, device = on_device(eager="this runtime waits for its stream")
    with pytest.warns(RuntimeWarning, match="one by one, .* this runtime waits"):
        session = Session(network, small_photograph, size=SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replay(session)
        Session(network, small_photograph, size=(64, 64)).click(20, 20)
    assert device.graphs == 0
    expected = Session(toy, small_photograph, size=SMALL)
    replay(expected)
    np.testing.assert_allclose(session.probability, expected.probability, atol=2e-5)


def test_a_capture_that_fails_is_said_once(on_device, small_photograph, monkeypatch):
    network, device = on_device()

    def fails(steps, stream):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(device, "graph", fails)
    with pytest.warns(RuntimeWarning, match="could not be captured: operation not permitted") as said:
        assert replay(Session(network, small_photograph, size=SMALL))[-1].area > 0
    assert len(said) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (2, 3), (33, 65)])
def test_tiny_images(on_device, shape):
    network, _ = on_device()
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    session, expected = (Session(network, image, size=(24, 32), pipeline=where) for where in ("device", "host"))
    for x, y, positive in [(shape[1] - 1, shape[0] - 1, True), (0, 0, False)]:
        session.click(x, y, positive)
        expected.click(x, y, positive)
    np.testing.assert_allclose(session.probability, expected.probability, atol=2e-5)


def test_what_belongs_to_gpus_is_refused_on_the_host(on_device, toy, small_photograph):
    session = Session(toy, small_photograph, size=SMALL)
    for face in ("device_probability", "device_mask"):
        with pytest.raises(SessionError, match="works on the host"):
            getattr(session, face)
    with pytest.raises(OptionError, match="leave it out"):
        Session(toy, small_photograph, stream=7)
    with pytest.raises(OptionError, match="needs a network there"):
        Session(toy, small_photograph, pipeline="device")
    with pytest.raises(OptionError, match="expected the pipeline"):
        Session(toy, small_photograph, pipeline="gpu")


def test_where_a_gpu_cannot_do_it_the_host_does_the_array_work(on_device, monkeypatch, small_photograph):
    network, _ = on_device()
    monkeypatch.undo()
    monkeypatch.setattr("mfp.engine.pipelines.gpu.find_spec", lambda name: None)
    with pytest.warns(RuntimeWarning, match="pip install cupy"):
        session = Session(network, small_photograph, size=SMALL)
    assert session.click(70, 50).area > 0
    assert session.timing.device == 0
    with pytest.raises(RuntimeMissingError, match="pip install cupy"):
        Session(network, small_photograph, pipeline="device")
    if not cuda_driver()[0]:
        monkeypatch.setattr("mfp.engine.pipelines.gpu.find_spec", lambda name: name)
        with pytest.raises(RuntimeMissingError, match="no NVIDIA driver"):
            Session(network, small_photograph, pipeline="device")
