"""A call that goes on without a task: its request was sent, and whoever receives the answer writes it to the caller.

Most calls are plain: all gates let them in at once, a warm connection to the upstream is free, the answer is one JSON
result. Such a call needs nobody who waits. `Ride` holds what is needed when the answer arrives, and then does
everything in that very turn of the event loop: no task, no future, no second turn (measured in memory, with
known heads: 67 µs a call, where coroutines took 88).

Whatever is not plain (an error, an event stream, a question, a large body, a task) is given to the coroutines that
carry all other calls, from the point that was reached; so nothing is decided here that is not decided there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from toolyard.gateway.call import Begun, Call, Suspended
from toolyard.gateway.dispatch import Dispatch
from toolyard.gateway.pipeline import Outcome, Pipeline, Watched
from toolyard.gateway.pool_entry import Entry
from toolyard.gateway.refusals import Failed
from toolyard.gateway.upstream.errors import UpstreamTimedOut
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import cancel_begun

_log = get_logger(__name__)

Conclude = Callable[[Outcome], None]
"""Answers the caller with a result, or with the error that ended the call instead of one."""


class Rides:
    """Begins rides through one pipeline."""

    def __init__(self, pipeline: Pipeline, dispatch: Dispatch) -> None:
        self.pipeline = pipeline
        self.dispatch = dispatch

    def begin(self, call: Call, entered: int, conclude: Conclude) -> Ride | None:
        """Send a call on its way that was taken through `entered` gates. None: nothing was sent, the pipeline's `carry`
        goes on from there."""
        if not self.pipeline.all_entered(entered):
            return None
        watch = self.pipeline.watch
        watched = watch.begin(call) if watch.applies(call) else None
        try:
            sent = self.dispatch.begin(call)
        except BaseException as error:
            if watched is not None:
                watched.end()
            self.pipeline.leave(call, error)
            raise
        if sent is None:
            if watched is not None:
                watched.end()
            return None
        return Ride(self, call, sent[0], sent[1], conclude, watched)


class Ride:
    """One call under way; see the module's docstring and `call.Underway`."""

    __slots__ = ("_begun", "_call", "_conclude", "_entry", "_over", "_rides", "_task", "_waiter", "_watched")

    def __init__(
        self,
        rides: Rides,
        call: Call,
        entry: Entry,
        begun: Begun,
        conclude: Conclude,
        watched: Watched | None = None,
    ) -> None:
        self._rides = rides
        self._call = call
        self._entry = entry
        self._begun = begun
        self._conclude = conclude
        self._watched = watched
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._over = False
        begun.ready = self._ready
        if watched is not None:
            watched.expire = self._expire

    def cancel(self) -> None:
        """End the call: its upstream is told, its caller is answered if it is still there."""
        self._stop(asyncio.CancelledError())

    def _expire(self) -> None:
        """End the call because its time is up."""
        self._stop(self._timed_out())

    def _stop(self, outcome: BaseException) -> None:
        if self._over:
            return
        if self._task is not None:
            cancel_begun(self._task)
        else:
            self._begun.cancel()
            self._end(outcome)

    async def ended(self) -> None:
        """Return when the call has ended. Cancelled: the call is."""
        if self._over:
            return
        self._waiter = self._waiter or asyncio.get_running_loop().create_future()
        try:
            await asyncio.shield(self._waiter)
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _ready(self) -> None:
        """The answer is here, or as much of it as shows that it is not a plain one."""
        if self._over:
            return
        result = self._rides.dispatch.concluded(self._begun)
        if result is None:
            self._task = asyncio.get_running_loop().create_task(self._carry_on())
        else:
            self._end(result)

    async def _carry_on(self) -> None:
        """The supervisor of a call that turned out not to be plain."""
        outcome: Outcome
        try:
            outcome = await self._rides.dispatch.carry_on(self._call, self._begun)
        except (PlatformError, Suspended) as error:
            outcome = error
        except asyncio.CancelledError as cancelled:
            expired = self._watched is not None and self._watched.expired
            outcome = self._timed_out() if expired else cancelled
        except Exception as error:  # noqa: BLE001  (the supervisor of a call without an exchange's task)
            _log.exception("call failed", request_id=self._call.request_id)
            outcome = error
        self._end(outcome)

    def _timed_out(self) -> UpstreamTimedOut:
        return UpstreamTimedOut(upstream=self._entry.spec.id)

    def _end(self, outcome: Outcome) -> None:
        self._over = True
        self._entry.in_flight -= 1
        if self._watched is not None:
            self._watched.end()
        self._rides.pipeline.leave(self._call, outcome)
        try:
            self._conclude(outcome)
        except Exception:  # noqa: BLE001  (nobody above but the upstream's connection, which is not to suffer)
            _log.exception("answer failed", request_id=self._call.request_id)
            self._conclude(Failed())
        if self._waiter is not None:
            self._waiter.set_result(None)
