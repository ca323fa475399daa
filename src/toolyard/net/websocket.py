"""WebSocket channels towards peers: the `websockets` client on a socket that was dialled and vetted here.

No compression, no redirects, no proxy settings from the environment. Pings every 20 s; a peer that does not answer one
within 20 s is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidMessage,
    InvalidStatus,
    WebSocketException,
)
from websockets.protocol import State
from websockets.typing import Subprotocol

from toolyard.net.dial import open_socket, translated_errors
from toolyard.net.errors import (
    BadResponse,
    ConnectTimedOut,
    DeadlineExceeded,
    Incomplete,
    InvalidUrl,
    NetError,
    TooLarge,
)
from toolyard.net.guard import AddressPolicy
from toolyard.net.request_head import check_header, check_token
from toolyard.net.resolver import Resolver, system_resolver
from toolyard.net.tls import TlsPolicy, ssl_context
from toolyard.net.url import parse_url

CONNECT_LIMIT_S = 3.0
PING_INTERVAL_S = 20.0
CLOSE_LIMIT_S = 2.0
_WAITING_FRAMES = 4
_TOO_BIG = 1009


class _Opening(connect):
    """The opening of a channel, which takes a redirect for what it is: a refusal."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class WebSocketChannel:
    """One open channel. `send` may be called by many tasks; `receive` by one at a time."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        """What the peer chose of the subprotocols offered."""
        return self._connection.subprotocol

    async def send(self, message: bytes) -> None:
        """Send UTF-8 text as one message; waits while the peer reads slowly. Raises Incomplete when the channel is
        closed."""
        try:
            await self._connection.send(message, text=True)
        except ConnectionClosed as error:
            raise _ended(error) from error

    @property
    def has_room(self) -> bool:
        """The channel is open and nothing waits to be written."""
        transport = self._connection.transport
        is_open = self._connection.state is State.OPEN and not transport.is_closing()
        return is_open and not transport.get_write_buffer_size()

    def offer(self, message: bytes) -> bool:
        """As `send`, if that need not wait; False: nothing was sent. An end of the channel is told by `receive`.

        `send` writes in its first step and waits only for what it has written to leave; the next `send` waits for that,
        too."""
        if not self.has_room:
            return False
        sending = self._connection.send(message, text=True)
        with suppress(StopIteration, ConnectionClosed):
            sending.send(None)
        sending.close()
        return True

    async def receive(self) -> bytes | None:
        """The next message's bytes, or None when the peer has closed properly. Raises Incomplete, TooLarge."""
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosedOK:
            return None
        except ConnectionClosed as error:
            raise _ended(error) from error

    async def aclose(self) -> None:
        """Close with code 1000; after 2 s without the peer's answer the connection is dropped."""
        try:
            await self._connection.close()
        except asyncio.CancelledError:
            self._connection.transport.abort()
            raise


async def connect_websocket(
    url: str,
    headers: Sequence[tuple[str, str]],
    subprotocols: Sequence[str],
    *,
    policy: AddressPolicy,
    tls: TlsPolicy,
    deadline: float,
    max_message_bytes: int,
    resolver: Resolver = system_resolver,
) -> WebSocketChannel:
    """Open a channel before `deadline` (loop time; it does not end the channel). Raises any NetError; a BadResponse has
    the peer's `http_status` in its context if it answered with another status than 101."""
    parsed = parse_url(url)
    if parsed.scheme not in ("ws", "wss"):
        raise InvalidUrl("The URL must begin with ws:// or wss://.")
    for name, value in headers:
        check_header(name, value)
    for subprotocol in subprotocols:
        check_token(subprotocol)
    loop = asyncio.get_running_loop()
    left_s = deadline - loop.time()
    context = ssl_context(tls) if parsed.is_tls else None
    try:
        sock = await open_socket(parsed, policy=policy, timeout_s=min(left_s, CONNECT_LIMIT_S), resolver=resolver)
    except ConnectTimedOut:
        if left_s < CONNECT_LIMIT_S:
            raise DeadlineExceeded from None
        raise
    opening = _Opening(
        str(parsed),
        sock=sock,
        ssl=context,
        server_hostname=parsed.host if context is not None else None,
        proxy=None,
        compression=None,
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        additional_headers=list(headers),
        user_agent_header=None,
        open_timeout=deadline - loop.time(),
        ping_interval=PING_INTERVAL_S,
        ping_timeout=PING_INTERVAL_S,
        close_timeout=CLOSE_LIMIT_S,
        max_size=max_message_bytes,
        max_queue=_WAITING_FRAMES,
    )
    with _translated_handshake(tls=parsed.is_tls):
        return WebSocketChannel(await opening)


@contextmanager
def _translated_handshake(*, tls: bool) -> Iterator[None]:
    try:
        with translated_errors(tls=tls):
            yield
    except TimeoutError:
        raise DeadlineExceeded from None
    except InvalidStatus as error:
        raise BadResponse(
            "The peer refused the WebSocket handshake.", sent=True, http_status=error.response.status_code
        ) from error
    except (InvalidMessage, EOFError) as error:
        raise Incomplete("The peer broke off the WebSocket handshake.", answered=False) from error
    except (WebSocketException, ValueError) as error:
        raise BadResponse("The peer's WebSocket handshake is not valid.", sent=True) from error


def _ended(error: ConnectionClosed) -> NetError:
    if error.sent is not None and error.sent.code == _TOO_BIG:
        return TooLarge("The peer's message is larger than allowed.", sent=True)
    return Incomplete("The WebSocket connection was closed.")
