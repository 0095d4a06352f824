"""The packaged network and a photograph, as tools send it."""

from functools import cache

import pytest

from mfp import Session, read_image
from mfp.engine.network import Network
from mfp.engine.sample import PATH as SAMPLE
from mfp.serve.adapters.replay import Replay

CLICKS = [(120.0, 330.0, True), (400.0, 430.0, False), (220.0, 110.0, True)]


class Counting(Network):
    """A network that says how many passes it has made."""

    def __init__(self, inner):
        self.inner, self.passes = inner, 0
        self.info, self.runtime, self.device = inner.info, inner.runtime, inner.device

    def __call__(self, *tensors):
        self.passes += 1
        return self.inner(*tensors)


@pytest.fixture
def network(lite0):
    return Counting(lite0)


@pytest.fixture
def replay(network):
    return Replay(network, flip=False)  # half the time


@pytest.fixture(scope="session")
def clicks():
    return CLICKS


@pytest.fixture(scope="session")
def mask_of(lite0):
    """``mask_of(clicks, flip=False)``: the mask of a session of its own on the photograph."""

    @cache
    def compute(clicks, flip):
        session = Session(lite0, read_image(SAMPLE), flip=flip)
        for x, y, positive in clicks:
            session.click(x, y, positive)
        return session.mask

    return lambda clicks, flip=False: compute(tuple(clicks), flip)
