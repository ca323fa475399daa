"""What gateways report, handed to the slices that keep it.

Each kind of a batch has a transaction of its own for all organizations, since a gateway serves all of them. A record
that nobody wants, or that is not what it should be, is counted and dropped; the others of its kind are then taken one
by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from toolyard.control.base.caller import Caller
from toolyard.control.base.work import Work, Works
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger

log = get_logger(__name__)
Record = Mapping[str, Any]
Keeper = Callable[[Work, Sequence[Record]], Awaitable[None]]
"""Keeps records of one kind. Raises PlatformError, or KeyError, TypeError or ValueError for one that is not right."""
REPORTER: Final = Caller("gateway", "system", "", platform=True, name="gateway")


class Records:
    """Where records go, by their kind."""

    def __init__(self, works: Works, keepers: Mapping[str, Keeper]) -> None:
        self._works = works
        self._keepers = dict(keepers)
        self.dropped: Counter[str] = Counter()

    async def take(self, records: Sequence[Record]) -> None:
        """Keep a batch. Raises DatabaseBusy, DatabaseUnavailable, StorageFull: then the gateway sends it again."""
        by_kind: dict[str, list[Record]] = {}
        for record in records:
            by_kind.setdefault(str(record.get("kind")), []).append(record)
        for kind, batch in by_kind.items():
            await self._take_kind(kind, batch)

    async def _take_kind(self, kind: str, batch: list[Record]) -> None:
        keep = self._keepers.get(kind)
        if keep is None:
            self.dropped[kind] += len(batch)
            return
        try:
            async with self._works.write(REPORTER) as work:
                await keep(work, batch)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            await self._without_the_bad(kind, batch, repr(error))
        except PlatformError as error:
            if error.status in (503, 507):
                raise
            await self._without_the_bad(kind, batch, error.code)

    async def _without_the_bad(self, kind: str, batch: list[Record], reason: str) -> None:
        """One by one, so that only what is not right is dropped."""
        if len(batch) > 1:
            for record in batch:
                await self._take_kind(kind, [record])
            return
        self.dropped[kind] += 1
        log.error("record_dropped", kind=kind, reason=reason)
