"""Micro-batching: the same logits as without, for each caller its own, whatever becomes of the others."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp import Session, load_network
from mfp.engine.errors import NetworkError, OptionError
from mfp.engine.network import Network
from mfp.engine.sample import sample_photograph
from mfp.serve.sessions.batching import BatchedNetwork


def arrays(rows=2, height=24, width=32, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random((rows, channels, height, width), dtype=np.float32) for channels in (3, 1, 1, 2)]


class Watched(Network):
    """A real network that keeps the shapes of its batches, and holds them up until it is let go."""

    def __init__(self, network):
        self.network, self.info = network, network.info
        self.runtime, self.device = network.runtime, network.device
        self.shapes = []
        self.started, self.go = threading.Semaphore(0), threading.Event()
        self.interrupted = None  # the number of a call, from 1

    def __call__(self, image, *others):
        self.shapes.append((len(image), *image.shape[2:]))
        self.started.release()
        self.go.wait(60)
        if len(self.shapes) == self.interrupted:
            raise KeyboardInterrupt
        return self.network(image, *others)


@pytest.fixture
def watched(toy):
    network = Watched(toy)
    yield network
    network.go.set()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as threads:
        yield threads


def behind(pool, watched, batched, inputs):
    """The first pass at work, the others waiting behind it in this order; futures of all."""
    futures = [pool.submit(batched, *inputs[0])]
    watched.started.acquire(timeout=60)
    for number, one in enumerate(inputs[1:], 1):
        futures.append(pool.submit(batched, *one))
        until(lambda number=number: len(batched._waiting) == number)
    return futures


def until(condition):
    while not condition():
        time.sleep(0.001)


def test_passes_that_wait_run_together(watched, toy, pool):
    batched = BatchedNetwork(watched, max_batch=4)
    inputs = [
        arrays(2, seed=0),
        arrays(2, seed=1),
        arrays(1, seed=2),
        arrays(2, 16, 16, seed=3),
        arrays(1, seed=4),
        arrays(2, seed=5),  # the batch is full
        arrays(8, seed=6),  # too large for any company
    ]
    futures = behind(pool, watched, batched, inputs)
    watched.go.set()
    for one, future in zip(inputs, futures, strict=True):
        np.testing.assert_array_equal(future.result(60), toy(*one))
    assert watched.shapes == [(2, 24, 32), (4, 24, 32), (2, 16, 16), (2, 24, 32), (8, 24, 32)]
    assert (batched.passes, batched.batches) == (7, 5)


@given(
    passes=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from([8, 16]), st.integers(0, 99)), min_size=1, max_size=12
    ),
    window=st.sampled_from([0, 2]),
    max_batch=st.integers(1, 9),
)
@settings(max_examples=30, deadline=None)
def test_everyone_gets_their_own(toy, passes, window, max_batch):
    inputs = [arrays(rows, side, side, seed) for rows, side, seed in passes]
    batched = BatchedNetwork(toy, window, max_batch)
    with ThreadPoolExecutor(len(passes)) as pool:
        found = list(pool.map(lambda one: batched(*one), inputs))
    for one, logits in zip(inputs, found, strict=True):
        np.testing.assert_allclose(logits, toy(*one), atol=1e-5)
    assert batched.passes == len(passes)
    assert batched._waiting == []
    assert batched._leader is None


def test_sessions_keep_their_masks(pool):
    network = load_network("lite0", device="cpu")
    batched = BatchedNetwork(network)
    image = sample_photograph()
    starts = [(120, 330), (220, 110), (400, 430)]

    def clicked(network, start):
        with Session(network, image) as session:
            session.click(*start)
            session.click(300, 200, positive=False)
            return session.probability

    together = list(pool.map(lambda start: clicked(batched, start), starts))
    for start, probability in zip(starts, together, strict=True):
        np.testing.assert_allclose(probability, clicked(network, start), atol=1e-4)
    assert batched.batches < batched.passes == 9


def test_one_pass_that_fails_is_no_others_concern(watched, toy, pool):
    inputs = [arrays(seed=seed) for seed in range(5)]
    inputs[2][0][0, 0, 5, 5] = np.nan
    inputs[3].pop()
    inputs[3].append(np.zeros((2, 7, 24, 32), np.float32))  # a wrong number of channels
    batched = BatchedNetwork(watched)
    futures = behind(pool, watched, batched, inputs)
    watched.go.set()
    for number in (0, 1, 4):
        np.testing.assert_array_equal(futures[number].result(60), toy(*inputs[number]))
    with pytest.raises(NetworkError, match="not finite"):
        futures[2].result(60)
    with pytest.raises(NetworkError, match="could not run"):
        futures[3].result(60)


def test_who_was_in_company_waits_for_it(toy, pool):
    batched = BatchedNetwork(toy, window_ms=1000)
    batched._company = 3
    futures = [pool.submit(batched, *arrays(seed=seed)) for seed in range(3)]
    for future in futures:
        future.result(60)
    assert (batched.passes, batched.batches) == (3, 1)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_ctrl_c_while_waiting_leaves_the_others_alone(watched, toy, pool):
    batched = BatchedNetwork(watched)
    inputs = [arrays(seed=seed) for seed in range(2)]
    futures = behind(pool, watched, batched, inputs)

    def interrupt():
        until(lambda: len(batched._waiting) == 2)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    interrupting = pool.submit(interrupt)
    with pytest.raises(KeyboardInterrupt):
        batched(*arrays(seed=9))
    interrupting.result(60)
    watched.go.set()
    for one, future in zip(inputs, futures, strict=True):
        np.testing.assert_array_equal(future.result(60), toy(*one))
    assert watched.shapes == [(2, 24, 32)] * 2


def test_ctrl_c_at_work_is_the_leaders_alone(watched, toy, pool):
    batched = BatchedNetwork(watched)
    inputs = [arrays(seed=seed) for seed in range(4)]
    watched.interrupted = 2
    futures = behind(pool, watched, batched, inputs)
    watched.go.set()
    with pytest.raises(KeyboardInterrupt):
        futures[1].result(60)
    for number in (0, 2, 3):
        np.testing.assert_array_equal(futures[number].result(60), toy(*inputs[number]))
    assert [rows for rows, *_ in watched.shapes] == [2, 6, 4]


def test_what_it_says_of_itself(toy):
    batched = BatchedNetwork(toy)
    assert (batched.info, batched.runtime, batched.device) == (toy.info, toy.runtime, toy.device)
    with pytest.raises(OptionError, match="runs on the CPU"):
        batched.worker()
    batched.close()
    for wrong in ({"window_ms": -1}, {"window_ms": float("nan")}, {"max_batch": 0}):
        with pytest.raises(OptionError):
            BatchedNetwork(toy, **wrong)
