"""Bulkheads: how many calls may run at once in the process, of one caller, on one server and on one upstream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolyard.gateway.call import Call
from toolyard.gateway.errors import TooManyCalls
from toolyard.gateway.pipeline import Outcome
from toolyard.gateway.upstream.errors import WaitedTooLong


@dataclass(frozen=True, slots=True)
class InFlightLimits:
    """How many calls at once, and how many seconds the next one waits for a place before it is refused."""

    process: int = 512
    server: int = 64
    upstream: int = 32
    principal: int = 64
    wait_s: float = 0.25


class Bulkhead:
    """Lets `limit` calls in; as many again wait their turn for a short time, all others are refused at once. Where
    calls wait in vain, fewer may wait, down to none: behind a slow upstream a refusal comes at once."""

    __slots__ = ("limit", "may_wait", "running", "wait_s", "waiting")

    def __init__(self, limit: int, wait_s: float) -> None:
        self.limit = limit
        self.wait_s = wait_s
        self.running = 0
        self.may_wait = limit
        """Halved when a call waits in vain, one more with every place that comes free."""
        self.waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Take a place. Raises TooManyCalls when none comes free in time."""
        if self.running < self.limit:
            self.running += 1
            return
        if len(self.waiting) >= self.may_wait:
            raise TooManyCalls
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            async with asyncio.timeout(self.wait_s):
                await turn
        except (TimeoutError, asyncio.CancelledError) as end:
            if turn.done() and not turn.cancelled():
                self.leave()
            elif turn in self.waiting:
                self.waiting.remove(turn)
            if isinstance(end, TimeoutError):
                self.may_wait //= 2
                raise TooManyCalls from None
            raise

    def leave(self) -> None:
        """Give the place to the next in the queue."""
        if self.may_wait < self.limit:
            self.may_wait += 1
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1


def enter_all(bulkheads: Sequence[Bulkhead]) -> bool:
    """Take a place in each, if there is one in all; else in none."""
    for bulkhead in bulkheads:
        if bulkhead.running >= bulkhead.limit:
            return False
    for bulkhead in bulkheads:
        bulkhead.running += 1
    return True


def leave_all(bulkheads: Sequence[Bulkhead]) -> None:
    """Give the place in each back."""
    for bulkhead in bulkheads:
        if bulkhead.waiting or bulkhead.may_wait < bulkhead.limit:
            bulkhead.leave()
        else:
            bulkhead.running -= 1


class Places:
    """The places one call holds. They are given back while people think, and taken again without waiting."""

    __slots__ = ("_left", "_outside", "entered")

    def __init__(self, entered: list[Bulkhead]) -> None:
        self.entered = entered
        self._outside = 0
        self._left = False

    def give_back(self) -> None:
        self._outside += 1
        if self._outside == 1 and not self._left:
            for bulkhead in self.entered:
                bulkhead.leave()

    def take_again(self) -> None:
        self._outside -= 1
        if self._outside == 0 and not self._left:
            for bulkhead in self.entered:
                bulkhead.running += 1

    def leave(self) -> None:
        """The call has ended, perhaps while its question is still open."""
        self._left = True
        if self._outside == 0:
            leave_all(self.entered)


def _nobody_asks() -> None:
    """There is no door before these bounds."""


class InFlight:
    """Bounds the calls in flight: for each upstream, of each principal, on each virtual server, in the process. The
    narrowest is entered first, so that calls waiting for a slow upstream hold nothing that others need. At an open
    server everybody is one principal, whose bound is the server's. While it is `closed` there is no place at all, also
    for calls that came on a connection of many messages."""

    repeats = True

    def __init__(self, limits: InFlightLimits) -> None:
        self.closed = False
        """No call begins."""
        self.on_full: Callable[[], None] = _nobody_asks
        """Told whenever a call finds no place."""
        self._limits = limits
        self._process = Bulkhead(limits.process, limits.wait_s)
        self._servers: dict[str, Bulkhead] = {}
        self._upstreams: dict[str, Bulkhead] = {}
        self._principals: dict[str, Bulkhead] = {}

    def set_closed(self, closed: bool) -> None:  # noqa: FBT001  (said by an event)
        """Let no call begin, or let them begin again."""
        self.closed = closed

    def enter(self, call: Call) -> bool:
        if call.target is None:
            return True
        if self.closed:
            raise TooManyCalls
        bulkheads = self.ways(call, call.target.upstream_id)
        if not enter_all(bulkheads):
            self.on_full()
            return False
        call.places = Places(bulkheads)
        return True

    async def wait(self, call: Call) -> None:
        if call.target is None:
            return
        call.places = places = Places([])
        try:
            for bulkhead in self.ways(call, call.target.upstream_id):
                await bulkhead.enter()
                places.entered.append(bulkhead)
            if asyncio.get_running_loop().time() >= call.deadline:
                raise WaitedTooLong(upstream=call.target.upstream_id)
        except BaseException:
            places.leave()
            raise

    def leave(self, call: Call, outcome: Outcome) -> None:
        if call.places is not None:
            call.places.leave()

    def ways(self, call: Call, upstream_id: str) -> list[Bulkhead]:
        """What the call has to find a place in, in this order."""
        limits, principal = self._limits, call.principal
        upstream = self._upstreams.get(upstream_id) or self._new(self._upstreams, upstream_id, limits.upstream)
        server = self._servers.get(call.server) or self._new(self._servers, call.server, limits.server)
        if principal.kind == "open":
            return [upstream, server, self._process]
        own = self._principals.get(principal.id) or self._new(self._principals, principal.id, limits.principal)
        return [upstream, own, server, self._process]

    def _new(self, bulkheads: dict[str, Bulkhead], key: str, limit: int) -> Bulkhead:
        bulkhead = bulkheads[key] = Bulkhead(limit, self._limits.wait_s)
        return bulkhead
