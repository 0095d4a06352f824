"""uvicorn, told how to end: running clicks are finished and answered before sockets and store are closed."""

from __future__ import annotations

import logging
import socket

import uvicorn
from fastapi import FastAPI

from . import logs

log = logging.getLogger("mfp.serve")
PATIENCE = 30.0  # seconds that running work gets
REST = 3  # seconds for what is then still on its way: answers that are being sent, bodies that do not come
CONNECTIONS = 1000
MESSAGE = 64 * 1024  # bytes of a WebSocket's message


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
                limit_concurrency=CONNECTIONS,
                timeout_graceful_shutdown=REST,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
                log.info("serving", extra={"fields": {"url": url}})

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()  # first of all: a client that comes now finds another server, or none
        log.info("ending")
        if not self.force_exit:
            await self._desk.gate.close(PATIENCE)
        await super().shutdown(sockets)
        log.info("ended")
