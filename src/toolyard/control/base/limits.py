"""How often each class of routes may be asked, by each caller and each address: token buckets in this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from toolyard.control.base.declaration import LimitClass
from toolyard.control.base.errors import TooManyRequests

MAX_BUCKETS: Final = 50_000


@dataclass(frozen=True, slots=True)
class ClassLimit:
    """`per_minute` requests, refilled evenly; `burst` of them may come at once."""

    per_minute: float
    burst: float


DEFAULT_LIMITS: Final[Mapping[LimitClass, ClassLimit]] = {
    "read": ClassLimit(3000, 600),
    "write": ClassLimit(1200, 300),
    "heavy": ClassLimit(120, 30),
    "login": ClassLimit(30, 15),
}


class RequestLimits:
    """The buckets. A class without a limit (`free`) is not counted."""

    def __init__(self, limits: Mapping[LimitClass, ClassLimit], now: Callable[[], float]) -> None:
        self.limits = dict(limits)
        self._now = now
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, kind: LimitClass, who: str) -> None:
        """Count one request. Raises TooManyRequests, with the time after which it is worth trying again."""
        limit = self.limits.get(kind)
        if limit is None:
            return
        now, rate = self._now(), limit.per_minute / 60
        left, at = self._buckets.pop((kind, who), (limit.burst, now))
        left = min(limit.burst, left + (now - at) * rate)
        allowed = left >= 1
        self._buckets[kind, who] = (left - 1 if allowed else left, now)
        while len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if not allowed:
            error = TooManyRequests()
            error.retry_after_s = (1 - left) / rate
            raise error
