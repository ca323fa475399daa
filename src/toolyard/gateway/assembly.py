"""The data plane put together: every part once, wired by hand, nothing global.

`Gateway` is what a process runs and what a test starts; it serves nothing by itself until its routes are given to a
server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolyard.contract.catalog import Catalog
from toolyard.contract.definitions import Era, Observation
from toolyard.contract.snapshot import Snapshot, UpstreamSpec
from toolyard.gateway.call import Answer, Call, Head, Upstream, UpstreamEvents
from toolyard.gateway.catalog import CatalogHolder
from toolyard.gateway.dispatch import Dispatch
from toolyard.gateway.downstream.execution import Execution
from toolyard.gateway.downstream.http import StreamableHttp
from toolyard.gateway.downstream.routes import client_routes, founding_routes
from toolyard.gateway.downstream.sse import HttpSse
from toolyard.gateway.errors import TaskUnknown, TooManyCalls
from toolyard.gateway.events import Hub, StreamLimits
from toolyard.gateway.exchange import Exchange
from toolyard.gateway.express import Express
from toolyard.gateway.identity import Identity
from toolyard.gateway.interceptors.authn import Authenticator
from toolyard.gateway.interceptors.authz import Authorize
from toolyard.gateway.interceptors.in_flight import InFlight, InFlightLimits
from toolyard.gateway.interceptors.logins import LoginAuthenticator
from toolyard.gateway.interceptors.patience import Patience
from toolyard.gateway.interceptors.rate_limit import RateLimit
from toolyard.gateway.interceptors.record import Record
from toolyard.gateway.interceptors.resolve import Resolve
from toolyard.gateway.isolation import isolation_of
from toolyard.gateway.journal import Journal
from toolyard.gateway.lag import LoopLag
from toolyard.gateway.legacy import LegacyRequests
from toolyard.gateway.lists import Lists
from toolyard.gateway.metrics import Metrics
from toolyard.gateway.modern import ModernRequests
from toolyard.gateway.operating import Operating
from toolyard.gateway.operator import OperatorRoutes
from toolyard.gateway.overload import CALM, Overload, OverloadLimits
from toolyard.gateway.parking import Parking, ParkingLimits
from toolyard.gateway.pipeline import Pipeline
from toolyard.gateway.pool import Pool
from toolyard.gateway.pool_entry import Presence
from toolyard.gateway.refusal_log import RefusalLog
from toolyard.gateway.ride import Rides
from toolyard.gateway.routes import Route
from toolyard.gateway.sessions import SessionLimits, Sessions
from toolyard.gateway.state import StateSeal
from toolyard.gateway.tasks.ids import RelayedIds
from toolyard.gateway.tasks.store import TaskStore
from toolyard.gateway.tasks.tasks import TaskLimits, Tasks
from toolyard.gateway.tasks.upstream_tasks import UpstreamTasks
from toolyard.gateway.translate import error_answer
from toolyard.gateway.watching import Watching
from toolyard.kit.clock import Clock
from toolyard.kit.errors import PlatformError
from toolyard.protocol.convert import definition_for
from toolyard.protocol.revisions import LEGACY, LEGACY_METHODS, MODERN_METHODS

MANY_DEFINITIONS = 200
MakeUpstream = Callable[[UpstreamSpec, UpstreamEvents, Clock, Era | None], Upstream]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a gateway takes on at once, and how long a call may take that goes to no upstream, in seconds."""

    in_flight: InFlightLimits = InFlightLimits()  # noqa: RUF009  (frozen)
    streams: StreamLimits = StreamLimits()  # noqa: RUF009  (frozen)
    timeout_s: float = 30.0
    sessions: SessionLimits = SessionLimits()  # noqa: RUF009  (frozen)
    parking: ParkingLimits = ParkingLimits()  # noqa: RUF009  (frozen)
    tasks: TaskLimits = TaskLimits()  # noqa: RUF009  (frozen)
    overload: OverloadLimits = OverloadLimits()  # noqa: RUF009  (frozen)


