"""The sessions of one upstream that is spoken to over channels: who gets which, how many there are, when they end.

A modern upstream has no sessions: one connection serves everybody. A legacy session belongs to one isolation key (see
`gateway/isolation.py`) and one set of declared capabilities; it is never given to anybody else. One that is kept for a
single call ends with it, and one whose key nobody will come with again ends when it is not in use. The gateway's own
session, opened to list the definitions, declares everything, since some servers show a tool only to those who declared
what it needs; whatever they ask on it is refused. The number of sessions is bounded: the one that idled longest makes
room, and if all are busy the caller waits a little, then is refused. The gateway's own takes no place that a caller
used within the last minute.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from toolyard.contract.definitions import Era, Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Call, UpstreamEvents
from toolyard.gateway.isolation import ends_with_its_call
from toolyard.gateway.upstream.asking import LISTING_CAPABILITIES, legacy_capabilities
from toolyard.gateway.upstream.errors import UpstreamBusy, UpstreamError, UpstreamTimedOut, UpstreamUnreachable
from toolyard.gateway.upstream.hearing import Hearing
from toolyard.gateway.upstream.opening import SOON_S, Dialling, Opener
from toolyard.gateway.upstream.restarts import Restarts
from toolyard.gateway.upstream.session import Key, Session
from toolyard.kit.backoff import Backoff
from toolyard.kit.clock import Clock
from toolyard.kit.tasks import TaskOwner

SWEEP_S = 30.0
QUEUE_S = 5.0
HEAR_S = 10.0
OWN_PATIENCE_S = 60.0

NOTHING = b""
GATEWAY: Key = (None, NOTHING)
MODERN: Key = (None, b"modern")


@dataclass(slots=True)
class Watched:
    """The resources watched through one session, how often each, and what the session declares."""

    capabilities: Json
    uris: dict[str, int] = field(default_factory=dict)


class SessionPool:
    """Opens, lends and ends the sessions of one upstream. `era` is what was found last."""

    def __init__(
        self,
        spec: UpstreamSpec,
        dialling: Dialling,
        *,
        events: UpstreamEvents,
        clock: Clock,
        restarts: Restarts,
        era_hint: Era | None,
    ) -> None:
        self.era: Era | None = dialling.only_era or era_hint
        self.restarts = restarts
        self.watched: dict[Key, Watched] = {}
        self._spec = spec
        self._clock = clock
        self._hearing = Hearing(spec.id, events, clock, restarts)
        self._opener = Opener(spec.id, dialling, events, restarts, spec.limits.notifications_per_second)
        self._max_sessions = dialling.max_sessions
        self._processes = dialling.processes
        self._sessions: dict[Key, Session] = {}
        self._starting: dict[Key, asyncio.Task[UpstreamError | None]] = {}
        self._awaited: Counter[Key] = Counter()
        self._unwanted: set[Key] = set()
        self._being_opened = 0
        self._freed = asyncio.Event()
        self._tasks = TaskOwner(f"sessions of {spec.id}")
        self._ending: set[Session] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    # -- lending -------------------------------------------------------------------------------------------------------

    async def acquire(self, call: Call | None, deadline: float) -> Session:
        """The session for `call` (None: the gateway itself), greeted, with the call's turn on it; give it back with
        `release`. Raises UpstreamError, always before anything of the call was sent."""
        while True:
            key = self.key(call)
            session = self._sessions.get(key) or await self._obtain(key, call, deadline)
            if session is None:
                continue
            session.busy += 1
            try:
                await session.take_turn(call, deadline)
            except BaseException:
                self._give_back(session)
                raise
            if session.alive:
                return session
            self.release(session, call)

    def lend(self, call: Call) -> Session | None:
        """The session for `call` as `acquire` gives it, if neither it nor the call's turn has to be waited for."""
        session = self._sessions.get(self.key(call))
        if session is None or not session.alive or not session.took_turn(call):
            return None
        session.busy += 1
        return session

    def lends(self, session: Session) -> bool:
        """A call that was given this session would be given it again."""
        return self._sessions.get(session.key) is session and self.era == session.greeting.era and session.alive

    def release(self, session: Session, call: Call | None) -> None:
        """Give back what `acquire` or `lend` lent to this call."""
        session.end_turn(call)
        self._give_back(session)

    def _give_back(self, session: Session) -> None:
        session.busy -= 1
        if session.busy == 0:
            session.idle_since = self._clock.monotonic()
            self._freed.set()
            if self._processes is not None:
                self._processes.changed()
            if session.ends_unused:
                self._drop(session)

    def has_session(self, call: Call) -> bool:
        """True if there is a session that `call` would use."""
        return self.key(call) in self._sessions

    def session_of(self, call: Call) -> Session | None:
        """The session that `call` would use, if there is one; its turn is not taken."""
        return self._sessions.get(self.key(call))

    def key(self, call: Call | None) -> Key:
        """Under what the session for `call` is kept, as far as the upstream's era is known."""
        if self.era == "modern":
            return MODERN
        if call is None:
            return GATEWAY
        capabilities = legacy_capabilities(call)
        return (call.isolation, _digest(capabilities) if capabilities else NOTHING)

    async def _obtain(self, key: Key, call: Call | None, deadline: float) -> Session | None:
        """Have the session of `key` opened. None: look again, more is known now."""
        capabilities = LISTING_CAPABILITIES if call is None or key == MODERN else legacy_capabilities(call)
        await self._started(key, capabilities, deadline)
        return self._sessions.get(key)

    async def _started(self, key: Key, capabilities: Json, deadline: float) -> None:
        """Wait until a session was opened for `key`; many callers may wait for one opening. Raises UpstreamError."""
        task = self._start(key, capabilities)
        left = deadline - asyncio.get_running_loop().time()
        self._awaited[key] += 1
        try:
            await asyncio.wait({task}, timeout=max(0.0, left))
        except asyncio.CancelledError:
            if key[0] is not None and ends_with_its_call(key[0]):
                self.retire(key[0])
            raise
        finally:
            self._awaited[key] -= 1
            if not self._awaited[key]:
                del self._awaited[key]
        if not task.done():
            if key[0] is not None and ends_with_its_call(key[0]):
                self.retire(key[0])
            raise _unsent(UpstreamTimedOut(f"Upstream {self._spec.id!r} did not start in time."))
        error = self._closing() if task.cancelled() else task.result()
        if error is not None:
            raise _unsent(type(error)(error.message, **error.context))

    def _start(self, key: Key, capabilities: Json) -> asyncio.Task[UpstreamError | None]:
        if self._closed:
            raise self._closing()
        task = self._starting.get(key)
        if task is None:
            task = self._starting[key] = self._tasks.start(self._open(key, capabilities))
        return task

    def _closing(self) -> UpstreamError:
        return UpstreamUnreachable(f"Upstream {self._spec.id!r} is being closed.")

    # -- opening -------------------------------------------------------------------------------------------------------

    async def _open(self, key: Key, capabilities: Json) -> UpstreamError | None:
        """Open a session and file it under what it turned out to be; the error if that fails."""
        try:
            await self._make_room(least_idle_s=OWN_PATIENCE_S if key == GATEWAY else 0.0)
        except UpstreamBusy as busy:
            self._starting.pop(key, None)
            self._unwanted.discard(key)
            return busy
        session: Session | None = None
        try:
            session = await self._opener.open(key, capabilities, self.era, self._lost)
        except UpstreamError as error:
            return error
        else:
            if self._processes is not None:
                session.on_closed = self._processes.give_back
            self._file(session, key)
            return None
        finally:
            if session is None and self._processes is not None:
                self._processes.give_back()
            self._starting.pop(key, None)
            self._unwanted.discard(key)
            self._being_opened -= 1
            self._freed.set()

    def _file(self, session: Session, key: Key) -> None:
        modern = session.greeting.era == "modern"
        if self.watched and self.era not in (None, session.greeting.era):
            self.watched.clear()
            self._hearing.began_in_another_era()
        self.era = session.greeting.era
        session.key = MODERN if modern else GATEWAY if key == MODERN else key
        session.idle_since = self._clock.monotonic()
        if session.key in self._sessions or session.key in self._unwanted:
            self._end_later(session)
            return
        session.ends_unused = session.key[0] is not None and ends_with_its_call(session.key[0])
        self._sessions[session.key] = session
        if session.key in (GATEWAY, MODERN):
            self._hearing.began()
        watched = self.watched.get(session.key)
        if modern or watched is not None:
            uris = tuple(watched.uris) if watched is not None else ()
            self._tasks.start(session.hear_changes(uris, asyncio.get_running_loop().time() + HEAR_S))
        self._sweep_later()

    async def _make_room(self, *, least_idle_s: float) -> None:
        """Wait until one more session may exist, here and in all, and count it. Raises UpstreamBusy."""
        await self._make_own_room(least_idle_s)
        if self._processes is None:
            return
        try:
            await self._processes.take(self, least_idle_s)
        except BaseException:
            self._being_opened -= 1
            self._freed.set()
            raise

    async def _make_own_room(self, least_idle_s: float) -> None:
        until = asyncio.get_running_loop().time() + QUEUE_S
        while len(self._sessions) + self._being_opened >= self._max_sessions:
            idlest = self._idlest(least_idle_s)
            if idlest is not None:
                await self._replace(idlest)
                return
            self._freed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._freed.wait()
            except TimeoutError:
                raise UpstreamBusy from None
        self._being_opened += 1

    def _idlest(self, at_least_s: float) -> Session | None:
        """The session that can be spared first: of whoever has most of them, the one that idled longest, so that nobody
        drives others out by opening many. The gateway's own is no loss at any time."""
        not_since = self._clock.monotonic() - at_least_s
        free = (s for s in self._sessions.values() if s.busy == 0 and s.key not in self._awaited)
        idle = [s for s in free if s.idle_since <= not_since or s.key == GATEWAY]
        have = Counter(s.owner for s in self._sessions.values())
        return min(idle, key=lambda s: (s.key in self.watched, -have[s.owner], s.idle_since)) if idle else None

    def longest_idle_s(self, at_least_s: float) -> float | None:
        """How long the session has idled that could make room for another upstream's; None if there is none."""
        idlest = self._idlest(at_least_s)
        if idlest is None or idlest.key in self.watched:
            return None
        return self._clock.monotonic() - idlest.idle_since

    async def end_longest_idle(self, at_least_s: float) -> None:
        """End that session."""
        idlest = self._idlest(at_least_s)
        if idlest is not None:
            del self._sessions[idlest.key]
            await asyncio.wait({self._end_later(idlest)})

    async def _replace(self, session: Session) -> None:
        """End a session; its place goes to the one that is being opened."""
        del self._sessions[session.key]
        if session.key in self.watched:
            self._tasks.start(self._revive(session.key))
        self._being_opened += 1
        try:
            await session.aclose()
        except BaseException:
            self._being_opened -= 1
            raise

    # -- ending --------------------------------------------------------------------------------------------------------

    def _lost(self, session: Session) -> None:
        """A session ended that nobody ended."""
        self._end_later(session)
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]
            self._freed.set()
            if session.key in self.watched and not self._closed:
                self._tasks.start(self._revive(session.key))
            if session.key in (GATEWAY, MODERN) and not self._closed:
                self._tasks.start(self._hearing.lost())

    async def _revive(self, key: Key) -> None:
        """Open the session again for those who watch resources through it, until it is there; it takes nobody's
        place."""
        backoff = Backoff(SOON_S, OWN_PATIENCE_S)
        while (watched := self.watched.get(key)) is not None and key not in self._sessions and not self._closed:
            await asyncio.sleep(self.restarts.wait_s())
            if key not in self._sessions and len(self._sessions) + self._being_opened < self._max_sessions:
                await asyncio.wait({self._start(key, watched.capabilities)})
            if key not in self._sessions:
                await asyncio.sleep(backoff.pause_s())

    def retire(self, isolation: str) -> None:
        """Nobody will come with this isolation key again: end its sessions as soon as they are not in use."""
        self._unwanted |= {key for key in self._starting if key[0] == isolation}
        for key in [key for key in self.watched if key[0] == isolation]:
            del self.watched[key]
        for session in [session for session in self._sessions.values() if session.key[0] == isolation]:
            session.ends_unused = True
            if session.busy == 0:
                self._drop(session)

    def _drop(self, session: Session) -> None:
        """End a session that is not in use."""
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]
            self._end_later(session)

    def _end_later(self, session: Session) -> asyncio.Task[None]:
        self._ending.add(session)
        return self._tasks.start(self._end(session))

    async def _end(self, session: Session) -> None:
        await session.aclose()
        self._ending.discard(session)

    def _sweep_later(self) -> None:
        if self._sweeper is None and not self._closed:
            self._sweeper = asyncio.get_running_loop().call_later(min(SWEEP_S, self._spec.idle_s), self.sweep)

    def sweep(self) -> None:
        """End the sessions that nobody used for the upstream's `idle_s` and nobody watches resources through."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        too_old = self._clock.monotonic() - self._spec.idle_s
        for session in list(self._sessions.values()):
            if session.busy == 0 and session.idle_since <= too_old and session.key not in self.watched:
                self._drop(session)
        if self._sessions:
            self._sweep_later()

    async def aclose(self) -> None:
        """End all sessions; callers that still wait get an error at once."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        sessions = {*self._sessions.values(), *self._ending}
        self._sessions.clear()
        await asyncio.gather(*(session.aclose() for session in sessions))
        await self._tasks.aclose()
        if self._processes is not None:
            self._processes.leave(self)

    def status(self) -> dict[str, Any]:
        """For the operator: how it goes, and what was said last if it went wrong."""
        return {
            "era": self.era,
            "state": "serving" if self._sessions else self.restarts.state,
            "restarts": self.restarts.total,
            "retry_in_s": round(self.restarts.wait_s(), 1),
            "starting": len(self._starting),
            "diagnosis": self._opener.diagnosis,
            "sessions": [session.facts() for session in self._sessions.values()],
        }


def _digest(capabilities: Json) -> bytes:
    return hashlib.sha256(msgspec.json.encode(capabilities, order="sorted")).digest()


def _unsent(error: UpstreamError) -> UpstreamError:
    error.may_have_run = False
    return error
