"""Write an NVIDIA Triton model repository: the network, and a model that computes clicks with it.

    mfp triton-repo lite0 --output models
    tritonserver --model-repository models     # where mfp-engine is installed beside it

It holds two models: mfp_NAME_network is the network on Triton's own runtime, batched over requests; mfp_NAME takes a
photograph's file and all clicks, and returns the mask. docs/annotation_tools.md shows a request.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..engine.terminal.arguments import add_session_options, made_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, help="lite0, an .onnx file, or a .plan that mfp build made")
    parser.add_argument("--output", type=Path, default=Path("models"), metavar="FOLDER", help="default: models")
    parser.add_argument("--name", help="of the models, after mfp_; default: the file's own")
    parser.add_argument(
        "--instances", type=int, default=1, help="processes that answer clicks, each with images of its own; default: 1"
    )
    parser.add_argument(
        "--max-batch", type=int, default=16, help="rows of one network pass; a click has 1, or 2 with flip; default: 16"
    )
    add_session_options(parser)


def run(args: argparse.Namespace) -> int:
    from ..serve.triton.repository import write_repository

    for path in write_repository(
        args.network, made_folder(args.output), args.name, args.instances, args.max_batch, args.size, args.flip
    ):
        print(path)
    return 0
