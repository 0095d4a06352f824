"""Every error that this engine raises on purpose; the server's own are in :mod:`mfp.serve.errors`.

::

    MfpError
    ├── ImageError            an image that cannot be read or has a shape or type that is not accepted
    ├── ClickError            a click outside the image, or with coordinates that are no numbers
    ├── SessionError          a call that the session cannot answer in its present state
    │   └── NothingToUndoError   undo() or redo() with nothing left
    ├── OptionError           an option (size, threshold, …) out of its range
    ├── NetworkError          a file that is no MFP network, or does not keep its contract
    │   ├── CheckpointError   a .pth file that is refused
    │   └── PlanError         a .plan file that is refused, or cannot be written
    ├── CacheError            a folder that cannot serve as the engine cache
    ├── BuildError            a network that TensorRT could not build, or not in the precision asked for
    ├── ExportError           a network that could not be exported, or whose export disagrees
    ├── RuntimeMissingError   a runtime or device that was asked for and is not usable here
    └── DatasetError          a data set that cannot be read or scored

Each message says what was expected, what came, and what to do.
"""

from __future__ import annotations


class MfpError(Exception):
    """Base of all errors of this package."""


class ImageError(MfpError, ValueError):
    """An image that cannot be read, or whose shape or type is not accepted."""


class ClickError(MfpError, ValueError):
    """A click outside the image or with coordinates that are not finite numbers."""


class SessionError(MfpError, RuntimeError):
    """A call that the session cannot answer in its present state."""


class NothingToUndoError(SessionError):
    """``undo()`` or ``redo()`` was called with nothing to undo or redo."""


class OptionError(MfpError, ValueError):
    """An option out of its range."""


class NetworkError(MfpError, ValueError):
    """A file that is no MFP network, or that does not keep the tensor contract."""


class CheckpointError(NetworkError):
    """A ``.pth`` file that is refused. Nothing in it was executed."""


class PlanError(NetworkError):
    """A ``.plan`` file that is refused, or that cannot be written.

    Attributes:
        reason: what is wrong with it, without its path and without the remedy; one line.
    """

    reason: str = ""


class CacheError(MfpError, RuntimeError):
    """A folder that cannot serve as the engine cache."""


class BuildError(MfpError, RuntimeError):
    """A network that TensorRT could not build, or not in the precision asked for; no plan is left."""


class ExportError(MfpError, RuntimeError):
    """An export that failed or that disagrees with its PyTorch network; no file is left."""


class RuntimeMissingError(MfpError, RuntimeError):
    """A runtime or device that was asked for and is not usable on this machine."""


class DatasetError(MfpError, ValueError):
    """A data set that cannot be read or scored."""
