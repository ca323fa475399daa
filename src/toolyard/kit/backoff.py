"""Pauses between attempts: each up to twice the one before, with jitter, so that many do not come at once."""

from __future__ import annotations

import random


class Backoff:
    """The pauses of one thing that is tried again and again: from `first_s` to `longest_s` seconds."""

    __slots__ = ("_failures", "_first_s", "_longest_s", "_rng")

    def __init__(self, first_s: float, longest_s: float, rng: random.Random | None = None) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._rng = rng or random.SystemRandom()
        self._failures = 0

    def pause_s(self) -> float:
        """How long to wait before the next attempt, in seconds."""
        ceiling_s = min(self._longest_s, self._first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return ceiling_s * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It went well: the next pause is a short one."""
        self._failures = 0
