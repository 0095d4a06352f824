"""Memory layout selection: times both layouts on a GPU, since the faster depends on card, cuDNN and PyTorch."""

from __future__ import annotations

import copy
import time

import torch

from ..export.models.blocks import MfpModule

WARM_UP, TIMED = 2, 4  # steps
LAYOUTS = (torch.channels_last, torch.contiguous_format)


def fastest_layout(network: MfpModule, batch: int, size: int, device: str) -> torch.memory_format:
    """The layout in which a training step is faster; the network itself is not changed.

    Args:
        network: network on ``device``.
        batch, size: maps per pass, and their height and width in pixels.
        device: device as in PyTorch.
    """
    inputs = [torch.rand(batch, channels, size, size, device=device) for channels in (3, 1, 1, 2)]
    seconds = {layout: _seconds(laid_out(copy.deepcopy(network), layout), inputs, device) for layout in LAYOUTS}
    return min(seconds, key=seconds.__getitem__)


def laid_out(network: MfpModule, layout: torch.memory_format) -> MfpModule:
    """The same network, after its kernels have been put into this layout."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return network


def _seconds(network: MfpModule, inputs: list[torch.Tensor], device: str) -> float:
    """Seconds for one forward and backward pass, in mixed precision on a GPU."""
    network.requires_grad_(True).train()
    begun = 0.0
    for step in range(WARM_UP + TIMED):
        if step == WARM_UP:
            _wait(device)
            begun = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16, enabled=device != "cpu"):
            logits = network(*inputs)
        network.zero_grad(set_to_none=True)
        torch.autograd.backward(logits.float().mean())
    _wait(device)
    return (time.perf_counter() - begun) / TIMED


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
