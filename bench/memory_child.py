"""A child process in memory for `bench.path`: the gateway's own channel, on pipes that cost nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import toolyard.gateway.upstream.child as child_module
import toolyard.gateway.upstream.mcp_stdio as stdio_module
from toolyard.gateway.upstream.child import ChildChannel
from toolyard.gateway.upstream.child_process import Command

Answer = Callable[[bytes], bytes]
"""The answer to one request, both without the end of the line."""


class MemoryProcess:
    """Stands in for a started command that ends when it is let go."""

    exit_code: int | None = None

    def __init__(self, command: Command, on_exit: Callable[[], None]) -> None:
        self._on_exit = on_exit

    def ask_to_end(self) -> None:
        self.let_go()

    def let_go(self) -> None:
        if self.exit_code is None:
            self.exit_code = 0
            self._on_exit()

    def kill(self) -> None:
        self.let_go()

    async def wait(self, limit_s: float) -> bool:
        return True


class MemoryPipe:
    """All three pipes of a child that answers at the loop's next turn."""

    def __init__(self, channel: ChildChannel, answer: Answer) -> None:
        self._channel = channel
        self._answer = answer
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        answers = [self._answer(line) for line in data.splitlines() if b'"id":' in line]
        if answers:
            self._loop.call_soon(self._channel.take_output, b"\n".join([*answers, b""]))

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        pass

    abort = close


def children_in_memory(answer: Answer) -> None:
    """Have every program of a stdio upstream be one in memory from now on."""

    async def start(command: Command) -> ChildChannel:
        channel = ChildChannel(command)
        pipe: Any = MemoryPipe(channel, answer)
        vars(channel).update(_stdin=pipe, _stdout=pipe, _stderr_pipe=pipe)
        return channel

    vars(child_module)["KeptProcess"] = MemoryProcess
    vars(stdio_module)["start_child"] = start
