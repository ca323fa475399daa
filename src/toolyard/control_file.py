"""The configuration file's part in the control plane: what it describes is shown by the API, which cannot change it.

The gateway reads the file itself and serves what it says, whether the control plane is there or not. Here the same file
is watched in the same way, and rows follow it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from toolyard.control.base.caller import the_system
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Works
from toolyard.control.identity.model import DEFAULT_ORGANIZATION
from toolyard.control.servers import mirror as servers
from toolyard.control.upstreams import mirror as upstreams
from toolyard.gateway.feed.file import Loaded
from toolyard.gateway.feed.keys import KeyStore
from toolyard.gateway.feed.watch import FileFeed, Watched
from toolyard.gateway.feed.yaml_marks import ConfigRejected
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger

log = get_logger(__name__)
AGAIN_S = 5.0


class FileMirror:
    """Has the rows of the file follow it, until cancelled."""

    def __init__(self, config: Path, data_dir: Path, environ: Mapping[str, str], works: Works, vault: Vault) -> None:
        """Raises KeysExposed, KeysUnreadable."""
        self._config = config
        self._works = works
        self._vault = vault
        self._latest: Loaded | None = None
        self._news = asyncio.Event()
        watched = Watched(config, KeyStore(data_dir), environ)
        self._feed = FileFeed(watched, offer=self._offer, reject=_told_by_the_gateway)

    async def run(self) -> None:
        """Watch and write."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed.run())
            group.create_task(self._write_all())

    def _offer(self, loaded: Loaded) -> None:
        self._latest = loaded
        self._news.set()

    async def _write_all(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            loaded = self._latest
            if loaded is None:
                continue
            try:
                await write_rows(self._works, self._vault, self._config, loaded)
            except PlatformError as error:
                log.error("file_not_shown", code=error.code, reason=error.message, again_in_s=AGAIN_S)
                await asyncio.sleep(AGAIN_S)
                self._news.set()


async def write_rows(works: Works, vault: Vault, config: Path, loaded: Loaded) -> None:
    """Make the file's rows those that it describes. What the database has under the same name stays as it is, and the
    file's is what gateways serve."""
    snapshot, file = loaded.snapshot, str(config)
    described = [
        upstreams.FromFile(spec, file, loaded.lines.get(f"upstreams.{spec.id}")) for spec in snapshot.upstreams.values()
    ]
    offered = [
        servers.FromFile(spec, file, loaded.lines.get(f"servers.{spec.code}"))
        for spec in snapshot.servers.values()
        if spec.code not in loaded.made_up
    ]
    async with works.write(the_system(DEFAULT_ORGANIZATION)) as work:
        clashes = await upstreams.mirror(work, vault, described) + await servers.mirror(work, offered)
    if clashes:
        log.warning("described_twice", names=clashes, served="what the file says")


def _told_by_the_gateway(_rejected: ConfigRejected) -> None:
    """A broken edit is reported where it is served."""
