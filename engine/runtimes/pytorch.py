"""The network itself, in PyTorch: the reference that exported networks are compared with."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from ..contract import NetworkInfo
from ..devices import cuda_index
from ..errors import OptionError, RuntimeMissingError
from ..network import F32, Network
from . import INSTALL


class TorchNetwork(Network):
    """A PyTorch module that keeps the network contract, in evaluation mode."""

    runtime = "torch"

    def __init__(self, module: Any, device: str) -> None:
        self.module = module.eval().to(device)
        self.device = device
        spec = module.spec
        self.info = NetworkInfo(
            backbone=spec.name,
            size=None if spec.any_size else spec.size,
            n_early=spec.n_early,
            r_max=spec.r_max,
            weights=module.weights,
            exporter="PyTorch",
        )

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        import torch

        with torch.inference_mode():
            tensors = [torch.from_numpy(a).to(self.device) for a in (image, prev_mask, modulated_mask, clicks)]
            logits: F32 = self.module(*tensors).cpu().numpy()
        return self._checked(logits, image)


def open(source: Any, device: str, threads: int | None) -> TorchNetwork:
    """See :func:`mfp.engine.network.load_network`."""
    try:
        import torch
    except ImportError:
        raise RuntimeMissingError(f"PyTorch is not installed; install it with: {INSTALL['torch']}") from None

    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    elif device != "cpu" and cuda_index(device) >= torch.cuda.device_count():
        raise RuntimeMissingError(
            f"asked for {device}, but this PyTorch sees {torch.cuda.device_count()} CUDA GPU(s). "
            "Pass device='cpu', or see `mfp doctor`."
        )
    if threads is not None:
        raise OptionError("PyTorch's threads are one setting a process: call torch.set_num_threads() instead")
    if isinstance(source, Path):
        # The one place where the engine reaches up, and by name: only export/ knows how a checkpoint becomes a module.
        source = import_module("mfp.export.checkpoint").load(source)
    return TorchNetwork(source, device)
