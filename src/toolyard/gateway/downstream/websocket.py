"""JSON-RPC over WebSocket: one connection that carries whole messages both ways (RFC 6455, no extensions).

The server has guarded, routed and admitted the request when this takes the connection over. Text frames only. What is
received waits in a queue; while it holds more than `_QUEUE_BYTES` nothing is read from the socket.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from toolyard.gateway.call import ClientGone
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.head_reader import RequestHead
from toolyard.gateway.outflow import Outflow

_SUBPROTOCOL = "mcp"
_KEY_PREFIX = "mcp_key_"
_LIST = "sec-websocket-protocol"
_QUEUE_BYTES = 1024 * 1024
_MESSAGE_COST = 64
_frames_log = logging.getLogger("toolyard.websocket.frames")
_frames_log.setLevel(logging.WARNING)  # at DEBUG the library logs every header, keys included


class SocketTransport(Protocol):
    """What of the transport a WebSocket uses."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


def wants_websocket(request: RequestHead) -> bool:
    """The request asks for a WebSocket; whether it does so properly is for the handshake to say."""
    return request.method == "GET" and request.http11 and request.headers.get("upgrade", "").lower() == "websocket"


def take_key(headers: dict[str, str]) -> None:
    """Browsers cannot set Authorization on a WebSocket: an API key may come as an entry of Sec-WebSocket-Protocol.

    It becomes the Authorization header unless there is one, and leaves the list in every case."""
    offered = [entry.strip() for entry in headers.get(_LIST, "").split(",")]
    keys = [entry for entry in offered if entry.startswith(_KEY_PREFIX)]
    if not keys:
        return
    headers[_LIST] = ", ".join(entry for entry in offered if not entry.startswith(_KEY_PREFIX))
    if len(keys) == 1:
        headers.setdefault("authorization", f"Bearer {keys[0]}")


def _select(_: ServerProtocol, offered: list[Subprotocol] | tuple[Subprotocol, ...]) -> Subprotocol | None:
    return Subprotocol(_SUBPROTOCOL) if _SUBPROTOCOL in offered else None


class WebSocket:
    """A client's WebSocket (see `call.MessageSocket`)."""

    def __init__(
        self, transport: SocketTransport, outflow: Outflow, limits: WireLimits, now: Callable[[], float]
    ) -> None:
        self._transport = transport
        self._outflow = outflow
        self._limits = limits
        self._now = now
        self._protocol = ServerProtocol(
            select_subprotocol=cast("Callable[..., Subprotocol | None]", _select),
            max_size=limits.message_bytes,
            logger=_frames_log,
        )
        self._partial = bytearray()
        self._messages: deque[bytes] = deque()
        self._queued_bytes = 0
        self._reading_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._closed = asyncio.Event()
        self._heard_at = self._pinged_at = now()
        self._closing_since = math.inf

    def accept(self, raw_head: bytes) -> bool:
        """Answer the handshake; False when it was refused (the answer has been written all the same)."""
        self._protocol.receive_data(raw_head)
        events = self._protocol.events_received()
        if not events:
            self._transport.abort()
            return False
        response = self._protocol.accept(cast(Request, events[0]))
        if response.status_code != 101:
            response.body = b""
            response.headers.pop("Content-Type", None)
            response.headers["Content-Length"] = "0"
        self._protocol.send_response(response)
        self._flush()
        return response.status_code == 101

    # --- MessageSocket

    async def receive(self) -> bytes | None:
        """The next message; None once the client has closed."""
        while not self._messages:
            if self._ended:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        message = self._messages.popleft()
        self._queued_bytes -= len(message) + _MESSAGE_COST
        self._pace()
        return message

    async def send(self, message: bytes) -> None:
        """One text message. Waits while the client reads slowly; raises ClientGone."""
        if self._ended:
            raise ClientGone
        try:
            self._protocol.send_text(message)
        except InvalidState:
            raise ClientGone from None
        self._flush()
        await self._outflow.writable()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and wait until the client has answered, or for as long as a ping may take."""
        self.start_close(code, reason)
        try:
            async with asyncio.timeout(self._limits.ping_s):
                await self._closed.wait()
        except TimeoutError:
            self._transport.abort()

    # --- the connection

    def start_close(self, code: int, reason: str = "") -> None:
        """Send the close frame, if none was sent."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()
        self._end()

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        self._heard_at = self._now()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
        self._flush()
        if self._protocol.state is not State.OPEN:
            self._end()
        self._pace()

    def lost(self) -> None:
        """The connection is gone."""
        self._end()
        self._closed.set()

    def tick(self, now: float) -> None:
        """Ping a quiet client; give up on one that answers neither pings nor the closing handshake."""
        self._pace()
        quiet_s = now - self._heard_at
        if quiet_s >= 2 * self._limits.ping_s or now - self._closing_since >= self._limits.ping_s:
            self._transport.abort()
        elif (
            quiet_s >= self._limits.ping_s and self._pinged_at <= self._heard_at and self._protocol.state is State.OPEN
        ):
            self._pinged_at = now
            self._protocol.send_ping(b"")
            self._flush()

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self._protocol.fail(1003, "text messages only")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT) and not self._ended:
            self._partial += frame.data
            if frame.fin:
                message = bytes(self._partial)
                self._partial.clear()
                self._messages.append(message)
                self._queued_bytes += len(message) + _MESSAGE_COST
                self._wake()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._outflow.write(data)
            else:
                self._outflow.then(self._transport.close)

    def _pace(self) -> None:
        """Read from the socket only while little waits on both sides."""
        full = not self._ended and (self._queued_bytes > _QUEUE_BYTES or self._outflow.backed_up)
        if full != self._reading_paused:
            self._reading_paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._closing_since = self._now()
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
