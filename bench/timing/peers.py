"""Timing of other click models, through their own packages, on the same photograph and clicks.

All of them have the predictor of Segment Anything: ``set_image`` computes the image's features; ``predict`` computes a
mask from all clicks so far and the previous low-resolution mask. A first click is both calls, a later one only
``predict``. Nothing is downloaded: name an installed package, one of its models, and a file of weights:

    --peer segment_anything:vit_b=sam_vit_b_01ec64.pth
    --peer sam2:configs/sam2.1/sam2.1_hiera_b+.yaml=sam2.1_hiera_base_plus.pt
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import OptionError, RuntimeMissingError
from ...kernels.clicks import Click

# module → package to install
PACKAGES = {
    "segment_anything": "pip install segment-anything",
    "segment_anything_hq": "pip install segment-anything-hq",
    "mobile_sam": "pip install git+https://github.com/ChaoningZhang/MobileSAM.git",
    "sam2": "pip install sam2",
}


@dataclass(frozen=True)
class Peer:
    """A model of another package.

    Attributes:
        package: name in :data:`PACKAGES`.
        model: name of the model in that package (for sam2 its configuration file).
        weights: file of weights.
    """

    package: str
    model: str
    weights: Path

    @property
    def name(self) -> str:
        return f"{self.package} {Path(self.model).stem}"


def parse_peer(text: str) -> Peer:
    """Parse ``"PACKAGE:MODEL=FILE"``.

    Raises:
        OptionError: the text has another form, the package is unknown, or the file does not exist.
    """
    head, _, file = text.partition("=")
    package, _, model = head.partition(":")
    if package not in PACKAGES or not model or not file:
        raise OptionError(
            f"expected --peer PACKAGE:MODEL=FILE with a package of {', '.join(PACKAGES)}, for example "
            f"segment_anything:vit_b=sam_vit_b_01ec64.pth, got {text!r}"
        )
    if not Path(file).is_file():
        raise OptionError(f"no such file: {file}; --peer {package}:{model} takes weights that you have")
    return Peer(package, model, Path(file))


def not_asked_for(peers: Sequence[Peer]) -> dict[str, str]:
    """Reason by package for each package that is not timed."""
    asked = {peer.package for peer in peers}
    missing = {}
    for package, install in PACKAGES.items():
        if package not in asked:
            lack = "no weights were named" if find_spec(package) else f"not installed ({install}), and no weights named"
            missing[package] = f"{lack}: mfp bench --peer {package}:MODEL=FILE"
    return missing


def measure(peer: Peer, image: NDArray[np.uint8], objects: Sequence[Sequence[Click]], device: str) -> dict[str, Any]:
    """Milliseconds of first and later clicks, after a warm-up object that is not timed.

    Args:
        peer: model to time; its package must be installed.
        image: H×W×3 uint8 RGB.
        objects: clicks, object by object.
        device: ``"cpu"`` or ``"cuda:N"``.

    Returns:
        ``name``, and ``first`` and ``later``: samples in milliseconds.

    Raises:
        RuntimeMissingError: the package is not installed.
        OptionError: the package has no such model.
        Exception: any error that the package raises.
    """
    import torch

    predictor = _predictor(peer, device)
    first: list[float] = []
    later: list[float] = []
    with torch.inference_mode():
        _clicked(predictor, image, objects[0][:2])
        for clicks in objects:
            milliseconds = _clicked(predictor, image, clicks)
            first.append(milliseconds[0])
            later += milliseconds[1:]
    return {"name": peer.name, "device": device, "first": first, "later": later}


def _predictor(peer: Peer, device: str) -> Any:
    if find_spec(peer.package) is None:
        raise RuntimeMissingError(f"{peer.package} is not installed; install it with: {PACKAGES[peer.package]}")
    if peer.package == "sam2":
        build = import_module("sam2.build_sam").build_sam2
        predictor = import_module("sam2.sam2_image_predictor").SAM2ImagePredictor
        return predictor(build(peer.model, str(peer.weights), device=device))
    package = import_module(peer.package)
    if peer.model not in package.sam_model_registry:
        known = ", ".join(package.sam_model_registry)
        raise OptionError(f"{peer.package} has no model {peer.model!r}; expected one of {known}")
    model = package.sam_model_registry[peer.model](checkpoint=str(peer.weights))
    return package.SamPredictor(model.to(device).eval())


def _clicked(predictor: Any, image: NDArray[np.uint8], clicks: Sequence[Click]) -> list[float]:
    """Milliseconds of each click on one object, until the mask is on the host, as for the engine."""
    milliseconds: list[float] = []
    low = None
    for number in range(1, len(clicks) + 1):
        points = np.array([(click.x, click.y) for click in clicks[:number]], np.float32)
        labels = np.array([int(click.positive) for click in clicks[:number]], np.int32)
        start = time.perf_counter()
        if number == 1:
            predictor.set_image(image)
        # a single click is ambiguous: these models then compute several masks, and the best one is used
        masks, scores, logits = predictor.predict(points, labels, mask_input=low, multimask_output=number == 1)
        best = int(np.argmax(scores))
        low = logits[best][None]
        _ = np.asarray(masks[best])
        milliseconds.append((time.perf_counter() - start) * 1e3)
    return milliseconds
