"""Micro-batching: runs network passes of several sessions as one batch."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np

from ...engine.errors import OptionError
from ...engine.network import F32, Network
from ...engine.worker import Worker

WINDOW_MS = 2.0
MAX_BATCH = 16  # rows; eight sessions with flip
MAX_WINDOW_MS = 1000.0


class BatchedNetwork(Network):
    """Network that runs passes of different threads as one batch of another network, if they arrive together.

    One batch runs at a time. A pass that finds the network idle runs at once. A pass that finds it busy waits, and
    then runs with all other waiting passes of its height and width. If several passes ran together last time, a pass
    also waits for as many again, but only until ``window_ms`` after its own arrival. If no other
    pass arrives, it waits only this once. Passes of one height and width run in the order of their arrival.

    A batch that fails is run again pass by pass, so that non-finite logits or refused arrays of one session do not
    affect another. Passes on arrays in GPU memory (:meth:`worker`, :meth:`enqueue`) are not batched: each session
    whose array work is on the GPU runs its own graph.

    Args:
        network: network that runs the batches. It must accept batches of up to ``max_batch``; if it does not (a plan
            built for 2), every batch fails and is run pass by pass.
        window_ms: milliseconds that a pass waits for other passes, from 0 to 1000.
        max_batch: maximum rows (N) of a batch; a pass with more rows runs alone. A pass has two rows with flip, else
            one.

    Attributes:
        passes, batches: number of requested passes, and number of batches in which they ran.

    Raises:
        OptionError: an argument is out of its range.
    """

    def __init__(self, network: Network, window_ms: float = WINDOW_MS, max_batch: int = MAX_BATCH) -> None:
        if not 0 <= window_ms <= MAX_WINDOW_MS:
            raise OptionError(f"expected a window of 0 to {MAX_WINDOW_MS:g} ms, got {window_ms!r}")
        if max_batch < 1:
            raise OptionError(f"expected a batch of at least 1 row, got {max_batch!r}")
        self.info, self.runtime = network.info, network.runtime
        self.device, self.choice = network.device, network.choice
        self.passes = self.batches = 0
        self._network = network
        self._window = window_ms / 1e3
        self._max_batch = max_batch
        self._lock = threading.Lock()
        self._waiting: list[_Pass] = []  # waiting passes, in the order of arrival
        self._leader: _Pass | None = None  # the pass whose thread gathers or runs a batch
        self._company = 1  # number of passes that ran together the last time

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        """See :meth:`~mfp.engine.network.Network.__call__`."""
        mine = _Pass((image, prev_mask, modulated_mask, clicks), threading.Condition(self._lock))
        with self._lock:
            try:
                self._waiting.append(mine)
                if self._leader is not None:
                    self._leader.changed.notify()  # the leader may be waiting for other passes
                while not mine.done and self._leader not in (None, mine):
                    mine.changed.wait()
                if mine.done:
                    return mine.result()
                self._leader = mine
                batch = self._gather(mine)
            except BaseException:  # Ctrl-C in a waiting thread
                mine.done = True  # so that no other thread runs it
                if mine in self._waiting:
                    self._waiting.remove(mine)
                if self._leader is mine:
                    self._hand_over()
                raise
        try:
            self._run(batch)
        finally:
            with self._lock:
                for other in batch:
                    other.changed.notify()
                # Ctrl-C during the batch: the other passes are not affected, and run without this thread.
                self._waiting[:0] = [other for other in batch if other is not mine and not other.done]
                self._hand_over()
        return mine.result()

    def worker(self) -> Worker:
        """See :meth:`~mfp.engine.network.Network.worker`; the worker does not batch."""
        return self._network.worker()

    def close(self) -> None:
        """See :meth:`~mfp.engine.network.Network.close`."""
        super().close()
        self._network.close()

    def _gather(self, leader: _Pass) -> list[_Pass]:
        """Take the passes that run now out of the waiting ones, and return them; the caller has the lock."""
        while True:
            batch, rows = [leader], leader.rows
            for other in self._waiting:
                if other is not leader and other.size == leader.size and rows + other.rows <= self._max_batch:
                    batch.append(other)
                    rows += other.rows
            left = leader.arrived + self._window - time.perf_counter()
            if len(batch) >= self._company or rows + leader.rows > self._max_batch or left <= 0:
                break
            leader.changed.wait(left)
        self._waiting = [other for other in self._waiting if other not in batch]
        self._company = len(batch)
        self.passes += len(batch)
        self.batches += 1
        return batch

    def _hand_over(self) -> None:
        """Make the longest-waiting pass the next leader; the caller has the lock."""
        self._leader = self._waiting[0] if self._waiting else None
        if self._leader is not None:
            self._leader.changed.notify()

    def _run(self, batch: list[_Pass]) -> None:
        if len(batch) > 1:
            try:
                logits = self._network(
                    *(np.concatenate(arrays) for arrays in zip(*(one.arrays for one in batch), strict=True))
                )
                ends = np.cumsum([one.rows for one in batch])
                for one, part in zip(batch, np.split(logits, ends[:-1]), strict=True):
                    one.logits, one.done = part, True
                return
            except Exception:  # caused by one of the passes: run each alone, so that each gets its own error
                pass
        for one in batch:
            try:
                one.logits = self._network(*one.arrays)
            except Exception as error:
                one.error = error
            one.done = True


@dataclass(eq=False)
class _Pass:
    """One caller's pass: its arrays, and its result or error."""

    arrays: tuple[F32, F32, F32, F32]
    changed: threading.Condition
    arrived: float = field(default_factory=time.perf_counter)
    done: bool = False
    logits: F32 | None = None
    error: Exception | None = None

    @property
    def rows(self) -> int:
        return len(self.arrays[0])

    @property
    def size(self) -> tuple[int, ...]:
        return self.arrays[0].shape[2:]

    def result(self) -> F32:
        if self.error is not None:
            raise self.error
        assert self.logits is not None
        return self.logits


def batched(network: Network, wanted: bool | None = None) -> Network:
    """Return a network for a server: wrapped in :class:`BatchedNetwork`, or unchanged.

    Args:
        network: network to serve with.
        wanted: whether to batch; None: only on a GPU. On a CPU one pass keeps the cores busy, and a batch is no faster
            than its passes one after another (bench/serving/batching.py).
    """
    if wanted is None:
        wanted = network.device != "cpu"
    return BatchedNetwork(network) if wanted else network
