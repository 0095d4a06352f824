"""Command-line options shared by several sub-commands."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol

from ..contract import PRECISIONS, Size
from ..errors import ImageError

FILES = (".png", ".jpg", ".jpeg", ".svg", ".json", ".jsonl", ".md", ".npy", ".onnx", ".plan", ".pth")


class Parser(Protocol):
    """An ``argparse`` parser, or a group of one."""

    def add_argument(self, *names: str, **options: Any) -> Any: ...


def parse_size(text: str) -> Size | int:
    """Parse a size: ``"320x480"`` → (320, 480), height first; ``"400"`` → 400."""
    try:
        sides = [int(part) for part in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise ArgumentTypeError(f"expected HxW or one number, in pixels from 1, for example 320x480, got {text!r}")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def add_network_options(parser: Parser) -> None:
    """Add the options of :func:`mfp.engine.network.load_network`, under its names; it checks their values."""
    parser.add_argument("--runtime", default="auto", help="auto (default), or one that `mfp doctor` lists")
    parser.add_argument(
        "--precision", help=f"{', '.join(PRECISIONS)}; default: the file's own. torch and openvino can change it"
    )
    add_device_options(parser)


def add_device_options(parser: Parser) -> None:
    """Add the options for the device that networks run on."""
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda:0")
    parser.add_argument("--threads", type=int, help="CPU threads of one pass; default: all cores")


def add_session_options(parser: Parser) -> None:
    """Add the options for size and mirrored pass of a :class:`~mfp.engine.session.Session`."""
    parser.add_argument(
        "--size",
        type=parse_size,
        metavar="HxW|L",
        help="network size, or longer side of the crop; of networks of any size",
    )
    parser.add_argument("--no-flip", dest="flip", action="store_false", help="skip the mirrored pass: twice as fast")


def made_folder(folder: Path) -> Path:
    """Create the folder for results if it is missing. It is called before the work, so that no result is lost.

    Raises:
        ImageError: the path is no folder, cannot be created or written, or is new and named like a file.
    """
    if folder.suffix.lower() in FILES and not folder.is_dir():
        raise ImageError(f"cannot write to {folder}: it is called like a file; expected a folder")
    return writable(folder)


def writable(folder: Path) -> Path:
    """Create a folder if it is missing, and check that files can be written to it.

    Raises:
        ImageError: the path is no folder, or cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):  # os.access lets root pass in folders that accept no files
            pass
    except OSError as error:
        raise ImageError(f"cannot write to {folder}: {error.strerror}; expected a folder or a new name") from None
    return folder
