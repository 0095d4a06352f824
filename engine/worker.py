"""The `Worker` interface: runs passes of one network on its GPU, for one thread and one stream."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ..kernels.device import Device


class Worker(ABC):
    """Runs passes of one network on its GPU, one after another, in its own memory.

    A worker is used from one thread at a time and on one stream at a time: before the thread or the stream changes,
    all work on the old one must be done. It keeps its network alive.

    Attributes:
        why_eager: reason why :meth:`graph` returned None, if it did.
    """

    why_eager: str = ""

    @abstractmethod
    def enqueue(self, image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any, stream: int) -> None:
        """Like :meth:`mfp.engine.network.Network.enqueue`, on arrays that satisfy the contract: no check is made again.

        The first pass of a shape prepares resources for later ones, and may take seconds.

        Raises:
            OptionError: the network does not take arrays of this shape.
            MemoryError: the GPU has too little free memory.
            NetworkError: the runtime refused the pass.
        """

    @abstractmethod
    def graph(self, device: Device, steps: Callable[[], None], stream: int) -> Callable[[int], None] | None:
        """Record the work that ``steps`` puts on a stream, passes of this worker included, without running it.

        Args:
            device: device whose context is current in this thread, used by the other work of ``steps``.
            steps: function that has run at least once on this stream and on the same arrays, and has finished; so
                everything in it is loaded, compiled and allocated.
            stream: raw handle of a stream; the default stream cannot be recorded.

        Returns:
            ``launch(stream)``, which runs all of it on a stream, on the same arrays. It keeps this worker alive, but
            not the arrays; from then on the worker must run no other shape. None if this runtime's passes cannot be
            recorded: run ``steps`` each time instead; :attr:`why_eager` then holds the reason.
        """


class Workers(threading.local):
    """The workers of the current thread, by stream."""

    def __init__(self) -> None:
        self.by_stream: dict[int, Worker] = {}
