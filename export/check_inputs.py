"""Inputs for comparing an exported network: noise, and a photograph with clicks as a session would feed it."""

from __future__ import annotations

import numpy as np

from ..engine.network import F32
from ..engine.sample import sample_photograph
from ..kernels.clicks import Click
from ..kernels.reference import encode_clicks, modulate
from ..kernels.resample import resize_bilinear

SEED = 20240617

Inputs = tuple[F32, F32, F32, F32]  # image, prev_mask, modulated_mask, clicks


def random_inputs(height: int, width: int) -> Inputs:
    """Uniform noise in [0, 1) and sparse click maps (3 % of the pixels set): float32 of height × width, batch 2."""
    rng = np.random.default_rng(SEED)
    image, prev, modulated = (rng.random((2, c, height, width), dtype=np.float32) for c in (3, 1, 1))
    return image, prev, modulated, (rng.random((2, 2, height, width)) > 0.97).astype(np.float32)


def photograph_inputs(height: int, width: int) -> Inputs:
    """The sample photograph and its mirror image, a soft blob as probability map, two clicks: float32, batch 2."""
    photograph = sample_photograph()
    image = np.stack([resize_bilinear(photograph[:, :, c], height, width) for c in range(3)]) / np.float32(255)
    clicks = [Click(0.45 * width, 0.4 * height, True, 0), Click(0.85 * width, 0.2 * height, False, 1)]
    dy = (np.arange(height) / height - 0.4)[:, None]
    dx = (np.arange(width) / width - 0.45)[None, :]
    prev = np.exp(-8 * (dy * dy + dx * dx)).astype(np.float32)
    maps = image, prev[None], modulate(prev, clicks)[None], encode_clicks(clicks, height, width)
    return tuple(np.stack([m, m[..., ::-1]]) for m in maps)  # type: ignore[return-value]
