"""How upstreams are, as gateways tell it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.upstreams.events import UpstreamStateTold
from toolyard.control.upstreams.model import UpstreamRow, UpstreamStateRow
from toolyard.control.upstreams.specs import called
from toolyard.control.upstreams.store import states_told_by, upstreams_called
from toolyard.control.upstreams.tries import end_old_tries, is_try, try_failed

Record = Mapping[str, Any]
REFRESHED: Final = dt.timedelta(minutes=1)
"""How old what a gateway told may be before being told the same is written again."""
STALE: Final = dt.timedelta(minutes=3)
"""After this time without a word from a gateway nobody knows how it finds an upstream."""


async def record_health(work: Work, records: Iterable[Record]) -> None:
    """Take in how gateways find upstreams: records of kind "health". Those of upstreams that are not there are passed
    over. Since gateways tell again and again, tries whose time is over are ended here too. For work on behalf of the
    platform."""
    by_gateway: dict[str, dict[str, Record]] = {}
    for one in records:
        upstream = one.get("upstream")
        if isinstance(upstream, str):
            by_gateway.setdefault(teller(one), {})[upstream] = one
    for gateway, latest in by_gateway.items():
        await _take_all(work, gateway, latest)
    await end_old_tries(work)


def teller(record: Record) -> str:
    """The gateway that a record is of."""
    return _text(record.get("gateway"), 200) or ""


async def _take_all(work: Work, gateway: str, latest: Mapping[str, Record]) -> None:
    for upstream, record in latest.items():
        if is_try(upstream) and record.get("state") == "failing":
            await try_failed(work, upstream, _text(record.get("code"), 100), _text(record.get("message"), 2000))
    rows = await upstreams_called(work, [called(one) for one in latest if not is_try(one)])
    states = {
        state.upstream_id: state for state in await states_told_by(work, gateway, [row.id for row in rows.values()])
    }
    for upstream, record in latest.items():
        row = rows.get(called(upstream))
        if row is not None:
            _take(work, row, states.get(row.id), record, gateway)
    await work.session.flush()


async def record_counts(work: Work, row: UpstreamRow, counts: Mapping[str, int], at: dt.datetime, gateway: str) -> None:
    """Take in how much a gateway has seen an upstream offer."""
    known = await states_told_by(work, gateway, [row.id])
    state = known[0] if known else _fresh(work, row, gateway)
    state.counts, state.seen_at, state.updated_at = dict(counts), at, work.now
    if state.state == "pending":
        state.state, state.since = "ready", at
    await work.session.flush()


async def upstream_told_of(work: Work, upstream_id: str) -> UpstreamRow | None:
    """The upstream that gateways call so, if there is one. For work on behalf of the platform."""
    name = called(upstream_id)
    return (await upstreams_called(work, [name])).get(name)


def _take(work: Work, row: UpstreamRow, state: UpstreamStateRow | None, record: Record, gateway: str) -> None:
    told = (
        _text(record.get("state"), 40) or "pending",
        _text(record.get("code"), 100),
        _text(record.get("message"), 2000),
    )
    if state is None:
        state = _fresh(work, row, gateway)
    elif (state.state, state.error_code, state.error) == told and work.now - state.told_at < REFRESHED:
        return
    if state.state != told[0]:
        state.since = moment(record.get("since")) or work.now
        announced = UpstreamStateTold(row.id, gateway, told[0], told[1])
        work.announce(announced, organization_id=row.organization_id)
    state.state, state.error_code, state.error = told
    state.told_at = state.updated_at = work.now


def _fresh(work: Work, row: UpstreamRow, gateway: str) -> UpstreamStateRow:
    state = UpstreamStateRow(
        id=new_id("us"),
        organization_id=row.organization_id,
        upstream_id=row.id,
        gateway=gateway,
        state="pending",
        since=work.now,
        told_at=work.now,
        created_at=work.now,
        updated_at=work.now,
    )
    work.session.add(state)
    return state


def moment(seconds: object) -> dt.datetime | None:
    """Seconds since 1970 as a moment, or None for anything else."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _text(value: object, most: int) -> str | None:
    return value.replace("\x00", "")[:most] if isinstance(value, str) else None
