"""The live upstreams: made from the snapshot, watched, observed again when they change, closed when they go.

Each upstream has one keeper task, so a dead or slow one costs the others nothing. Processes are started a few at a
time, everything else at once. What an upstream offered last stays in the catalog while it is away.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from toolyard.contract.definitions import Era, Observation
from toolyard.contract.snapshot import Snapshot, UpstreamSpec
from toolyard.gateway.call import Upstream
from toolyard.gateway.pool_entry import Entry, Look, Presence, State
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamStopped, UpstreamTimedOut, UpstreamUnreachable
from toolyard.kit.clock import Clock
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import TaskOwner

log = get_logger(__name__)

OBSERVE_LIMIT_S = 60.0
REFRESH_S = 300.0
DEBOUNCE_S = 1.0
DEBOUNCE_BURST = 4
MAX_BACKOFF_S = 60.0
STARTS_AT_ONCE = max(2, os.cpu_count() or 2)
START_SLOT_S = 0.5
CLOSE_LIMIT_S = 10.0

Make = Callable[[UpstreamSpec, Era | None], Upstream]


async def _prepare_nothing(_observation: Observation) -> None:
    return


class Pool:
    """All upstreams of one gateway. `make(spec, era hint)` builds the driver; `on_observation` takes what was seen,
    after `prepare` has done what work of it can be done elsewhere."""

    def __init__(
        self,
        make: Make,
        *,
        clock: Clock,
        known: Callable[[str], Observation | None],
        on_observation: Callable[[Observation], None],
        on_state: Callable[[str, Presence], None] = lambda _upstream_id, _presence: None,
        prepare: Callable[[Observation], Awaitable[None]] = _prepare_nothing,
    ) -> None:
        self._make = make
        self._clock = clock
        self._known = known
        self._on_observation = on_observation
        self._on_state = on_state
        self._prepare = prepare
        self.follows: Callable[[str], bool] = lambda _upstream_id: False
        """Whether another process of this gateway looks at an upstream; this one is told what it finds."""
        self.on_look: Callable[[Look], None] = lambda _look: None
        self.on_refresh: Callable[[str], None] = lambda _upstream_id: None
        """Asks the process that looks at an upstream to look again."""
        self.publish: Callable[[Observation], Awaitable[None]] | None = None
        """Lets the other processes know of definitions before they are in force here."""
        self.stopped_before: frozenset[str] = frozenset()
        """What the operator stopped before this process took the place of another one; see `reconcile`."""
        self._told: dict[str, Look] = {}
        self._entries: dict[str, Entry] = {}
        self._stopped: dict[str, Entry] = {}
        self._tasks = TaskOwner("pool")
        self._closings = TaskOwner("closings")
        self._leaving: list[Entry] = []
        self.on_replaced: Callable[[str], None] = lambda _upstream_id: None
        self._slots = asyncio.Semaphore(STARTS_AT_ONCE)
        self._looked = asyncio.Event()

    def reconcile(self, snapshot: Snapshot) -> None:
        """Make the live upstreams those of the snapshot: start new ones, replace changed ones, close gone ones."""
        wanted = {u.id: u for u in snapshot.upstreams.values() if u.enabled}
        replaced: list[str] = []
        for upstream_id, entry in list(self._entries.items()):
            if wanted.get(upstream_id) != entry.spec:
                del self._entries[upstream_id]
                self._on_state(upstream_id, "gone")
                replaced.append(upstream_id)
                self._leave(entry)
        for upstream_id, entry in list(self._stopped.items()):
            if upstream_id not in wanted:
                del self._stopped[upstream_id]
                self._on_state(upstream_id, "gone")
            elif wanted[upstream_id] != entry.spec:
                self._stopped[upstream_id] = self._made(wanted[upstream_id], "stopped")
        for upstream_id in self.stopped_before & (wanted.keys() - self._entries.keys()):
            self._stopped[upstream_id] = self._made(wanted[upstream_id], "stopped")
        self.stopped_before = frozenset()
        fresh = [spec for i, spec in wanted.items() if i not in self._entries and i not in self._stopped]
        for spec in sorted(fresh, key=self._urgency):
            self._entries[spec.id] = self._begin(spec)
        for upstream_id in {*replaced, *(spec.id for spec in fresh)}:
            self.on_replaced(upstream_id)
        self._wake()

    def get(self, upstream_id: str) -> Upstream:
        """The live upstream. Raises UpstreamStopped, UpstreamUnreachable if the snapshot in force has none of that
        id."""
        return self.entry(upstream_id).upstream

    def entry(self, upstream_id: str) -> Entry:
        """The live upstream as it is kept; whoever sends it a request counts it in `in_flight` meanwhile. Raises
        UpstreamStopped, UpstreamUnreachable if the snapshot in force has none of that id."""
        entry = self._entries.get(upstream_id)
        if entry is None:
            if upstream_id in self._stopped:
                raise UpstreamStopped(f"upstream {upstream_id!r} was stopped by its operator", upstream=upstream_id)
            raise UpstreamUnreachable(f"upstream {upstream_id!r} is not configured any more", upstream=upstream_id)
        return entry

    def ready(self, upstream_id: str) -> Entry | None:
        """As `entry`, but None where that would raise."""
        return self._entries.get(upstream_id)

    def kept(self, upstream_id: str) -> Entry:
        """As `entry`, also for one that was stopped: what is parked there is answered until it is closed. Raises
        UpstreamUnreachable if the snapshot in force has none of that id."""
        return self._stopped.get(upstream_id) or self.entry(upstream_id)

    def start(self, upstream_id: str) -> None:
        """Open a stopped upstream again, and look at one that is failing now."""
        entry = self._stopped.pop(upstream_id, None)
        if entry is not None:
            self._entries[upstream_id] = self._begin(entry.spec)
            self.on_replaced(upstream_id)
            log.info("upstream_started", upstream=upstream_id)
        elif (live := self._entries.get(upstream_id)) is not None and live.state == "failing":
            self.refresh(upstream_id)

    def stop(self, upstream_id: str, *, at_once: bool = False) -> None:
        """Close an upstream when its calls in flight have ended (`at_once`: now), and keep it closed until `start`,
        also when its configuration changes."""
        entry = self._entries.pop(upstream_id, None)
        if entry is not None:
            if entry.keeper is not None:
                entry.keeper.cancel()
            entry.state, entry.error, entry.error_code, entry.failures = "stopping", None, None, 0
            entry.closing = self._leave(entry, at_once=at_once)
            self._stopped[upstream_id] = entry
            self._on_state(upstream_id, "down")
            self.on_replaced(upstream_id)
            self._wake()
            log.info("upstream_stopped", upstream=upstream_id)
        elif (entry := self._stopped.get(upstream_id)) is not None and at_once:
            entry.hurries = True

    async def closed(self, upstream_id: str) -> None:
        """Return when what was stopped is closed."""
        entry = self._stopped.get(upstream_id)
        if entry is not None and entry.closing is not None:
            await asyncio.wait({entry.closing})

    def restart(self, upstream_id: str, *, at_once: bool = False) -> None:
        """Open an upstream anew at once; the old one is closed when its calls in flight have ended (`at_once`: now)."""
        entry = self._entries.pop(upstream_id, None)
        if entry is None:
            self.start(upstream_id)
            return
        self._leave(entry, at_once=at_once)
        self._entries[upstream_id] = self._begin(entry.spec)
        self.on_replaced(upstream_id)
        self._wake()
        log.info("upstream_restarted", upstream=upstream_id)

    async def look_now(self, upstream_id: str) -> None:
        """Look at an upstream now; return when that is done, when it is live no more, and at once where another process
        looks at it."""
        entry = self._entries.get(upstream_id)
        if entry is None or self.follows(upstream_id):
            return
        wanted = entry.looks_begun + 1
        entry.again.set()
        while self._entries.get(upstream_id) is entry and entry.looks_ended < wanted:
            await self._looked.wait()

    async def settled(self, upstream_id: str) -> None:
        """Return when an upstream is ready, or live no more."""
        while (entry := self._entries.get(upstream_id)) is not None and entry.state != "ready":
            await self._looked.wait()

    @property
    def stopped(self) -> frozenset[str]:
        """The upstreams that were stopped."""
        return frozenset(self._stopped)

    def upstreams(self) -> list[Upstream]:
        """All live upstreams."""
        return [entry.upstream for entry in self._entries.values()]

    def refresh(self, upstream_id: str) -> None:
        """Observe this upstream again soon."""
        entry = self._entries.get(upstream_id)
        if entry is not None and self.follows(upstream_id):
            self.on_refresh(upstream_id)
        elif entry is not None:
            entry.again.set()

    def told(self, look: Look) -> None:
        """Take in what the process that looks at an upstream has found; its definitions are in force already."""
        self._told[look.upstream_id] = look
        entry = self._entries.get(look.upstream_id)
        if entry is not None and self.follows(look.upstream_id):
            self._take(entry, look)
            self._wake()

    def looks(self) -> list[Look]:
        """How each upstream was found that has been looked at."""
        return [e.look() for e in self._entries.values() if e.state != "pending"]

    def states(self) -> list[Look]:
        """How each upstream is known to do, those that were not looked at yet and those that were stopped too."""
        return [e.look() for e in (*self._entries.values(), *self._stopped.values())]

    async def tried(self, upstream_ids: Iterable[str], limit_s: float) -> None:
        """Wait until each of these upstreams has been tried once, at most `limit_s` seconds."""
        waits = [
            e.tried.wait() for i in upstream_ids if (e := self._entries.get(i)) is not None and not e.tried.is_set()
        ]
        if waits:
            try:
                async with asyncio.timeout(limit_s):
                    await asyncio.gather(*waits)
            except TimeoutError:
                pass

    async def looked(self, upstream_ids: Iterable[str], until: float) -> bool:
        """Wait until some upstream has been looked at. False when it is `until` on the loop's clock, and at once where
        each of these has been tried."""
        entries = [e for i in upstream_ids if (e := self._entries.get(i)) is not None]
        if all(e.tried.is_set() for e in entries):
            return False
        try:
            async with asyncio.timeout_at(until):
                await self._looked.wait()
        except TimeoutError:
            return False
        return True

    def stale(self, upstream_ids: Iterable[str]) -> list[str]:
        """Which of these serve definitions from an earlier time because they fail now, or were stopped."""
        return [
            i
            for i in upstream_ids
            if i in self._stopped or ((e := self._entries.get(i)) is not None and e.state == "failing")
        ]

    def status(self) -> list[dict[str, Any]]:
        """For the operator: how every upstream does."""
        return [entry.status() for entry in (*self._entries.values(), *self._stopped.values())]

    def status_of(self, upstream_id: str) -> dict[str, Any] | None:
        """For the operator: how one upstream does; None if there is none of that id."""
        entry = self._entries.get(upstream_id) or self._stopped.get(upstream_id)
        return None if entry is None else entry.status()

    def looked_at(self) -> list[str]:
        """The upstreams that this process looks at itself."""
        return [i for i in (*self._entries, *self._stopped) if not self.follows(i)]

    async def aclose(self) -> None:
        """Stop watching and close every upstream."""
        entries = list(self._entries.values())
        self._entries.clear()
        self._stopped.clear()
        for leaving in self._leaving:
            leaving.hurries = True
        await asyncio.gather(*(self._retire(e, at_once=True) for e in entries))
        await self._closings.settled(CLOSE_LIMIT_S)
        await self._closings.aclose()
        await self._tasks.aclose()

    def _urgency(self, spec: UpstreamSpec) -> tuple[bool, bool]:
        """Who is looked at first: what costs no process, then what has answered before."""
        return (spec.kind == "mcp-stdio", self._known(spec.id) is None)

    def _made(self, spec: UpstreamSpec, state: State = "pending") -> Entry:
        known = self._known(spec.id)
        entry = Entry(spec, self._make(spec, known.era if known is not None else None), state)
        entry.observed_at = known.observed_at if known is not None else None
        return entry

    def _begin(self, spec: UpstreamSpec) -> Entry:
        entry = self._made(spec)
        if not self.follows(spec.id):
            entry.keeper = self._tasks.start(self._keep(entry))
        elif spec.id in self._told:
            self._take(entry, self._told[spec.id])
        return entry

    def _take(self, entry: Entry, look: Look) -> None:
        entry.state, entry.error, entry.error_code = look.state, look.error, look.error_code
        entry.failures, entry.observed_at = look.failures, look.observed_at or entry.observed_at
        entry.tried.set()

    def _wake(self) -> None:
        """Let those look again who wait for any upstream."""
        self._looked.set()
        self._looked = asyncio.Event()

    async def _keep(self, entry: Entry) -> None:
        """Look at once when a change is announced; an upstream that announces changes all the time waits its second."""
        recent = deque([-math.inf] * DEBOUNCE_BURST, maxlen=DEBOUNCE_BURST)
        while True:
            entry.again.clear()
            entry.looks_begun += 1
            try:
                wait_s = await self._observe(entry)
            finally:
                entry.looks_ended = entry.looks_begun
                entry.tried.set()
                self._wake()
            try:
                async with asyncio.timeout(wait_s):
                    await entry.again.wait()
            except TimeoutError:
                continue
            recent.append(self._clock.monotonic())
            if recent[-1] - recent[0] < DEBOUNCE_S * DEBOUNCE_BURST:
                await asyncio.sleep(DEBOUNCE_S)

    async def _observe(self, entry: Entry) -> float:
        """Look once; return the seconds until the next look."""
        try:
            observation = await self._observe_in_turn(entry)
        except TimeoutError:
            return self._failed(entry, UpstreamTimedOut())
        except PlatformError as error:
            return self._failed(entry, error)
        await self._prepare(observation)
        if self.publish is not None:
            await self.publish(observation)
        self._succeeded(entry, observation)
        return REFRESH_S * random.uniform(0.8, 1.2)  # noqa: S311  (jitter)

    async def _observe_in_turn(self, entry: Entry) -> Observation:
        if entry.spec.kind != "mcp-stdio":
            return await _observe_in_time(entry)
        await self._slots.acquire()
        release = asyncio.get_running_loop().call_later(START_SLOT_S, self._slots.release)
        try:
            return await _observe_in_time(entry)
        finally:
            if release.when() > asyncio.get_running_loop().time() and not release.cancelled():
                release.cancel()
                self._slots.release()

    def _succeeded(self, entry: Entry, observation: Observation) -> None:
        if entry.state != "ready":
            log.info("upstream_ready", upstream=entry.spec.id, era=observation.era, tools=len(observation.tools))
        for warning in observation.warnings:
            log.warning("upstream_definition_dropped", upstream=entry.spec.id, reason=warning)
        entry.state, entry.error, entry.error_code, entry.failures = "ready", None, None, 0
        entry.observed_at = observation.observed_at
        self._on_state(entry.spec.id, "up")
        self._on_observation(observation)
        self.on_look(replace(entry.look(), observation=observation))

    def _failed(self, entry: Entry, error: PlatformError) -> float:
        if entry.error != error.message:
            log.warning("upstream_failing", upstream=entry.spec.id, code=error.code, reason=error.message)
        entry.state, entry.error, entry.error_code = "failing", error.message, error.code
        entry.failures += 1
        self._on_state(entry.spec.id, "down")
        self.on_look(entry.look())
        return random.uniform(0.5, 1.0) * min(MAX_BACKOFF_S, 2.0 ** min(entry.failures, 6))  # noqa: S311  (jitter)

    def _leave(self, entry: Entry, *, at_once: bool = False) -> asyncio.Task[None]:
        """Begin to close an upstream; the end of the pool waits for it."""
        self._leaving.append(entry)
        closing = self._closings.start(self._retire(entry, at_once=at_once))
        closing.add_done_callback(lambda _task: self._left(entry))
        return closing

    def _left(self, entry: Entry) -> None:
        self._leaving = [one for one in self._leaving if one is not entry]

    async def _retire(self, entry: Entry, *, at_once: bool = False) -> None:
        """Let what is in flight end on the old connection, then close it."""
        if entry.keeper is not None:
            entry.keeper.cancel()
        try:
            if not at_once:
                await entry.idle()
        finally:
            try:
                await self._close(entry)
            finally:
                if entry.state == "stopping":
                    entry.state = "stopped"

    async def _close(self, entry: Entry) -> None:
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await entry.upstream.aclose()
        except (TimeoutError, UpstreamError) as error:
            log.warning("upstream_close_failed", upstream=entry.spec.id, reason=str(error))


async def _observe_in_time(entry: Entry) -> Observation:
    async with asyncio.timeout(OBSERVE_LIMIT_S):
        return await entry.upstream.observe()