class Gateway:
    """One data plane. `start` once, then `offer` newer snapshots; `aclose` at the end."""

    on_observed: Callable[[Observation], None] = staticmethod(lambda _observation: None)
    """Told of definitions that are other ones than before."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        make_upstream: MakeUpstream,
        journal: Journal,
        clock: Clock,
        peppers: Callable[[], Mapping[int, bytes]],
        bounds: Bounds | None = None,
        identity: Identity | None = None,
        facts: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.bounds = bounds = bounds or Bounds()
        self.identity = identity = identity or Identity()
        self.journal = journal
        self.metrics = Metrics(MODERN_METHODS | LEGACY_METHODS)
        self.lag = LoopLag()
        self.metrics.watch_lag(self.lag.worst_s)
        self.overload = overload = Overload(bounds.overload)
        self.lag.on_look = overload.looked
        self.holder = CatalogHolder(snapshot, journal.observations(), journal.names(), assigns=identity.gives_names)
        self.hub = Hub(self._catalog, bounds.streams)
        self.pool = Pool(
            lambda spec, era: make_upstream(spec, self.hub, clock, era),
            clock=clock,
            known=self.holder.observation,
            on_observation=self.observed,
            prepare=self.prepare_observed,
            on_state=self._upstream_state,
        )
        self.holder.on_change = self.hub.server_changed
        if identity.gives_names:
            self.holder.on_names = journal.keep_names
        self.hub.refresh = self.pool.refresh
        self.hub.takes_streams = lambda: overload.level == CALM
        self.refusals = RefusalLog(journal, self.metrics, clock)
        self.sessions = Sessions(bounds.sessions, clock)
        self._watching = Watching(self.pool.get, self.hub.resource_updated)
        self.pool.on_replaced = self.hub.rewatch = self._watching.replaced
        self.parking = Parking(identity.owner, clock, bounds.parking)
        self.lists = lists = Lists(identity.key_for("cursors"), definition_for)
        self.holder.on_swap = lists.keep_only
        relayed_ids = RelayedIds(identity.key_for("tasks"))
        self.tasks = Tasks(
            TaskStore(journal, total=bounds.tasks.total, per_principal=bounds.tasks.per_principal),
            relayed_ids,
            UpstreamTasks(relayed_ids, self._upstream_of),
            owner=identity.owner,
            clock=clock,
            limits=bounds.tasks,
        )
        self._dispatch = dispatch = Dispatch(self._catalog, self.pool, lists, self._watching, self.parking, self.tasks)
        self.record = record = Record(self.metrics)
        self.rate_limit = RateLimit(self._catalog, clock)
        self.in_flight = in_flight = InFlight(bounds.in_flight)
        overload.on_closed.append(in_flight.set_closed)
        pipeline = Pipeline(
            [
                record,
                Resolve(dispatch),
                Authorize(self._catalog),
                self.rate_limit,
                in_flight,
            ],
            Patience(),
            dispatch,
        )
        self._authenticate = authenticate = Authenticator(self._catalog, peppers, clock, self.refusals.credential)
        express = Express(
            self._catalog,
            self.pool,
            Rides(pipeline, dispatch),
            record=record,
            rate_limit=self.rate_limit,
            in_flight=in_flight,
        )
        self.modern = ModernRequests(
            dispatch,
            pipeline,
            express,
            StateSeal(identity.key_for("states"), clock),
            self.hub,
            timeout_s=bounds.timeout_s,
        )
        self.exchange = Exchange(
            authenticate,
            self.modern,
            LegacyRequests(dispatch, pipeline, express, self.sessions, self.hub, timeout_s=bounds.timeout_s),
            self.sessions,
            self.refusals.error,
        )
        self.http = StreamableHttp(self.exchange, self.sessions)
        self.sse = HttpSse(self.exchange)
        self.execution = Execution(
            LoginAuthenticator(self._catalog, authenticate, clock),
            dispatch,
            pipeline,
            lambda code: self._catalog().snapshot.servers.get(code),
            self.refusals.error,
            timeout_s=bounds.timeout_s,
        )
        self.operating = Operating(self._catalog, self.pool, self.holder.observation)
        self.operator = OperatorRoutes(self._catalog, self.pool, self.sessions, record, facts)

    def routes(self) -> tuple[Route, ...]:
        """All routes of clients and operators."""
        clients = client_routes(self.exchange, self.http, self.sse, self.admit, self.admit_stream)
        return (*clients, *self.execution.routes(), *self.operator.routes(), *self.operating.routes())

    def founding_routes(self) -> tuple[Route, ...]:
        """Other names of some of them, from the founding documents."""
        clients = founding_routes(self.exchange, self.http, self.admit, self.admit_stream)
        return (*clients, *self.execution.founding_routes())

    def admit(self, head: Head) -> Answer | None:
        """Judge a head before its body is read: the refusal, or None with the principal noted on the head."""
        try:
            head.principal = self.exchange.authenticate(head)
        except PlatformError as error:
            self.refusals.error(head, error)
            return error_answer(error, None, LEGACY[0])
        return None

    def admit_stream(self, head: Head) -> Answer | None:
        """As `admit`, for what stays: a strained gateway takes no more of it."""
        refusal = self.admit(head)
        if refusal is not None or self.overload.level == CALM:
            return refusal
        error = TooManyCalls()
        self.refusals.error(head, error)
        return error_answer(error, None, LEGACY[0])

    def start(self) -> None:
        """Begin to connect to the upstreams."""
        self.lag.start()
        self.pool.reconcile(self.holder.current.snapshot)

    def prepare(self, snapshot: Snapshot) -> None:
        """Make ready what `offer` will put in force; in another thread."""
        self.holder.prepare(snapshot=snapshot)

    def offer(self, snapshot: Snapshot) -> None:
        """Put a newer snapshot in force, whole, without a failed call."""
        if self.holder.offer(snapshot):
            self.pool.reconcile(snapshot)
            self.sweep()

    def sweep(self) -> None:
        """End what is idle, and what belongs to principals that are not valid any more."""
        self.parking.end_overdue()
        self.parking.end_those_of(self._authenticate.is_valid)
        self.tasks.sweep(self._authenticate.is_valid)
        self.sessions.end_idle()
        self.sessions.end_invalid(self._authenticate.is_valid, self._catalog().servers)
        self.sessions.renew(self._authenticate.renewed)
        self.hub.end_streams(self._authenticate.is_unchanged)
        self._dispatch.reroute()
        for connection in tuple(self.exchange.connections):
            if connection.principal is not None and not self._authenticate.is_valid(connection.principal):
                connection.expel()

    async def aclose(self) -> None:
        """End all sessions and upstreams."""
        self.lag.stop()
        self.hub.end_streams()
        await self.sessions.aclose()
        await self.parking.aclose()
        await self.tasks.aclose()
        await self._watching.aclose()
        await self.pool.aclose()

    def _catalog(self) -> Catalog:
        return self.holder.current

    def _upstream_of(self, call: Call, upstream_id: str) -> Upstream:
        """The upstream of a task, while the call's server offers it. Raises TaskUnknown."""
        server = self._catalog().servers.get(call.server)
        if server is None or upstream_id not in server.upstream_ids:
            raise TaskUnknown
        upstream = self.pool.get(upstream_id)
        call.isolation = isolation_of(upstream.spec, call)
        return upstream

    def _upstream_state(self, upstream_id: str, presence: Presence) -> None:
        if presence == "gone":
            self.metrics.upstream_removed(upstream_id)
        else:
            self.metrics.upstream_up(upstream_id, up=presence == "up")

    async def prepare_observed(self, observation: Observation) -> None:
        """Make ready what `observed` will put in force, where that is much."""
        if observation.count > MANY_DEFINITIONS:
            await asyncio.to_thread(self.holder.prepare, observation=observation)

    def observed(self, observation: Observation) -> None:
        """Put in force what an upstream offers now, and remember it."""
        known = self.holder.observation(observation.upstream_id)
        fresh = known is None or known.digest() != observation.digest()
        if fresh:
            self.journal.keep_observation(observation)
        self.holder.observe(observation)
        if fresh:
            self.on_observed(observation)

    def take_used_keys(self) -> set[str]:
        """The ids of the keys that were used since this was asked last."""
        return self._authenticate.take_used_keys()
