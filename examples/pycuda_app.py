"""Example of clicks in a PyCUDA application, with its context, its stream and its memory.

    pip install 'mfp-engine[rtx]' pycuda
    python examples/pycuda_app.py hrnet18_fp16.plan engine/sample.jpg --pos 240,130 --neg 60,100

The application makes its own CUDA context, as PyCUDA does by default. TensorRT's networks run in it. PyTorch's and ONNX
Runtime's do not: these libraries know only the GPU's primary context, which --primary-context takes instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from mfp import MfpError, Session, load_network, read_image


def main() -> None:
    args = parse_arguments()
    try:
        import pycuda.driver as cuda
    except ImportError as error:  # also if PyCUDA is installed and NVIDIA's driver is not
        sys.exit(f"pycuda_app: needs PyCUDA and NVIDIA's driver: {error}")
    try:
        cuda.init()
        gpu = cuda.Device(0)
        context = gpu.retain_primary_context() if args.primary_context else gpu.make_context()
    except cuda.Error as error:
        sys.exit(f"pycuda_app: needs a GPU: {error}")
    if args.primary_context:
        context.push()  # make_context() has already pushed the other one
    problem = ""
    try:
        run(args, cuda)
    except (ImportError, MfpError) as error:
        problem = f"pycuda_app: {error}"
    finally:
        context.pop()
    sys.exit(problem or 0)


def run(args: argparse.Namespace, cuda: Any) -> None:
    """Run the clicks. The application's context must be current for loading, sessions and clicks."""
    from pycuda import gpuarray

    stream = cuda.Stream()
    pixels = read_image(args.photo)
    # Stands for an image that the application has on the GPU. It is used in place: do not change it meanwhile.
    image = gpuarray.to_gpu_async(pixels, stream=stream)
    # The session's work follows the upload on the same stream, so no wait is needed in between. Session and network are
    # closed here, because they must be closed while their context exists.
    with (
        closing(load_network(args.network, args.runtime, device="cuda:0")) as network,
        Session(network, image, stream=stream) as session,
    ):
        for x, y, positive in args.clicks:
            mask = session.click(x, y, positive)  # on the host: the click has copied the mask back, as packed bits
            print(f"{mask.area} pixels in the box {mask.box}")
    mask.save_png(args.output)
    print(f"wrote {args.output}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="a .plan; an .onnx file with --runtime tensorrt or tensorrt-rtx")
    parser.add_argument("photo")
    parser.add_argument("--pos", dest="clicks", action="append", type=point(True), metavar="X,Y", default=[])
    parser.add_argument("--neg", dest="clicks", action="append", type=point(False), metavar="X,Y")
    parser.add_argument("--runtime", default="auto", help="auto (default), or one that `mfp doctor` lists")
    parser.add_argument("--primary-context", action="store_true", help="for networks on PyTorch and ONNX Runtime")
    parser.add_argument("--output", type=Path, default=Path("mask.png"), metavar="FILE.png")
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
