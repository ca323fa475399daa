"""Connections of a client to the gateway that carry many messages: WebSocket, HTTP+SSE, standard input and output."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, BinaryIO, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.gateway.rig import Rig, Stream
from tests.matrix.offers import Json
from toolyard.gateway.downstream.duplex import Duplex
from toolyard.gateway.downstream.stdio import StdioSocket, operator_head
from toolyard.kit.stdio import StandardLines


class Wire(Protocol):
    """Whole messages both ways. `receive` returns None at the end."""

    async def send(self, message: Json) -> None: ...
    async def receive(self) -> Json | None: ...
    async def aclose(self) -> None: ...


class WebSocketWire:
    """A client of `/ws/mcp`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @classmethod
    async def open(cls, rig: Rig) -> WebSocketWire:
        url = f"ws://127.0.0.1:{rig.port}/ws/mcp"
        return cls(await connect(url, subprotocols=[Subprotocol("mcp")], max_size=None, proxy=None))

    async def send(self, message: Json) -> None:
        await self._socket.send(json.dumps(message))

    async def receive(self) -> Json | None:
        try:
            return dict(json.loads(await self._socket.recv()))
        except ConnectionClosed:
            return None

    async def aclose(self) -> None:
        await self._socket.close()


class SseWire:
    """A client of `/sse`."""

    def __init__(self, rig: Rig, stream: Stream, target: str) -> None:
        self._rig = rig
        self._stream = stream
        self._target = target

    @classmethod
    async def open(cls, rig: Rig) -> SseWire:
        stream = await rig.open("GET", "/sse", {"accept": "text/event-stream"})
        event = await stream.event()
        assert event.event == "endpoint"
        return cls(rig, stream, event.data.decode())

    async def send(self, message: Json) -> None:
        headers = {"content-type": "application/json"}
        reply = await self._rig.http("POST", self._target, headers, json.dumps(message).encode())
        assert reply.status == 202, reply.body

    async def receive(self) -> Json | None:
        while not self._stream.waiting:
            try:
                chunk = await self._stream.chunk()
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            if not chunk:
                return None
            self._stream.waiting += self._stream.parser.feed(chunk)
        return dict(json.loads(self._stream.waiting.pop(0).data))

    async def aclose(self) -> None:
        self._stream.close()


class _Pipes(StdioSocket):
    """The gateway's end of two pipes instead of its own standard input and output."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._lines = StandardLines(incoming, outgoing)


class StdioWire:
    """A client that talks to a gateway over pipes, as it would to `toolyard stdio` without a running gateway."""

    def __init__(self, rig: Rig) -> None:
        reading, self._outgoing = os.pipe()
        self._incoming_end, writing = os.pipe()
        self._ends = (os.fdopen(reading, "rb"), os.fdopen(writing, "wb"))
        client = Duplex(rig.gateway.exchange, operator_head("default"), _Pipes(*self._ends))
        self._serving = asyncio.ensure_future(client.run())
        self._reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
        self._transport: asyncio.ReadTransport | None = None

    @classmethod
    async def open(cls, rig: Rig) -> StdioWire:
        wire = cls(rig)
        end = os.fdopen(wire._incoming_end, "rb")
        loop = asyncio.get_running_loop()
        wire._transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(wire._reader), end)
        return wire

    async def send(self, message: Json) -> None:
        os.write(self._outgoing, json.dumps(message).encode() + b"\n")

    async def receive(self) -> Json | None:
        line = await self._reader.readline()
        return dict(json.loads(line)) if line else None

    async def aclose(self) -> None:
        os.close(self._outgoing)
        await self._serving
        for end in self._ends:
            end.close()
        if self._transport is not None:
            self._transport.close()


WIRES: dict[str, Any] = {"websocket": WebSocketWire, "sse": SseWire, "stdio": StdioWire}
