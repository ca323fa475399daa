"""What leaves one connection: bounded buffering, waiting for slow readers, and knowing when a reader has stalled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from toolyard.gateway.call import ClientGone

_SLICE = 256 * 1024


class Outflow:
    """The writing half of a connection.

    `write` never waits: small pieces go to the transport, and what is large, or comes while a large piece is still on
    its way, waits here and follows slice by slice as the peer reads. `writable` waits until the peer has caught up. A
    peer has stalled when bytes are waiting and none of them has left for a time; `tick` measures it."""

    def __init__(self, transport: asyncio.Transport, max_bytes: int, now: float) -> None:
        transport.set_write_buffer_limits(high=max_bytes, low=max_bytes // 4)
        self._transport = transport
        self._max_bytes = max_bytes
        self._paused = False
        self._gone = False
        self._waiting: list[memoryview] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._when_empty: Callable[[], None] | None = None
        self._written = 0
        self._ticked = 0
        self._left_at_tick = 0
        self.quiet_since = now
        """Since when nothing has been written, as seen by the ticks."""
        self._progress_at = now

    @property
    def backed_up(self) -> bool:
        """The peer reads more slowly than we write."""
        return self._paused or bool(self._waiting)

    def write(self, data: bytes) -> None:
        """Queue bytes; dropped when the peer has gone."""
        if self._gone:
            return
        if len(data) <= self._max_bytes and not self._waiting:
            self._written += len(data)
            self._transport.write(data)
            return
        self._waiting.append(memoryview(data))
        self._pump()

    def then(self, action: Callable[[], None]) -> None:
        """Do `action` once everything has been given to the transport: now, or later."""
        if self._waiting:
            self._when_empty = action
        else:
            action()

    async def writable(self) -> None:
        """Return once little is waiting. Raises ClientGone."""
        while self.backed_up and not self._gone:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        if self._gone:
            raise ClientGone

    def pause(self) -> None:
        """The transport's buffer is full."""
        self._paused = True

    def resume(self) -> None:
        """The transport's buffer has room again."""
        self._paused = False
        self._pump()
        if not self.backed_up:
            self._wake()

    def lose(self) -> None:
        """The peer has gone: forget what waits, wake who waits."""
        self._gone = True
        self._waiting.clear()
        self._when_empty = None
        self._wake()

    def tick(self, now: float) -> float:
        """For how many seconds bytes have been waiting without one of them leaving."""
        if self._written != self._ticked:
            self._ticked = self._written
            self.quiet_since = now
        in_transport = self._transport.get_write_buffer_size()
        left = self._written - in_transport
        if not in_transport or left != self._left_at_tick:
            self._left_at_tick = left
            self._progress_at = now
        return now - self._progress_at

    def _pump(self) -> None:
        while self._waiting and not self._paused:
            piece = self._waiting[0]
            self._written += min(len(piece), _SLICE)
            self._transport.write(piece[:_SLICE])
            if len(piece) > _SLICE:
                self._waiting[0] = piece[_SLICE:]
            else:
                self._waiting.pop(0)
        if not self._waiting and self._when_empty is not None:
            action, self._when_empty = self._when_empty, None
            action()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
