"""Evaluation over many objects on the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from ...engine.errors import MfpError, NetworkError, OptionError, RuntimeMissingError
from ...serve.cluster.connection import connected
from .run import Job, NetworkSource, Result, Worker

RESTARTS = 3  # restarts of a worker whose machine or process ends; its job runs again


def evaluate_on_ray(
    jobs: Sequence[Job], source: NetworkSource, workers: int | None = None, address: str = ""
) -> Generator[tuple[int, Result], None, None]:
    """Run jobs on a cluster, each as soon as a worker is free.

    All machines must have this package installed, and find the network's file and the data set at the same paths.
    Masks and clicks equal those of a run without the cluster to the bit, where runtime, device and processors are the
    same.

    Args:
        jobs: objects with their conditions.
        source: network, with runtime and device named; each worker loads it. A worker takes as many of the cluster's
            CPUs as ``source`` has threads (None: one), and with a network on CUDA a whole GPU.
        workers: number of workers; None: as many as the cluster has room for.
        address: address of the cluster, see :func:`~mfp.serve.cluster.connection.connected`.

    Yields:
        The index of a job and its result, in the order in which jobs finish. Leaving the loop ends the workers.

    Raises:
        OptionError: fewer than 1 worker.
        RuntimeMissingError: Ray is not installed, or the cluster does not exist or has no room.
        MfpError: error of the job that failed; results yielded before it stay valid.
    """
    if workers is not None and workers < 1:
        raise OptionError(f"expected at least 1 worker, got {workers}")
    if not jobs:
        return
    source = replace(source, file=source.file.absolute(), threads=source.threads or 1)
    needs = {"CPU": float(source.threads or 1), "GPU": float(source.device.startswith("cuda"))}
    with connected(address) as cluster:
        ray = cluster.ray
        room = _room(ray.cluster_resources(), needs)
        if room < 1:
            raise RuntimeMissingError(
                f"expected a Ray cluster with {_text(needs)} for a worker, it has {_text(ray.cluster_resources())}: "
                "add machines, or ask for fewer --threads"
            )
        count = min(workers or room, room, len(jobs))
        remote = ray.remote(
            num_cpus=needs["CPU"], num_gpus=needs["GPU"], max_restarts=RESTARTS, max_task_retries=RESTARTS
        )(Worker)
        actors = [remote.remote(source) for _ in range(count)]
        try:
            yield from _spread(ray, actors, jobs)
        finally:
            for actor in actors:
                ray.kill(actor)


def _spread(ray: Any, actors: Sequence[Any], jobs: Sequence[Job]) -> Generator[tuple[int, Result], None, None]:
    waiting = iter(enumerate(jobs))
    running: dict[Any, tuple[int, Any]] = {}

    def start(actor: Any) -> None:
        following = next(waiting, None)
        if following is not None:
            number, (target, conditions) = following
            target = replace(target, photograph=target.photograph.absolute(), mask=target.mask.absolute())
            running[actor.answer.remote((target, conditions))] = number, actor

    for actor in actors:
        start(actor)
    while running:
        (done,), _ = ray.wait(list(running), num_returns=1)
        number, actor = running.pop(done)
        try:
            outcome = ray.get(done)
        except ray.exceptions.RayActorError as error:
            raise NetworkError(
                f"a worker ended {RESTARTS + 1} times without a word, for lack of memory perhaps ({error}); "
                "try again with fewer --workers"
            ) from None
        if isinstance(outcome, MfpError):
            raise outcome
        if isinstance(outcome, str):
            raise RuntimeError(f"a worker failed:\n{outcome}")
        start(actor)
        yield number, replace(outcome, workers=len(actors))


def _room(resources: dict[str, float], needs: dict[str, float]) -> int:
    """Largest number of workers that fit into the resources."""
    return int(min(resources.get(kind, 0.0) // need for kind, need in needs.items() if need))


def _text(resources: dict[str, float]) -> str:
    return " and ".join(f"{resources.get(kind, 0):g} {kind}(s)" for kind in ("CPU", "GPU"))
