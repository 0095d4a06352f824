"""PyTorch in tests."""

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On a busy machine two threads wait for each other far longer than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def golden_tensors(golden_inputs):
    """The same as ``golden_inputs``, as tensors."""
    return lambda *arguments: [torch.from_numpy(array) for array in golden_inputs(*arguments)]
