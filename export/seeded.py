"""Seeded weights: reproducible substitutes for published weights, for a network without a checkpoint.

Each tensor is a function of only (seed, name, shape), so it does not depend on the order in which a network
is built, nor on PyTorch's generators. Export, tests and timings use these weights if no checkpoint is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from . import models
from .models.blocks import MfpModule

LOGIT_STD = 3.0  # standard deviation after calibration: the sigmoid is neither flat nor saturated


def seeded(backbone: str | Mapping[str, Any], seed: int = 0, size: tuple[int, int] | None = None) -> MfpModule:
    """A network with seeded, calibrated weights, in eval mode; arguments as for ``mfp.export.models.build``.

    Returns:
        The module; ``module.weights`` is "untrained, seed S".

    Raises:
        OptionError, CheckpointError: see ``mfp.export.models.build``.
    """
    network = models.build(backbone, size)
    seed_weights(network, seed)
    calibrate_output(network)
    network.weights = f"untrained, seed {seed}"
    return network


def seed_weights(module: torch.nn.Module, seed: int = 0) -> None:
    """Fill the whole state dict of any module with tensors from :func:`weight`."""
    module.load_state_dict(
        {
            name: torch.from_numpy(weight(name, tuple(tensor.shape), seed))
            for name, tensor in module.state_dict().items()
        }
    )


def weight(name: str, shape: tuple[int, ...], seed: int = 0) -> npt.NDArray[Any]:
    """The tensor of this state-dict name and shape: float32, except int64 zeros for ``num_batches_tracked``.

    Matrices and kernels are normally distributed with a variance of 1.6 / fan-in, which keeps the spread of the
    activations through ReLU layers. Running variances and norm scales are positive.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))
    leaf = name.rsplit(".", 1)[-1]
    values: npt.NDArray[np.float64]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        values = generator.uniform(0.5, 1.5, shape)
    elif leaf == "weight" and len(shape) >= 2:
        values = np.sqrt(1.6 / int(np.prod(shape[1:]))) * generator.standard_normal(shape)
    elif leaf in ("weight", "scale"):
        values = generator.uniform(0.5, 1.0, shape)
    elif leaf in ("bias", "running_mean"):
        values = 0.1 * generator.standard_normal(shape)
    else:  # embeddings
        values = 0.2 * generator.standard_normal(shape)
    return values.astype(np.float32)


def _random_inputs(size: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    """One fixed set of inputs of the network contract, batch 1; 3 % of the click pixels are set."""
    generator = np.random.Generator(np.random.PCG64(0))
    image, prev_mask, modulated_mask, clicks = (
        generator.random((1, channels, *size), dtype=np.float32) for channels in (3, 1, 1, 2)
    )
    arrays = (image, prev_mask, modulated_mask, (clicks > 0.97).astype(np.float32))
    return tuple(torch.from_numpy(array) for array in arrays)


def calibrate_output(network: MfpModule) -> None:
    """Scale and shift ``network.output_layer``, so that masks of an untrained network are neither empty nor full.

    The logits on one fixed random input (batch 1, at ``network.spec.size``) then have mean 0 and standard
    deviation 3.
    """
    layer = network.get_submodule(network.output_layer)
    assert isinstance(layer, torch.nn.Conv2d)
    assert layer.bias is not None
    with torch.no_grad():
        logits = network(*_random_inputs(network.spec.size)).double()
        # Exact at any size: only a bilinear resize follows this layer, and its weights sum to 1.
        scale = LOGIT_STD / float(logits.std(correction=0))
        layer.weight.mul_(scale)
        layer.bias.mul_(scale).sub_(float(logits.mean()) * scale)
