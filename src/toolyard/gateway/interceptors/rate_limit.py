"""Token buckets for each key and each virtual server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolyard.contract.catalog import Catalog
from toolyard.contract.snapshot import RateLimit as Limit
from toolyard.contract.snapshot import ServerSpec
from toolyard.gateway.call import Call
from toolyard.gateway.errors import RateLimited
from toolyard.gateway.pipeline import Judge
from toolyard.gateway.places import BucketCall, SharedPlaces
from toolyard.kit.clock import Clock

MAX_BUCKETS = 100_000


class Bucket:
    """Refills evenly and holds at most `burst` calls."""

    __slots__ = ("at", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at

    def take_lot(self, limit: Limit, now: float, size: int) -> tuple[float, int]:
        """Take `size` calls, or one if there are not so many: 0.0 and their number, or how long to wait for one."""
        wait_s = self.take(limit, now)
        if wait_s > 0:
            return wait_s, 0
        more = size - 1 if self.tokens >= size - 1 else 0
        self.tokens -= more
        return 0.0, 1 + more

    def take(self, limit: Limit, now: float) -> float:
        """Take one call. 0.0, or the seconds until there will be one."""
        per_second = limit.per_minute / 60.0
        self.tokens = min(limit.burst, self.tokens + (now - self.at) * per_second)
        self.at = now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return 0.0
        return (1.0 - self.tokens) / per_second if per_second > 0 else 60.0


class RateLimit(Judge):
    """Refuses calls above the limits of the server's configuration."""

    repeats = True

    def __init__(self, catalog: Callable[[], Catalog], clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self.shared: SharedPlaces | None = None
        """Who counts the calls of all processes, if there are several."""

    def enter(self, call: Call) -> bool:
        spec = call.serving.spec if call.serving is not None else self._catalog().snapshot.servers[call.server]
        if spec.per_key is None and spec.per_server is None and call.principal.limit is None:
            return True
        calls = _calls(call, spec)
        if self.shared is not None:
            wait_s = self.shared.take_calls_here(calls)
            if wait_s:
                raise RateLimited(wait_s)
            return wait_s is not None
        wait_s = self.take_all(calls)
        if wait_s > 0:
            raise RateLimited(wait_s)
        return True

    async def wait(self, call: Call) -> None:
        """As `enter`, counted over all processes; while nobody counts for all, each counts its own."""
        for key, limit in _calls(call, self._catalog().snapshot.servers[call.server]):
            if self.shared is None:
                continue
            wait_s = await self.shared.take_call(key, limit)
            if wait_s is None:
                wait_s = self.take(key, limit)
            if wait_s > 0:
                raise RateLimited(wait_s)

    def take(self, key: tuple[str, str], limit: Limit) -> float:
        """Take one call of a bucket: 0.0, or the seconds until there will be one."""
        now = self._clock.monotonic()
        return self._bucket(key, limit, now).take(limit, now)

    def take_all(self, calls: Sequence[BucketCall]) -> float:
        """Take one call of each bucket, or of none: 0.0, or the seconds until there will be one. So a call that its
        server has too many of costs its key nothing, however often it is tried."""
        now = self._clock.monotonic()
        for number, (key, limit) in enumerate(calls):
            wait_s = self._bucket(key, limit, now).take(limit, now)
            if wait_s > 0:
                for taken, _ in calls[:number]:
                    self._buckets[taken].tokens += 1.0
                return wait_s
        return 0.0

    def take_lot(self, key: tuple[str, str], limit: Limit, size: int) -> tuple[float, int]:
        """Take several calls of a bucket for another process: see `Bucket.take_lot`."""
        now = self._clock.monotonic()
        return self._bucket(key, limit, now).take_lot(limit, now, size)

    def _bucket(self, key: tuple[str, str], limit: Limit, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= MAX_BUCKETS:
                self._forget_full(now)
            bucket = self._buckets[key] = Bucket(limit.burst, now)
        return bucket

    def _forget_full(self, now: float) -> None:
        """Buckets untouched for an hour are as good as new."""
        self._buckets = {k: b for k, b in self._buckets.items() if now - b.at < 3600.0}


def is_limited(call: Call, spec: ServerSpec) -> bool:
    """Whether anything limits the caller's rate: what `RateLimit.enter` asks first."""
    return spec.per_key is not None or spec.per_server is not None or call.principal.limit is not None


def _calls(call: Call, spec: ServerSpec) -> list[BucketCall]:
    """The buckets that one call is taken from. A key's own limit stands in the place of that of its server's keys."""
    own = call.principal.limit or spec.per_key
    found = [((call.server, call.principal.id), own)] if own is not None else []
    return [*found, ((call.server, ""), spec.per_server)] if spec.per_server is not None else found
