"""The gateway inside an embedded Toolyard: its life, and changes of what it serves."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from toolyard.contract.catalog import ServerCatalog
from toolyard.embedded.errors import ToolyardClosed
from toolyard.embedded.registry import Config, Registry, code_of
from toolyard.from_settings import bounds_of
from toolyard.gateway.assembly import Gateway
from toolyard.gateway.journal import Journal
from toolyard.gateway.overload import OverloadLimits
from toolyard.gateway.upstream.processes import Processes
from toolyard.kit.clock import SystemClock
from toolyard.kit.logs import leave_to_host
from toolyard.kit.tasks import TaskOwner
from toolyard.platform import JOURNAL_NAME, SWEEP_S, make_upstream

NEVER: Final = OverloadLimits(lag_s=math.inf)
"""A gateway sheds load when its loop is late or its memory full. Here both are the program's own business."""


class Home:
    """One gateway and the registry in force. `start` once on the loop that it lives on, `aclose` at the end."""

    def __init__(self, config: Config, *, data_dir: str | Path | None, environ: Mapping[str, str] | None) -> None:
        """`data_dir`: where to remember what services offer; nowhere if it is None. Raises ConfigRejected."""
        self._environ = {**(os.environ if environ is None else environ), "TOOLYARD_CONTROL": "off"}
        self._data_dir = Path(data_dir) if data_dir is not None else None
        self.registry = Registry.read(config, self._environ)
        self._loaded = self.registry.load(self._environ, revision=1)
        self._changing = asyncio.Lock()
        self._tasks = TaskOwner("embedded")
        self._gateway: Gateway | None = None
        self._closed = False

    @property
    def gateway(self) -> Gateway:
        """The gateway, while it is open. Raises ToolyardClosed."""
        if self._gateway is None or self._closed:
            raise ToolyardClosed
        return self._gateway

    async def start(self) -> None:
        """Begin to connect to the services. Raises ToolyardClosed after `aclose`."""
        if self._closed:
            raise ToolyardClosed
        if self._gateway is not None:
            return
        leave_to_host()
        settings = self._loaded.settings
        if self._data_dir is not None:
            self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._gateway = gateway = Gateway(
            self._loaded.snapshot,
            make_upstream=partial(make_upstream, processes=Processes(settings.limits.processes)),
            journal=Journal(self._data_dir / JOURNAL_NAME if self._data_dir is not None else None),
            clock=SystemClock(),
            peppers=dict,
            bounds=replace(bounds_of(settings), overload=NEVER),
        )
        gateway.start()
        self._tasks.start(_sweep(gateway))

    async def aclose(self) -> None:
        """Close all services."""
        gateway, self._closed = self._gateway, True
        await self._tasks.aclose()
        if gateway is not None:
            self._gateway = None
            await gateway.aclose()
            gateway.journal.close()

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """One change at a time: what is read of the registry within holds until `put_in_force`."""
        async with self._changing:
            yield

    async def put_in_force(self, registry: Registry) -> None:
        """Serve this from now on; within `changing`. Raises ConfigRejected, and then nothing has changed."""
        gateway = self.gateway
        revision = gateway.holder.current.snapshot.revision + 1
        loaded = await asyncio.to_thread(registry.load, self._environ, revision)
        await asyncio.to_thread(gateway.prepare, loaded.snapshot)
        gateway.offer(loaded.snapshot)
        self.registry, self._loaded = registry, loaded

    def offered(self, agent: str | None) -> ServerCatalog:
        """What an agent has, who is known; what there is, if none is named."""
        return self.gateway.holder.current.servers[code_of(agent)]


async def _sweep(gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        gateway.sweep()
