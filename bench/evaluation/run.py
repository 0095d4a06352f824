"""Evaluation over many objects, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from ...engine.contract import Size
from ...engine.errors import MfpError, NetworkError, OptionError
from ...engine.network import Network
from ..datasets import Target
from .protocol import MAX_CLICKS, play


@dataclass(frozen=True)
class Conditions:
    """Conditions that, with the network, determine the clicks on an object and the masks.

    Attributes:
        size: network size, (H, W) or the longer side of the crop.
        flip: whether to run also on the mirrored crop.
        threshold: probability above which a pixel is in the mask, in (0, 1).
        n_early, r_max, distance: parameters of the modulation, as for :class:`~mfp.engine.session.Session`.
        max_clicks: largest number of clicks per object.
        stop_iou: IoU at which an object is done; None: an object gets all its clicks, as in the published results.
    """

    size: Size | int
    flip: bool = True
    threshold: float = 0.5
    n_early: int = 7
    r_max: float = 100.0
    distance: str = "probability"
    max_clicks: int = MAX_CLICKS
    stop_iou: float | None = None

    def __post_init__(self) -> None:
        if self.max_clicks < 1:
            raise OptionError(f"expected at least 1 click an object, got {self.max_clicks}")
        if self.stop_iou is not None and not 0 < self.stop_iou <= 1:
            raise OptionError(f"expected an IoU to stop at above 0 and up to 1, got {self.stop_iou:g}")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "size": list(self.size) if isinstance(self.size, tuple) else self.size}


@dataclass(frozen=True)
class Result:
    """Result of the clicks on one object.

    Attributes:
        name, image: names of the :class:`~mfp.bench.datasets.Target` and of its photograph.
        ious: IoU after each click, in [0, 1].
        clicks: x, y in image pixels, and whether positive.
        ms: milliseconds of each click in the session, without the simulated user.
        workers: number of processes that clicked at the same time.
        fingerprint: fingerprint of the target's files; "" in records of older versions.
    """

    name: str
    image: str
    ious: tuple[float, ...]
    clicks: tuple[tuple[int, int, bool], ...]
    ms: tuple[float, ...]
    workers: int = 1
    fingerprint: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ms": [round(value, 3) for value in self.ms]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Result:
        """Read a result from JSON values, the inverse of :meth:`to_json`.

        Raises:
            KeyError, TypeError, ValueError: the record is not a result.
        """
        clicks = tuple((int(x), int(y), bool(positive)) for x, y, positive in record["clicks"])
        ious, ms = (tuple(float(value) for value in record[key]) for key in ("ious", "ms"))
        if not ious or not len(ious) == len(clicks) == len(ms):
            raise ValueError("an object has at least one click, and an IoU and a time for each")
        fingerprint = str(record.get("fingerprint", ""))
        return cls(str(record["name"]), str(record["image"]), ious, clicks, ms, int(record["workers"]), fingerprint)


@dataclass(frozen=True)
class NetworkSource:
    """A network that is not loaded yet: the arguments of :func:`~mfp.engine.network.load_network`."""

    file: Path
    runtime: str = "auto"
    device: str = "auto"
    threads: int | None = None
    precision: str | None = None

    def load(self) -> Network:
        from ...engine.network import load_network

        return load_network(self.file, self.runtime, self.device, self.threads, self.precision)


Job = tuple[Target, Conditions]


def open_session(network: Network, photograph: Any, conditions: Conditions) -> Any:
    """Open a :class:`~mfp.engine.session.Session` with the given conditions."""
    from ...engine.session import Session

    return Session(
        network,
        photograph,
        size=conditions.size,
        flip=conditions.flip,
        threshold=conditions.threshold,
        n_early=conditions.n_early,
        r_max=conditions.r_max,
        distance=conditions.distance,
    )


def evaluate_target(network: Network, target: Target, conditions: Conditions) -> Result:
    """Run the simulated user on one object.

    Raises:
        ImageError, DatasetError: photograph or mask cannot be read.
        NetworkError: the network fails; the message names the object.
        OptionError: a session rejects a condition.
    """
    photograph, truth = target.read()
    clicks, ious, ms = [], [], []
    with open_session(network, photograph, conditions) as session:
        try:
            for turn in play(session, truth, conditions.max_clicks, conditions.stop_iou):
                clicks.append((int(turn.click.x), int(turn.click.y), turn.click.positive))
                ious.append(turn.iou)
                ms.append(session.timing.total)
        except NetworkError as error:
            raise NetworkError(f"{target.name}, click {len(clicks) + 1}: {error}") from error
    return Result(target.name, target.image, tuple(ious), tuple(clicks), tuple(ms), fingerprint=target.fingerprint)


def evaluate(
    jobs: Sequence[Job], source: NetworkSource, workers: int = 1, network: Network | None = None
) -> Generator[tuple[int, Result], None, None]:
    """Run jobs, each as soon as a worker is free.

    Args:
        jobs: objects with their conditions.
        source: network to load.
        workers: number of processes, each of which loads the network once; with 1 the jobs run in this process. The
            processes share the processor's cores, unless ``source`` gives the number of threads of each.
        network: the same network, already loaded; used only with one worker.

    Yields:
        The index of a job and its result, in the order in which jobs finish. Leaving the loop ends the workers.

    Raises:
        OptionError: fewer than 1 worker.
        MfpError: error of the job that failed; results yielded before it stay valid.
    """
    if workers < 1:
        raise OptionError(f"expected at least 1 worker, got {workers}")
    if workers == 1 or len(jobs) < 2:
        network = network or source.load()
        for number, (target, conditions) in enumerate(jobs):
            yield number, evaluate_target(network, target, conditions)
        return
    threads = source.threads or max(_cores() // workers, 1)
    yield from _in_processes(jobs, source, min(workers, len(jobs)), threads)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(
    jobs: Sequence[Job], source: NetworkSource, workers: int, threads: int
) -> Generator[tuple[int, Result], None, None]:
    # Spawn, not fork: a runtime's threads do not survive a fork. Pipes, not a pool: a worker that the system kills is
    # noticed, and Ctrl-C ends all workers at once.
    context = multiprocessing.get_context("spawn")
    processes: dict[Connection, Any] = {}
    waiting = iter(enumerate(jobs))
    unfinished = len(jobs)
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, source, threads), daemon=True)
            process.start()
            theirs.close()  # so that the pipe ends with the process
            processes[ours] = process
            ours.send(next(waiting))
        while unfinished:
            for pipe in cast("list[Connection]", wait(list(processes))):
                try:
                    number, outcome = pipe.recv()
                except (EOFError, OSError):
                    processes[pipe].join()
                    raise NetworkError(
                        f"a worker ended without a word (exit code {processes[pipe].exitcode}), for lack of memory "
                        f"perhaps; try again with fewer --workers than {workers}"
                    ) from None
                if isinstance(outcome, MfpError):
                    raise outcome
                if isinstance(outcome, str):
                    raise RuntimeError(f"a worker failed:\n{outcome}")
                unfinished -= 1
                following = next(waiting, None)
                if following is not None:
                    pipe.send(following)
                yield number, replace(outcome, workers=workers)
    finally:
        for pipe, process in processes.items():
            pipe.close()
            process.terminate()
        for process in processes.values():
            process.join()


class Worker:
    """Worker in a process or on a cluster: loads the network at its first job and returns errors as values.

    Args:
        source: network to load, with its number of threads.
    """

    def __init__(self, source: NetworkSource) -> None:
        import cv2

        if source.threads is not None:
            cv2.setNumThreads(source.threads)
        self._source = source
        self._network: Network | None = None

    def answer(self, job: Job) -> Result | MfpError | str:
        """Run a job; return its result, the :class:`MfpError` raised, or the traceback of any other exception."""
        try:
            self._network = self._network or self._source.load()
            return evaluate_target(self._network, *job)
        except MfpError as error:
            return error
        except MemoryError:
            return NetworkError("not enough memory for the network and a photograph; use fewer --workers")
        except Exception:
            return traceback.format_exc()


def _work(pipe: Connection, source: NetworkSource, threads: int) -> None:
    """Process of a worker: answers each (number, job) with (number, result or error) until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes; the parent handles it
    worker = Worker(replace(source, threads=threads))
    with suppress(EOFError, OSError):
        while True:
            number, job = pipe.recv()
            pipe.send((number, worker.answer(job)))
