"""Snapshots from the control plane, over its socket in the data directory: an answer of lines that does not end.

Rules. The gateway says which documents it has; the control plane sends those that are missing, then the manifest, and
again with every change; a beat comes each second. Silence means that it is gone, and the gateway asks anew. Several
manifests that come while one is made ready become one. A manifest that cannot be used is told and changes nothing. What
was received last is kept on disk as it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import msgspec

from toolyard.contract.definitions import Json
from toolyard.contract.documents import Entry, Manifest, Unseal, digest_of
from toolyard.contract.snapshot import Snapshot
from toolyard.gateway.feed.control_kept import Received, save_received
from toolyard.kit.backoff import Backoff
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.net.unix_http import UnixExchange, begin_exchange

log = get_logger(__name__)

PATH: Final = "/internal/v1/feed"
SILENCE_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
KEEP_PAUSE_S: Final = 1.0
MAX_LINE_BYTES: Final = 64 * 1024 * 1024


class FeedBroken(PlatformError):
    """The control plane sent what is no feed."""

    code: ClassVar[str] = "feed_broken"
    status: ClassVar[int] = 502


class FeedListener(Protocol):
    """Who is told how the feed does. `connected`: the control plane answers (again). `applied`: a manifest is in force,
    or `error` says why it is not."""

    def connected(self) -> None: ...
    def applied(self, manifest: Manifest, error: PlatformError | None) -> None: ...


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Where the control plane listens, as whom this gateway asks, where what came is kept (None: nowhere), and whose
    documents are left out."""

    socket: Path
    gateway: str
    data_dir: Path | None
    without_owners: frozenset[str] = frozenset({"file"})
    silence_s: float = SILENCE_S


class _Line(msgspec.Struct, frozen=True):
    kind: str
    digest: str = ""
    document: dict[str, Any] | None = None
    revision: int = 0
    entries: tuple[Entry, ...] = ()


class ControlFeed:
    """Calls `take` with each new snapshot, and waits for it. `received`: what this gateway has already."""

    def __init__(
        self,
        settings: FeedSettings,
        *,
        take: Callable[[Snapshot], Awaitable[None]],
        unseal: Unseal,
        listener: FeedListener,
        received: Received | None = None,
    ) -> None:
        self._settings = settings
        self._take = take
        self._unseal = unseal
        self._listener = listener
        self._received = received or Received(Manifest(0, ()), {})
        self._arrived: dict[str, Json] = {}
        """Documents that came since the last manifest."""
        self._waiting: Received | None = None
        """The last one that came, while it is not in force."""
        self._keeping: Received | None = None
        self._made: tuple[Manifest, Snapshot] | None = None
        """What was made of the last one that came into force."""
        self._news = asyncio.Event()
        self._to_keep = asyncio.Event()
        self._away = self._met = False

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._apply_all())
            group.create_task(self._keep_all())
            group.create_task(self._listen_always())

    async def _listen_always(self) -> None:
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            try:
                await self._listen(backoff)
            except (PlatformError, TimeoutError) as error:
                reason = error.message if isinstance(error, PlatformError) else "it is silent"
                if not self._away and self._met:
                    log.warning("control_away", reason=reason, in_force="unchanged")
                self._away = True
            await asyncio.sleep(backoff.pause_s())

    async def _listen(self, backoff: Backoff) -> None:
        """One connection, until it ends. Raises NetError, FeedBroken, TimeoutError."""
        self._arrived = {}
        body = msgspec.json.encode({"gateway": self._settings.gateway, "have": list(self._received.documents)})
        fields = [("host", "control"), ("content-type", "application/json"), ("content-length", str(len(body)))]
        async with asyncio.timeout(self._settings.silence_s):
            exchange = await begin_exchange(self._settings.socket, "POST", PATH, fields, body=body)
        with exchange:
            async with asyncio.timeout(self._settings.silence_s):
                head = await exchange.head()
            if head.status != 200:
                raise FeedBroken(f"the control plane answers the feed with {head.status}")
            if self._away or not self._met:
                log.info("control_back" if self._met else "control_met")
            self._away, self._met = False, True
            self._listener.connected()
            async for line in self._lines(exchange):
                if self._hear(line) == "beat":
                    backoff.reset()
        raise FeedBroken("the control plane ended the feed")

    async def _lines(self, exchange: UnixExchange) -> AsyncIterator[bytes]:
        rest = bytearray()
        chunks = exchange.chunks()
        while True:
            async with asyncio.timeout(self._settings.silence_s):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            start = len(rest)
            rest += chunk
            if rest.find(b"\n", start) < 0:
                if len(rest) > MAX_LINE_BYTES:
                    raise FeedBroken("a line of the control plane's feed is too long")
                continue
            *lines, last = rest.split(b"\n")
            rest = last
            for line in lines:
                yield bytes(line)

    def _hear(self, raw: bytes) -> str:
        """Take one line; which kind it is of."""
        try:
            line = msgspec.json.decode(raw, type=_Line)
        except msgspec.MsgspecError as error:
            raise FeedBroken(f"a line of the control plane's feed cannot be read: {error}") from None
        if line.kind == "document" and line.document is not None:
            if digest_of(line.document) != line.digest:
                raise FeedBroken(f"a document of the control plane's feed is not {line.digest}")
            self._arrived[line.digest] = line.document
        elif line.kind == "manifest":
            self._hear_manifest(Manifest(line.revision, line.entries))
        return line.kind

    def _hear_manifest(self, manifest: Manifest) -> None:
        known = {**self._received.documents, **self._arrived}
        missing = [f"{kind} {name!r}" for kind, name, digest in manifest.entries if digest not in known]
        if missing:
            error = FeedBroken(f"the control plane did not send the document {missing[0]}")
            self._listener.applied(manifest, error)
            raise error
        self._arrived = {}
        self._received = Received(manifest, {digest: known[digest] for _, _, digest in manifest.entries})
        self._waiting = self._received
        self._news.set()

    async def _apply_all(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            received, self._waiting = self._waiting, None
            if received is not None:
                await self._apply(received)

    async def _apply(self, received: Received) -> None:
        manifest = received.manifest
        try:
            without = self._settings.without_owners
            snapshot = await asyncio.to_thread(received.snapshot, self._unseal, without, self._made)
            await self._take(snapshot)
            self._made = (manifest, snapshot)
        except (PlatformError, OSError) as raised:
            error = raised if isinstance(raised, PlatformError) else FeedBroken(str(raised))
            log.error("control_rejected", revision=manifest.revision, reason=error.message, in_force="unchanged")
            self._listener.applied(manifest, error)
        except Exception as error:
            log.exception("control_not_applied", revision=manifest.revision)
            self._listener.applied(manifest, FeedBroken(f"{type(error).__name__} in the gateway; its log says more"))
        else:
            log.info("control_in_force", revision=manifest.revision)
            self._listener.applied(manifest, None)
            self._keeping = received
            self._to_keep.set()

    async def keep(self) -> None:
        """Write down what is in force."""
        if self._keeping is None or self._settings.data_dir is None:
            return
        try:
            await asyncio.to_thread(save_received, self._settings.data_dir, self._keeping)
        except OSError as error:
            log.error("control_not_kept", reason=error.strerror)

    async def _keep_all(self) -> None:
        """Keep the last one, at most once a second."""
        while True:
            await self._to_keep.wait()
            self._to_keep.clear()
            await self.keep()
            await asyncio.sleep(KEEP_PAUSE_S)
