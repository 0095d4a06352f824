"""The sample photograph that ships with the package, for checks and first tries (NASA, public domain)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .image import read_image

PATH = Path(__file__).with_name("sample.jpg")


def sample_photograph() -> NDArray[np.uint8]:
    """The sample photograph, 512×512×3 uint8 RGB: astronaut Eileen Collins before a space shuttle model."""
    return read_image(PATH)
