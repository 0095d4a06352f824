"""Errors that the server alone raises, on top of those of :mod:`mfp.engine.errors`.

::

    MfpError
    ├── SessionError
    │   └── RevisionError     a session's log is not where the caller, or the session, thinks it is
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

from ..engine.errors import MfpError, SessionError


class RevisionError(SessionError):
    """A session's log is not at the revision that the caller named: somebody else's event came first."""


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
