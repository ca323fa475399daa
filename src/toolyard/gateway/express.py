"""Calls in the same words as one before: same connection, same head, same tool; only id and arguments are others.

A client that works makes such calls one after another. Whatever does not depend on id and arguments was decided when
the first of them went its way: which server and upstream, whether policy allows it, which bounds count it, how the
upstream is spoken to. A `Plan` keeps these decisions, and holds for as long as everything is the same that they were
made from: catalog, key, upstream connection, and the words themselves, byte for byte. What is left for each call is
what has to be: strict decoding both ways, rate limits, bounds on calls in flight, the record, and encoding anew what
was judged (measured in memory: 25 µs a call, where a ride took 46).

Nothing is decided here that is not decided elsewhere, and nothing is done before it is sure that the call can go this
way. A call that turns out not to be plain becomes the `Ride` that it would have been, at the point that was reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Protocol

from toolyard.contract.catalog import Catalog
from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, ClientGone, Head, Repeater, SomeBegun
from toolyard.gateway.dispatch import private
from toolyard.gateway.interceptors.in_flight import Bulkhead, InFlight, Places, enter_all, leave_all
from toolyard.gateway.interceptors.rate_limit import RateLimit, is_limited
from toolyard.gateway.interceptors.record import Record
from toolyard.gateway.pool import Pool
from toolyard.gateway.pool_entry import Entry
from toolyard.gateway.refusals import Failed
from toolyard.gateway.ride import Conclude, Ride, Rides
from toolyard.kit.clock import LoopTime
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.protocol.errors import RequestId
from toolyard.protocol.headers import NAME_HEADER
from toolyard.protocol.request_ids import is_request_id
from toolyard.protocol.strict_json import encode

_log = get_logger(__name__)
LOOK_AGAIN_S = 0.1
MOST_PLANS = 64
_MEMBERS = 4
_PARAMS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How calls in the words of `call` go. `said` is their `_meta`, encoded, if they have one; `bulkheads` are what
    counts them."""

    catalog: Catalog
    call: Call
    name: str
    said: bytes
    entry: Entry
    repeater: Repeater
    bulkheads: list[Bulkhead]
    limited: bool
    timeout_s: float


class Owner(Protocol):
    """Who answers the calls of one era: writes the result of a plain one, and says what call a trip is. What its `sink`
    is, is for the owner to know."""

    def finish_again(self, plan: Plan, request_id: RequestId, sink: Any, result: Json) -> None: ...
    def call_of(self, trip: Trip) -> tuple[Call, Conclude]: ...


