"""Counting over all workers: worker 0 counts, the others ask it. While it is away, each worker counts its own."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec

from toolyard.contract.snapshot import RateLimit
from toolyard.gateway.assembly import Gateway
from toolyard.gateway.places import BucketCall, PlaceKind
from toolyard.gateway.workers.errors import WorkerFailed, WorkerLost
from toolyard.gateway.workers.link import Service, Talk
from toolyard.gateway.workers.peers import Peer, Peers
from toolyard.gateway.workers.worker import index_in
from toolyard.kit.tasks import TaskOwner

FIRST: Final = 0
PATIENCE_S: Final = 2.0
Key = tuple[PlaceKind, str]
LOT_SHARE: Final = 0.01
"""Calls are taken in lots of this share of what a limit allows in a second, or at once if that is less: a call of a
small limit is asked for by itself, so that small limits are exact."""
MAX_LOTS: Final = 10_000


class Tally:
    """How many places each worker has taken, by kind and principal. `limits`: in all, and of one principal."""

    def __init__(self, limits: dict[PlaceKind, tuple[int, int]]) -> None:
        self._limits = limits
        self._taken: defaultdict[Key, Counter[int]] = defaultdict(Counter)
        self._totals: Counter[PlaceKind] = Counter()

    def has_room(self, kind: PlaceKind, principal_id: str) -> bool:
        total, own = self._limits[kind]
        taken = self._taken.get((kind, principal_id))
        return self._totals[kind] < total and (taken is None or taken.total() < own)

    def free(self, kind: PlaceKind) -> int:
        """How many places there are left in all."""
        return self._limits[kind][0] - self._totals[kind]

    def add(self, index: int, kind: PlaceKind, principal_id: str, count: int = 1) -> None:
        self._taken[kind, principal_id][index] += count
        self._totals[kind] += count

    def remove(self, index: int, kind: PlaceKind, principal_id: str) -> None:
        """Harmless where nothing is counted."""
        taken = self._taken.get((kind, principal_id))
        if taken is None or taken[index] <= 0:
            return
        taken[index] -= 1
        self._totals[kind] -= 1
        if taken.total() <= 0:
            del self._taken[kind, principal_id]

    def holders(self, kind: PlaceKind, principal_id: str) -> list[int]:
        """The workers that have places, those with most first."""
        taken = self._taken.get((kind, principal_id), Counter[int]())
        return [index for index, count in taken.most_common() if count > 0]

    def drop(self, index: int) -> None:
        """A worker is gone, and what it had with it."""
        for key in [key for key, taken in self._taken.items() if taken[index] > 0]:
            self._totals[key[0]] -= self._taken[key].pop(index)
            if not self._taken[key]:
                del self._taken[key]


class Places:
    """The counts of one worker's gateway. Implements `SharedPlaces`."""

    def __init__(self, gateway: Gateway, me: int, peers: Peers) -> None:
        self._gateway = gateway
        self._me = me
        self._peers = peers
        bounds = gateway.bounds
        limits: dict[PlaceKind, tuple[int, int]] = {
            "session": (bounds.sessions.total, bounds.sessions.per_principal),
            "listen": (bounds.streams.total, bounds.streams.per_principal),
        }
        self._tally = Tally(limits) if me == FIRST else None
        self._tasks = TaskOwner("places")
        self._lots: dict[BucketCall, int] = {}
        """Calls that were taken of worker 0 and not used yet."""
        self._asking: set[BucketCall] = set()

    def services(self) -> dict[str, Service]:
        """What the workers may ask one another."""
        return {
            "take": self._serve_take,
            "give_back": self._serve_give_back,
            "take_call": self._serve_take_call,
            "evict": self._serve_evict,
            "counts": self._serve_counts,
        }

    def free(self, kind: PlaceKind) -> int | None:
        """How many places there are left in all; None where that is not counted."""
        return self._tally.free(kind) if self._tally is not None else None

    async def take(self, kind: PlaceKind, principal_id: str) -> bool:
        """Take a place here. A place that is given while the caller is cancelled is given back."""
        taking = self._tasks.start(self._take(kind, principal_id))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(partial(self._not_wanted, kind, principal_id))
            raise

    async def _take(self, kind: PlaceKind, principal_id: str) -> bool:
        if self._tally is not None:
            return await self._take_for(self._tally, self._me, kind, principal_id)
        answer = await self._ask_first("take", [kind, principal_id])
        return answer is not False

    def _not_wanted(self, kind: PlaceKind, principal_id: str, taking: asyncio.Task[bool]) -> None:
        if not taking.cancelled() and taking.exception() is None and taking.result():
            self.give_back(kind, principal_id)

    def give_back(self, kind: PlaceKind, principal_id: str) -> None:
        """A place here is free again."""
        if self._tally is not None:
            self._tally.remove(self._me, kind, principal_id)
            return
        link = self._peers.peer(FIRST).link
        if link is not None:
            with suppress(WorkerLost):
                link.open("give_back", [kind, principal_id])

    def take_calls_here(self, calls: Sequence[BucketCall]) -> float | None:
        """Take one call of each bucket: worker 0 of its own count, the others of the lots they have."""
        if self._tally is not None:
            return self._gateway.rate_limit.take_all(calls)
        lots = self._lots
        if not all(lots.get(call) for call in calls):
            return None
        for call in calls:
            lots[call] -= 1
        return 0.0

    async def take_call(self, key: tuple[str, str], limit: RateLimit) -> float | None:
        """Take one call of a token bucket that all workers share."""
        if self._tally is not None:
            return self._gateway.rate_limit.take(key, limit)
        lot = (key, limit)
        left = self._lots.get(lot, 0)
        if left:
            self._lots[lot] = left - 1
            return 0.0
        return await self._take_lot(lot)

    async def _take_lot(self, lot: BucketCall) -> float | None:
        """Take a lot of worker 0 and one call of it; what comes while one is asked for asks for itself only."""
        key, limit = lot
        size = 1 if lot in self._asking else max(1, int(LOT_SHARE * min(limit.burst, limit.per_minute / 60)))
        if size > 1:
            self._asking.add(lot)
        try:
            answer = await self._ask_first("take_call", [*key, msgspec.to_builtins(limit), size])
        finally:
            if size > 1:
                self._asking.discard(lot)
        if answer is None:
            return None
        wait_s, got = answer
        if got > 1:
            if len(self._lots) >= MAX_LOTS:
                self._lots.clear()
            self._lots[lot] = self._lots.get(lot, 0) + got - 1
        return float(wait_s)

    def there(self, peer: Peer) -> None:
        """Another worker is there: worker 0 asks it what it has."""
        if self._tally is not None:
            self._tasks.start(self._count_in(self._tally, peer))

    def lost(self, peer: Peer) -> None:
        """Another worker is gone."""
        if self._tally is not None:
            self._tally.drop(peer.index)

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _ask_first(self, service: str, content: list[Any]) -> Any:
        """What worker 0 says; None while it is away or does not answer."""
        link = self._peers.peer(FIRST).link
        if link is None:
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await link.ask(service, content)
        except (TimeoutError, WorkerLost, WorkerFailed):
            return None

    async def _take_for(self, tally: Tally, index: int, kind: PlaceKind, principal_id: str) -> bool:
        """Count a place of a worker in; where there is none, a session of the same principal that nobody uses goes."""
        if tally.has_room(kind, principal_id):
            tally.add(index, kind, principal_id)
            return True
        if kind != "session":
            return False
        for holder in tally.holders(kind, principal_id):
            if await self._evict(holder, principal_id):
                tally.remove(holder, kind, principal_id)
                tally.add(index, kind, principal_id)
                return True
        return False

    async def _evict(self, holder: int, principal_id: str) -> bool:
        if holder == self._me:
            return self._gateway.sessions.end_unused(principal_id)
        link = self._peers.peer(holder).link
        if link is None:
            return False
        try:
            return bool(await link.ask("evict", principal_id))
        except (WorkerLost, WorkerFailed):
            return False

    async def _count_in(self, tally: Tally, peer: Peer) -> None:
        if peer.link is None:
            return
        with suppress(WorkerLost, WorkerFailed):
            counts = await peer.link.ask("counts", None)
            tally.drop(peer.index)
            for kind, principal_id, count in counts:
                tally.add(peer.index, kind, principal_id, count)

    async def _serve_take(self, talk: Talk, content: Any) -> bool:
        kind, principal_id = content
        index = index_in(talk.link.peer)
        if self._tally is None or index is None:
            return False
        talk.outlives = True  # a session may end for it meanwhile, and is to be counted out
        taken = await self._take_for(self._tally, index, kind, principal_id)
        if taken and talk.ended:
            self._tally.remove(index, kind, principal_id)
        return taken

    async def _serve_give_back(self, talk: Talk, content: Any) -> None:
        kind, principal_id = content
        index = index_in(talk.link.peer)
        if self._tally is not None and index is not None:
            self._tally.remove(index, kind, principal_id)

    async def _serve_take_call(self, _talk: Talk, content: Any) -> tuple[float, int]:
        server, principal_id, limit, size = content
        return self._gateway.rate_limit.take_lot((server, principal_id), msgspec.convert(limit, RateLimit), size)

    async def _serve_evict(self, _talk: Talk, principal_id: str) -> bool:
        return self._gateway.sessions.end_unused(principal_id)

    async def _serve_counts(self, _talk: Talk, _content: None) -> list[tuple[PlaceKind, str, int]]:
        sessions = self._gateway.sessions.counts()
        listening = Counter(stream.principal_id for stream in self._gateway.hub.streams)
        return [
            *(("session", principal_id, count) for principal_id, count in sessions.items()),
            *(("listen", principal_id, count) for principal_id, count in listening.items()),
        ]
