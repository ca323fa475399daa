"""The matrix's upstream on a connection that carries many messages."""

from __future__ import annotations

import asyncio

from tests.matrix.offers import Json
from tests.matrix.program import Program
from tests.matrix.turns import Caller, Send


class Conversation:
    """One connection. `send` writes a message to it."""

    def __init__(self, program: Program, send: Send) -> None:
        self._program = program
        self._send = send
        self._caller = Caller(send)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, message: Json) -> None:
        """A message of the client."""
        if "method" not in message:
            self._caller.take_reply(message)
        elif "id" not in message:
            self._program.notified(self._caller, message)
        else:
            task = asyncio.create_task(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Json) -> None:
        answer = await self._program.answer(self._caller, message, self._send)
        if answer is not None:
            await self._send(answer)

    async def end(self) -> None:
        """The connection is over."""
        self._program.gone(self._caller)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
