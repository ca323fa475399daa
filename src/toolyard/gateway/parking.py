"""Parked calls: a legacy upstream that asks in mid-call is kept waiting while its modern caller answers.

2026-07-28 has no requests from servers to clients: the caller gets `input_required`, and its retry brings the answers
(basic/patterns/mrtr). The upstream's request stays open meanwhile. The caller's `requestState` names the process that
holds the call, the call and the round; it is sealed and bound to the caller and the call's content before it leaves
(`state`), so what comes back can be trusted. A round is answered once. A call that nobody comes back for, and one whose
caller goes away while it runs, is given up and its upstream told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Call, Principal, Suspended
from toolyard.gateway.errors import CallLost, StateRefused, TooManyParked
from toolyard.gateway.held import HeldCall, Work
from toolyard.gateway.upstream.asking import undeclared
from toolyard.gateway.upstream.errors import UpstreamTimedOut
from toolyard.kit.clock import Clock
from toolyard.kit.ids import secret_id
from toolyard.kit.tasks import TaskOwner
from toolyard.protocol.convert import INTERACTIVE
from toolyard.protocol.errors import MissingClientCapability

Proceed = Callable[[HeldCall], Awaitable[Json]]

ASKABLE = frozenset({"elicitation", "sampling", "roots"})


@dataclass(frozen=True, slots=True)
class ParkingLimits:
    """How many calls may be parked, in all and of one principal, and for how many seconds one waits for its answers."""

    total: int = 1000
    per_principal: int = 200
    wait_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a caller's state says of a parked call: `owner` is the process that holds it."""

    owner: str
    call_id: str
    round: str

    def text(self) -> str:
        return f"{self.owner} {self.call_id} {self.round}"

    @classmethod
    def of(cls, text: str) -> Ticket:
        """The ticket in a text. Raises StateRefused."""
        parts = text.split(" ")
        if len(parts) != 3:
            raise StateRefused
        return cls(*parts)


@dataclass(slots=True)
class _Parked:
    held: HeldCall
    principal: Principal
    server: str
    round: str
    ends_at: float


