"""What all workers must agree on: definitions, names, how upstreams do, and which configuration is in force.

See `news` for the order in which things are told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, Literal

from toolyard.contract.definitions import Json, Observation
from toolyard.contract.naming import Names
from toolyard.contract.snapshot import Snapshot, UpstreamSpec
from toolyard.gateway.assembly import Gateway
from toolyard.gateway.call import UpstreamEvents
from toolyard.gateway.pool_entry import Look
from toolyard.gateway.workers.news import Followers, look_in, look_item, names_in, names_item
from toolyard.gateway.workers.peers import Peer
from toolyard.gateway.workers.worker import Worker, keeper_of
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import TaskOwner

log = get_logger(__name__)

FIRST: Final = 0
AGREE_S: Final = 2.0


class Announcing:
    """The events of an upstream that this worker keeps: for its own listeners, and for those of the others."""

    def __init__(self, events: UpstreamEvents, followers: Followers, losses: Counter[str]) -> None:
        """`losses` counts by upstream how often what was watched there was lost."""
        self._events = events
        self._followers = followers
        self._losses = losses

    def lists_changed(self, upstream_id: str, kind: Literal["tools", "resources", "prompts"]) -> None:
        self._events.lists_changed(upstream_id, kind)

    def resource_updated(self, upstream_id: str, principal_id: str | None, params: Json) -> None:
        self._events.resource_updated(upstream_id, principal_id, params)
        self._followers.tell(["updated", upstream_id, principal_id, params])

    def watches_lost(self, upstream_id: str) -> None:
        self._losses[upstream_id] += 1
        self._events.watches_lost(upstream_id)
        self._followers.tell(["watches_lost", upstream_id])


class Sharing:
    """Keeps one gateway in step with the others. `keeps` says which upstreams this worker looks at."""

    def __init__(
        self, gateway: Gateway, me: Worker, followers: Followers, keeps: Callable[[UpstreamSpec], bool]
    ) -> None:
        self._gateway = gateway
        self._me = me
        self._followers = followers
        self._keeps = keeps
        self._in_force = ""
        self._agreed = asyncio.Event()
        self._echoes: dict[str, asyncio.Event] = {}
        self._pushed: dict[str, Look] = {}
        self._lost: set[int] = set()
        self._tasks = TaskOwner("sharing")
        gateway.pool.follows = self._follows
        gateway.pool.on_look = self._looked
        gateway.pool.on_refresh = self._refresh
        if me.index == FIRST:
            gateway.holder.on_names = self._named
        else:
            gateway.pool.publish = self._publish

    async def aclose(self) -> None:
        await self._tasks.aclose()

    def offer(self, snapshot: Snapshot) -> None:
        """Put a newer snapshot in force. Worker 0 is first, since it gives names; the others wait for it a moment."""
        if self._me.index == FIRST:
            self._gateway.offer(snapshot)
            self._followers.tell(["config", snapshot.digest])
        elif self._in_force == snapshot.digest:
            self._gateway.offer(snapshot)
        else:
            self._tasks.start(self._offer_soon(snapshot))

    def all_there_is(self) -> Iterator[list[Any]]:
        """What a worker is told that begins to listen."""
        holder, pool = self._gateway.holder, self._gateway.pool
        if self._me.index == FIRST:
            yield names_item(holder.names)
            yield ["config", holder.current.snapshot.digest]
        for look in pool.looks():
            if self._me.index == FIRST or not self._follows(look.upstream_id):
                yield look_item(replace(look, observation=holder.observation(look.upstream_id)))

    async def heard(self, peer: Peer, item: Any) -> None:
        """Take one item of another worker's news."""
        match item:
            case ["look", values] if peer.index == FIRST:
                look = look_in(values)
                if look.observation is not None:
                    await self._gateway.prepare_observed(look.observation)
                self._take(look)
            case ["look", values] if self._me.index == FIRST:
                look = look_in(values)
                if look.observation is not None:
                    await self._gateway.prepare_observed(look.observation)
                    self._gateway.observed(look.observation)
                self._gateway.pool.told(look)
                self._followers.tell(["look", values])
            case ["names", rows] if peer.index == FIRST:
                self._gateway.holder.take_names(names_in(rows))
            case ["config", digest] if peer.index == FIRST:
                self._in_force = digest
                self._agreed.set()
            case ["updated", upstream_id, principal_id, params]:
                self._gateway.hub.resource_updated(upstream_id, principal_id, params)
            case ["watches_lost", upstream_id]:
                self._gateway.hub.watches_lost(upstream_id)

    def there(self, peer: Peer) -> None:
        """Another worker is there, perhaps again: what is watched at its upstreams is to be watched anew."""
        if peer.index in self._lost:
            self._lost.discard(peer.index)
            for upstream_id in self._kept_by(peer):
                self._gateway.pool.on_replaced(upstream_id)

    def lost(self, peer: Peer) -> None:
        """Another worker is gone, and with it the upstreams it keeps, until it is there again."""
        self._lost.add(peer.index)
        known = {look.upstream_id: look for look in self._gateway.pool.looks()}
        for upstream_id in self._kept_by(peer):
            if upstream_id in known:
                away = "the gateway's process that keeps it is being started again"
                self._gateway.pool.told(
                    replace(known[upstream_id], state="failing", error=away, error_code="worker_away")
                )

    def _kept_by(self, peer: Peer) -> list[str]:
        upstreams = self._gateway.holder.current.snapshot.upstreams
        return [i for i, u in upstreams.items() if not self._keeps(u) and keeper_of(i, self._me.count) == peer.index]

    def _follows(self, upstream_id: str) -> bool:
        spec = self._gateway.holder.current.snapshot.upstreams.get(upstream_id)
        return spec is not None and not self._keeps(spec)

    def _refresh(self, upstream_id: str) -> None:
        refresh = getattr(self._gateway.pool.get(upstream_id), "refresh", None)
        if refresh is not None:
            refresh()

    def _named(self, names: Names) -> None:
        self._gateway.journal.keep_names(names)
        self._followers.tell(names_item(names))

    def _take(self, look: Look) -> None:
        """What worker 0 says of an upstream is in force everywhere."""
        if look.observation is not None:
            self._gateway.holder.observe(look.observation)
        echo = self._echoes.get(look.upstream_id)
        if echo is not None and look.observation is not None:
            echo.set()
        self._gateway.pool.told(look)

    def _looked(self, look: Look) -> None:
        """This worker has looked at an upstream that it keeps, or at one that each worker has of its own."""
        if self._me.index == FIRST:
            self._followers.tell(look_item(look))
        elif self._pushed.get(look.upstream_id) != replace(look, observation=None) and self._is_shared(look):
            self._push(replace(look, observation=None))

    def _is_shared(self, look: Look) -> bool:
        spec = self._gateway.holder.current.snapshot.upstreams.get(look.upstream_id)
        return spec is not None and self._me.keeps(look.upstream_id) and self._keeps(spec)

    def _push(self, look: Look) -> None:
        self._pushed[look.upstream_id] = replace(look, observation=None)
        self._followers.tell_one(FIRST, look_item(look))

    async def _publish(self, observation: Observation) -> None:
        """Have worker 0 give names for what was found, and wait a moment until it has."""
        known = self._gateway.holder.observation(observation.upstream_id)
        fresh = known is None or known.digest() != observation.digest() or known.ttl_ms != observation.ttl_ms
        look = Look(observation.upstream_id, "ready", observed_at=observation.observed_at, observation=observation)
        if not fresh or not self._is_shared(look) or not await self._followers.listening(FIRST, AGREE_S):
            return
        echo = self._echoes[look.upstream_id] = asyncio.Event()
        try:
            self._push(look)
            async with asyncio.timeout(AGREE_S):
                await echo.wait()
        except TimeoutError:
            log.warning("names_not_agreed", upstream=look.upstream_id)
        finally:
            del self._echoes[look.upstream_id]

    async def _offer_soon(self, snapshot: Snapshot) -> None:
        give_up_at = asyncio.get_running_loop().time() + AGREE_S
        try:
            async with asyncio.timeout_at(give_up_at):
                while self._in_force != snapshot.digest:
                    self._agreed.clear()
                    await self._agreed.wait()
        except TimeoutError:
            log.warning("config_not_agreed", revision=snapshot.revision)
        self._gateway.offer(snapshot)
