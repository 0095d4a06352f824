"""The packaged network and a photograph, as tools send it."""

from functools import cache
from pathlib import Path

import pytest

from mfp import Session, load_network, read_image
from mfp.engine.network import Network
from mfp.serve.replay import Replay

PHOTO = Path(__file__).parents[3] / "engine" / "sample.jpg"
CLICKS = [(120.0, 330.0, True), (400.0, 430.0, False), (220.0, 110.0, True)]


class Counting(Network):
    """A network that says how many passes it has made."""

    def __init__(self, inner):
        self.inner, self.passes = inner, 0
        self.info, self.runtime, self.device = inner.info, inner.runtime, inner.device

    def __call__(self, *tensors):
        self.passes += 1
        return self.inner(*tensors)


@pytest.fixture(scope="session")
def lite0():
    return load_network("lite0", device="cpu", threads=1)


@pytest.fixture
def network(lite0):
    return Counting(lite0)


@pytest.fixture
def replay(network):
    return Replay(network, flip=False)  # half the time


@pytest.fixture(scope="session")
def photo():
    """The bytes of a JPEG of 512×512 pixels."""
    return PHOTO.read_bytes()


@pytest.fixture(scope="session")
def clicks():
    return CLICKS


@pytest.fixture(scope="session")
def mask_of(lite0):
    """``mask_of(clicks, flip=False)``: the mask of a session of its own on the photograph."""

    @cache
    def compute(clicks, flip):
        session = Session(lite0, read_image(PHOTO), flip=flip)
        for x, y, positive in clicks:
            session.click(x, y, positive)
        return session.mask

    return lambda clicks, flip=False: compute(tuple(clicks), flip)
