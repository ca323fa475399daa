"""Keeps what is published in step with the database, and tells every gateway that listens.

Rules. A commit of this process wakes the publisher at once; commits of other control processes are found by looking at
the facts once a second, which is also the floor if a wake-up is lost. Wakes that come while one compilation runs become
one more. What cannot be compiled is logged and what was published stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Final

import msgspec
from sqlalchemy import func, select

from toolyard.control.base.caller import Caller
from toolyard.control.base.facts import Fact, FactRow
from toolyard.control.base.work import Works
from toolyard.control.publisher.compile import Compiled, Compiler, Sources
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger

log = get_logger(__name__)
LOOK_EVERY_S: Final = 1.0
BEAT_S: Final = 1.0
_LATE: Final = 1000
PUBLISHER: Final = Caller("publisher", "system", "", platform=True, name="publisher")
Mark = tuple[int, int]


class Publisher:
    """The one that publishes. `current` is what gateways should have; None before the first compilation."""

    def __init__(self, works: Works, sources: Sources, compiler: Compiler) -> None:
        self._works = works
        self._sources = sources
        self._compiler = compiler
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._seen: Mark | None = None
        self.current: Compiled | None = None
        works.listen(self.heard)

    def heard(self, facts: tuple[Fact, ...]) -> None:
        """Something was committed here."""
        if any(fact.publishes for fact in facts):
            self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            woken = self._wake.is_set()
            self._wake.clear()
            try:
                await self.publish(at_once=woken)
            except PlatformError as error:
                log.error("not_published", code=error.code, reason=error.message, in_force="unchanged")
            except Exception:
                log.exception("not_published")
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def publish(self, *, at_once: bool = False) -> None:
        """Compile if anything was committed since the last time, and tell who listens. Raises what the database
        raises."""
        async with self._works.read(PUBLISHER, steady=True) as work:
            latest = (await work.session.execute(select(func.max(FactRow.number)))).scalar() or 0
            counted = select(func.count()).where(FactRow.number > latest - _LATE)
            # A transaction that began earlier may end later: its fact has a smaller number and is found by the count.
            mark = (latest, (await work.session.execute(counted)).scalar() or 0)
            if mark == self._seen and self.current is not None and not at_once:
                return
            compiled = await self._compiler.compile(work, self._sources, latest)
        self._seen = mark
        before, self.current = self.current, compiled
        if before is None or before.manifest.entries != compiled.manifest.entries:
            log.info("published", revision=latest, documents=len(compiled.documents))
            async with self._changed:
                self._changed.notify_all()

    async def stream(self, have: Collection[str]) -> AsyncIterator[bytes]:
        """Lines for a gateway that has these documents: what it lacks, the manifest, beats, and every change."""
        sent, last = set(have), None
        while True:
            current = self.current
            if current is not None and current.manifest.entries != last:
                last = current.manifest.entries
                for digest in dict.fromkeys(digest for _, _, digest in last):
                    if digest not in sent:
                        yield _document_line(digest, current.documents[digest])
                sent = set(current.documents)
                yield _line({"kind": "manifest", "revision": current.manifest.revision, "entries": last})
            elif current is not None:
                yield _line({"kind": "beat", "revision": current.manifest.revision})
            await self._news(last)

    async def _news(self, last: object) -> None:
        """Wait until something else is published, at most one beat."""
        try:
            async with asyncio.timeout(BEAT_S), self._changed:
                await self._changed.wait_for(lambda: self.current is not None and self.current.manifest.entries != last)
        except TimeoutError:
            return


def _line(content: object) -> bytes:
    return msgspec.json.encode(content) + b"\n"


def _document_line(digest: str, document: bytes) -> bytes:
    return b'{"kind":"document","digest":' + msgspec.json.encode(digest) + b',"document":' + document + b"}\n"
