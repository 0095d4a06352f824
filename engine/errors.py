"""Errors that the engine raises on purpose. The server's own errors are in :mod:`mfp.serve.errors`.

::

    MfpError
    ├── ImageError            an image that cannot be read or has a shape or type that is not accepted
    ├── ClickError            a click outside the image, or with coordinates that are not finite numbers
    ├── SessionError          a call that is not possible in the session's current state
    │   └── NothingToUndoError   undo() or redo() with nothing left
    ├── OptionError           an option (size, threshold, …) out of its range
    ├── NetworkError          a file that is no MFP network, or breaks the tensor contract
    │   ├── CheckpointError   a .pth file that is rejected
    │   └── PlanError         a .plan file that is rejected, or cannot be written
    ├── CacheError            a folder that cannot be used as the engine cache
    ├── BuildError            a network that TensorRT could not build, or not in the requested precision
    ├── ExportError           a network that could not be exported, or whose export disagrees
    ├── RuntimeMissingError   a requested runtime or device that is not usable on this machine
    └── DatasetError          a data set that cannot be read or scored

Each message states what was expected, what was given, and what to do.
"""

from __future__ import annotations


class MfpError(Exception):
    """Base of all errors of this package."""


class ImageError(MfpError, ValueError):
    """An image that cannot be read, or whose shape or type is not accepted."""


class ClickError(MfpError, ValueError):
    """A click outside the image or with coordinates that are not finite numbers."""


class SessionError(MfpError, RuntimeError):
    """A call that is not possible in the session's current state."""


class NothingToUndoError(SessionError):
    """``undo()`` or ``redo()`` was called with nothing to undo or redo."""


class OptionError(MfpError, ValueError):
    """An option out of its range."""


class NetworkError(MfpError, ValueError):
    """A file that is no MFP network, or that breaks the tensor contract."""


class CheckpointError(NetworkError):
    """A ``.pth`` file that is rejected. No code in it was executed."""


class PlanError(NetworkError):
    """A ``.plan`` file that is rejected, or that cannot be written.

    Attributes:
        reason: fault of the file, without its path and without the remedy; one line.
    """

    reason: str = ""


class CacheError(MfpError, RuntimeError):
    """A folder that cannot be used as the engine cache."""


class BuildError(MfpError, RuntimeError):
    """A network that TensorRT could not build, or not in the requested precision. No plan file remains."""


class ExportError(MfpError, RuntimeError):
    """An export that failed or that disagrees with its PyTorch network. No file remains."""


class RuntimeMissingError(MfpError, RuntimeError):
    """A requested runtime or device that is not usable on this machine."""


class DatasetError(MfpError, ValueError):
    """A data set that cannot be read or scored."""
