"""Errors that only the server raises, in addition to those of :mod:`mfp.engine.errors`.

::

    MfpError
    ├── SessionError
    │   └── RevisionError     a session's log is at another revision than the caller or the session expects
    └── ServeError            a request that the server does not answer
        ├── UnknownSessionError  no session has this id, or it has no such object
        ├── AccessError       the request has no token, or a wrong one
        │   └── OriginError   a request from another web page, or for another host
        ├── MediaTypeError    the body is neither the photograph's bytes nor JSON
        ├── TooLargeError     more bytes or pixels than the server accepts
        ├── TooSlowError      a request whose body does not arrive in time
        ├── TooManyError      more requests at a time than the server accepts from one client or session
        ├── UnavailableError  the server is full, shutting down, or lacks what the session needs
        │   └── NetworkGoneError  the network of the present object is not available
        └── StoreError        the store of sessions cannot be opened, read or written

Each message states what was expected, what the server got, and what to do.
"""

from __future__ import annotations

from ..engine.errors import MfpError, SessionError


class RevisionError(SessionError):
    """A session's log is not at the revision that the caller named: another client's event came first."""


class ServeError(MfpError, RuntimeError):
    """A request that the server does not answer."""


class UnknownSessionError(ServeError):
    """No session has this id, or the session has no such object."""


class AccessError(ServeError):
    """A request without the token, or with a wrong one."""


class OriginError(AccessError):
    """A request that another web page sends, or that names another host."""


class MediaTypeError(ServeError):
    """A body of another kind than the one expected: a form, or JSON where a photograph's bytes were expected."""


class TooLargeError(ServeError):
    """A request with more bytes or pixels than the server accepts."""


class TooSlowError(ServeError):
    """A request whose body does not arrive in time."""


class TooManyError(ServeError):
    """More requests at a time than the server accepts from one client or for one session."""


class UnavailableError(ServeError):
    """The server is full, is shutting down, or lacks what the session needs. A later request may succeed."""


class NetworkGoneError(UnavailableError):
    """The server does not have the network of the present object. The session can continue with another one."""


class StoreError(ServeError):
    """The store of sessions cannot be opened, read or written."""
