"""Standard input and output as a client connection: one JSON-RPC message a line (basic/transports, stdio).

Whoever owns the process is the operator. Nothing but messages is ever written to standard output.
"""

from __future__ import annotations

import asyncio
import sys

from toolyard.gateway.call import ClientGone, Head
from toolyard.kit.ids import short_id

MAX_LINE_BYTES = 4 * 1024 * 1024


def operator_head(server_code: str) -> Head:
    """The head of a connection that the owner of this process opened."""
    return Head("stdio", "STDIO", "", {}, server_code=server_code, client="local", request_id=short_id(), operator=True)


class StdioSocket:
    """This process's standard input and output as a MessageSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls) -> StdioSocket:
        """Take standard input and output over. Raises OSError."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
        return cls(reader, asyncio.StreamWriter(transport, protocol, None, loop))

    async def receive(self) -> bytes | None:
        """The next line that is not blank; a line that is too long comes as itself cut short, and is refused."""
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                return end.partial.strip() or None
            except asyncio.LimitOverrunError:
                await self._skip_line()
                return b"{"
            if line.strip():
                return line.rstrip(b"\r\n")

    async def send(self, message: bytes) -> None:
        if self._writer.transport.is_closing():
            raise ClientGone
        self._writer.write(message + b"\n")
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise ClientGone from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        del code, reason
        self._writer.close()

    async def _skip_line(self) -> None:
        while True:
            chunk = await self._reader.read(64 * 1024)
            if not chunk or b"\n" in chunk:
                return