class Parking:
    """The parked calls of one process. `owner` names the process in tickets."""

    def __init__(self, owner: str, clock: Clock, limits: ParkingLimits | None = None) -> None:
        self.owner = owner
        self._clock = clock
        self._limits = limits or ParkingLimits()
        self._parked: dict[str, _Parked] = {}
        self._places: dict[str, tuple[str, str]] = {}
        """(principal, upstream) of each call that was parked once and has not ended; it keeps its place until then."""
        self._per_principal: Counter[str] = Counter()
        self._per_upstream: Counter[str] = Counter()
        self._given_up = TaskOwner("parked calls")

    def __len__(self) -> int:
        return len(self._parked)

    async def begin(
        self, call: Call, work: Work, *, places: int | None = None, proceed: Proceed = HeldCall.proceed
    ) -> Json:
        """Do the call's request so that it may ask; `proceed` is one exchange's part of it. `places`: how many calls
        may be parked on its upstream. Raises Suspended with a ticket, TooManyParked, and what `work` raises."""
        timeout_s = call.deadline - asyncio.get_running_loop().time()
        return await self._round(secret_id(), HeldCall(call, work, left_s=timeout_s), call, places, proceed)

    async def resume(self, call: Call, *, places: int | None = None, proceed: Proceed = HeldCall.proceed) -> Json:
        """Go on with the parked call that `call.ticket` names, which may ask all that it could ask at first. Raises
        CallLost, StateRefused, MissingClientCapability (the call stays parked), and as `begin`."""
        ticket = Ticket.of(call.ticket or "")
        parked = self._parked.get(ticket.call_id) if ticket.owner == self.owner else None
        if parked is None:
            raise CallLost
        if parked.round != ticket.round or parked.principal.id != call.principal.id or parked.server != call.server:
            raise StateRefused
        missing = undeclared(call.client_capabilities, parked.held.call.client_capabilities)
        if missing:
            raise MissingClientCapability(
                "The call was begun by a client that can be asked this.", data={"requiredCapabilities": missing}
            )
        del self._parked[ticket.call_id]
        parked.held.attach(call.emit)
        parked.held.answer(call.input_responses or {})
        return await self._round(ticket.call_id, parked.held, call, places, proceed)

    def end_overdue(self) -> None:
        """Give up the calls that nobody came back for."""
        now = self._clock.monotonic()
        for call_id, parked in [(i, p) for i, p in self._parked.items() if p.ends_at <= now]:
            self._give_up(call_id, parked)

    def end_those_of(self, is_valid: Callable[[Principal], bool]) -> None:
        """Give up the calls of principals that are not valid any more."""
        for call_id, parked in [(i, p) for i, p in self._parked.items() if not is_valid(p.principal)]:
            self._give_up(call_id, parked)

    async def aclose(self) -> None:
        """Give up all calls; their upstreams are told."""
        for call_id, parked in tuple(self._parked.items()):
            self._give_up(call_id, parked)
        await self._given_up.settled(1.0)
        await self._given_up.aclose()

    async def _round(self, call_id: str, held: HeldCall, call: Call, places: int | None, proceed: Proceed) -> Json:
        """One exchange's part of a call: its result, or Suspended while the caller is asked."""
        upstream_id = call.target.upstream_id if call.target is not None else ""
        parked = False
        try:
            return await proceed(held)
        except Suspended as suspended:
            if held.ended:
                raise
            if not self._take_place(call_id, call.principal.id, upstream_id, places):
                await held.cancel()
                raise TooManyParked from None
            parked = True
            ticket = self._park(call_id, held, call)
            raise Suspended(suspended.requests, None, ticket=ticket.text()) from None
        except TimeoutError:
            await held.cancel()
            raise UpstreamTimedOut(upstream=upstream_id) from None
        except asyncio.CancelledError:
            self._given_up.start(held.cancel())
            raise
        finally:
            if not parked:
                self._leave_place(call_id)

    def _take_place(self, call_id: str, principal_id: str, upstream_id: str, places: int | None) -> bool:
        """Count one more call that waits for its caller; False if there are as many as there may be. A call in a later
        round has its place already."""
        if call_id in self._places:
            return True
        if len(self._places) >= self._limits.total or self._per_principal[principal_id] >= self._limits.per_principal:
            return False
        if places is not None and self._per_upstream[upstream_id] >= places:
            return False
        self._places[call_id] = (principal_id, upstream_id)
        self._per_principal[principal_id] += 1
        self._per_upstream[upstream_id] += 1
        return True

    def _leave_place(self, call_id: str) -> None:
        place = self._places.pop(call_id, None)
        if place is not None:
            for counts, key in zip((self._per_principal, self._per_upstream), place, strict=True):
                counts[key] -= 1
                if not counts[key]:
                    del counts[key]

    def _park(self, call_id: str, held: HeldCall, call: Call) -> Ticket:
        held.attach(None)
        ticket = Ticket(self.owner, call_id, secret_id())
        ends_at = self._clock.monotonic() + self._limits.wait_s
        self._parked[call_id] = _Parked(held, call.principal, call.server, ticket.round, ends_at)
        return ticket

    def _give_up(self, call_id: str, parked: _Parked) -> None:
        del self._parked[call_id]
        self._leave_place(call_id)
        self._given_up.start(parked.held.cancel())


def may_park(call: Call) -> bool:
    """True if the caller can be asked only by ending its exchange, and has offered to be asked at all."""
    return call.era == "modern" and call.method in INTERACTIVE and not ASKABLE.isdisjoint(call.client_capabilities)


def places_on(spec: UpstreamSpec) -> int | None:
    """How many calls may be parked on an upstream: over HTTP each holds one of its connections, and a quarter of them
    is kept for other calls, and for the answers without which no parked call ends. None: as many as there may be."""
    return spec.max_connections * 3 // 4 if spec.kind == "mcp-http" else None
