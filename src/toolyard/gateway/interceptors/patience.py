"""The time limit of calls whose caller can be asked: the time people take to answer does not count.

Drivers are given a far deadline for such calls; a timer here ends the call when its own time is up. All other calls
have only their driver's deadline and cost nothing here.
"""

from __future__ import annotations

import asyncio

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.pipeline import Proceed
from toolyard.gateway.upstream.errors import UpstreamTimedOut

ASK_LIMIT_S = 600.0
LOOK_AGAIN_S = 0.25


class Patience:
    """Bounds interactive calls by the time that is the upstream's own."""

    def applies(self, call: Call) -> bool:
        return call.era != "modern" and call.target is not None and bool(call.client_capabilities)

    async def __call__(self, call: Call, proceed: Proceed) -> Json:
        task = asyncio.current_task()
        if task is None or call.target is None:
            return await proceed(call)
        watch = _Watch(call, task)
        call.deadline += ASK_LIMIT_S
        try:
            return await proceed(call)
        except asyncio.CancelledError:
            if not watch.expired:
                raise
            task.uncancel()
            raise UpstreamTimedOut(upstream=call.target.upstream_id) from None
        finally:
            watch.end()


class _Watch:
    """The timer of one call."""

    def __init__(self, call: Call, task: asyncio.Task[object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._task = task
        self._deadline = call.deadline
        self.expired = False
        self._timer = self._loop.call_at(self._deadline, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        due = self._deadline + self._call.asked_s
        if self._call.asking or now < due:
            self._timer = self._loop.call_at(max(due, now + LOOK_AGAIN_S), self._look)
            return
        self.expired = True
        self._task.cancel()
