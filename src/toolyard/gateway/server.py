"""The gateway's HTTP server: listening sockets, the one ticker behind every time limit, and the way down.

Draining: readiness flips and answers say `Connection: close` at once; the listeners accept for a grace, so that load
balancers can look away; then they close, idle connections close, endless streams end; running requests finish, and what
has not by the limit is answered with an error.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Callable, Sequence
from pathlib import Path
from socket import socket
from time import monotonic

from toolyard.gateway.admission import Admission
from toolyard.gateway.edge import EdgeSettings, edge_rules
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.reception import Listener
from toolyard.gateway.routes import RouteTable
from toolyard.gateway.wire import Refused, WireProtocol, WireService
from toolyard.kit.tasks import cancel_begun
from toolyard.kit.unix_path import bind_private

_BACKLOG = 2048
_TLS_HANDSHAKE_S = 10.0


class GatewayServer:
    """Serves a route table. `refused` is told the code of every refusal on the wire; `on_drain` is called when endless
    streams are to be ended."""

    def __init__(
        self,
        routes: RouteTable,
        *,
        limits: WireLimits | None = None,
        edge: EdgeSettings | None = None,
        refused: Refused = lambda _code, _count=1: None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.on_drain: list[Callable[[], None]] = []
        self._edge = edge or EdgeSettings()
        self._service = WireService(routes, limits or WireLimits(), now, refused)
        self._servers: list[asyncio.Server] = []
        self._paths: list[tuple[Path, int]] = []
        self._ticker: asyncio.TimerHandle | None = None

    @property
    def draining(self) -> bool:
        """The server is on its way down."""
        return self._service.draining

    @property
    def admission(self) -> Admission:
        """Which requests begin."""
        return self._service.admission

    @property
    def connection_count(self) -> int:
        """Open connections."""
        return len(self._service.connections)

    @property
    def running_count(self) -> int:
        """Handlers at work, those that outlive their clients included."""
        return len(self._service.tasks)

    async def start(self, host: str, port: int, ssl: tls.SSLContext | None = None, *, reuse_port: bool = False) -> int:
        """Listen on TCP; returns the port, which is a free one for port 0. `reuse_port`: other processes of this
        gateway listen there too. Raises OSError."""
        listener = Listener()
        server = await asyncio.get_running_loop().create_server(
            lambda: WireProtocol(self._service, listener),
            host,
            port,
            ssl=ssl,
            ssl_handshake_timeout=_TLS_HANDSHAKE_S if ssl is not None else None,
            backlog=_BACKLOG,
            reuse_port=reuse_port or None,
            start_serving=False,
        )
        bound: int = server.sockets[0].getsockname()[1]
        listener.rules = edge_rules(self._edge, host, bound, scheme="https" if ssl is not None else "http")
        await self._serve(server)
        return bound

    async def start_unix(self, path: Path) -> None:
        """Listen on a Unix socket that only this user can open; its callers are operators. Raises OSError."""
        listening = bind_private(path)
        self._paths.append((path, _inode(path)))
        listener = Listener(operator=True)
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: WireProtocol(self._service, listener), sock=listening, backlog=_BACKLOG, start_serving=False
        )
        await self._serve(server)

    def sockets(self) -> Sequence[socket]:
        """The listening sockets."""
        return [one for server in self._servers for one in server.sockets]

    async def _serve(self, server: asyncio.Server) -> None:
        self._servers.append(server)
        await server.start_serving()
        if self._ticker is None:
            self._schedule_tick()

    def _schedule_tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(self._service.limits.tick_s, self._tick)

    def _tick(self) -> None:
        self._schedule_tick()
        self.tick()

    def tick(self) -> None:
        """Look at the deadlines of all connections, as the ticker does."""
        now = self._service.now()
        self._service.admission.look(now)
        for connection in tuple(self._service.connections):
            connection.tick(now)

    async def drain(self, grace_s: float = 2.0, limit_s: float = 30.0) -> None:
        """Go down without failing a call: see the module's docstring. Returns when everything is closed."""
        self._service.draining = True
        deadline = asyncio.get_running_loop().time() + limit_s
        await asyncio.sleep(min(grace_s, limit_s))
        self._close_listeners()
        for hook in self.on_drain:
            hook()
        for connection in tuple(self._service.connections):
            connection.close_if_idle()
            connection.end_stream()
        await self._wait_until_quiet(deadline)
        await self.stop_now()

    async def stop_now(self) -> None:
        """Go down at once: running requests are answered with an error, tasks are cancelled."""
        self._service.draining = True
        self._close_listeners()
        for connection in tuple(self._service.connections):
            connection.give_up()
        for task in tuple(self._service.tasks):
            cancel_begun(task)
        await self._wait_until_quiet(asyncio.get_running_loop().time() + self._service.limits.linger_s)
        for connection in tuple(self._service.connections):
            connection.abort()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    async def _wait_until_quiet(self, deadline: float) -> None:
        if not self._service.tasks and not self._service.connections:
            return
        self._service.quiet.clear()
        try:
            async with asyncio.timeout_at(deadline):
                await self._service.quiet.wait()
        except TimeoutError:
            pass

    def _close_listeners(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        for path, inode in self._paths:
            _remove_own_socket(path, inode)
        self._paths.clear()


def _inode(path: Path) -> int:
    return path.stat().st_ino


def _remove_own_socket(path: Path, inode: int) -> None:
    """Remove a socket's file, unless another gateway has put its own there."""
    try:
        if path.stat().st_ino == inode:
            path.unlink()
    except OSError:
        return
