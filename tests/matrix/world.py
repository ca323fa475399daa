"""Every upstream of the matrix behind a gateway of its own, and every client in front of it, on one event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.rig import OPEN, Rig, running, snapshot
from tests.gateway.workers_rig import WorkerRig, workers
from tests.matrix.carriers import Notes, upstream
from tests.matrix.client import Client
from tests.matrix.clients import connected
from tests.matrix.offers import Json
from toolyard.gateway import lists, pool
from toolyard.protocol.revisions import MODERN

OLD = "2025-11-25"
OLDER = ("2025-06-18", "2025-03-26", "2024-11-05")
ASKABLE: dict[str, Json] = {
    MODERN: {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}},
    OLD: {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {"listChanged": True}},
    "2025-06-18": {"elicitation": {}, "sampling": {}, "roots": {"listChanged": True}},
    "2025-03-26": {"sampling": {}, "roots": {"listChanged": True}},
    "2024-11-05": {"sampling": {}, "roots": {"listChanged": True}},
}
"""What a client of each revision can be asked at most."""

CLIENTS = {
    MODERN: ("http", "websocket", "stdio"),
    OLD: ("http", "sse", "websocket", "stdio"),
    "2025-06-18": ("http", "websocket"),
    "2025-03-26": ("http", "stdio"),
    "2024-11-05": ("sse", "stdio"),
}
UPSTREAMS = {"modern": ("http", "websocket", "stdio"), "legacy": ("http", "sse", "websocket", "stdio")}


@dataclass(frozen=True, slots=True)
class Pair:
    """A client's revision and transport before an upstream's era and transport."""

    revision: str
    client: str
    era: str
    upstream: str
    workers: int = 1

    @property
    def cell(self) -> tuple[str, str]:
        return (self.revision, self.era)

    def __str__(self) -> str:
        many = f", {self.workers} workers" if self.workers > 1 else ""
        return f"{self.revision} on {self.client}, {self.era} upstream on {self.upstream}{many}"


PAIRS = [
    Pair(revision, client, era, behind)
    for era, transports in UPSTREAMS.items()
    for behind in transports
    for revision, clients in CLIENTS.items()
    for client in clients
]

WORKERS = 3
OVER_WORKERS = [
    Pair(revision, client, era, behind, WORKERS)
    for era in UPSTREAMS
    for behind in ("http", "stdio")
    for revision, client in ((MODERN, "http"), (OLD, "http"), (OLD, "sse"))
]
"""Where a client's requests come to one worker after the other, whose session or call it may not be."""


class AnyWorker(Rig):
    """Several workers as if they were one: each HTTP request comes to the next of them."""

    def __init__(self, rigs: list[WorkerRig]) -> None:
        super().__init__(rigs[0].gateway, rigs[0].server, rigs[0].port, rigs[0].journal)
        self._turns = cycle(rigs)

    async def _request(self, *request: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await next(self._turns)._request(*request)


@dataclass
class Place:
    """One upstream behind one gateway."""

    rig: Rig
    notes: Notes
    clients: dict[tuple[str, str, str], Client] = field(default_factory=dict)


@dataclass
class Scene:
    """One kind of message between the two of a pair: the client, and what the upstream noted since it began."""

    pair: Pair
    place: Place
    client: Client
    since: int

    async def another(self, capabilities: Json | None = None) -> Client:
        """A client that nobody used before; the caller closes it."""
        chosen = self.client.capabilities if capabilities is None else capabilities
        return await connected(self.place.rig, self.pair.client, self.pair.revision, chosen)

    def noted(self, what: str, about: Any) -> int:
        """How often it happened in the upstream since the scene began."""
        return self.place.notes.count(what, about, self.since)

    async def until(self, what: str, about: Any) -> None:
        await self.place.notes.wait(what, about, self.since)


class World:
    """Starts what is asked for and keeps it until `close`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._places: dict[tuple[str, str, bool, int], Place] = {}
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(lists, "PAGE_SIZE", 5)
        self._patch.setattr(pool, "DEBOUNCE_S", 0.0)

    def play(self, scene: Coroutine[Any, Any, str]) -> str:
        """Run a scene on the loop that everything lives on."""
        return self._runner.run(scene)

    async def scene(self, pair: Pair) -> Scene:
        place = await self._place(pair)
        key = (pair.client, pair.revision, json.dumps(ASKABLE[pair.revision]))
        client = place.clients.get(key)
        if client is None:
            client = await connected(place.rig, pair.client, pair.revision, ASKABLE[pair.revision])
            place.clients[key] = client
        return Scene(pair, place, client, len(place.notes.entries))

    async def _place(self, pair: Pair) -> Place:
        """Who comes on standard input and output is the operator; everybody else is not: two places, so that each
        upstream has one principal, for what no message says is not told to either of two."""
        operator = pair.client == "stdio"
        key = (pair.era, pair.upstream, operator, pair.workers)
        if key not in self._places:
            directory = self._directory / "-".join(map(str, key))
            directory.mkdir()
            notes = Notes()
            spec = await self._stack.enter_async_context(upstream(pair.upstream, pair.era, directory, notes))
            snap = snapshot(spec, servers=(OPEN,))
            if pair.workers == 1:
                rig = await self._stack.enter_async_context(running(snap))
            else:
                rig = AnyWorker(await self._stack.enter_async_context(workers(pair.workers, snap)))
            self._places[key] = Place(rig, notes)
        return self._places[key]

    def close(self) -> None:
        self._runner.run(self._close())
        self._runner.close()
        self._patch.undo()

    async def _close(self) -> None:
        for place in self._places.values():
            for client in place.clients.values():
                await client.aclose()
        await self._stack.aclose()
