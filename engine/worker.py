"""A worker: passes of one network on its GPU, for one thread and one stream."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ..kernels.device import Device


class Worker(ABC):
    """Runs passes of one network on its GPU, one after another, in memory of its own.

    It is used from one thread at a time and on one stream at a time: where the thread or the stream changes, the work
    on the old one must be done. It keeps its network alive.

    Attributes:
        why_eager: where :meth:`graph` returned None, why.
    """

    why_eager: str = ""

    @abstractmethod
    def enqueue(self, image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any, stream: int) -> None:
        """As :meth:`mfp.engine.network.Network.enqueue`, on arrays that keep the contract: they are not checked again.

        The first pass of a shape prepares what its successors need, and may take seconds.

        Raises:
            OptionError: the network does not take arrays of this shape.
            MemoryError: the GPU has none left for it.
            NetworkError: the runtime refused the pass.
        """

    @abstractmethod
    def graph(self, device: Device, steps: Callable[[], None], stream: int) -> Callable[[int], None] | None:
        """Record the work that ``steps`` puts on a stream, passes of this worker among it; nothing of it runs yet.

        Args:
            device: whose context is current in this thread, and which the other work of ``steps`` is done with.
            steps: has run at least once before, on this stream and on the same arrays, and is done; so everything in it
                is loaded, compiled and allocated.
            stream: raw handle; not the default stream, which cannot be recorded.

        Returns:
            ``launch(stream)``, which runs it all on a stream, on the same arrays. It keeps this worker alive, not the
            arrays. After it this worker must see no other shape. None where passes of this runtime cannot be recorded:
            run ``steps`` each time instead; :attr:`why_eager` then says why.
        """


class Workers(threading.local):
    """The workers of the present thread, by stream."""

    def __init__(self) -> None:
        self.by_stream: dict[int, Worker] = {}
