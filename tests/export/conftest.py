"""PyTorch in tests."""

import pytest
import torch


@pytest.fixture(scope="session")
def golden_tensors(golden_inputs):
    """The same as ``golden_inputs``, as tensors."""
    return lambda *arguments: [torch.from_numpy(array) for array in golden_inputs(*arguments)]
