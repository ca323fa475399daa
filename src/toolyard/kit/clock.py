"""Time as a value that is handed in, so that tests decide what time it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Two clocks: `wall` is seconds since 1970 for people and expiry; `monotonic` is seconds for every timeout."""

    def wall(self) -> float: ...
    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class ManualClock:
    """A clock that moves only when told to; for tests."""

    def __init__(self, start_s: float = 1_800_000_000.0) -> None:
        self._now_s = start_s

    def wall(self) -> float:
        return self._now_s

    def monotonic(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds


class LoopTime:
    """The running loop's time, in seconds, for objects that belong to one loop. In CPython 3.11 each
    `get_running_loop` asks the system for the process id; here that happens once."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: Callable[[], float] = self._find

    def _find(self) -> float:
        self.now = asyncio.get_running_loop().time
        return self.now()
