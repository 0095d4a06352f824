"""uvicorn server with an orderly end: running clicks are answered before sockets and store are closed."""

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
PATIENCE = 30.0  # seconds that running work gets to finish
REST = 3  # seconds after that for data on its way: answers that are being sent, bodies that do not arrive
MESSAGE = 64 * 1024  # maximum bytes of a WebSocket message
FILES = 4096  # open files at a time: some 1,500 connections, and those of the store and the networks


class Server(uvicorn.Server):
    """Server of one application. SIGTERM or SIGINT ends it in order; a second signal ends it at once."""

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
                proxy_headers=False,  # the application decides which proxies are trusted
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
            server.close()  # first of all: a client that connects now finds another server, or none
        log.info("ending")
        if not self.force_exit:
            await self._desk.gate.close(PATIENCE)
        await super().shutdown(sockets)
        log.info("ended")


def check_address(host: str, port: int) -> None:
    """Check that the server can listen on an address, before anything is loaded.

    Raises:
        OptionError: the server cannot listen there, or it is not an address of this machine.
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
            if os.name == "posix":  # on Windows it would let two servers listen
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        reason = (os.strerror(error.errno) if error.errno else str(error)).lower()
        raise OptionError(f"cannot listen at {where}: {reason}; choose another with --host or --port") from None


def _allow_files() -> None:
    """Raise the limit on open files: most systems start a process with 1,024, and grant more on request."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
