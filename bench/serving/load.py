"""Load test of `mfp serve`: annotators at human pace, and many sessions opened and closed.

    python -m mfp.bench.serving.load --output bench/results/NAME.json
    python -m mfp.bench.serving.load --users 50 -- --workers 2 --threads 1      # options after -- go to mfp serve

Each annotator has a session and a WebSocket, as the page has. A click is sent two seconds after the previous one, or
when the previous mask has arrived if that is later. Five clicks make an object. Times are measured by the client, from
sending a click to receiving its mask; they include server, queue, network and run-length encoding.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...engine.errors import MfpError, OptionError
from ...engine.image import write_file
from ...engine.sample import PATH
from ...engine.terminal.arguments import writable
from ...engine.terminal.guard import guarded
from ...serve.sessions.malloc_trim import PAUSE
from ...serve.settings import API
from ..machine import facts, others_at_work
from ..markdown import number, table
from ..samples import summary

KIND, SCHEMA = "serve_load", 1
PACE = 2.0  # seconds between the clicks of one annotator
CLICKS = 5  # clicks per object
WARM_UP = 50  # sessions before memory is measured
CLICKED = 10  # every 10th session in the memory test also receives a click
REST = 2 * PAUSE  # seconds until free memory is returned to the system
SLOW = 250.0  # ms; a faster click feels immediate


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=_numbers, default=[1, 2, 5, 10, 20, 50], metavar="N,N", help="at the same time")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each number of users (default 40)")
    parser.add_argument("--sessions", type=int, default=1000, help="opened and closed; 0: none (default 1000)")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    parser.add_argument("flags", nargs="*", help="for mfp serve, after --")
    args = parser.parse_args(argv)
    return guarded("serve_load", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.output:
        writable(args.output.parent)
    if args.seconds <= PACE or args.sessions < 0:
        raise OptionError(f"expected --seconds above {PACE:g} and --sessions from 0")
    if busy := others_at_work():
        print(busy, file=sys.stderr)
    record: dict[str, Any] = {"kind": KIND, "schema": SCHEMA, "machine": facts(), "flags": args.flags}
    record |= {"pace": PACE, "clicks_of_an_object": CLICKS, "loads": [], "memory": None}
    with server(args.flags) as address:
        for flip in (True, False):
            for users in args.users:
                record["loads"].append(load(address, users, args.seconds, flip))
                print(_line(record["loads"][-1]), file=sys.stderr)
    if args.sessions:
        with server(args.flags) as address:
            record["memory"] = memory(address, args.sessions)
    if args.output:
        write_file(args.output, (json.dumps(record, allow_nan=False) + "\n").encode())
    print("\n".join(report(record)))
    return 0


@contextmanager
def server(flags: Sequence[str]) -> Iterator[str]:
    """Run `mfp serve` on a new store and a free port; yields its ``host:port``."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        store = ["--store", f"sqlite:///{folder}/sessions.sqlite", "--port", "0", "--rate", "0", "--log-format", "json"]
        with log.open("w") as stream:
            process = subprocess.Popen([sys.executable, "-m", "mfp.cli.main", "serve", *store, *flags], stderr=stream)
        try:
            while True:
                found = re.search(r'"url": "http://([^"]+)"', log.read_text())
                if found:
                    break
                if process.poll() is not None:
                    raise MfpError(f"mfp serve ended: {log.read_text().strip()}")
                time.sleep(0.05)
            yield found.group(1)
        finally:
            process.terminate()
            process.wait()


class Annotator(threading.Thread):
    """One user.

    Attributes:
        clicks: for each click, milliseconds until its mask, whether it was an object's first, and the server's stages.
        errors: texts of the errors.
    """

    def __init__(self, address: str, seed: int, begin: float, end: float, flip: bool) -> None:
        super().__init__(daemon=True)
        self._address, self._random, self._begin, self._end = address, random.Random(seed), begin, end
        self._id, self._height, self._width = open_session(address, flip)
        self.clicks: list[dict[str, Any]] = []
        self.errors: list[str] = []

    def run(self) -> None:
        from websockets.sync.client import connect

        due = self._begin + self._random.uniform(0, PACE)  # users do not click in step
        try:
            with connect(f"ws://{self._address}{API}/sessions/{self._id}/ws", max_size=None) as socket:
                socket.recv()
                while due < self._end:
                    time.sleep(max(due - time.perf_counter(), 0))
                    sent = time.perf_counter()
                    first = len(self.clicks) % CLICKS == 0
                    if first and self.clicks:
                        _ask(socket, {"type": "finish"})
                    x, y = self._random.uniform(0, self._width - 1), self._random.uniform(0, self._height - 1)
                    asked = time.perf_counter()
                    reply = _ask(
                        socket, {"type": "click", "x": x, "y": y, "positive": first or self._random.random() < 0.7}
                    )
                    took = (time.perf_counter() - asked) * 1e3
                    stages = {stage: round(value, 3) for stage, value in reply["timing"].items()}
                    self.clicks.append({"ms": round(took, 3), "first": first, "timing": stages})
                    due = max(sent + PACE, time.perf_counter())
        except Exception as error:  # every error is counted
            self.errors.append(f"{type(error).__name__}: {error}")


