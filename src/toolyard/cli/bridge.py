"""`toolyard stdio` beside a running gateway: lines on standard input and output become WebSocket messages of it.

The gateway does everything; this only carries, so both eras, questions and notifications pass as they are.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from toolyard.kit.errors import PlatformError
from toolyard.kit.stdio import StandardLines
from toolyard.kit.unix_path import socket_address

SUBPROTOCOLS = [Subprotocol("mcp")]
LAST_ANSWERS_S = 30.0
NO_MESSAGE = b"{"
"""Sent for a line that is no text, which would cost the connection: it is refused as what it is."""


class GatewayRefused(PlatformError):
    """The gateway does not let this client in."""

    code = "gateway_refused"


def bridge_local(socket_path: Path, server: str) -> int:
    """Carry between this process's client and the gateway behind a Unix socket; the exit code."""

    async def run() -> int:
        with socket_address(socket_path) as address:
            opening = unix_connect(address, uri=f"ws://localhost/ws/mcp/{quote(server)}", **_options())
            return await _carry(opening)

    return asyncio.run(run())


def bridge_remote(url: str, key: str | None, server: str) -> int:
    """Carry between this process's client and the gateway at `url`; the exit code."""
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    target = f"{scheme}://{parts.netloc}/ws/mcp/{quote(server)}"

    async def run() -> int:
        return await _carry(connect(target, additional_headers=headers, **_options()))

    return asyncio.run(run())


def _options() -> dict[str, Any]:
    return {"subprotocols": SUBPROTOCOLS, "max_size": None, "compression": None, "proxy": None}


async def _carry(opening: connect) -> int:
    try:
        async with opening as socket:
            return await _carry_both_ways(StandardLines(), socket)
    except (OSError, InvalidHandshake) as error:
        raise _refusal(error) from error


async def _carry_both_ways(lines: StandardLines, socket: ClientConnection) -> int:
    """Carry until the client's input ends and its last answers are here, or until one side is gone; the exit code."""
    open_requests = OpenRequests()
    upward = asyncio.ensure_future(_send_lines(lines, socket, open_requests))
    downward = asyncio.ensure_future(_print_messages(lines, socket, open_requests))
    try:
        await asyncio.wait({upward, downward}, return_when=asyncio.FIRST_COMPLETED)
        if upward.done() and await upward:
            answered = asyncio.ensure_future(open_requests.answered())
            await asyncio.wait({answered, downward}, timeout=LAST_ANSWERS_S, return_when=asyncio.FIRST_COMPLETED)
            answered.cancel()
            if not downward.done() or not open_requests:
                return 0
        if await downward:
            sys.stderr.write("toolyard: the gateway closed the connection\n")
        return 1
    finally:
        upward.cancel()
        downward.cancel()
        await asyncio.gather(upward, downward, return_exceptions=True)


def _refusal(error: Exception) -> GatewayRefused:
    if isinstance(error, InvalidStatus):
        return GatewayRefused(f"the gateway refused the connection with HTTP {error.response.status_code}")
    return GatewayRefused(f"the gateway cannot be reached: {error}")


class OpenRequests:
    """The client's requests that have no answer yet: when its input ends, they are waited for. A listen stream, which
    ends with its client, is none of them, nor is a request that the client has cancelled."""

    def __init__(self) -> None:
        self._ids: set[str | int] = set()
        self._none = asyncio.Event()
        self._none.set()

    def __bool__(self) -> bool:
        return bool(self._ids)

    def sent(self, line: bytes) -> None:
        """Note a request, or that one was cancelled."""
        message = _object(line)
        method, request_id = message.get("method"), message.get("id")
        if method == "notifications/cancelled":
            params = message.get("params")
            self._close(params.get("requestId") if isinstance(params, dict) else None)
        elif isinstance(method, str) and isinstance(request_id, str | int) and method != "subscriptions/listen":
            self._ids.add(request_id)
            self._none.clear()

    def received(self, line: bytes) -> None:
        """Note an answer."""
        message = _object(line)
        if "result" in message or "error" in message:
            self._close(message.get("id"))

    async def answered(self) -> None:
        """Wait until nothing is open."""
        await self._none.wait()

    def _close(self, request_id: object) -> None:
        if isinstance(request_id, str | int):
            self._ids.discard(request_id)
        if not self._ids:
            self._none.set()


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _object(text: bytes) -> dict[str, Any]:
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


async def _send_lines(lines: StandardLines, socket: ClientConnection, open_requests: OpenRequests) -> bool:
    """Whether the client's input has ended; else the gateway is gone."""
    try:
        while (line := await lines.receive()) is not None:
            open_requests.sent(line)
            await socket.send(line if _is_text(line) else NO_MESSAGE, text=True)
    except ConnectionClosed:
        return False
    return True


async def _print_messages(lines: StandardLines, socket: ClientConnection, open_requests: OpenRequests) -> bool:
    """Whether the gateway is gone; else nobody reads any more."""
    try:
        async for message in socket:
            content = message if isinstance(message, bytes) else message.encode()
            await lines.send(content)
            open_requests.received(content)
    except ConnectionClosed:
        return True
    except (OSError, ValueError):
        return False
    return True
