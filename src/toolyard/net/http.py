"""The pooled HTTP/1.1 client: one for each upstream, bounded, with kept-alive connections.

An idle connection is taken last in, first out; a request beyond `max_connections` waits its turn. A request is written
in one piece and costs no task. It is sent a second time, once, only where the first sending provably did nothing: a
reused connection that was closed without one byte of answer, and a request that is idempotent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from toolyard.net.connection import HttpConnection, KnownHead, Taker
from toolyard.net.dial import dial
from toolyard.net.errors import ConnectTimedOut, DeadlineExceeded, Incomplete, InvalidUrl, Unreachable
from toolyard.net.guard import AddressPolicy
from toolyard.net.request_head import IDEMPOTENT_METHODS, RequestHeads
from toolyard.net.resolver import Resolver, system_resolver
from toolyard.net.response import HttpResponse
from toolyard.net.tls import TlsPolicy
from toolyard.net.url import parse_url

IDLE_LIMIT_S = 60.0
_Waiter = asyncio.Future[HttpConnection | None]


class HttpClient:
    """Requests to one origin. Raises InvalidUrl for an origin that cannot be used."""

    def __init__(
        self,
        origin_url: str,
        *,
        policy: AddressPolicy,
        tls: TlsPolicy,
        max_connections: int,
        connect_timeout_s: float = 3.0,
        resolver: Resolver = system_resolver,
    ) -> None:
        self._url = parse_url(origin_url)
        if self._url.scheme not in ("http", "https"):
            raise InvalidUrl("The URL must begin with http:// or https://.")
        self._policy = policy
        self._tls = tls
        self._max_connections = max_connections
        self._connect_timeout_s = connect_timeout_s
        self._resolver = resolver
        self._heads = RequestHeads(self._url)
        self.known_heads: dict[bytes, KnownHead] = {}
        self._idle: list[HttpConnection] = []
        self._all: set[HttpConnection] = set()
        self._waiters: deque[_Waiter] = deque()
        self._slots_used = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._closed = False
        self._counts = {"requests": 0, "connections_opened": 0, "retries": 0}

    async def request(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        *,
        deadline: float,
        idempotent: bool | None = None,
    ) -> HttpResponse:
        """The answer to one request as soon as its head is there. `deadline` (loop time) ends the whole exchange, the
        body included. `idempotent` says that sending twice does no harm; by default the method decides. Cancelling
        closes the connection. Raises any NetError."""
        loop = asyncio.get_running_loop()
        if deadline <= loop.time():
            raise DeadlineExceeded
        data = self._heads.encode(method, target, headers, body)
        self._counts["requests"] += 1
        connection = self._take_idle() or await self._acquire(deadline)
        was_reused = connection.reused
        may_repeat = method in IDEMPOTENT_METHODS if idempotent is None else idempotent
        response = connection.exchange(data, deadline)
        return await self._head_of(response, data, deadline, was_reused=was_reused, may_repeat=may_repeat)

    def take_idle(self) -> HttpConnection | None:
        """An idle connection, to be used at once (`begin`) or given back (`released`); None if there is none."""
        return self._take_idle() if self._idle else None

    def begin(
        self, connection: HttpConnection, head: bytes, body: bytes, deadline: float, on_news: Callable[[], None]
    ) -> HttpResponse:
        """Send a POST on an idle connection, whose answer `on_news` watches; `go_on` waits for it like `request`.
        `head` is from `post_head`."""
        self._counts["requests"] += 1
        return connection.exchange(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body), deadline, on_news)

    def send(self, connection: HttpConnection, data: bytes, deadline: float, taker: Taker) -> None:
        """Send a whole request on an idle connection (`HttpConnection.send`)."""
        self._counts["requests"] += 1
        connection.send(data, deadline, taker)

    def post_head(self, target: str, headers: Sequence[tuple[str, str]]) -> bytes:
        """The head of a POST but for its end, for `begin`. Raises Unsendable."""
        return self._heads.opening("POST", target, headers)

    async def go_on(
        self, response: HttpResponse, head: bytes, body: bytes, *, deadline: float, idempotent: bool
    ) -> HttpResponse:
        """What `request` returns, for a request that was begun. Raises any NetError."""
        response.on_news = None
        data = b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)
        return await self._head_of(response, data, deadline, was_reused=True, may_repeat=idempotent)

    async def _head_of(
        self, response: HttpResponse, data: bytes, deadline: float, *, was_reused: bool, may_repeat: bool
    ) -> HttpResponse:
        """The response once its head is there, or that of the second sending."""
        try:
            return await response.with_head()
        except Incomplete as broken:
            if broken.answered or not was_reused or (broken.sent and not may_repeat):
                raise
        self._counts["retries"] += 1
        connection = await self._acquire(deadline, fresh=True)
        try:
            return await connection.exchange(data, deadline).with_head()
        except Incomplete as broken:
            broken.repeated = True
            raise

    def status(self) -> dict[str, int]:
        """Counts for operators: connections now, waiting requests, totals since the start."""
        return {
            "connections": self._slots_used,
            "idle": len(self._idle),
            "waiting": len(self._waiters),
            "max_connections": self._max_connections,
            **self._counts,
        }

    async def aclose(self) -> None:
        """Close every connection, break off what runs, and wait until the last socket is closed."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Unreachable("The client was closed."))
        for connection in list(self._all):
            connection.close()
        if self._all:
            self._emptied = self._emptied or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)

    # Slots and connections

    def _take_idle(self) -> HttpConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_stale():
                return connection
            connection.close()
        return None

    async def _acquire(self, deadline: float, *, fresh: bool = False) -> HttpConnection:
        """A connection to use: a new one if there is a slot for it, else the next that comes free."""
        while True:
            if self._closed:
                raise Unreachable("The client was closed.")
            if self._slots_used < self._max_connections:
                self._slots_used += 1
                return await self._open(deadline)
            if fresh and self._idle:
                self._idle[0].close()
                continue
            connection = await self._wait_turn(deadline)
            if connection is None:
                return await self._open(deadline)
            if fresh or connection.is_stale():
                connection.close()
                continue
            return connection

    async def _wait_turn(self, deadline: float) -> HttpConnection | None:
        """Wait in line for a free connection, or for None: a slot to open one in."""
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except TimeoutError:
            self._hand_on(waiter)
            raise DeadlineExceeded("All connections to the peer were in use.") from None
        except asyncio.CancelledError:
            self._hand_on(waiter)
            raise

    def _hand_on(self, waiter: _Waiter) -> None:
        """A waiter gave up: what it was given meanwhile goes to the next."""
        if not waiter.done() or waiter.cancelled():
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        elif waiter.exception() is None:
            connection = waiter.result()
            if connection is None:
                self._free_slot()
            elif connection.usable:
                self.released(connection)

    async def _open(self, deadline: float) -> HttpConnection:
        """A new connection in a slot that is already counted as used."""
        loop = asyncio.get_running_loop()
        left_s = deadline - loop.time()
        try:
            connection, sock = await dial(
                lambda: HttpConnection(self, loop),
                self._url,
                policy=self._policy,
                tls=self._tls,
                timeout_s=min(left_s, self._connect_timeout_s),
                resolver=self._resolver,
            )
        except ConnectTimedOut:
            self._free_slot()
            if left_s < self._connect_timeout_s:
                raise DeadlineExceeded from None
            raise
        except BaseException:
            self._free_slot()
            raise
        if not connection.usable or self._closed:
            self._free_slot()
            connection.close()
            raise Unreachable("The peer closed the connection at once.")
        connection.sock = sock
        self._all.add(connection)
        self._counts["connections_opened"] += 1
        return connection

    def _free_slot(self) -> None:
        """A slot is free: the first in line may open a connection in it."""
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self._slots_used -= 1

    def _next_waiter(self) -> _Waiter | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    # What connections tell.

    def released(self, connection: HttpConnection) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
            return
        self._idle.append(connection)
        if self._sweep is None and not self._closed:
            self._sweep = asyncio.get_running_loop().call_later(IDLE_LIMIT_S, self._sweep_idle)

    def retired(self, connection: HttpConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if connection in self._all:
            self._free_slot()

    def lost(self, connection: HttpConnection) -> None:
        self._all.discard(connection)
        if not self._all and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def _sweep_idle(self) -> None:
        """Close what has been idle too long. Coarse: a connection may stay for twice the limit."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_LIMIT_S
        for connection in [idle for idle in self._idle if idle.idle_since <= oldest]:
            connection.close()
        self._sweep = loop.call_later(IDLE_LIMIT_S, self._sweep_idle) if self._idle else None
