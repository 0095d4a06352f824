"""Command-line values that more than one sub-command takes."""

from __future__ import annotations

from argparse import ArgumentTypeError

from ..contract import Size


def parse_size(text: str) -> Size | int:
    """``"320x480"`` → (320, 480), height first; ``"400"`` → 400."""
    try:
        sides = [int(part) for part in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise ArgumentTypeError(f"expected HxW or one number, in pixels from 1, for example 320x480, got {text!r}")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])
