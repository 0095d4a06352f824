"""`mfp serve --ray`: the same server on the machines of a Ray cluster."""

from __future__ import annotations

import argparse
import logging
import re
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..engine.errors import OptionError, RuntimeMissingError
from ..engine.requirements import one_line
from ..serve.settings import Limits, Settings, url_of
from ..serve.stores import home_path


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--ray`` and the options that apply only with it."""
    cluster = parser.add_argument_group("cluster (docs/cluster.md)")
    cluster.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="serve on a Ray cluster, whose machines have the network's files and reach the store; without an address "
        "the one that runs here, or a new one of this machine alone. Given again, it replaces what runs there",
    )
    cluster.add_argument(
        "--replicas",
        type=_replicas,
        default=(1, 1),
        metavar="N|MIN-MAX",
        help="processes that hold networks and sessions; as many as the clicks need from MIN to MAX; default: 1",
    )
    cluster.add_argument(
        "--replica-cpus", type=_share, default=1.0, metavar="CPUS", help="of each; fractions are allowed; default: 1"
    )
    cluster.add_argument(
        "--replica-gpus", type=_share, default=0.0, metavar="GPUS", help="of each; 0.25: four share one; default: 0"
    )


def run_on_ray(
    args: argparse.Namespace, settings: Settings, limits: Limits, sources: Sequence[str], batching: bool | None
) -> int:
    """Serve on a cluster; if the cluster was already running, return and leave the server running on it.

    On a cluster that this call starts, it serves until SIGINT or SIGTERM and returns exit code 0.

    Raises:
        RuntimeMissingError: Ray is missing, no cluster is available, or the cluster cannot start the server.
        OptionError: an option is out of its range, or only one of several machines can reach the store.
    """
    from ..serve.cluster.connection import connected
    from ..serve.stores import default_store

    store = args.store or default_store()
    with connected(args.ray) as cluster:
        machines = sum(node["Alive"] for node in cluster.ray.nodes())
        if store.startswith("sqlite:") and machines > 1:
            raise OptionError(
                f"expected a store that all {machines} machines reach, got {store}: name one with --store "
                "redis://HOST:PORT/DB"
            )
        from pydantic import ValidationError
        from ray import serve

        from ..serve.cluster.app import NAME, application
        from ..serve.cluster.settings import ClusterSettings

        try:
            wanted = ClusterSettings(
                store=_absolute_store(store),
                networks=[_absolute(source) for source in sources],
                runtime=args.runtime,
                device=args.device,
                precision=args.precision,
                threads=args.threads,
                min_replicas=args.replicas[0],
                max_replicas=args.replicas[1],
                cpus=args.replica_cpus,
                gpus=args.replica_gpus,
                workers=args.workers or 1,
                batching=batching,
                limits=asdict(limits),
                http=asdict(settings),
            )
        except ValidationError as error:
            raise OptionError(f"expected other options: {one_line(error)}") from None
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        serve.start(http_options={"host": args.host, "port": args.port}, logging_config={"log_level": "WARNING"})
        try:
            serve.run(application(wanted), name=NAME, route_prefix="/")
        except RuntimeError as error:
            raise RuntimeMissingError(
                f"the cluster could not start the server: {one_line(error)}. Ray's logs say why; "
                "the command `serve status` tells how far it came"
            ) from error
        print(f"serving at {url_of(args.host, args.port)}", file=sys.stderr)
        if cluster.ours:
            over = threading.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: over.set())
            over.wait()
            serve.shutdown()
    return 0


def _absolute(source: str) -> str:
    """A network's name unchanged; a file's absolute path, since each replica works in its own folder."""
    path, at, runtime = source.rpartition("@")
    for file, rest in ((source, ""), (path, at + runtime)):
        if file and Path(file).is_file():
            return str(Path(file).absolute()) + rest
    return source


def _absolute_store(url: str) -> str:
    kind, separator, rest = url.partition(":///")
    return f"{kind}:///{home_path(rest).absolute()}" if separator and kind == "sqlite" and rest else url


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 10_000:
        raise argparse.ArgumentTypeError(f"expected a number from 0, got {text!r}")
    return share


def _replicas(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= least <= most:
        raise argparse.ArgumentTypeError(f"expected a number from 1, or two of them like 1-4, got {text!r}")
    return least, most
