"""When a child that died may be started again: soon, then later and later, and for a while not at all."""

from __future__ import annotations

import random
from collections import deque
from typing import Literal

from toolyard.kit.clock import Clock

MAX_BACKOFF_S = 60.0
FAST_DEATHS = 5
WINDOW_S = 60.0
FAILED_S = 300.0

State = Literal["ready", "waiting", "failed"]


class Restarts:
    """Counts deaths. After the n-th in a row the next start waits a random part of 2^(n-1) seconds, 60 at most; the
    first `free_deaths` do not count. After five within 60 s none happens for five minutes, unless `gives_up` is false.
    A minute without one makes all good."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random | None = None,
        *,
        max_backoff_s: float = MAX_BACKOFF_S,
        free_deaths: int = 0,
        gives_up: bool = True,
    ) -> None:
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._max_backoff_s = max_backoff_s
        self._free_deaths = free_deaths
        self._gives_up = gives_up
        self._deaths: deque[float] = deque(maxlen=FAST_DEATHS)
        self._in_a_row = 0
        self._not_before = 0.0
        self._failed_until = 0.0
        self.total = 0

    def died(self) -> None:
        """Note one death that was not asked for."""
        now = self._clock.monotonic()
        if self._deaths and now - self._deaths[-1] > WINDOW_S:
            self._in_a_row = 0
        self.total += 1
        self._in_a_row += 1
        self._deaths.append(now)
        steps = self._in_a_row - 1 - self._free_deaths
        ceiling_s = min(self._max_backoff_s, 2.0 ** min(steps, 16)) if steps >= 0 else 0.0
        self._not_before = now + self._rng.uniform(0.0, ceiling_s)
        if self._gives_up and len(self._deaths) == FAST_DEATHS and now - self._deaths[0] <= WINDOW_S:
            self._failed_until = now + FAILED_S
            self._deaths.clear()

    def wait_s(self) -> float:
        """How long the next start has to wait, in seconds."""
        return max(0.0, self._failed_until - self._clock.monotonic(), self._not_before - self._clock.monotonic())

    @property
    def state(self) -> State:
        now = self._clock.monotonic()
        if now < self._failed_until:
            return "failed"
        return "waiting" if now < self._not_before else "ready"
