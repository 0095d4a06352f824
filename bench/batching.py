"""Clicks of several people at once on one network, with micro-batching and without, in turn in one run.

    python -m mfp.bench.batching --output bench/results/NAME.json
    python -m mfp.bench.batching --device cuda:0 --users 1 4 16 64

Each person is a thread with a session. Without --pause the next click follows the reply at once: that is as many
people as the machine can be asked to serve, far more than click at human pace. The ways take turns, round by round, so
that what else the machine does meets all of them. Times are from the call of ``session.click`` to the mask.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.commands.arguments import add_network_options
from ..engine.errors import MfpError, OptionError
from ..engine.image import write_file
from ..engine.network import Network, load_network
from ..engine.session import Session
from ..serve.batching import MAX_BATCH, WINDOW_MS, BatchedNetwork
from .compare import seeded_clicks
from .machine import facts, gpu_facts, others_at_work
from .markdown import number, table
from .sources import photograph
from .statistics import summary

KIND, SCHEMA = "batching", 1
OBJECT = 5  # clicks on an object; then the next, so that first clicks have their share


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="lite0", metavar="FILE", help="default: lite0")
    add_network_options(parser)
    parser.add_argument("--users", type=int, nargs="+", default=[1, 2, 4, 8, 16], metavar="N", help="people at once")
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS", help="between reply and next click")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round (default 5)")
    parser.add_argument("--rounds", type=int, default=4, help="of each way (default 4)")
    parser.add_argument("--window", type=float, default=WINDOW_MS, metavar="MS", help=f"default {WINDOW_MS:g}")
    parser.add_argument("--max-batch", type=int, default=MAX_BATCH, metavar="ROWS", help=f"default {MAX_BATCH}")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    args = parser.parse_args(argv)
    try:
        if min(*args.users, args.rounds) < 1 or args.seconds <= 0 or args.pause < 0:
            raise OptionError("expected --users and --rounds from 1, --seconds above 0 and --pause from 0")
        record = measure(args, lambda line: print(line, file=sys.stderr, flush=True))
        print("\n".join(report(record)))
        if args.output:
            write_file(args.output, (json.dumps(record, allow_nan=False) + "\n").encode())
    except MfpError as error:
        print(f"batching: {error}", file=sys.stderr)
        return 1
    return 0


def measure(args: argparse.Namespace, told: Callable[[str], None]) -> dict[str, Any]:
    """All samples, with where they were taken."""

    def load(threads: int | None) -> Network:
        return load_network(args.network, args.runtime, args.device, threads, args.precision)

    plain = load(args.threads)
    ways = {"plain": plain, "batched": BatchedNetwork(plain, args.window, args.max_batch)}
    if plain.device == "cpu" and args.threads is None:
        ways["plain, 1 thread a pass"] = load(1)
    if busy := others_at_work():
        told(busy)
    record: dict[str, Any] = {
        "kind": KIND,
        "schema": SCHEMA,
        "machine": {**facts(), "gpu": gpu_facts(plain.device)},
        "settings": {
            "network": plain.info.backbone,
            "runtime": plain.runtime,
            "precision": plain.info.precision,
            "device": plain.device,
            "pause": args.pause,
            "seconds": args.seconds,
            "rounds": args.rounds,
            "window_ms": args.window,
            "max_batch": args.max_batch,
            "clicks_an_object": OBJECT,
        },
        "ways": [],
    }
    for users in args.users:
        found: dict[str, dict[str, Any]] = {
            name: {"way": name, "users": users, "ms": [], "seconds": 0.0, "passes_a_batch": None} for name in ways
        }
        for number_of_round in range(args.rounds):
            told(f"{users} user(s), round {number_of_round + 1} of {args.rounds}")
            for name, network in ways.items():
                _round(found[name], network, args)
        record["ways"] += found.values()
    return record


def _round(found: dict[str, Any], network: Network, args: argparse.Namespace) -> None:
    """Adds the clicks of some seconds on one way."""
    counted = isinstance(network, BatchedNetwork)
    before = (network.passes, network.batches) if isinstance(network, BatchedNetwork) else (0, 0)
    milliseconds, seconds = _clicks(network, found["users"], args.seconds, args.pause)
    found["ms"] += milliseconds
    found["seconds"] += seconds
    if counted and isinstance(network, BatchedNetwork):
        passes, batches = network.passes - before[0], network.batches - before[1]
        found["passes_a_batch"] = [*(found["passes_a_batch"] or []), passes / batches]


def _clicks(network: Network, users: int, seconds: float, pause: float) -> tuple[list[float], float]:
    """Milliseconds of every click, and seconds from the first to the end of the last."""
    image = photograph((480, 640))
    height, width = image.shape[:2]
    barrier = threading.Barrier(users + 1)
    milliseconds: list[list[float]] = [[] for _ in range(users)]
    failures: list[BaseException] = []
    end = math.inf

    def work(user: int) -> None:
        script = seeded_clicks(f"user {user}", height, width, OBJECT)
        try:
            with Session(network, image) as session:
                session.click(script[0].x, script[0].y)  # prepares what is prepared once
                barrier.wait()
                time.sleep(pause * user / users)  # people do not click in step
                while time.perf_counter() < end:
                    session.reset()
                    for click in script:
                        start = time.perf_counter()
                        session.click(click.x, click.y, click.positive)
                        milliseconds[user].append((time.perf_counter() - start) * 1e3)
                        time.sleep(pause)
        except BaseException as error:
            failures.append(error)
            barrier.abort()

    threads = [threading.Thread(target=work, args=(user,), daemon=True) for user in range(users)]
    for thread in threads:
        thread.start()
    try:
        barrier.wait()
    except threading.BrokenBarrierError:
        raise failures[0] from None
    start = time.perf_counter()
    end = start + seconds
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [ms for row in milliseconds for ms in row], time.perf_counter() - start


def report(record: dict[str, Any]) -> list[str]:
    """The table, in Markdown."""
    rows = []
    for found in record["ways"]:
        times = summary(found["ms"])
        together = found["passes_a_batch"]
        rows.append(
            [
                str(found["users"]),
                found["way"],
                number(times.p50),
                number(times.p95),
                number(len(found["ms"]) / found["seconds"]),
                number(float(np.mean(together)) if together else None),
                str(len(found["ms"])),
            ]
        )
    head: Sequence[str] = ("users", "way", "p50", "p95", "clicks/s", "passes a batch", "clicks")
    return table(head, rows, left=2)


if __name__ == "__main__":
    sys.exit(main())
