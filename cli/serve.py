"""Serve a page for clicking, and an API, to this machine or to others.

    mfp serve                                  # then open http://127.0.0.1:8700

docs/serving.md explains the API by example, limits, security, and which data survive a crash.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
import signal
import sys

from ..engine.errors import OptionError, RuntimeMissingError
from ..engine.packaged import DEFAULT
from ..engine.terminal.arguments import add_network_options
from ..serve.http.logs import FORMATS
from ..serve.settings import CORES_PER_WORKER, LOOPBACK, Limits, Settings, cores
from .serve_adapters import add_tool_options, source_of
from .serve_ray import add_ray_options

BATCHING = {"auto": None, "on": True, "off": False}
TOKEN = re.compile(r"[A-Za-z0-9._~+-]{8,}")  # characters that a header and a WebSocket's subprotocol both allow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    limits, settings = Limits(), Settings()
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; default: 127.0.0.1, this machine alone"
    )
    parser.add_argument("--port", type=_port, default=8700, help="default: 8700; 0: any that is free")
    parser.add_argument(
        "--network",
        action="append",
        metavar="NETWORK[@RUNTIME]",
        help=f"{DEFAULT} (default), or an .onnx, .plan or .pth file; repeat for more, the first is the default",
    )
    add_network_options(parser)
    add_tool_options(parser)
    parser.add_argument(
        "--workers",
        type=_whole,
        help="clicks worked on side by side; the cores are divided among them unless --threads says otherwise. "
        f"Default: one for {CORES_PER_WORKER} cores, at least one",
    )
    parser.add_argument(
        "--batching",
        choices=("auto", "on", "off"),
        default="auto",
        help="clicks of several sessions that arrive together in one network pass; auto (default): with networks on a "
        "GPU whose sessions are on the host (docs/cluster.md)",
    )
    keeping = parser.add_argument_group("sessions")
    keeping.add_argument(
        "--store",
        metavar="URL",
        help="where they are kept: sqlite:///FILE (default: a file in ~/.local/share), redis://…",
    )
    keeping.add_argument(
        "--keep",
        type=_number,
        default=settings.keep_days,
        metavar="DAYS",
        help="of a running server, without use; 0: for ever; default: %(default)g",
    )
    keeping.add_argument(
        "--max-sessions", type=_whole, default=limits.sessions, help="in the store; default: %(default)s"
    )
    keeping.add_argument(
        "--memory",
        type=_number,
        default=limits.memory / 1e9,
        metavar="GB",
        help="of those in memory; default: %(default)g",
    )
    requests = parser.add_argument_group("requests")
    requests.add_argument("--max-image-pixels", type=_whole, default=limits.image_pixels, help="default: %(default)s")
    requests.add_argument(
        "--max-request-bytes", type=_whole, default=settings.request_bytes, help="default: %(default)s"
    )
    requests.add_argument(
        "--rate",
        type=_number,
        help="a second of one address, 0: any number; default: any number, 100 of them with wrong tokens or ids",
    )
    requests.add_argument(
        "--token",
        help="that clients must bring; better in the environment variable MFP_TOKEN, which other users cannot see",
    )
    requests.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME[:PORT]",
        help="a name that requests may give for this server, beside localhost; repeat for more. For use behind a proxy",
    )
    requests.add_argument(
        "--trust-proxy",
        action="append",
        type=_network,
        default=[],
        metavar="ADDRESS",
        help="of a proxy, or a network as 10.0.0.0/8, whose X-Forwarded-For is believed; may be repeated",
    )
    add_ray_options(parser)
    parser.add_argument("--log-format", choices=FORMATS, default="text", help="of the lines on stderr; default: text")


def run(args: argparse.Namespace) -> int:
    settings = _settings(args)
    # OpenCV's own limit, a second check after the server's check of an image's header.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(args.max_image_pixels))
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # it logs every damaged file; so does the server
    limits = Limits(image_pixels=args.max_image_pixels, sessions=args.max_sessions, memory=int(args.memory * 1e9))
    try:
        from ..serve.adapters import mounting
        from ..serve.http.app import create_app
        from ..serve.http.server import Server, check_address
    except ImportError as error:
        raise RuntimeMissingError(
            f"serving needs {error.name}, which is not installed; install it with: pip install 'mfp-engine[serve]'"
        ) from None
    from ..serve.sessions.batching import MAX_BATCH, BatchedNetwork, batched
    from ..serve.sessions.networks import load_networks
    from ..serve.sessions.service import LocalService
    from ..serve.stores import default_store, open_store

    if not settings.token and args.host not in LOOPBACK:
        print(
            f"mfp serve: WARNING: whoever reaches {args.host} can use this server: set MFP_TOKEN, or leave --host out",
            file=sys.stderr,
        )
    sources = args.network or [DEFAULT]
    if args.ray is not None:
        from .serve_ray import run_on_ray

        return run_on_ray(args, settings, limits, sources, BATCHING[args.batching])
    check_address(args.host, args.port)
    workers = args.workers or max(cores() // CORES_PER_WORKER, 1)
    networks = load_networks(sources, args.runtime, args.threads, workers, device=args.device, precision=args.precision)
    networks = {name: batched(network, BATCHING[args.batching]) for name, network in networks.items()}
    if args.workers is None and any(isinstance(network, BatchedNetwork) for network in networks.values()):
        workers = max(workers, MAX_BATCH // 2)  # calls share a batch only if they run at the same time
    store = open_store(args.store or default_store())
    service = LocalService(networks, store, limits, workers)
    app = create_app(service, settings, mounting.routers(networks, limits, source_of(args), service))
    server = Server(app, args.host, args.port, args.log_format)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn raises it again after closing: a normal end
    server.run()
    return 0 if server.started else 1


def _settings(args: argparse.Namespace) -> Settings:
    token = args.token if args.token is not None else os.environ.get("MFP_TOKEN", "")
    if token and not TOKEN.fullmatch(token):
        raise OptionError(
            f"expected a token of 8 or more characters of A–Z a–z 0–9 . _ ~ + -, got {len(token)} characters; "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    # A server for other machines cannot know its own names, so it accepts any Host unless some are given; its
    # protection is the token.
    hosts = (*LOOPBACK, *args.allow_host) if args.host in LOOPBACK or args.allow_host else ()
    return Settings(
        token=token,
        hosts=hosts,
        request_bytes=args.max_request_bytes,
        rate=args.rate,
        keep_days=args.keep,
        proxies=tuple(args.trust_proxy),
    )


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 15 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r:.50}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > 15 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r:.50}")
    return int(text)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an address, or a network as 10.0.0.0/8, got {text!r}") from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e15:
        raise argparse.ArgumentTypeError(f"expected a number from 0, got {text!r}")
    return number
