"""Taking away what nobody needs any more, once an hour and at the start, while everything else goes on."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import delete, func, select

from toolyard.control.base.caller import the_system
from toolyard.control.base.facts import FactRow
from toolyard.control.base.idempotency import KEPT, IdempotencyRow
from toolyard.control.base.work import Works
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger

log = get_logger(__name__)
EVERY_S: Final = 3600.0
FACTS_KEPT: Final = dt.timedelta(days=30)
AT_ONCE: Final = 5000
Sweep = Callable[[Works], Awaitable[None]]


async def tidy_regularly(works: Works, sweeps: Sequence[Sweep]) -> None:
    """Sweep until cancelled. A sweep that fails is told, and tried again the next time."""
    while True:
        for sweep in sweeps:
            try:
                await sweep(works)
            except PlatformError as error:
                log.warning("not_tidied", code=error.code, reason=error.message)
        await asyncio.sleep(EVERY_S)


async def sweep_outbox(works: Works) -> None:
    """Facts older than a month, a few thousand at a time so that writers get their turn, but never the newest: its
    number is the revision. And idempotency keys that hold no more."""
    while True:
        async with works.write(the_system("")) as work:
            newest = (await work.session.execute(select(func.max(FactRow.number)))).scalar() or 0
            old = select(FactRow.number).where(FactRow.at < work.now - FACTS_KEPT, FactRow.number < newest)
            numbers = (await work.session.execute(old.order_by(FactRow.number).limit(AT_ONCE))).scalars().all()
            await work.session.execute(delete(FactRow).where(FactRow.number.in_(numbers)))
            await work.session.execute(delete(IdempotencyRow).where(IdempotencyRow.at < work.now - KEPT))
        if len(numbers) < AT_ONCE:
            return
