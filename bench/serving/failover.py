"""Crash test of a server on Ray: while users click, one replica is killed, then all are replaced; waits and losses.

    redis-server --port 6399 --appendonly yes --appendfsync always &
    python -m mfp.bench.serving.failover --store redis://127.0.0.1:6399/0 --output bench/results/NAME.json

Ray runs on this machine, with two replicas whatever the number of cores. Afterwards the log of each session is checked
against the events that its client had acknowledged, and its last mask against that of the same clicks without a server.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...engine.errors import MfpError, OptionError
from ...engine.image import write_file
from ...engine.terminal.arguments import writable
from ...engine.terminal.guard import guarded
from ...serve.cluster.connection import connected
from ...serve.cluster.settings import ClusterSettings
from ...serve.sessions.manager import Sessions
from ...serve.stores import open_store
from ..machine import facts, others_at_work
from ..markdown import number, table
from ..samples import summary
from .clients import Client, clicking

KIND, SCHEMA = "serve_ray", 1
REPLICA = b"ray::ServeReplica:mfp:SessionReplica"  # Ray's title for the processes of replicas


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, metavar="URL", help="redis://HOST:PORT/DB")
    parser.add_argument("--clients", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument("--pause", type=float, default=2.0, metavar="SECONDS", help="between events (default 2)")
    parser.add_argument("--seconds", type=float, default=30.0, help="before and after each blow (default 30)")
    parser.add_argument("--replicas", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    args = parser.parse_args(argv)
    return guarded("serve_ray", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.output:
        writable(args.output.parent)
    if min(args.clients, args.replicas) < 1 or args.seconds <= 0 or args.pause < 0:
        raise OptionError("expected --clients and --replicas from 1, --seconds above 0 and --pause from 0")
    if busy := others_at_work():
        print(busy, file=sys.stderr)
    settings = ClusterSettings(store=args.store, device="cpu", min_replicas=args.replicas)
    with server(settings) as (port, update):
        record = measure(settings, port, update, args.clients, args.pause, args.seconds)
    record = {"kind": KIND, "schema": SCHEMA, "machine": facts(), **record}
    if args.output:
        write_file(args.output, (json.dumps(record, allow_nan=False) + "\n").encode())
    print("\n".join(report(record)))
    return 0


@contextmanager
def server(settings: ClusterSettings) -> Iterator[tuple[int, Callable[[ClusterSettings], None]]]:
    """Run the server on a Ray of this machine; yields its port and a function that replaces all replicas.

    The function takes the settings of the new replicas. Ray is given as many cores as the replicas need, and one more.
    """
    with connected("local", cpus=settings.max_replicas * settings.cpus + 1):
        from ray import serve

        from ...serve.cluster.app import NAME, application

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]

        def run(settings: ClusterSettings) -> None:
            serve.run(application(settings), name=NAME, route_prefix="/")

        serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"log_level": "WARNING"})
        try:
            run(settings)
            yield port, run
        finally:
            serve.shutdown()


def measure(
    settings: ClusterSettings,
    port: int,
    update: Callable[[ClusterSettings], None],
    clients: int,
    pause: float,
    seconds: float,
) -> dict[str, Any]:
    """Let users click, kill a replica, replace all replicas, and check the logs against the acknowledged events.

    Args:
        settings, port, update: settings, port and update function of the :func:`server`.
        clients: number of users at once.
        pause: seconds between an answer and a client's next event.
        seconds: duration of each phase: undisturbed, one replica killed, all replaced.

    Raises:
        MfpError: a client was rejected, or an acknowledged event is lost.
    """
    people = [Client("127.0.0.1", port, number, pause) for number in range(clients)]
    for person in people:
        person.open()
    marks: dict[str, tuple[float, float]] = {}
    with clicking(people):
        begun = time.perf_counter()
        time.sleep(seconds)
        marks["undisturbed"] = begun, time.perf_counter()
        killed = replicas()[0]
        begun = time.perf_counter()
        os.kill(killed, signal.SIGKILL)
        time.sleep(seconds)
        marks["one replica killed"] = begun, time.perf_counter()
        before = set(replicas())
        begun = time.perf_counter()
        # The changed setting affects no mask; Ray replaces replicas one after another.
        update(settings.model_copy(update={"limits": {**settings.limits, "waiting": 31}}))
        time.sleep(seconds)
        marks["all replicas replaced"] = begun, time.perf_counter()
        stayed = before & set(replicas())
    if stayed:
        raise MfpError(f"expected all replicas to be replaced, {len(stayed)} of {len(before)} are those of before")
    phases = []
    for name, (begun, ended) in marks.items():
        taken = [event for person in people for event in person.taken if begun <= event.at < ended]
        phases.append({"phase": name, "seconds": ended - begun, "ms": [event.ms for event in taken]})
    return {
        "settings": {
            **settings.model_dump(exclude={"store"}),
            "clients": clients,
            "pause": pause,
            "seconds": seconds,
        },
        "phases": phases,
        "troubles": {str(status): count for status, count in sum((p.troubles for p in people), Counter()).items()},
        **check(settings, people),
    }


def check(settings: ClusterSettings, people: Sequence[Client]) -> dict[str, int]:
    """Check each log against its client's acknowledged events, and its last mask against one computed from the log.

    Raises:
        MfpError: the log or the mask differs.
    """
    from ...serve.sessions.networks import load_networks

    networks = load_networks(settings.networks, settings.runtime, settings.threads, device=settings.device)
    store = open_store(settings.store)
    sessions = Sessions(networks, store)
    masks = 0
    try:
        for person in people:
            kept = [(e.kind, e.x, e.y, e.positive) for e in store.events(person.id)]
            told = [(one.event.kind, one.event.x, one.event.y, one.event.positive) for one in person.taken]
            if kept != told:
                raise MfpError(f"client {person.number} was told of {len(told)} events, the log has others: {kept}")
            if person.taken:
                rebuilt = sessions.state(person.id).objects[-1].rle.counts
                if rebuilt != person.taken[-1].counts:
                    raise MfpError(f"client {person.number}: the mask of its log is not the one that it was sent")
                masks += 1
    finally:
        sessions.close()
    return {"acknowledged": sum(len(p.taken) for p in people), "lost": 0, "masks_compared": masks}


def replicas() -> list[int]:
    """Process ids of the replicas of this process's cluster; needs Linux's /proc."""
    return sorted(pid for pid, name in below(os.getpid()).items() if name.startswith(REPLICA))


def below(ancestor: int) -> dict[int, bytes]:
    """Command lines of all descendants of a process, by process id."""
    parents: dict[int, int] = {}
    names: dict[int, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid = int(folder.name)
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[pid] = (folder / "cmdline").read_bytes()
        except OSError:  # the process has ended meanwhile
            continue

    def isbelow(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == ancestor:
                return True
        return False

    return {pid: name for pid, name in names.items() if isbelow(pid)}


def report(record: dict[str, Any]) -> list[str]:
    """Lines of the table in Markdown, and a sentence."""
    rows = []
    for phase in record["phases"]:
        times = summary(phase["ms"])
        rows.append(
            [
                phase["phase"],
                str(len(phase["ms"])),
                number(times.p50),
                number(times.p95),
                number(max(phase["ms"])),
            ]
        )
    troubles = ", ".join(f"{status}: {count}" for status, count in record["troubles"].items()) or "none"
    return [
        *table(("phase", "events", "p50", "p95", "longest"), rows),
        "",
        f"Milliseconds until an event was acknowledged, further attempts included. {record['acknowledged']} were, "
        f"{record['lost']} of them lost; {record['masks_compared']} masks equal. Attempts that failed, by status "
        f"(0: none of ours): {troubles}.",
    ]


if __name__ == "__main__":
    sys.exit(main())
