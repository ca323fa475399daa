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
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from toolyard.kit.errors import PlatformError
from toolyard.kit.stdio import StandardLines
from toolyard.kit.unix_path import socket_address

SUBPROTOCOLS = [Subprotocol("mcp")]
LAST_ANSWERS_S = 30.0


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
            lines, open_requests = StandardLines(), OpenRequests()
            upward = asyncio.ensure_future(_send_lines(lines, socket, open_requests))
            downward = asyncio.ensure_future(_print_messages(lines, socket, open_requests))
            await asyncio.wait({upward, downward}, return_when=asyncio.FIRST_COMPLETED)
            ended_by_client = not downward.done()
            if ended_by_client:
                await open_requests.answered(LAST_ANSWERS_S)
                await socket.close()
            upward.cancel()
            await asyncio.gather(upward, downward, return_exceptions=True)
            if ended_by_client:
                return 0
            sys.stderr.write("toolyard: the gateway closed the connection\n")
            return 1
    except InvalidStatus as refusal:
        raise GatewayRefused(
            f"the gateway refused the connection with HTTP {refusal.response.status_code}"
        ) from refusal


class OpenRequests:
    """The client's requests that have no answer yet: when its input ends, they are waited for."""

    def __init__(self) -> None:
        self._ids: set[str | int] = set()
        self._none = asyncio.Event()
        self._none.set()

    def sent(self, line: bytes) -> None:
        """Note a request."""
        request_id = _id_of(line, "method")
        if request_id is not None:
            self._ids.add(request_id)
            self._none.clear()

    def received(self, message: bytes) -> None:
        """Note an answer."""
        self._ids.discard(_id_of(message, "result", "error") or "")
        if not self._ids:
            self._none.set()

    async def answered(self, limit_s: float) -> None:
        """Wait until nothing is open, at most `limit_s` seconds."""
        try:
            async with asyncio.timeout(limit_s):
                await self._none.wait()
        except TimeoutError:
            return


def _id_of(text: bytes, *members: str) -> str | int | None:
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(message, dict) or not any(member in message for member in members):
        return None
    request_id = message.get("id")
    return request_id if isinstance(request_id, str | int) else None


async def _send_lines(lines: StandardLines, socket: ClientConnection, open_requests: OpenRequests) -> None:
    while (line := await lines.receive()) is not None:
        open_requests.sent(line)
        await socket.send(line, text=True)


async def _print_messages(lines: StandardLines, socket: ClientConnection, open_requests: OpenRequests) -> None:
    try:
        async for message in socket:
            content = message if isinstance(message, bytes) else message.encode()
            await lines.send(content)
            open_requests.received(content)
    except ConnectionClosed:
        return
