"""How long the event loop is kept from its work: a timer that says how late it comes.

Whoever sheds load asks for `last_s`, an attribute: nothing is measured for a call. Operators see `worst_s`, which no
reader resets: the worst of the last 15 to 30 seconds, so that a scrape every 15 seconds misses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

EVERY_S: Final = 0.05
"""20 looks a second cost 0.24 % of a core that has nothing else to do (waking up is most of it)."""
WINDOW_S: Final = 15.0


class LoopLag:
    """Watches the running loop from `start` to `stop`."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self.last_s = 0.0
        """How late the last look was: about how long something that is ready waits for its turn now."""
        self.on_look: Callable[[float], None] = lambda _lag_s: None
        """Hears of every look how late it was."""
        self._now = now
        self._due = 0.0
        self._worst = self._worst_before = 0.0
        self._window_ends = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look, in the running loop. What holds the loop before the first look is the start, not lag."""
        self._window_ends = self._now() + WINDOW_S
        self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._wait)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def worst_s(self) -> float:
        """The longest that the loop was kept busy within the last window and this one."""
        return max(self._worst, self._worst_before)

    def _wait(self) -> None:
        self._due = self._now() + EVERY_S
        self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._look)

    def _look(self) -> None:
        now = self._now()
        self.last_s = lag = max(0.0, now - self._due)
        if now >= self._window_ends:
            self._worst_before, self._worst = self._worst, 0.0
            self._window_ends = now + WINDOW_S
        self._worst = max(self._worst, lag)
        self._wait()
        self.on_look(lag)
