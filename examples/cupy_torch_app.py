"""Example of clicks in a PyTorch application: image, work and overlay stay on its GPU and its stream.

    pip install 'mfp-engine[gpu]' torch
    python examples/cupy_torch_app.py hrnet18.onnx engine/sample.jpg --pos 240,130 --pos 300,330 --neg 60,100

Only the finished overlay returns to the host (and the mask, which the session returns).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfp import MfpError, Session, load_network, read_image

TINT = (255, 64, 32)  # RGB


def main() -> None:
    args = parse_arguments()
    try:
        run(args)
    except (ImportError, MfpError) as error:
        sys.exit(f"cupy_torch_app: {error}")


def run(args: argparse.Namespace) -> None:
    # First, because its error reports what is missing if there is no GPU.
    network = load_network(args.network, args.runtime, device="cuda:0")
    import cupy
    import torch

    if not torch.cuda.is_available():
        sys.exit("cupy_torch_app: this PyTorch finds no GPU; it needs a build with CUDA")
    with cupy.cuda.Device(int(network.device.partition(":")[2])):
        stream = cupy.cuda.Stream(non_blocking=True)  # one stream for both libraries
    with stream, torch.cuda.stream(torch.cuda.ExternalStream(stream.ptr, network.device)):
        # Stands for the application's own image from a camera or a decoder: 3×H×W, PyTorch's usual order.
        planes = torch.from_numpy(read_image(args.photo)).to(network.device).permute(2, 0, 1).contiguous()
        # The session reads an H×W×3 view of it in place: planes must not change while the session lives.
        with Session(network, planes.permute(1, 2, 0), stream=stream) as session:
            for x, y, positive in args.clicks:
                mask = session.click(x, y, positive)
                print(f"{mask.area} pixels after {len(session.clicks)} clicks")
            pixels = overlay(torch, cupy, planes, session)
    write_image(args.output, pixels)


def overlay(torch: Any, cupy: Any, planes: Any, session: Session) -> Any:
    """The image with the object tinted by its probability and its outline in white, uint8 H×W×3 on the host."""
    # DLPack passes CuPy arrays to PyTorch without a copy. The session owns the map: the next click changes it.
    probability = torch.from_dlpack(session.device_probability)
    inside = session.device_mask
    within = inside.copy()  # pixels whose four neighbours are in the object too
    for axis in (0, 1):
        for step in (1, -1):
            within &= cupy.roll(inside, step, axis)
    outline = inside & ~within
    share = 0.6 * probability * torch.from_dlpack(inside)
    tint = torch.tensor(TINT, device=planes.device).view(3, 1, 1)
    painted = planes * (1 - share) + tint * share
    painted[:, torch.from_dlpack(outline)] = 255
    # This waits for the stream: the session's arrays may be freed only when the work on them is done.
    return painted.to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def write_image(path: Path, pixels: Any) -> None:
    import cv2

    if not cv2.imwrite(str(path), pixels[:, :, ::-1]):
        sys.exit(f"cupy_torch_app: could not write {path}")
    print(f"wrote {path}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="an .onnx file, a .plan, or a .pth checkpoint")
    parser.add_argument("photo")
    parser.add_argument("--pos", dest="clicks", action="append", type=point(True), metavar="X,Y", default=[])
    parser.add_argument("--neg", dest="clicks", action="append", type=point(False), metavar="X,Y")
    parser.add_argument("--runtime", default="auto", help="auto (default), or one that `mfp doctor` lists")
    parser.add_argument("--output", type=Path, default=Path("overlay.png"), metavar="FILE.png")
    args = parser.parse_args()
    if not args.clicks:
        parser.error("expected at least one click: --pos X,Y")
    return args


def point(positive: bool) -> Callable[[str], tuple[float, float, bool]]:
    def pixel(text: str) -> tuple[float, float, bool]:
        x, y = map(float, text.split(","))
        return x, y, positive

    return pixel


if __name__ == "__main__":
    main()
