"""When the collector of cyclic garbage looks at everything: not while somebody waits for an answer.

A full collection walks all that is alive, and what is alive here is mostly a catalog that does not change: with 10,000
tools that holds the process for 19 to 41 ms. So what is there once a process serves, and again after a new catalog, is
set aside (`gc.freeze`, which walks nothing), and no collection looks at it: a full one then takes below 1 ms while few
clients are there. What is set aside is still freed with its last reference, as a replaced catalog is; only cycles wait,
minutes later, for a second in which nobody calls. Then all of it is looked at and set aside again.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import monotonic
from typing import Final

WAIT_S: Final = 600.0
LONGEST_WAIT_S: Final = 3600.0
"""How long cycles among what was set aside wait: so long at least, then until nobody calls, but no longer than this."""


class Garbage:
    """Keeps full collections short in one process. `begin` when it serves; then `look` about once a second."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._large: object = None
        self._worked = -1
        self._set_aside_at: float | None = None

    def begin(self, large: object) -> None:
        """Set everything aside that is there now, and let collections begin if they were held back (`hold_back`)."""
        self._large = large
        gc.freeze()
        gc.enable()

    def look(self, large: object, worked: int) -> None:
        """`large` is what most of the memory is for: another object than last time means that much is new. `worked` is
        how many calls there have been."""
        idle, self._worked = worked == self._worked, worked
        if large is not self._large:
            self._large = large
            gc.freeze()
            self._set_aside_at = self._set_aside_at or self._now()
        elif self._set_aside_at is not None:
            waited_s = self._now() - self._set_aside_at
            if waited_s >= (WAIT_S if idle else LONGEST_WAIT_S):
                gc.unfreeze()
                gc.collect()
                gc.freeze()
                self._set_aside_at = None


def hold_back() -> None:
    """No collections while a process starts: nothing of what is made then is garbage, and looking for it takes 22 of
    its first 370 ms."""
    gc.disable()
