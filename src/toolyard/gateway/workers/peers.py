"""The other workers of a gateway: one connection to each, made again when it breaks, and the socket they come in on.

A connection begins with the talk `follow`: its first item is the other side's name, what comes after is news (see
`news`). Only then is the other worker there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from toolyard.gateway.workers.errors import WorkerAway, WorkerLost
from toolyard.gateway.workers.link import Link, Service, Talk
from toolyard.gateway.workers.worker import Worker, index_in
from toolyard.kit.files import make_private_directory
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import TaskOwner
from toolyard.kit.unix_path import bind_private, socket_address

log = get_logger(__name__)

DIRECTORY: Final = "workers"
CONNECT_LIMIT_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.5
STEADY_S: Final = 1.0

Follow = Callable[["Peer", Any], Awaitable[None]]
"""Takes one item of another worker's news."""


class Peer:
    """Another worker, by its index. `owner` is its name while it is there."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.link: Link | None = None
        self._there = asyncio.Event()

    @property
    def owner(self) -> str | None:
        return self.link.peer if self.link is not None else None

    async def connected(self, limit_s: float = CONNECT_LIMIT_S) -> Link:
        """The connection, at most `limit_s` seconds awaited. Raises WorkerAway."""
        if self.link is not None:
            return self.link
        try:
            async with asyncio.timeout(limit_s):
                while self.link is None:
                    await self._there.wait()
        except TimeoutError:
            raise WorkerAway from None
        return self.link

    def is_there(self, link: Link) -> None:
        self.link = link
        self._there.set()

    def is_gone(self) -> None:
        self.link = None
        self._there.clear()


class Peers:
    """All other workers. `services` are what they may ask of this one."""

    def __init__(self, me: Worker, data_dir: Path, services: Mapping[str, Service], follow: Follow) -> None:
        self.me = me
        self.on_there: Callable[[Peer], None] = lambda _peer: None
        self.on_lost: Callable[[Peer], None] = lambda _peer: None
        self._directory = data_dir / DIRECTORY
        self._services = services
        self._follow = follow
        self._peers = {index: Peer(index) for index in range(me.count) if index != me.index}
        self._incoming: set[Link] = set()
        self._tasks = TaskOwner("peers")
        self._server: asyncio.Server | None = None
        self._inode = 0

    @property
    def path(self) -> Path:
        """Where this worker listens for the others."""
        return self._path(self.me.index)

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def peer(self, index: int) -> Peer:
        """The worker of an index, which is not this one."""
        return self._peers[index]

    async def start(self) -> None:
        """Listen for the others and begin to connect to them. Raises OSError."""
        make_private_directory(self._directory)
        listening = bind_private(self.path)
        self._inode = self.path.stat().st_ino
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._accepted, sock=listening)
        for peer in self._peers.values():
            self._tasks.start(self._keep(peer))

    async def aclose(self) -> None:
        """Leave the others."""
        if self._server is not None:
            self._server.close()
        await self._tasks.aclose()
        links = [*self._incoming, *(peer.link for peer in self._peers.values() if peer.link is not None)]
        await asyncio.gather(*(link.aclose() for link in links))
        self._remove_own_socket()

    def _remove_own_socket(self) -> None:
        """Remove the socket's file, unless a later process of the same index has put its own there."""
        with suppress(OSError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()

    def _path(self, index: int) -> Path:
        return self._directory / f"{index}.sock"

    def _accepted(self) -> Link:
        link = Link(self._services, self._incoming.discard)
        self._incoming.add(link)
        return link

    async def _keep(self, peer: Peer) -> None:
        """Be connected to a worker for as long as this one lives. Whatever goes wrong, it is tried again."""
        now = asyncio.get_running_loop().time
        pause_s = FIRST_PAUSE_S
        while True:
            began = now()
            try:
                await self._once(peer)
            except (OSError, WorkerLost):
                pass
            except Exception:  # the supervisor of a connection: without it the worker would be alone for ever
                log.exception("worker_link_failed", worker=peer.index)
            if now() - began > STEADY_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _once(self, peer: Peer) -> None:
        """Connect to a worker and be with it. Raises OSError, WorkerLost, and what `follow` raises."""
        link = await self._dial(peer.index)
        try:
            await self._be_with(peer, link)
        finally:
            link.close()

    async def _be_with(self, peer: Peer, link: Link) -> None:
        """Follow a worker until the connection breaks. Raises WorkerLost if it never was there."""
        talk = link.open("follow", self.me.owner)
        owner = await talk.next()
        if not isinstance(owner, str) or index_in(owner) != peer.index:
            raise WorkerLost
        link.peer = owner
        peer.is_there(link)
        log.debug("worker_there", worker=owner)
        self.on_there(peer)
        try:
            await self._hear(peer, talk)
        finally:
            peer.is_gone()
            log.info("worker_gone", worker=owner)
            self.on_lost(peer)

    async def _hear(self, peer: Peer, talk: Talk) -> None:
        while (item := await talk.next()) is not None:
            await self._follow(peer, item)

    async def _dial(self, index: int) -> Link:
        loop = asyncio.get_running_loop()
        with socket_address(self._path(index)) as address:
            _, link = await loop.create_unix_connection(lambda: Link({}, lambda _link: None), address)
        return link
