"""Resampling against PyTorch, which the release uses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfp.kernels.resample import resize_bilinear

torch = pytest.importorskip("torch")
side = st.integers(1, 130)


@settings(max_examples=200)
@given(side, side, side, side, st.sampled_from([np.uint8, np.float32]), st.booleans())
def test_equals_pytorch_with_aligned_corners(height, width, to_height, to_width, dtype, into):
    plane = np.random.default_rng(height * width).integers(0, 256, (height, width)).astype(dtype)
    frame = np.full((to_height + 2, to_width + 3), -1, np.float32)
    out = frame[1:-1, 2:-1] if into else None
    found = resize_bilinear(plane, to_height, to_width, out=out)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(plane.astype(np.float32))[None, None],
        size=(to_height, to_width),
        mode="bilinear",
        align_corners=True,
    )[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=255 * 1e-6)
    if into:
        frame[1:-1, 2:-1] = -1
        assert (frame == -1).all()  # nothing written beside the part that was given


def test_large_maps_keep_pytorchs_positions():
    plane = np.random.default_rng(0).random((1080, 1920), dtype=np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(plane)[None, None], size=(320, 480), mode="bilinear", align_corners=True
    )
    np.testing.assert_allclose(resize_bilinear(plane, 320, 480), expected[0, 0].numpy(), atol=1e-6)
