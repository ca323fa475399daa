"""Counts every call with its outcome and the time it took; outermost of the interceptors."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import perf_counter

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, Suspended
from toolyard.gateway.metrics import Metrics
from toolyard.gateway.pipeline import Proceed
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamTimedOut
from toolyard.kit.errors import PlatformError
from toolyard.protocol.errors import RelayedError

FAILED = frozenset({"error", "timed_out"})


class Record:
    """Reports calls to the metrics, and keeps the totals by outcome since the start."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.totals: Counter[str] = Counter()

    async def __call__(self, call: Call, proceed: Proceed) -> Json:
        began = perf_counter()
        outcome = "ok"
        try:
            result = await proceed(call)
            if result.get("isError") is True:
                outcome = "tool_error"
            return result
        except Suspended:
            outcome = "input_required"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except PlatformError as error:
            outcome = _outcome(error)
            raise
        finally:
            self.totals[outcome] += 1
            self._metrics.request(call.transport, call.method, outcome, perf_counter() - began)


def error_rate(totals: Counter[str]) -> float:
    """The share of calls that failed at an upstream, 0 to 1."""
    total = totals.total()
    return sum(totals[outcome] for outcome in FAILED) / total if total else 0.0


def _outcome(error: PlatformError) -> str:
    if isinstance(error, UpstreamTimedOut):
        return "timed_out"
    return "error" if isinstance(error, UpstreamError | RelayedError) else "refused"
