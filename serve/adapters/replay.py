"""Stateless requests with the image and all clicks each time, as annotation tools send them.

The image is decoded once, and its session continues if the clicks extend those of the last request.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from ...engine.errors import OptionError
from ...engine.image import U8, decode_image
from ...engine.mask import Mask
from ...engine.network import Network
from ...engine.predictor import Predictor

ClickAt: TypeAlias = tuple[float, float, bool]  # x, y in image pixels; whether it adds to the object
Work: TypeAlias = Callable[[], Any]

MAX_PIXELS = 64_000_000  # pixels of all images kept in memory; each pixel takes about 10 bytes
MAX_IMAGES = 64  # images kept in memory; each click has left a map of the network's size, about half a megabyte
RECENT = 64  # lists of clicks remembered for an image
MAX_CLICKS = 200  # clicks of one object: far above any use, and each is a network pass


@dataclass(frozen=True)
class Answer:
    """Result of the clicks.

    Attributes:
        mask: the object's mask, H×W.
        score: expected IoU if the probabilities are right, in [0, 1]
            (:meth:`~mfp.engine.predictor.Predictor.predict`).
    """

    mask: Mask
    score: float


class ReplayImage:
    """A decoded image with its session. Used by one thread at a time, inside :meth:`Replay.image`.

    Attributes:
        width, height: size of the upright image, in pixels.
        recent: lists of clicks that were answered, newest first.
    """

    def __init__(self, network: Network, pixels: U8, options: dict[str, Any], turn: Callable[[Work], Any]) -> None:
        self.height, self.width = pixels.shape[:2]
        self.recent: deque[tuple[ClickAt, ...]] = deque(maxlen=RECENT)
        self._turn = turn
        self._predictor = Predictor(network, **options)
        self._predictor.set_image(pixels)

    def predict(self, clicks: Sequence[ClickAt]) -> Answer:
        """The answer to these clicks, made in this order. Without clicks the mask is empty.

        Leading clicks that are the same as in the last request cost nothing; each other click is a network pass.

        Raises:
            ClickError: a click is outside the image.
            OptionError: there are more clicks than :data:`MAX_CLICKS`.
        """
        import numpy as np

        if len(clicks) > MAX_CLICKS:
            raise OptionError(f"expected at most {MAX_CLICKS} clicks on an object, got {len(clicks)}")

        if not clicks:
            return Answer(Mask(np.zeros((self.height, self.width), np.bool_)), 0.0)
        points, labels = [(x, y) for x, y, _ in clicks], [int(positive) for _, _, positive in clicks]
        masks, scores, _ = self._turn(lambda: self._predictor.predict(points, labels))
        with suppress(ValueError):
            self.recent.remove(tuple(clicks))
        self.recent.appendleft(tuple(clicks))
        return Answer(Mask(masks[0]), float(scores[0]))


class _Entry:
    def __init__(self) -> None:
        self.lock = threading.Lock()  # guards the image below
        self.image: ReplayImage | None = None
        self.pixels = 0


class Replay:
    """Images of stateless requests on one network, a least-recently-used cache. Any number of threads may use it.

    Requests on one image wait for one another. Two users who click on the same image at once get correct answers, more
    slowly.

    Args:
        network: network from :func:`~mfp.engine.network.load_network`.
        decode: function that decodes the bytes of an image file to H×W×3 uint8 RGB, and checks its size.
        max_pixels: pixels of all images kept. The image in use is kept in any case.
        workers: number of requests that are decoded or computed at once; the others wait.
        turn: function that runs an image's passes when it is their turn, by a key of the image; None: ``workers`` run
            at once.
        options: options of :class:`~mfp.engine.session.Session` (``flip``, ``threshold``, …).
    """

    def __init__(
        self,
        network: Network,
        decode: Callable[[bytes], U8] = decode_image,
        max_pixels: int = MAX_PIXELS,
        workers: int = 2,
        turn: Callable[[str, Work], Any] | None = None,
        **options: Any,
    ) -> None:
        self.network = network
        self._decode, self._max_pixels, self._options = decode, max_pixels, options
        self._room = threading.Semaphore(workers)
        self._turn = turn or self._at_once
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # by SHA-256, least recently used first
        self._lock = threading.Lock()  # guards the table; never held while a network runs

    @contextmanager
    def image(self, data: bytes) -> Iterator[ReplayImage]:
        """The image of this file, only for this thread until the ``with`` statement ends.

        Args:
            data: bytes of an image file; the same bytes are the same image.

        Raises:
            ImageError: ``data`` is no image, or none that is accepted.
        """
        key = hashlib.sha256(data).hexdigest()
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        with entry.lock:
            if entry.image is None:
                try:
                    with self._room:
                        pixels = self._decode(data)
                    entry.image = ReplayImage(self.network, pixels, self._options, partial(self._turn, key))
                except BaseException:
                    with self._lock:
                        if self._entries.get(key) is entry:
                            del self._entries[key]
                    raise
                self._keep(entry)
            yield entry.image

    def _at_once(self, key: str, call: Work) -> Any:
        with self._room:
            return call()

    def _keep(self, newest: _Entry) -> None:
        """Add the newest image, and drop the least recently used ones while there are too many."""
        assert newest.image is not None
        with self._lock:
            newest.pixels = newest.image.height * newest.image.width
            total = sum(entry.pixels for entry in self._entries.values())
            for key, entry in list(self._entries.items()):
                if total <= self._max_pixels and len(self._entries) <= MAX_IMAGES:
                    break
                if entry is not newest and entry.pixels:
                    del self._entries[key]
                    total -= entry.pixels

    def __len__(self) -> int:
        """Number of images kept."""
        return len(self._entries)
