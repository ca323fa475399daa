"""What nobody needs any more goes; the newest fact stays."""

from __future__ import annotations

import asyncio

from sqlalchemy import select
from sqlalchemy.engine import URL

from tests.control.api import serving
from toolyard.control.base.caller import the_system
from toolyard.control.base.facts import Fact, FactRow
from toolyard.control.base.tidying import FACTS_KEPT, sweep_outbox


class Happened(Fact):
    pass


def left_after(url: URL, *days: int) -> list[str]:
    """Which facts are left of those that happened so many days ago, the oldest first."""

    async def run() -> list[str]:
        async with serving(url, []) as api:
            api.clock.advance(365 * 86_400)
            start = api.clock.wall()
            for day in sorted(days, reverse=True):
                api.clock._now_s = start - day * 86_400
                async with api.works.write(the_system("default")) as work:
                    work.announce(Happened(str(day)))
            api.clock._now_s = start
            await sweep_outbox(api.works)
            async with api.works.read(the_system("default")) as work:
                rows = await work.session.execute(select(FactRow.subject).order_by(FactRow.number))
                return list(rows.scalars())

    return asyncio.run(run())


def test_old_facts_go_and_recent_ones_stay(url: URL) -> None:
    kept = FACTS_KEPT.days
    assert left_after(url, kept + 20, kept + 1, kept - 1, 0) == [str(kept - 1), "0"]


def test_the_newest_fact_stays_however_old_it_is(url: URL) -> None:
    assert left_after(url, 300, 200) == ["200"]
