"""What is known of gateways."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select

from toolyard.control.base.work import Work
from toolyard.control.gateways.model import GatewayRow

FORGOTTEN: Final = dt.timedelta(days=1)
NAME_CHARS: Final = 100
REASON_CHARS: Final = 2000


async def record_applied(work: Work, records: Sequence[Mapping[str, Any]]) -> None:
    """Take in which snapshot gateways have in force: records of kind "applied"."""
    for record in records:
        name = str(record["gateway"])[:NAME_CHARS]
        row = await work.session.get(GatewayRow, name)
        if row is None:
            row = GatewayRow(name=name, first_seen_at=work.now, last_seen_at=work.now, revision=0)
            work.session.add(row)
        row.last_seen_at = work.now
        if record["in_force"]:
            row.revision, row.rejected = int(record["revision"]), None
        else:
            row.rejected = f"{record.get('code')}: {record.get('reason')}"[:REASON_CHARS]
        await work.session.flush()


async def heard(work: Work) -> list[GatewayRow]:
    """The gateways that were heard in the last day, by name."""
    found = select(GatewayRow).where(GatewayRow.last_seen_at > work.now - FORGOTTEN).order_by(GatewayRow.name)
    return list((await work.session.execute(found)).scalars())
