"""Several workers of one gateway in the test's own loop: real sockets between them, and a port for each."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.gateway.rig import LIMIT_S, OPEN, PEPPER, Make, Rig, demo, snapshot
from toolyard.contract.snapshot import Snapshot
from toolyard.gateway.assembly import Bounds, Gateway
from toolyard.gateway.identity import Identity
from toolyard.gateway.journal import Journal
from toolyard.gateway.operations import operations_routes
from toolyard.gateway.routes import RouteTable
from toolyard.gateway.server import GatewayServer
from toolyard.gateway.workers.crew import Crew
from toolyard.gateway.workers.worker import Worker
from toolyard.kit.clock import SystemClock
from toolyard.platform import make_upstream

SEAL_KEY = b"s" * 32


class WorkerRig(Rig):
    """One of the workers, at a port of its own."""

    def __init__(self, gateway: Gateway, server: GatewayServer, port: int, journal: Journal, crew: Crew) -> None:
        super().__init__(gateway, server, port, journal)
        self.crew = crew

    async def others_there(self) -> None:
        """Until all others are connected."""
        for peer in self.crew.peers:
            await peer.connected(LIMIT_S)

    async def aclose(self) -> None:
        await self.gateway.aclose()
        await self.server.stop_now()
        await self.crew.aclose()
        self.journal.close()


async def start_worker(
    index: int, count: int, data_dir: Path, snap: Snapshot, make: Make, bounds: Bounds | None
) -> WorkerRig:
    me = Worker(index, count)
    journal = Journal(data_dir / "journal.sqlite")
    identity = Identity(me.owner, SEAL_KEY, gives_names=index == 0)
    crew = Crew(me, identity, data_dir=data_dir)
    gateway = Gateway(
        snap,
        make_upstream=crew.making(make),
        journal=journal,
        clock=SystemClock(),
        peppers=lambda: {PEPPER.version: PEPPER.value},
        bounds=bounds,
        identity=identity,
    )
    operations = operations_routes(lambda: not server.draining, gateway.metrics, metrics_for="anyone")
    server = GatewayServer(RouteTable([*gateway.routes(), *operations]))
    server.on_drain.append(gateway.hub.end_streams)
    crew.join(gateway)
    await crew.start()
    gateway.start()
    return WorkerRig(gateway, server, await server.start("127.0.0.1", 0), journal, crew)


@asynccontextmanager
async def workers(
    count: int = 3, snap: Snapshot | None = None, *, make: Make = make_upstream, bounds: Bounds | None = None
) -> AsyncIterator[list[WorkerRig]]:
    """`count` workers, connected to one another, their upstreams observed."""
    snap = snap or snapshot(demo(), servers=(OPEN,))
    with tempfile.TemporaryDirectory() as directory:
        async with AsyncExitStack() as stack:
            rigs = []
            for index in range(count):
                rigs.append(await start_worker(index, count, Path(directory), snap, make, bounds))
                stack.push_async_callback(rigs[-1].aclose)
            async with asyncio.timeout(LIMIT_S):
                for rig in rigs:
                    await rig.others_there()
            for rig in rigs:
                await rig.ready()
            yield rigs


def play(scene: Callable[..., Awaitable[None]], *args: Any, **kwargs: Any) -> None:
    """Run a scene with workers and take everything down after it."""

    async def run() -> None:
        async with workers(*args, **kwargs) as rigs:
            await scene(*rigs)

    asyncio.run(run())
