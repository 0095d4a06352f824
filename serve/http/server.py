"""uvicorn, told how to end: running clicks are finished and answered before sockets and store are closed."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from ...engine.errors import OptionError
from ..settings import url_of
from . import logs
from .connections import Connection

log = logging.getLogger("mfp.serve")
PATIENCE = 30.0  # seconds that running work gets
REST = 3  # seconds for what is then still on its way: answers that are being sent, bodies that do not come
MESSAGE = 64 * 1024  # bytes of a WebSocket's message
FILES = 4096  # open at a time: some 1,500 connections, and the store's and the networks' own


class Server(uvicorn.Server):
    """Serves one application until SIGTERM or SIGINT; a second one ends it at once."""

    def __init__(self, app: FastAPI, host: str, port: int, log_format: str = "text") -> None:
        self._desk = app.state.desk
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=logs.configuration(log_format),
                ws_max_size=MESSAGE,
                server_header=False,
                http=Connection,
                proxy_headers=False,  # which are believed is for the application to say
                timeout_graceful_shutdown=REST,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        _allow_files()
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                log.info("serving", extra={"fields": {"url": url_of(host, port)}})

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()  # first of all: a client that comes now finds another server, or none
        log.info("ending")
        if not self.force_exit:
            await self._desk.gate.close(PATIENCE)
        await super().shutdown(sockets)
        log.info("ended")


def check_address(host: str, port: int) -> None:
    """Find out before anything is loaded whether it can be listened to.

    Raises:
        OptionError: it cannot, or is no address of this machine.
    """
    where = f"{host}, port {port}"
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError, ValueError) as error:
        raise OptionError(
            f"expected an address of this machine, for example 127.0.0.1 or 0.0.0.0, got {host!r}: {error}"
        ) from None
    try:
        with socket.socket(family, kind, protocol) as tried:
            if os.name == "posix":  # elsewhere it would let two servers listen
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        reason = (os.strerror(error.errno) if error.errno else str(error)).lower()
        raise OptionError(f"cannot listen at {where}: {reason}; choose another with --host or --port") from None


def _allow_files() -> None:
    """A process starts with 1,024 open files on most systems, and may have more where it asks for them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
