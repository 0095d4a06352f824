"""Every error that this engine raises on purpose.

::

    MfpError
    ├── ImageError            an image that cannot be read or has a shape or type that is not accepted
    ├── ClickError            a click outside the image, or with coordinates that are no numbers
    ├── SessionError          a call that the session cannot answer in its present state
    │   ├── NothingToUndoError   undo() or redo() with nothing left
    │   └── RevisionError     a session's log is not where the caller, or the session, thinks it is
    ├── OptionError           an option (size, threshold, …) out of its range
    ├── NetworkError          a file that is no MFP network, or does not keep its contract
    │   ├── CheckpointError   a .pth file that is refused
    │   └── PlanError         a .plan file that is refused, or cannot be written
    ├── CacheError            a folder that cannot serve as the engine cache
    ├── BuildError            a network that TensorRT could not build, or not in the precision asked for
    ├── ExportError           a network that could not be exported, or whose export disagrees
    ├── RuntimeMissingError   a runtime or device that was asked for and is not usable here
    ├── DatasetError          a data set that cannot be read or scored
    └── ServeError            a request that the server does not answer
        ├── UnknownSessionError  no session of this id, or no such object in it
        ├── AccessError       no token, or a wrong one
        │   └── OriginError   a request from another web page, or for another host
        ├── MediaTypeError    a body of another kind than the photograph's bytes or JSON
        ├── TooLargeError     more bytes or pixels than the server takes
        ├── TooSlowError      a request whose body does not come
        ├── TooManyError      more requests than the server takes from one client or session at a time
        ├── UnavailableError  the server is full, shutting down, or lacks what the session needs
        │   └── NetworkGoneError  … the network that the present object was made with
        └── StoreError        the store of sessions cannot be opened, read or written

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


class RevisionError(SessionError):
    """A session's log is not at the revision that the caller named: somebody else's event came first."""


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


class ServeError(MfpError, RuntimeError):
    """A request that the server does not answer."""


class UnknownSessionError(ServeError):
    """There is no session of this id, or no such object in it."""


class AccessError(ServeError):
    """A request without the token, or with a wrong one."""


class OriginError(AccessError):
    """A request that another web page sends, or that names another host."""


class MediaTypeError(ServeError):
    """A body of another kind than the one expected: a form, or JSON where a photograph's bytes were expected."""


class TooLargeError(ServeError):
    """More bytes or pixels than the server takes."""


class TooSlowError(ServeError):
    """A request whose body does not come."""


class TooManyError(ServeError):
    """More requests than the server takes from one client, or for one session, at a time."""


class UnavailableError(ServeError):
    """The server is full, is shutting down, or lacks what the session needs. Later, it may work."""


class NetworkGoneError(UnavailableError):
    """The server does not have the network of the present object. The session can go on with another one."""


class StoreError(ServeError):
    """The store of sessions cannot be opened, read or written."""
