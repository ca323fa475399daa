"""One worker among the others: what it offers them, and how the parts of its gateway reach what is theirs."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Final

from toolyard.contract.definitions import Era, Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.assembly import Gateway, MakeUpstream
from toolyard.gateway.call import Call, Carry, Head, Sink, Upstream, UpstreamEvents
from toolyard.gateway.errors import CallLost
from toolyard.gateway.exchange import SESSION_HEADER
from toolyard.gateway.identity import Identity
from toolyard.gateway.workers.calls import packed, unpacked_quiet
from toolyard.gateway.workers.errors import WorkerLost
from toolyard.gateway.workers.exchanges import ExchangeService, Handler, carry
from toolyard.gateway.workers.link import Service, Talk
from toolyard.gateway.workers.near import NearHttpUpstream
from toolyard.gateway.workers.news import Followers
from toolyard.gateway.workers.operations import SharedOperations
from toolyard.gateway.workers.peers import Peer, Peers
from toolyard.gateway.workers.places import Places
from toolyard.gateway.workers.remote import RemoteUpstream
from toolyard.gateway.workers.sharing import Announcing, Sharing
from toolyard.gateway.workers.upstreams import UpstreamServices
from toolyard.gateway.workers.whole import Whole
from toolyard.gateway.workers.worker import SessionIds, Worker, index_in, keeper_of
from toolyard.kit.clock import Clock

LOCAL_KINDS: Final = frozenset({"native"})
"""Upstreams that live in every worker: nothing of theirs lasts beyond a call."""


class Crew:
    """Joins one gateway to the other workers of the same data directory. Implements `Elsewhere`.

    First `making` gives the gateway its upstreams, then `join` ties its parts, then `start`."""

    def __init__(self, me: Worker, identity: Identity, *, data_dir: Path) -> None:
        self.me = me
        self._data_dir = data_dir
        self._ids = SessionIds(identity.key_for("session ids"), me)
        self._key = identity.key_for("configurations of upstreams")
        self._services: dict[str, Service] = {}
        self._followers = Followers()
        self._losses: Counter[str] = Counter()
        self.peers = Peers(me, data_dir, self._services, self._heard)
        self._gateway: Gateway | None = None
        self._sharing: Sharing | None = None
        self._places: Places | None = None

    def keeps(self, spec: UpstreamSpec) -> bool:
        """Whether an upstream's sessions and processes, if it has any, are in this worker."""
        return spec.kind in LOCAL_KINDS or self.me.keeps(spec.id)

    def making(self, make: MakeUpstream) -> MakeUpstream:
        """What makes the upstreams of this worker: its own by `make`, ways to the others' for all others."""

        def make_here(spec: UpstreamSpec, events: UpstreamEvents, clock: Clock, era: Era | None) -> Upstream:
            if self.keeps(spec):
                return make(spec, Announcing(events, self._followers, self._losses), clock, era)
            peer = self.peers.peer(keeper_of(spec.id, self.me.count))
            far = RemoteUpstream(spec, peer, era=partial(self._era, spec.id), key=self._key)
            if spec.kind != "mcp-http":
                return far
            known = partial(self._joined().holder.observation, spec.id)
            return NearHttpUpstream(spec, far, events=events, clock=clock, known=known, workers=self.me.count)

        return make_here

    def join(self, gateway: Gateway) -> None:
        """Tie the parts of a gateway to the other workers, before it starts."""
        self._gateway = gateway
        http, sse, exchange = gateway.http, gateway.sse, gateway.exchange
        handlers: dict[str, Handler] = {
            "post": http.answer_post,
            "get": http.get,
            "delete": http.delete,
            "sse": sse.take,
            "modern": exchange.take_modern,
        }
        self._sharing = Sharing(gateway, self.me, self._followers, self.keeps)
        self._services |= UpstreamServices(gateway.pool, self._key, self._losses).services()
        self._services |= SharedOperations(gateway, self.me, self.peers, self.keeps, self._data_dir).services()
        self._services |= {
            "follow": self._follow,
            "exchange": ExchangeService(handlers),
            "task": self._about_own_task,
        }
        gateway.tasks.is_elsewhere, gateway.tasks.ask_elsewhere = self._may_live, self._about_task
        self._places = places = Places(gateway, self.me.index, self.peers)
        whole = Whole(gateway, self.me.index, self.peers)
        self._services |= places.services() | whole.services()
        gateway.sessions.shared = gateway.hub.shared = gateway.rate_limit.shared = places
        gateway.metrics.others, gateway.operator.all_reports = whole.samples, whole.reports
        self.peers.on_there, self.peers.on_lost = self._there, self._lost
        gateway.sessions.new_id = sse.new_id = self._ids.new
        http.elsewhere = sse.elsewhere = exchange.elsewhere = gateway.modern.elsewhere = self

    async def start(self) -> None:
        """Begin to be one of the others. Raises OSError."""
        await self.peers.start()

    async def aclose(self) -> None:
        """Leave them."""
        await self.peers.aclose()
        if self._sharing is not None:
            await self._sharing.aclose()
        if self._places is not None:
            await self._places.aclose()

    @property
    def sharing(self) -> Sharing:
        """What this worker and the others tell one another."""
        if self._sharing is None:
            raise RuntimeError("join first")
        return self._sharing

    @property
    def places(self) -> Places:
        """What is counted over all workers."""
        if self._places is None:
            raise RuntimeError("join first")
        return self._places

    def of_session(self, head: Head) -> Carry | None:
        """How to serve what is about the session that a head names; None if that is not another worker's."""
        session_id = head.headers.get(SESSION_HEADER)
        return None if session_id is None or SESSION_HEADER in head.repeated else self.of_id(session_id)

    def of_id(self, made_id: str) -> Carry | None:
        """How to serve what is about an id that another worker made."""
        index = self._ids.index_of(made_id)
        return None if index is None or index == self.me.index else partial(self._carry, index)

    def of_owner(self, owner: str) -> Carry | None:
        """How to serve what another process owns; None if `owner` is this one, or names no worker."""
        index = index_in(owner)
        if owner == self.me.owner or index is None or index == self.me.index or index >= self.me.count:
            return None
        return partial(self._carry_to_owner, owner, index)

    async def _carry_to_owner(self, owner: str, index: int, name: str, head: Head, body: bytes, sink: Sink) -> None:
        """Raises CallLost if the process that is meant has ended."""
        link = await self.peers.peer(index).connected()
        if link.peer != owner:
            raise CallLost
        try:
            await carry(link, name, head, body, sink)
        except WorkerLost:
            raise CallLost from None

    def _may_live(self, owner: str) -> bool:
        """Whether a process of that name is one of the others, as far as is known at this moment."""
        index = index_in(owner)
        if index is None or index == self.me.index or index >= self.me.count:
            return False
        return self.peers.peer(index).owner in (owner, None)

    async def _about_task(self, owner: str, call: Call) -> Json:
        """Have another process answer about a task of its own. Raises CallLost, and what it raises."""
        link = await self.peers.peer(index_in(owner) or 0).connected()
        if link.peer != owner:
            raise CallLost
        try:
            found: Json = await link.ask("task", [packed(call), call.params])
        except WorkerLost:
            raise CallLost from None
        return found

    async def _about_own_task(self, _talk: Talk, content: Any) -> Json:
        values, params = content
        return await self._joined().tasks.answer(unpacked_quiet(values, params))

    async def _carry(self, index: int, name: str, head: Head, body: bytes, sink: Sink) -> None:
        await carry(await self.peers.peer(index).connected(), name, head, body, sink)

    def _joined(self) -> Gateway:
        if self._gateway is None:
            raise RuntimeError("join first")
        return self._gateway

    def _era(self, upstream_id: str) -> Era | None:
        observation = self._joined().holder.observation(upstream_id)
        return observation.era if observation is not None else None

    def _there(self, peer: Peer) -> None:
        self.sharing.there(peer)
        if self._places is not None:
            self._places.there(peer)

    def _lost(self, peer: Peer) -> None:
        self.sharing.lost(peer)
        if self._places is not None:
            self._places.lost(peer)

    async def _follow(self, talk: Talk, owner: str) -> None:
        """Tell another worker who this is, what there is and what changes."""
        talk.link.peer = owner
        await talk.send(self.me.owner)
        await self._followers.serve(talk, owner, self.sharing.all_there_is())

    async def _heard(self, peer: Peer, item: Any) -> None:
        await self.sharing.heard(peer, item)
