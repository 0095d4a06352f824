"""Benchmark of micro-batching: clicks of several users at once on one network, with and without it, in one run.

    python -m mfp.bench.serving.batching --output bench/results/NAME.json
    python -m mfp.bench.serving.batching --device cuda:0 --users 1 4 16 64

Each user is a thread with a session. Without --pause the next click follows the reply at once, which is a far higher
load than the same number of users at human pace. The variants take turns, round by round, so that noise on the machine
affects all of them equally. Times are from the call of ``session.click`` to the mask.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.errors import OptionError
from ...engine.image import write_file
from ...engine.network import Network, load_network
from ...engine.session import Session
from ...engine.terminal.arguments import add_network_options, writable
from ...engine.terminal.guard import guarded
from ...serve.sessions.batching import MAX_BATCH, WINDOW_MS, BatchedNetwork
from ..machine import facts, gpu_facts, others_at_work
from ..markdown import number, table
from ..samples import summary
from ..workload import photograph, seeded_clicks

KIND, SCHEMA = "batching", 1
PHOTOGRAPH = (480, 640)
OBJECT = 5  # clicks per object; then the next object begins, so that first clicks are included


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
    return guarded("batching", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.output:
        writable(args.output.parent)
    if min(*args.users, args.rounds) < 1 or args.seconds <= 0 or args.pause < 0:
        raise OptionError("expected --users and --rounds from 1, --seconds above 0 and --pause from 0")
    record = measure(args, lambda line: print(line, file=sys.stderr, flush=True))
    if args.output:
        write_file(args.output, (json.dumps(record, allow_nan=False) + "\n").encode())
    print("\n".join(report(record)))
    return 0


def measure(args: argparse.Namespace, told: Callable[[str], None]) -> dict[str, Any]:
    """Measure all variants; the record has all samples, settings and the machine."""

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
    people = {name: [_User(network, number) for number in range(max(args.users))] for name, network in ways.items()}
    for users in args.users:
        found: dict[str, dict[str, Any]] = {
            name: {"way": name, "users": users, "ms": [], "seconds": 0.0, "passes_a_batch": None} for name in ways
        }
        for number_of_round in range(args.rounds):
            told(f"{users} user(s), round {number_of_round + 1} of {args.rounds}")
            for name, network in ways.items():
                counts = network if isinstance(network, BatchedNetwork) else None
                before = (counts.passes, counts.batches) if counts else (0, 0)
                milliseconds, seconds = _together(people[name][:users], args.seconds, args.pause)
                found[name]["ms"] += milliseconds
                found[name]["seconds"] += seconds
                if counts:
                    ratio = (counts.passes - before[0]) / (counts.batches - before[1])
                    found[name]["passes_a_batch"] = [*(found[name]["passes_a_batch"] or []), ratio]
        record["ways"] += found.values()
    return record


class _User:
    """A user who clicks on one object after another."""

    def __init__(self, network: Network, number: int) -> None:
        height, width = PHOTOGRAPH
        self._script = seeded_clicks(f"user {number}", height, width, OBJECT)
        self._session = Session(network, photograph(PHOTOGRAPH))
        self._next = 0
        self.click()  # warm-up: one-time preparations

    def click(self) -> float:
        """Make the next click; return its milliseconds."""
        if self._next == OBJECT:
            self._session.reset()
            self._next = 0
        click = self._script[self._next]
        start = time.perf_counter()
        self._session.click(click.x, click.y, click.positive)
        self._next += 1
        return (time.perf_counter() - start) * 1e3


def _together(users: Sequence[_User], seconds: float, pause: float) -> tuple[list[float], float]:
    """Let all users click for ``seconds``; return milliseconds of every click, and seconds until the last one ended."""
    milliseconds: list[list[float]] = [[] for _ in users]
    failures: list[BaseException] = []
    begun = time.perf_counter()

    def work(number: int) -> None:
        try:
            time.sleep(pause * number / len(users))  # users do not click in step
            while time.perf_counter() < begun + seconds:
                milliseconds[number].append(users[number].click())
                time.sleep(pause)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(users))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [ms for row in milliseconds for ms in row], time.perf_counter() - begun


def report(record: dict[str, Any]) -> list[str]:
    """Lines of the table in Markdown."""
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