class Express:
    """Plans, and the calls that follow them."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        pool: Pool,
        rides: Rides,
        *,
        record: Record,
        rate_limit: RateLimit,
        in_flight: InFlight,
    ) -> None:
        self._catalog = catalog
        self._pool = pool
        self.rides = rides
        self.record = record
        self.loop_time = LoopTime()
        self._rate_limit = rate_limit
        self._in_flight = in_flight
        self._knows_all_gates = all(getattr(gate, "repeats", False) for gate in rides.pipeline.gates)

    def learn(self, head: Head, call: Call, arguments: Any) -> None:
        """Plan the calls that will come in the words of `call`, which has just been begun as a plain one, if it is the
        second of its tool: a plan costs 15 µs, and whoever calls once, or many tools in turn, has nothing of it."""
        noted = head.notes.envelope
        if noted is not None and noted[1] is call.said:
            self._keep(head.notes.plans, head.headers.get(NAME_HEADER, ""), call, noted[0], arguments)

    def learn_in_session(self, head: Head, call: Call, arguments: Any) -> None:
        """As `learn`, for a request of a session that says nothing of itself, and whose caller cannot be asked."""
        if not self.rides.pipeline.watch.applies(call):
            self._keep(head.notes.session_plans, (call.watcher, call.params["name"]), call, b"", arguments)

    def _keep(self, plans: dict[Any, Plan | None], key: object, call: Call, said: bytes, arguments: Any) -> None:
        if key not in plans:
            if len(plans) >= MOST_PLANS:
                plans.clear()
            plans[key] = None
            return
        target, entry = call.target, None
        if target is not None:
            entry = self._pool.ready(target.upstream_id)
        if (
            target is None
            or entry is None
            or call.serving is None
            or call.serving.header_parameters_of(target.name)
            or call.method != "tools/call"
            or call.wants_progress
            or len(call.params) != _PARAMS - 1
            or type(arguments) is not dict
            or entry.spec.isolation == "per-call"
            or not self._knows_all_gates
        ):
            return
        repeater = entry.upstream.repeater(call, target.params)
        if repeater is None:
            return
        spec = call.serving.spec
        limited = is_limited(call, spec)
        bulkheads = self._in_flight.ways(call, target.upstream_id)
        plans[key] = Plan(
            self._catalog(),
            _without_content(call),
            target.name,
            said,
            entry,
            repeater,
            bulkheads,
            limited,
            target.timeout_s,
        )

    def begin(self, plan: Plan, head: Head, message: Any, sink: Any, owner: Owner) -> Trip | None:
        """Send a call on its way by a plan. None: the message is not one in the same words, or cannot go at once; then
        nothing was done."""
        call, entry = plan.call, plan.entry
        if (
            plan.catalog is not self._catalog()
            or (head.principal is not call.principal and head.principal != call.principal)
            or self._pool.ready(entry.spec.id) is not entry
            or self._in_flight.closed
            or not plan.repeater.holds()
        ):
            head.notes.plans.clear()
            head.notes.session_plans.clear()
            return None
        found = _read(plan, message)
        connection = plan.repeater.take() if found is not None else None
        if found is None or connection is None:
            return None
        if not enter_all(plan.bulkheads):
            plan.repeater.give_back(connection)
            return None
        if plan.limited and not self._may_begin(call):
            leave_all(plan.bulkheads)
            plan.repeater.give_back(connection)
            return None
        trip = Trip(self, plan, owner, head, sink, found[0], found[1])
        entry.in_flight += 1
        plan.repeater.send(trip, connection)
        return trip

    def _may_begin(self, call: Call) -> bool:
        try:
            return self._rate_limit.enter(call)
        except PlatformError:
            return False


def _without_content(call: Call) -> Call:
    """What is kept of the first call: nothing that it said or whom it said it to."""
    target = call.target and replace(call.target, params={})
    return replace(call, params={}, target=target, places=None, emit=_nobody, ask=_nobody)


async def _nobody(*_: Any, **__: Any) -> Any:
    raise ClientGone


def _read(plan: Plan, message: Any) -> tuple[RequestId, Json] | None:
    """Id and arguments of a call in the words of the plan."""
    try:
        params = message["params"]
        request_id, arguments = message["id"], params["arguments"]
        if (
            len(message) != _MEMBERS
            or len(params) != (_PARAMS if plan.said else _PARAMS - 1)
            or message["method"] != "tools/call"
            or message["jsonrpc"] != "2.0"
            or params["name"] != plan.name
            or type(arguments) is not dict
            or not is_request_id(request_id)
            or (plan.said and encode(params["_meta"]) != plan.said)
        ):
            return None
    except (KeyError, TypeError):
        return None
    return request_id, arguments


class Trip:
    """One call that follows a plan; see `call.Underway` and `call.Sent`."""

    __slots__ = (
        "_express",
        "_over",
        "_owner",
        "_ride",
        "arguments",
        "began",
        "body",
        "connection",
        "deadline",
        "head",
        "plan",
        "request_id",
        "sink",
        "upstream_request_id",
    )

    def __init__(
        self, express: Express, plan: Plan, owner: Owner, head: Head, sink: Any, request_id: RequestId, arguments: Json
    ) -> None:
        self._express = express
        self._owner = owner
        self._over = False
        self._ride: Ride | None = None
        self.upstream_request_id: int
        self.connection: Any
        self.body: bytes
        self.plan = plan
        self.head = head
        self.sink = sink
        self.request_id = request_id
        self.arguments = arguments
        self.began = monotonic()
        self.deadline = express.loop_time.now() + plan.timeout_s

    def done(self, result: Json) -> None:
        """The plain result is here."""
        self._over = True
        plan, record = self.plan, self._express.record
        plan.entry.in_flight -= 1
        leave_all(plan.bulkheads)
        record.count(plan.call, "tool_error" if result.get("isError") is True else "ok", monotonic() - self.began)
        try:
            self._owner.finish_again(plan, self.request_id, self.sink, private(result))
        except Exception:  # noqa: BLE001  (nobody above but the upstream's connection, which is not to suffer)
            _log.exception("answer failed", request_id=self.head.request_id)
            self._owner.call_of(self)[1](Failed())

    def answered(self, known: Any, body: bytes) -> None:
        """The connection has the whole answer."""
        self.plan.repeater.answered(self, known, body)

    def opened(self, response: Any) -> None:
        """The connection has the beginning of an answer, or of an error."""
        self.plan.repeater.opened(self, response)

    def not_plain(self, begun: Callable[[Call], SomeBegun]) -> SomeBegun:
        """What came is not a plain result, or nothing came: the call goes on as a ride."""
        call, conclude = self._owner.call_of(self)
        call.began, call.deadline, call.places = self.began, self.deadline, Places(self.plan.bulkheads)
        call.allowed, call.isolation = self.plan.call.allowed, self.plan.call.isolation
        found = begun(call)
        self._ride = Ride(self._express.rides, call, self.plan.entry, found, conclude)
        return found

    def cancel(self) -> None:
        """End the call: its upstream is told, its caller is answered if it is still there."""
        if self._ride is None and not self._over:
            self.plan.repeater.give_up(self)
        if self._ride is not None:
            self._ride.cancel()

    async def ended(self) -> None:
        """Return when the call has ended. Cancelled: the call is."""
        try:
            while not self._over and self._ride is None:  # noqa: ASYNC110  (rare: its client has gone)
                await asyncio.sleep(LOOK_AGAIN_S)
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self._ride is not None:
            await self._ride.ended()
