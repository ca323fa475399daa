"""Counts every call with its outcome and the time it took; outermost of the interceptors."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic

from toolyard.gateway.call import Call, Suspended
from toolyard.gateway.metrics import Metrics
from toolyard.gateway.pipeline import Outcome
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamTimedOut
from toolyard.kit.errors import PlatformError
from toolyard.protocol.errors import RelayedError

FAILED = frozenset({"error", "timed_out"})


class Record:
    """Reports calls to the metrics, and keeps the totals by outcome since the start."""

    repeats = True

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.totals: Counter[str] = Counter()

    def enter(self, call: Call) -> bool:
        call.began = monotonic()
        return True

    async def wait(self, call: Call) -> None:
        self.enter(call)

    def leave(self, call: Call, outcome: Outcome) -> None:
        if isinstance(outcome, dict):
            name = "tool_error" if outcome.get("isError") is True else "ok"
        else:
            name = _outcome(outcome)
        self.count(call, name, monotonic() - call.began)

    def count(self, call: Call, outcome: str, seconds: float) -> None:
        """One call like `call` has ended."""
        self.totals[outcome] += 1
        self._metrics.request(call.transport, call.method, outcome, seconds)


def error_rate(totals: Counter[str]) -> float:
    """The share of calls that failed at an upstream, 0 to 1."""
    total = totals.total()
    return sum(totals[outcome] for outcome in FAILED) / total if total else 0.0


def _outcome(error: BaseException) -> str:
    match error:
        case Suspended():
            return "input_required"
        case asyncio.CancelledError():
            return "cancelled"
        case UpstreamTimedOut():
            return "timed_out"
        case UpstreamError() | RelayedError():
            return "error"
        case PlatformError():
            return "refused"
        case _:
            return "error"
