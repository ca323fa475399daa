"""Standard input and output as a client connection: one JSON-RPC message a line (basic/transports, stdio).

Whoever owns the process is the operator. Nothing but messages is ever written to standard output.
"""

from __future__ import annotations

from toolyard.gateway.call import ClientGone, Head
from toolyard.kit.ids import short_id
from toolyard.kit.stdio import StandardLines


def operator_head(server_code: str) -> Head:
    """The head of a connection that the owner of this process opened."""
    return Head("stdio", "STDIO", "", {}, server_code=server_code, client="local", request_id=short_id(), operator=True)


class StdioSocket:
    """This process's standard input and output as a MessageSocket."""

    def __init__(self) -> None:
        self._lines = StandardLines()

    async def receive(self) -> bytes | None:
        return await self._lines.receive()

    async def send(self, message: bytes) -> None:
        try:
            await self._lines.send(message)
        except (OSError, ValueError) as error:
            raise ClientGone from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """The process ends with its input; there is nothing to close."""
