"""The time limit of calls whose caller can be asked: the time people take to answer does not count.

Drivers are given a far deadline for such calls; here a call ends when its own time is up. All other calls have only
their driver's deadline and cost nothing here. One timer does for all calls: it is set for the earliest deadline there
was and looks at all of them then, so that a call costs two changes of a dict.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.pipeline import Proceed
from toolyard.gateway.upstream.errors import UpstreamTimedOut

ASK_LIMIT_S = 600.0
LOOK_AGAIN_S = 0.25


class Patience:
    """Bounds interactive calls by the time that is the upstream's own."""

    def __init__(self) -> None:
        self._watched: dict[Watched, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def applies(self, call: Call) -> bool:
        return bool(call.client_capabilities) and call.era != "modern" and call.target is not None

    def begin(self, call: Call) -> Watched:
        """Watch a call until `end` of what is returned."""
        watched = Watched(self._watched, call)
        self._watched[watched] = None
        call.deadline += ASK_LIMIT_S
        if watched.deadline < self._timer_at:
            self._look_at(watched.deadline)
        return watched

    async def __call__(self, call: Call, proceed: Proceed) -> Json:
        task = asyncio.current_task()
        if task is None or call.target is None:
            return await proceed(call)
        watched = self.begin(call)
        watched.expire = task.cancel
        try:
            return await proceed(call)
        except asyncio.CancelledError:
            if not watched.expired:
                raise
            task.uncancel()
            raise UpstreamTimedOut(upstream=call.target.upstream_id) from None
        finally:
            watched.end()

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = asyncio.get_running_loop().call_at(when, self._look)

    def _look(self) -> None:
        self._timer, self._timer_at = None, math.inf
        now = asyncio.get_running_loop().time()
        for watched in [one for one in self._watched if not one.expired and one.due(now) <= now]:
            watched.expired = True
            watched.expire()
        again = min((one.due(now) for one in self._watched if not one.expired), default=math.inf)
        if again < self._timer_at:
            self._look_at(again)


class Watched:
    """One call and its own deadline, which it has again at the end; see `pipeline.Watched`."""

    __slots__ = ("_all", "_call", "deadline", "expire", "expired")

    def __init__(self, watched: dict[Watched, None], call: Call) -> None:
        self._all = watched
        self._call = call
        self.deadline = call.deadline
        self.expire: Callable[[], object] = _nobody
        self.expired = False

    def end(self) -> None:
        """The call has ended, or is to be watched in another way."""
        self._call.deadline = self.deadline
        self._all.pop(self, None)

    def due(self, now: float) -> float:
        """When its time is up, as far as that can be said now: not while its caller is being asked."""
        due = self.deadline + self._call.asked_s
        return max(due, now + LOOK_AGAIN_S) if self._call.asking else due


def _nobody() -> None:
    return None
