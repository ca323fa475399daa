"""Opens one session: a channel, a handshake on it, and nothing left behind if either fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from toolyard.contract.definitions import Era, Json
from toolyard.gateway.call import UpstreamEvents
from toolyard.gateway.upstream.channel import Channel, ChannelClosed
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamExited, UpstreamIncomplete, UpstreamUnreachable
from toolyard.gateway.upstream.handshake import greet
from toolyard.gateway.upstream.peer import Peer
from toolyard.gateway.upstream.processes import Processes
from toolyard.gateway.upstream.restarts import Restarts
from toolyard.gateway.upstream.session import Key, Session
from toolyard.kit.logs import get_logger

log = get_logger(__name__)

START_S = 60.0
SOON_S = 2.0
DIAGNOSIS_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Dialling:
    """How to open a channel to an upstream, how many may be open, how long to wait for an answer to `server/discover`,
    the era if the transport leaves no choice, and where a channel is a process, the places for those."""

    open: Callable[[], Awaitable[Channel]]
    max_sessions: int
    probe_timeout_s: float
    only_era: Era | None = None
    processes: Processes | None = None


class Opener:
    """Opens sessions with one upstream, at the pace that its deaths allow. `diagnosis` is what the last one that failed
    had to say."""

    def __init__(
        self, upstream_id: str, dialling: Dialling, events: UpstreamEvents, restarts: Restarts, per_second: int
    ) -> None:
        self.diagnosis = ""
        self._upstream_id = upstream_id
        self._dialling = dialling
        self._events = events
        self._restarts = restarts
        self._per_second = per_second

    async def open(self, key: Key, capabilities: Json, era: Era | None, lost: Callable[[Session], None]) -> Session:
        """A greeted session that declared `capabilities`; `era` is what is remembered. `lost` is called if it ends
        later without having been closed. Raises UpstreamError."""
        await self._pace()
        era = self._dialling.only_era or era
        try:
            return await self._greeted(key, capabilities, era, lost)
        except (UpstreamExited, UpstreamIncomplete):
            if era is not None:
                raise
            log.info("upstream_ended_when_probed", upstream=self._upstream_id)
        return await self._greeted(key, capabilities, "legacy", lost)

    async def _pace(self) -> None:
        wait_s = self._restarts.wait_s()
        if wait_s > SOON_S:
            what = f"Upstream {self._upstream_id!r} keeps failing; the next attempt is in {wait_s:.0f} s."
            raise UpstreamUnreachable(what)
        await asyncio.sleep(wait_s)

    async def _greeted(self, key: Key, capabilities: Json, era: Era | None, lost: Callable[[Session], None]) -> Session:
        session = Session(self._upstream_id, key, self._events)
        try:
            channel = await self._dialling.open()
        except UpstreamError as error:
            self._restarts.died()
            self.diagnosis = error.message
            raise
        session.peer = Peer(channel, session, name=self._upstream_id, per_second=self._per_second)
        session.peer.questions.has_no_roots = key[0] is None
        session.peer.questions.may_ask = interactive = bool(capabilities) and key[0] is not None
        session.on_lost = self._note_end
        session.peer.start()
        try:
            session.greeting = await greet(
                session.peer,
                hint=era,
                capabilities=capabilities,
                probe_timeout_s=self._dialling.probe_timeout_s,
                deadline=asyncio.get_running_loop().time() + START_S,
            )
        except BaseException as error:
            if isinstance(error, UpstreamError) and session.alive:
                self._note_end(session, ChannelClosed(error.message))
            await session.aclose()
            raise
        session.opened(interactive=interactive)

        def ended(session: Session, end: ChannelClosed) -> None:
            self._note_end(session, end)
            lost(session)

        session.on_lost = ended
        return session

    def _note_end(self, session: Session, end: ChannelClosed) -> None:
        self._restarts.died()
        self.diagnosis = session.peer.channel.diagnosis()[-DIAGNOSIS_CHARS:] or end.reason
        log.warning("upstream_session_lost", upstream=self._upstream_id, reason=end.reason, said=self.diagnosis[-500:])
