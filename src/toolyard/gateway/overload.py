"""Whether the gateway itself is in trouble: its loop comes late, or its memory is nearly used up.

Admission (admission.py) keeps a gateway well that is only asked too much. What it cannot see is work that is large, not
frequent: one turn of the loop that takes long, or memory that grows. Then first nothing begins that would stay (streams
and subscriptions), and if that does not help, no call does. Probes, metrics and the operator are always served. A level
holds a moment after its cause has gone, so that it does not flicker.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolyard.kit.logs import get_logger

log = get_logger(__name__)

CALM: Final = 0
STRAINED: Final = 1
"""Nothing begins that stays."""
OVERLOADED: Final = 2
"""No call begins."""
_NAMES: Final = ("calm", "strained", "overloaded")
_LOOKS_AT_MEMORY: Final = 10
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, slots=True)
class OverloadLimits:
    """`lag_s`: what counts as late. So often late one after the other (looks are 50 ms apart, and as late as they are)
    is a strain, or overload; one long turn is neither. `hold_looks`: how long a level holds. `memory_bytes` is what
    the process may have (0: unknown), the shares are those of the two levels."""

    lag_s: float = 0.1
    strained_looks: int = 2
    overloaded_looks: int = 8
    hold_looks: int = 10
    memory_bytes: int = 0
    strained_share: float = 0.85
    overloaded_share: float = 0.95


class Overload:
    """The level of one process. Tell it `looked` at every look at the loop's lag; `on_closed` hear when calls may begin
    no more (True) and when they may again (False)."""

    def __init__(self, limits: OverloadLimits, memory: Callable[[], int] | None = None) -> None:
        self.level = CALM
        self.on_closed: list[Callable[[bool], None]] = []
        self._limits = limits
        self._memory = memory or resident_bytes
        self._late = 0
        self._looks = 0
        self._held = {STRAINED: 0, OVERLOADED: 0}
        """Until which look each level holds."""

    def looked(self, lag_s: float) -> None:
        """The loop was looked at, and was so late."""
        limits = self._limits
        self._looks += 1
        self._late = self._late + 1 if lag_s > limits.lag_s else 0
        if self._late >= limits.strained_looks:
            self._hold(OVERLOADED if self._late >= limits.overloaded_looks else STRAINED)
        if limits.memory_bytes and self._looks % _LOOKS_AT_MEMORY == 1:
            self._look_at_memory(limits)
        level = max((level for level, until in self._held.items() if self._looks < until), default=CALM)
        if level != self.level:
            self._change(level, lag_s)

    def _look_at_memory(self, limits: OverloadLimits) -> None:
        used = self._memory() / limits.memory_bytes
        if used > limits.overloaded_share and self.level < OVERLOADED:
            _give_back_memory()
            used = self._memory() / limits.memory_bytes
        if used > limits.strained_share:
            self._hold(OVERLOADED if used > limits.overloaded_share else STRAINED)

    def _hold(self, level: int) -> None:
        self._held[level] = self._looks + max(self._limits.hold_looks, _LOOKS_AT_MEMORY + 1)

    def _change(self, level: int, lag_s: float) -> None:
        was_closed, self.level = self.level == OVERLOADED, level
        tell = log.info if level == CALM else log.warning
        tell("overload_level", now=_NAMES[level], lag_s=round(lag_s, 3), resident_mib=self._memory() >> 20)
        if was_closed != (level == OVERLOADED):
            for hear in self.on_closed:
                hear(not was_closed)


def resident_bytes() -> int:
    """The resident memory of this process; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def container_limit(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """The memory that this process's control group (version 2) and those around it may have; 0 if that is all."""
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        return 0
    group = root / line.removeprefix("0::/")
    found = [_limit(place / "memory.max") for place in (group, *group.parents) if place.is_relative_to(root)]
    return min([limit for limit in found if limit], default=0)


def _limit(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # `max`, or no such limit
        return 0


def _give_back_memory() -> None:
    """Before calls are refused for it, give the system what Python and the allocator only keep."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
