"""The requests of one connection that wait for their replies: whose a reply is, whose a message without an address,
and whose time is up.

One timer serves all of them: it is set for the deadline that comes first, and outlives the request it was set for. A
timer for each would cost more than it guards.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from toolyard.gateway.call import Call
from toolyard.gateway.upstream.pending import Pending

MANY_OWNERS = 2
SOON_S = 0.001
"""What the loop's timers are exact to."""


class Waiting:
    """Requests by id. `expire` is called for each whose deadline has come."""

    def __init__(self, expire: Callable[[Pending], None]) -> None:
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        self._requests: dict[int, Pending] = {}
        self._owners: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def __len__(self) -> int:
        return len(self._requests)

    def __contains__(self, request_id: int) -> bool:
        return request_id in self._requests

    def add(self, pending: Pending) -> None:
        """A request is about to be sent."""
        self._requests[pending.id] = pending

    def watch(self, pending: Pending, deadline: float) -> None:
        """It has been sent, and has time until `deadline` (loop time, or infinity)."""
        pending.expires_at = deadline
        if deadline < self._timer_at:
            self._set_timer(deadline)

    def get(self, request_id: object) -> Pending | None:
        """The request of that id, if it still waits; ids are our own, so all but integers are nobody's."""
        return self._requests.get(request_id) if type(request_id) is int else None

    def pop(self, request_id: object) -> Pending | None:
        """As `get`; it waits no longer."""
        return self._requests.pop(request_id, None) if type(request_id) is int else None

    def settle_all(self, outcome: Callable[[], Exception]) -> None:
        """All that wait came to nothing, each with an error of its own."""
        if self._timer is not None:
            self._timer.cancel()
        for pending in tuple(self._requests.values()):
            pending.settle(outcome())

    def used_by(self, call: Call) -> None:
        """Note whose connection this is."""
        if len(self._owners) < MANY_OWNERS:
            self._owners.add(call.principal.id)

    def only_call(self) -> Pending | None:
        """The call that a message without an address belongs to: the only one, or any one where all are of one client.

        On a connection that several principals have used there is none: the message may be about a call that was given
        up but still runs over there."""
        if len(self._owners) >= MANY_OWNERS:
            return None
        last: Pending | None = None
        for pending in self._requests.values():
            if pending.call is None or (pending.turn is not None and pending.turn.is_lent):
                continue
            if last is not None and last.call is not None:
                same = pending.call.watcher and pending.call.watcher == last.call.watcher
                if not same:
                    return None
            last = pending
        return last

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Expire what is due, and look again when the next one is."""
        self._timer, self._timer_at = None, math.inf
        due = self._loop.time() + SOON_S
        for pending in [one for one in self._requests.values() if one.expires_at <= due]:
            self._expire(pending)
        soonest = min((one.expires_at for one in self._requests.values()), default=math.inf)
        if soonest < self._timer_at:
            self._set_timer(soonest)