def load(address: str, users: int, seconds: float, flip: bool) -> dict[str, Any]:
    """Run ``users`` annotators for ``seconds``; return the time of every click, and errors."""
    begin = time.perf_counter() + 0.1 * users  # time to open the sessions
    annotators = [Annotator(address, seed, begin, begin + seconds, flip) for seed in range(users)]
    for annotator in annotators:
        annotator.start()
    for annotator in annotators:
        annotator.join()
    took = max(time.perf_counter() - begin, seconds)
    for annotator in annotators:
        _request(address, "DELETE", f"/sessions/{annotator._id}")
    clicks = [click for annotator in annotators for click in annotator.clicks]
    errors = [error for annotator in annotators for error in annotator.errors]
    return {"users": users, "flip": flip, "seconds": took, "clicks": clicks, "errors": errors}


def memory(address: str, sessions: int) -> dict[str, Any]:
    """Resident bytes of the warm server: before, with ``sessions`` sessions open at once, and after all are closed."""

    def open_and_close(count: int) -> int:
        ids = []
        for index in range(count):
            id, _, _ = open_session(address, flip=True)
            if index % CLICKED == 0:
                _request(address, "POST", f"/sessions/{id}/clicks", json.dumps({"x": 100, "y": 200}).encode())
            ids.append(id)
        most = resident(address)
        for id in ids:
            _request(address, "DELETE", f"/sessions/{id}")
        return most

    open_and_close(WARM_UP)
    time.sleep(REST)
    before = resident(address)
    most = open_and_close(sessions)
    time.sleep(REST)
    return {"sessions": sessions, "before": before, "open": most, "after": resident(address)}


def resident(address: str) -> int:
    """Resident bytes of the server, as its metrics report them."""
    text = _request(address, "GET", "/metrics", root="").decode()
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    if found is None:
        raise MfpError("the server's metrics do not tell its memory: they do on Linux")
    return int(float(found.group(1)))


def open_session(address: str, flip: bool) -> tuple[str, int, int]:
    """Open a session on the packaged photograph; return its id, and the photograph's height and width in pixels."""
    answer = json.loads(_request(address, "POST", f"/sessions?flip={flip}".lower(), PATH.read_bytes()))
    return answer["id"], answer["height"], answer["width"]


def _request(address: str, method: str, path: str, body: bytes | None = None, root: str = API) -> bytes:
    parts = urlsplit(f"//{address}")
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    try:
        connection.request(method, root + path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise MfpError(f"{method} {path} was answered with {answer.status}: {text[:200]!r}")
    return text


def _ask(socket: Any, message: dict[str, Any]) -> dict[str, Any]:
    socket.send(json.dumps(message))
    answer: dict[str, Any] = json.loads(socket.recv())
    if answer["type"] != "reply":
        raise MfpError(f"{message} was answered with {answer}")
    return answer


def report(record: dict[str, Any]) -> list[str]:
    """Lines of the record in Markdown."""
    head = ["users", "mirrored pass", "clicks a second", "p50", "p95", "p99", "slowest", "in the queue, p95", "errors"]
    rows = []
    for one in record["loads"]:
        times = [click["ms"] for click in one["clicks"]]
        found, wait = summary(times), summary([click["timing"]["wait"] for click in one["clicks"]])
        cells = [len(times) / one["seconds"], found.p50, found.p95, found.p99, max(times), wait.p95]
        rows.append([str(one["users"]), "yes" if one["flip"] else "no", *map(number, cells), str(len(one["errors"]))])
    lines = table(head, rows, left=2)
    lines += [
        "",
        "Milliseconds from sending a click to having its mask; first clicks take two passes and are among them.",
    ]
    for flip, way in ((True, "with the mirrored pass"), (False, "without it")):
        good = [one for one in record["loads"] if one["flip"] == flip and _p95(one) < SLOW]
        best = max((len(one["clicks"]) / one["seconds"] for one in good), default=None)
        users = max((one["users"] for one in good), default=0)
        lines.append(f"- p95 below {SLOW:g} ms, {way}: up to {users} users, {number(best)} clicks a second.")
    if record["memory"]:
        found, grown = record["memory"], record["memory"]["after"] / record["memory"]["before"] - 1
        sizes = (f"{found[name] / 1e6:.0f} MB" for name in ("before", "open", "after"))
        lines.append(
            "- {} sessions: {} before, {} with all open, {} after; {:+.1%}.".format(found["sessions"], *sizes, grown)
        )
    return lines


def _line(one: dict[str, Any]) -> str:
    clicks = f"{len(one['clicks'])} clicks, p95 {_p95(one):.0f} ms"
    return f"{one['users']} users, flip {one['flip']}: {clicks}, errors {one['errors'][:2]}"


def _p95(one: dict[str, Any]) -> float:
    return summary([click["ms"] for click in one["clicks"]]).p95


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError
    return numbers


if __name__ == "__main__":
    sys.exit(main())
