"""The upstreams that this worker keeps, for the calls of the others: see `remote` for the other side."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

from toolyard.contract.definitions import Json
from toolyard.gateway.call import AskRefused, ClientGone
from toolyard.gateway.pool import Pool
from toolyard.gateway.pool_entry import Entry
from toolyard.gateway.upstream.errors import UpstreamUnreachable
from toolyard.gateway.workers.calls import fingerprint, unpacked
from toolyard.gateway.workers.carried import restored
from toolyard.gateway.workers.errors import WorkerLost
from toolyard.gateway.workers.link import Service, Talk
from toolyard.gateway.workers.remote import WATCHED
from toolyard.kit.errors import PlatformError

AGREE_S: Final = 3.0
LOOK_AGAIN_S: Final = 0.05
UNWATCH_S: Final = 5.0


class UpstreamServices:
    """What other workers may ask of the upstreams in `pool`."""

    def __init__(self, pool: Pool, key: bytes, losses: Counter[str]) -> None:
        """`losses` counts by upstream how often what was watched there was lost."""
        self._pool = pool
        self._key = key
        self._losses = losses
        self._fingerprints: dict[str, tuple[Entry, bytes]] = {}

    def services(self) -> dict[str, Service]:
        """The services by their names."""
        return {
            "request": self.request,
            "watch": self.watch,
            "roots": self.roots,
            "forget": self.forget,
            "refresh": self.refresh,
        }

    async def request(self, talk: Talk, content: Any) -> Json:
        """One request. Raises what the driver raises."""
        upstream_id, wanted, values, method, params = content
        entry = await self._entry(upstream_id, wanted)
        back = WayBack(talk)
        call = unpacked(values, emit=back.emit, ask=back.ask, pause=back.pause)
        with _counted(entry):
            async with back.hearing():
                return await entry.upstream.request(call, method, params)

    async def watch(self, talk: Talk, content: Any) -> None:
        """Watch a resource until the other worker does not want it any more, or is gone."""
        upstream_id, wanted, values, uri = content
        entry = await self._entry(upstream_id, wanted)
        back = WayBack(talk)
        call = unpacked(values, emit=back.emit, ask=back.ask, pause=back.pause)
        losses = self._losses[upstream_id]
        async with back.hearing():
            await entry.upstream.watch(call, uri)
        try:
            await talk.send(WATCHED)
            await talk.reply()
        finally:
            if self._losses[upstream_id] == losses:
                call.deadline = asyncio.get_running_loop().time() + UNWATCH_S
                with suppress(PlatformError):
                    await entry.upstream.unwatch(call, uri)

    async def roots(self, talk: Talk, content: Any) -> None:
        """Tell a caller's session that its roots are others now."""
        upstream_id, wanted, values = content
        entry = await self._entry(upstream_id, wanted)
        back = WayBack(talk)
        await entry.upstream.roots_changed(unpacked(values, emit=back.emit, ask=back.ask, pause=back.pause))

    async def forget(self, _talk: Talk, content: Any) -> None:
        """End what is kept for an isolation key."""
        upstream_id, isolation = content
        with suppress(UpstreamUnreachable):
            self._pool.get(upstream_id).forget(isolation)

    async def refresh(self, _talk: Talk, upstream_id: str) -> None:
        """Look at an upstream again soon."""
        self._pool.refresh(upstream_id)

    async def _entry(self, upstream_id: str, wanted: bytes) -> Entry:
        """The upstream, once its configuration here is the one the other worker has: an edit reaches all workers within
        a second. Raises UpstreamUnreachable."""
        now = asyncio.get_running_loop().time
        give_up_at = now() + AGREE_S
        while self._fingerprint(upstream_id) != wanted and now() < give_up_at:  # noqa: ASYNC110  (once after an edit)
            await asyncio.sleep(LOOK_AGAIN_S)
        return self._pool.entry(upstream_id)

    def _fingerprint(self, upstream_id: str) -> bytes | None:
        try:
            entry = self._pool.entry(upstream_id)
        except UpstreamUnreachable:
            return None
        known = self._fingerprints.get(upstream_id)
        if known is None or known[0] is not entry:
            known = self._fingerprints[upstream_id] = (entry, fingerprint(entry.spec, self._key))
        return known[1]


class WayBack:
    """What a driver does with its call, on the way to the worker whose caller it is."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Json]]] = {}
        self._hearing: asyncio.Task[None] | None = None

    async def emit(self, notification: Json) -> None:
        await self._send(["emit", notification])

    async def pause(self, retry_ms: int) -> None:
        await self._send(["pause", retry_ms])

    async def ask(
        self, requests: Mapping[str, Json], *, state: str | None = None, held: bool = False
    ) -> dict[str, Json]:
        """Ask the caller's side there. Raises what asking raises there."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Json]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._hearing = self._hearing or asyncio.get_running_loop().create_task(self._hear())
        try:
            await self._send(["ask", number, dict(requests), state, held])
            return await answer
        except asyncio.CancelledError:
            with suppress(WorkerLost):
                self._talk.post(["withdraw", number])
            raise
        finally:
            del self._asked[number]

    @asynccontextmanager
    async def hearing(self) -> AsyncIterator[None]:
        """Within the block, answers are taken, once there was a question."""
        try:
            yield
        finally:
            if self._hearing is not None:
                self._hearing.cancel()
                await asyncio.gather(self._hearing, return_exceptions=True)
                self._hearing = None

    async def _hear(self) -> None:
        while (said := await self._talk.next()) is not None:
            kind, number, content = said
            answer = self._asked.get(number)
            if answer is None or answer.done():
                continue
            if kind == "answer":
                answer.set_result(content)
            else:
                answer.set_exception(restored(content))
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(AskRefused("the caller is gone"))

    async def _send(self, step: list[Any]) -> None:
        try:
            await self._talk.send(step)
        except WorkerLost:
            raise ClientGone from None


@contextmanager
def _counted(entry: Entry) -> Iterator[None]:
    """Within the block, a request is in flight at the upstream."""
    entry.in_flight += 1
    try:
        yield
    finally:
        entry.in_flight -= 1
