"""Options of `mfp serve` for annotation tools."""

from __future__ import annotations

import argparse
import os

from ..serve.adapters.label_studio_images import Source
from ..serve.stores import home_path


def add_tool_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the source of Label Studio's images; X-AnyLabeling needs none."""
    tools = parser.add_argument_group("annotation tools (docs/annotation_tools.md)")
    tools.add_argument(
        "--label-studio-url",
        default="",
        metavar="URL",
        help="where its images are fetched, with the token of the environment variable LABEL_STUDIO_API_KEY",
    )
    tools.add_argument(
        "--label-studio-files",
        type=home_path,
        metavar="FOLDER",
        help="root of its local files, where they are here too",
    )


def source_of(args: argparse.Namespace) -> Source:
    """The source of images in these options, for :func:`mfp.serve.adapters.mounting.routers`."""
    token = os.environ.get("LABEL_STUDIO_API_KEY", "").strip()
    return Source(args.label_studio_url.strip(), token, args.label_studio_files, args.max_request_bytes)
