"""API keys in the database."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from toolyard.control.base.store import Store
from toolyard.control.base.work import Work
from toolyard.control.identity.model import MemberRow, OrganizationRow, UserRow
from toolyard.control.keys.errors import KeyNotFound
from toolyard.control.keys.model import KeyRow
from toolyard.control.servers.model import ServerRow


class KeyStore(Store[KeyRow]):
    """The API keys of an organization."""

    row = KeyRow
    missing = KeyNotFound
    sortable = {"name": KeyRow.name, "created_at": KeyRow.created_at, "updated_at": KeyRow.updated_at}
    searched = ("name", "id")

    def conditions(self, *, server_id: str | None, user_id: str | None, enabled: bool | None) -> list[Any]:
        """Conditions for a list; None is any."""
        found: list[ColumnElement[bool]] = []
        if server_id is not None:
            found.append(KeyRow.server_id == server_id)
        if user_id is not None:
            found.append(KeyRow.user_id == user_id)
        if enabled is not None:
            found.append(KeyRow.disabled.is_(not enabled))
        return found

    async def count_of(self, server_id: str) -> int:
        """How many keys a server has."""
        counted = select(func.count()).select_from(self.scoped().where(KeyRow.server_id == server_id).subquery())
        return int((await self.session.execute(counted)).scalar_one())

    async def codes(self, rows: list[KeyRow]) -> dict[str, str]:
        """The codes of the servers of some keys, by the servers' ids."""
        wanted = {row.server_id for row in rows}
        found = select(ServerRow.id, ServerRow.code).where(
            ServerRow.organization_id == self.work.organization_id, ServerRow.id.in_(wanted)
        )
        return {row.id: row.code for row in await self.session.execute(found)}

    async def is_member(self, user_id: str) -> bool:
        """Whether somebody belongs to the organization."""
        found = select(MemberRow.id).where(
            MemberRow.organization_id == self.work.organization_id, MemberRow.user_id == user_id
        )
        return (await self.session.execute(found)).scalar_one_or_none() is not None


async def of_all_organizations(work: Work, *, ended_after: dt.datetime) -> list[tuple[KeyRow, str, bool]]:
    """(key, its server's code, whether whose it is may use it) of every key that opens something, or did until
    `ended_after`. For the publisher; in a stable order."""
    ends = (KeyRow.revoked_at, KeyRow.expires_at, KeyRow.retires_at)
    member = and_(MemberRow.user_id == KeyRow.user_id, MemberRow.organization_id == KeyRow.organization_id)
    good = and_(
        OrganizationRow.enabled, or_(KeyRow.user_id.is_(None), and_(UserRow.enabled, MemberRow.id.is_not(None)))
    )
    found = (
        select(KeyRow, ServerRow.code, good)
        .join(ServerRow, ServerRow.id == KeyRow.server_id)
        .join(OrganizationRow, OrganizationRow.id == KeyRow.organization_id)
        .outerjoin(UserRow, UserRow.id == KeyRow.user_id)
        .outerjoin(MemberRow, member)
        .where(*(or_(end.is_(None), end > ended_after) for end in ends))
        .order_by(KeyRow.id)
    )
    return [(row, code, bool(is_good)) for row, code, is_good in await work.session.execute(found)]


async def note_use(work: Work, key_id: str, at: dt.datetime) -> None:
    """Note when a key, of whichever organization, was used. That is no change of it: its version stays."""
    later = or_(KeyRow.last_used_at.is_(None), KeyRow.last_used_at < at)
    await work.session.execute(update(KeyRow).where(KeyRow.id == key_id, later).values(last_used_at=at))
