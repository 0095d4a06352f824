"""Training loss, and the IoU that training reports."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor

FOCUS = 2.0  # exponent of the focal loss
OVERLAP = 0.5  # weight of the overlap term


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Normalised focal loss (Sofiiuk et al., "AdaptIS", 2019, section 3.3) plus 0.5 · (1 − soft IoU), batch mean.

    The focal weights of a map are scaled to a mean of 1, so an almost right mask still has gradients at its border.

    Args:
        logits: float tensor (B, 1, H, W).
        target: bool tensor (B, 1, H, W).
    """
    logits = logits.float()
    log_right = -F.softplus(torch.where(target, -logits, logits))
    weight = (1.0 - log_right.detach().exp()).clamp(min=0.0) ** FOCUS
    weight = weight / weight.mean((1, 2, 3), keepdim=True).clamp(min=1e-6)
    focal = -(weight * log_right).mean((1, 2, 3))
    probability, wanted = logits.sigmoid(), target.float()
    both = (probability * wanted).sum((1, 2, 3))
    either = (probability + wanted - probability * wanted).sum((1, 2, 3))
    return (focal + OVERLAP * (1.0 - (both + 1.0) / (either + 1.0))).mean()


def iou(logits: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of each sample, (B,); 1 where both are empty."""
    predicted = logits > 0
    either = (predicted | target).sum((1, 2, 3))
    both = (predicted & target).sum((1, 2, 3))
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both, dtype=torch.float32))
