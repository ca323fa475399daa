"""Rows into the records that gateways verify keys by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolyard.contract.snapshot import KeyRecord, RateLimit
from toolyard.control.base.work import Work
from toolyard.control.keys.model import KeyRow
from toolyard.control.keys.store import note_use, of_all_organizations

REMEMBERED: Final = dt.timedelta(days=7)
"""How long gateways know of a key that opens nothing any more, so that their logs say why it was refused."""


async def key_records(work: Work) -> list[KeyRecord]:
    """The keys of all organizations, for the publisher. A key of somebody who may not log in any more, or of a disabled
    organization, is disabled."""
    rows = await of_all_organizations(work, ended_after=work.now - REMEMBERED)
    return [record_of(row, code, enabled=enabled) for row, code, enabled in rows]


async def record_used(work: Work, records: Sequence[Mapping[str, Any]]) -> None:
    """Take in when keys were used last: records of kind "key_used". Unknown keys are those of the configuration."""
    latest: dict[str, float] = {}
    for record in records:
        key_id, at = str(record["key"]), float(record["last_used_at"])
        latest[key_id] = max(at, latest.get(key_id, 0.0))
    for key_id, used_s in sorted(latest.items()):
        await note_use(work, key_id, dt.datetime.fromtimestamp(used_s, dt.UTC))


def record_of(row: KeyRow, server: str, *, enabled: bool) -> KeyRecord:
    """What gateways know of a key."""
    return KeyRecord(
        id=row.id,
        server=server,
        digest=row.digest,
        pepper_version=row.pepper_version,
        name=row.name,
        created_at=row.created_at.timestamp(),
        expires_at=_seconds(row.expires_at),
        not_before=_seconds(row.not_before),
        disabled=row.disabled or not enabled,
        retires_at=_seconds(row.retires_at),
        last4=row.last4,
        organization=row.organization_id,
        scopes=tuple(row.scopes),
        tools=tuple(row.tools),
        networks=tuple(row.networks),
        per_minute=RateLimit(**row.per_minute) if row.per_minute else None,
        owner=row.user_id or "",
    )


def _seconds(moment: dt.datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None
