"""Click on a photograph and write the mask.

Clicks act in the given order; x is the column and y the row, in pixels from the top left corner:

    mfp segment cat.jpg --pos 240,130 --neg 30,200

writes cat_mask.png and cat_overlay.png and prints the time of every click. With --output FILE.png the mask gets this
name, and the other files go beside it: FILE_overlay.png, ….
"""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from ..engine.errors import ClickError, ImageError
from ..engine.packaged import DEFAULT
from ..engine.terminal.arguments import add_network_options, add_session_options, made_folder, writable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", type=Path, help="JPEG, PNG, …")
    parser.add_argument(
        "--network",  # text: a Path would turn the file ./lite0 into the packaged network lite0
        default=DEFAULT,
        help=f".onnx or .plan file, or .pth checkpoint; default: {DEFAULT}, which ships with the package",
    )
    for flag, positive, what in (("--pos", True, "adds to the object"), ("--neg", False, "removes from it")):
        parser.add_argument(
            flag,
            dest="clicks",
            action="append",
            type=_click(positive),
            default=argparse.SUPPRESS,
            metavar="X,Y",
            help=f"a click that {what}; repeat as often as wanted",
        )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(),
        metavar="FOLDER|FILE.png",
        help="where the files go, named after the photo; made if missing. Or the mask's own file",
    )
    parser.add_argument(
        "--probability", action="store_true", help="also write the probability map as .npy, float32 H×W"
    )
    parser.add_argument(
        "--json", action="store_true", help="also write clicks, timings and the mask (COCO RLE) as .json"
    )
    add_session_options(parser)
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="probability above which a pixel is object (default 0.5)"
    )
    add_network_options(parser)


def run(args: argparse.Namespace) -> int:
    from ..engine.image import read_image
    from ..engine.network import load_network
    from ..engine.session import Session
    from ..engine.terminal.console import Output

    clicks = getattr(args, "clicks", [])
    if not clicks:
        raise ClickError("no clicks given: add at least one, for example --pos 240,130")
    output = Output()
    image = read_image(args.photo)
    files = _files(args)
    started = time.perf_counter()
    network = load_network(args.network, args.runtime, args.device, args.threads, args.precision)
    loading = time.perf_counter() - started
    session = Session(network, image, size=args.size, flip=args.flip, threshold=args.threshold)
    rows = []
    with output.status("") as status:
        for number, (x, y, positive) in enumerate(clicks, 1):
            status.update(f"click {number} of {len(clicks)} …")
            mask = session.click(x, y, positive)
            assert session.timing is not None
            rows.append((x, y, positive, mask.area, session.timing))

    _write(files, args.photo, image, session, rows)
    if network.choice:
        output.say(network.choice)
    if not network.info.trained:
        output.say(("UNTRAINED WEIGHTS", "bold red"), f" ({network.info.weights}): the mask means nothing.")
    output.say(f"{args.photo.name}: {image.shape[1]}×{image.shape[0]} pixels; {network!r}, loaded in {loading:.2f} s")
    output.print(_table(rows))
    output.say(_summary(rows))
    output.say("wrote " + ", ".join(map(str, files.values())))
    return 0


def _files(args: argparse.Namespace) -> dict[str, Path]:
    """The files to write; checked before the work, so that no result is lost.

    Raises:
        ImageError: a file cannot be written, or is the photograph itself.
    """
    output: Path = args.output
    if output.suffix.lower() == ".png" and not output.is_dir():
        folder, stem, mask = writable(output.parent), output.stem, output.name
    else:
        folder, stem, mask = made_folder(output), args.photo.stem, f"{args.photo.stem}_mask.png"
    files = {"mask": folder / mask, "overlay": folder / f"{stem}_overlay.png"}
    if args.probability:
        files["probability"] = folder / f"{stem}_probability.npy"
    if args.json:
        files["json"] = folder / f"{stem}.json"
    for file in files.values():
        if file.is_dir():
            raise ImageError(f"cannot write {file}: it is a folder")
        if file.exists() and file.samefile(args.photo):
            raise ImageError(f"{file} is the photograph itself; name another --output")
    return files


def _write(files: dict[str, Path], photo: Path, image: Any, session: Any, rows: list[tuple[Any, ...]]) -> None:
    from ..engine.image import write_file, write_png
    from ..engine.render import overlay

    session.mask.save_png(files["mask"])
    write_png(files["overlay"], overlay(image, session.mask, session.clicks))
    if "probability" in files:
        import numpy as np

        data = io.BytesIO()
        np.save(data, session.probability)
        write_file(files["probability"], data.getvalue())
    if "json" in files:
        write_file(files["json"], json.dumps(_record(photo, session, rows), indent=1).encode())


def _table(rows: list[tuple[Any, ...]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    on_gpu = rows[0][4].device > 0  # the network and most of the array work are timed as one there
    stages = ("GPU ms", "host ms") if on_gpu else ("network ms", "array work ms")
    digits = 2 if on_gpu else 1
    table = Table("click", "x, y", "", "object pixels", "total ms", *stages)
    for column in table.columns[3:]:
        column.justify = "right"
    for number, (x, y, positive, area, timing) in enumerate(rows, 1):
        sign = Text("positive", "green") if positive else Text("negative", "red")
        times = (timing.total, timing.network + timing.device, timing.outside_network)
        table.add_row(str(number), f"{x:g}, {y:g}", sign, f"{area:,}", *(f"{ms:.{digits}f}" for ms in times))
    return table


def _summary(rows: list[tuple[Any, ...]]) -> str:
    """The first click's time, and separately that of later clicks: the first needs two network passes."""
    first, later = rows[0][4], [row[4].total for row in rows[1:]]
    text = f"first click {first.total:.1f} ms ({first.passes} network passes)"
    return text + (f"; later clicks: median {median(later):.1f} ms, slowest {max(later):.1f} ms" if later else "")


def _record(photo: Path, session: Any, rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    network = session.network
    return {
        "photo": photo.name,
        "height": session.height,
        "width": session.width,
        "network": {
            "backbone": network.info.backbone,
            "weights": network.info.weights,
            "runtime": network.runtime,
            "device": network.device,
            "precision": network.info.precision,
        },
        "clicks": [
            {"x": x, "y": y, "positive": positive, "area": area, "ms": round(timing.total, 3)}
            for x, y, positive, area, timing in rows
        ],
        "roi": list(session.roi),
        "mask": session.mask.to_rle(),
    }


def _click(positive: bool) -> Any:
    def parse(text: str) -> tuple[float, float, bool]:
        try:
            x, y = (float(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected X,Y, for example 240,130, got {text!r}") from None
        return x, y, positive

    return parse
