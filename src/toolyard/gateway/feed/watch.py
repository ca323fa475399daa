"""Watches the configuration, its credential files and the keys, and offers what they say within a second of a change.

A change is seen by looking at the files' identity, size and time four times a second, through symbolic links: this
holds for editors that rename, for swapped links and for network file systems, where notifications from the kernel do
not. A file that does not parse is read once more after 200 ms, since it may be half written; only then is it reported,
and what was in force stays in force. A hundred changes in a second become a few offers, the last always the last state.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolyard.gateway.feed.file import Loaded, load_text, read_text
from toolyard.gateway.feed.keys import KeyStore
from toolyard.gateway.feed.last_good import save_last_good
from toolyard.gateway.feed.yaml_marks import ConfigRejected, Problem
from toolyard.kit.logs import get_logger
from toolyard.policy.peppers import KeysExposed, KeysUnreadable

LOOK_EVERY_S = 0.25
SETTLE_S = 0.05
RETRY_S = 0.2
LOOKS_PER_RETRY = 8

Sight = tuple[int, int, int, int] | None
Sights = tuple[Sight, ...]
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """What the feed reads: the file, the keys, the environment for references, and the address listened on."""

    config: Path
    keys: KeyStore
    environ: Mapping[str, str]
    host: str | None = None


class FileFeed:
    """Calls `offer` with each new valid state (and once more after a broken edit was mended), `reject` with each broken
    one. Both are called on the loop; `offer` may raise ConfigRejected, which is then reported like a broken edit.
    `prepare` is called before `offer`, in another thread."""

    def __init__(
        self,
        watched: Watched,
        *,
        offer: Callable[[Loaded], None],
        reject: Callable[[ConfigRejected], None],
        prepare: Callable[[Loaded], None] = lambda _loaded: None,
        current: Loaded | None = None,
    ) -> None:
        self._watched = watched
        self._offer = offer
        self._reject = reject
        self._prepare = prepare
        self._revision = current.snapshot.revision if current else 0
        self._digest = current.snapshot.digest if current else ""
        self._settings = current.settings if current else None
        self._files = current.files if current else ()
        self._rejected: tuple[Problem, ...] = ()
        self._kept = False
        self._seen: Sights = ()

    async def run(self) -> None:
        """Take up what there is, then watch until cancelled."""
        for looks in itertools.count(1):
            try:
                if self._look() != self._seen:
                    await asyncio.sleep(SETTLE_S)
                    await self.take_up()
                elif self._rejected and looks % LOOKS_PER_RETRY == 0:
                    await self.take_up(again=True)
            except Exception:
                logger.exception("feed_failed")
            await asyncio.sleep(LOOK_EVERY_S)

    async def take_up(self, *, again: bool = False) -> None:
        """Read the files now, and offer or reject what they say. `again`: nothing changed since they were rejected, so
        that only another reason (a credential file that is there now, or is gone) is worth telling."""
        self._seen = self._look()
        try:
            loaded, text = await self._read_twice()
            fresh = (loaded.snapshot.digest, loaded.settings) != (self._digest, self._settings)
            if fresh or self._rejected:
                await asyncio.to_thread(self._prepare, loaded)
                self._offer(loaded)
                self._revision = loaded.snapshot.revision
        except ConfigRejected as rejected:
            if not again or rejected.problems != self._rejected:
                self._reject(rejected)
            self._rejected = rejected.problems
            return
        self._rejected, self._files = (), loaded.files
        self._digest, self._settings = loaded.snapshot.digest, loaded.settings
        if fresh or not self._kept:
            await self._keep(text)

    async def _read_twice(self) -> tuple[Loaded, str]:
        try:
            return await asyncio.to_thread(self._read)
        except ConfigRejected:
            await asyncio.sleep(RETRY_S)
            self._seen = self._look()
            return await asyncio.to_thread(self._read)

    def _read(self) -> tuple[Loaded, str]:
        watched = self._watched
        try:
            keys = watched.keys.refresh()
        except (KeysExposed, KeysUnreadable) as error:
            raise ConfigRejected([Problem(str(watched.keys.path), 0, "", error.message)]) from None
        text = read_text(watched.config)
        revision = self._revision + 1
        loaded = load_text(
            text, watched.config, environ=watched.environ, keys=keys, revision=revision, host=watched.host
        )
        return loaded, text

    async def _keep(self, text: str) -> None:
        data_dir = self._watched.keys.path.parent
        try:
            await asyncio.to_thread(save_last_good, data_dir, self._watched.config, text, self._digest)
            self._kept = True
        except OSError as error:
            logger.error("last_good_not_kept", reason=error.strerror)

    def _look(self) -> Sights:
        return tuple(_sight(path) for path in (self._watched.config, self._watched.keys.path, *self._files))


def _sight(path: Path) -> Sight:
    try:
        found = os.stat(path)  # noqa: PTH116  (the same, without a Path object four times a second)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
