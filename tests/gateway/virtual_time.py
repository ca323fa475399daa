"""An event loop whose clock jumps to the next timer as soon as nothing else is left to do: hours pass at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits for a timer. For code without threads, processes and sockets."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 1000.0

    def time(self) -> float:
        return self._now_s

    def _run_once(self) -> None:
        loop: Any = self
        if not loop._ready and not loop._stopping:
            due = [timer.when() for timer in loop._scheduled if not timer.cancelled()]
            assert due, "everybody waits for something that will not happen"
            self._now_s = max(self._now_s, min(due))
        super()._run_once()  # type: ignore[misc]


class LoopClock:
    """The clock of the running loop, as the gateway's clock."""

    def wall(self) -> float:
        return asyncio.get_running_loop().time()

    monotonic = wall


def run_virtually(scene: Coroutine[Any, Any, T]) -> T:
    """The result of `scene`, played in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scene)
