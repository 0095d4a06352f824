"""Serve a page to click on, and an API, to this machine or to others.

    mfp serve                                  # then open http://127.0.0.1:8700

docs/serving.md: the API by example, limits, security, what survives a crash.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..engine.commands.arguments import add_network_options
from ..engine.errors import RuntimeMissingError, StoreError
from ..engine.packaged import DEFAULT
from .settings import Limits, Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    limits, settings = Limits(), Settings()
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; default: this machine alone")
    parser.add_argument("--port", type=int, default=8700, help="default: 8700; 0: any that is free")
    parser.add_argument(
        "--network",
        action="append",
        metavar="NETWORK[@RUNTIME]",
        help=f"{DEFAULT} (default), or an .onnx, .plan or .pth file; repeat for more, the first is the default",
    )
    parser.add_argument(
        "--store", metavar="URL", help="where sessions are kept: sqlite:///FILE or redis://HOST:PORT/DB"
    )
    parser.add_argument("--token", default="", help="that clients must bring; default: environment variable MFP_TOKEN")
    parser.add_argument("--workers", type=int, help="clicks that are worked on side by side")
    parser.add_argument(
        "--max-image-pixels", type=int, default=limits.image_pixels, help=f"default: {limits.image_pixels:,}"
    )
    parser.add_argument("--max-sessions", type=int, default=limits.sessions, help=f"default: {limits.sessions:,}")
    parser.add_argument(
        "--max-request-bytes", type=int, default=settings.request_bytes, help=f"default: {settings.request_bytes:,}"
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=settings.rate,
        help=f"requests a second of one client, 0: any; default: {settings.rate:g}",
    )
    add_network_options(parser)


def run(args: argparse.Namespace) -> int:
    try:
        import uvicorn

        from .app import create_app
    except ImportError as error:
        raise RuntimeMissingError(
            f"serving needs {error.name}, which is not installed; install it with: pip install 'mfp-engine[serve]'"
        ) from None
    # What OpenCV refuses by itself, behind our own look at the header.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(args.max_image_pixels))
    from .networks import load_networks
    from .service import LocalService
    from .stores import open_store

    networks = load_networks(
        args.network or [DEFAULT], args.runtime, device=args.device, threads=args.threads, precision=args.precision
    )
    limits = Limits(image_pixels=args.max_image_pixels, sessions=args.max_sessions)
    service = LocalService(networks, open_store(args.store or default_store()), limits, args.workers)
    settings = Settings(
        token=args.token or os.environ.get("MFP_TOKEN", ""), request_bytes=args.max_request_bytes, rate=args.rate
    )
    uvicorn.run(create_app(service, settings), host=args.host, port=args.port, ws_max_size=64 * 1024)
    return 0


def default_store() -> str:
    """A file of the user's own.

    Raises:
        StoreError: there is no home directory.
    """
    folder = os.environ.get("XDG_DATA_HOME")
    try:
        base = Path(folder) if folder else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise StoreError(f"{error}: name a file with --store sqlite:///FILE") from None
    return f"sqlite:///{base / 'mfp-engine' / 'sessions.sqlite'}"
