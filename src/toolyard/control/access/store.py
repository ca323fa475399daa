"""The SQL of roles, tiers and grants."""

from __future__ import annotations

from sqlalchemy import select

from toolyard.control.access.errors import GrantNotFound, RoleNotFound, TierNotFound
from toolyard.control.access.model import GrantRow, RoleRow, TierRow
from toolyard.control.base.store import Store
from toolyard.control.base.work import Work


class Roles(Store[RoleRow]):
    """The organization's own roles."""

    row = RoleRow
    missing = RoleNotFound
    sortable = {"name": RoleRow.name}
    searched = ("name", "description")


class Tiers(Store[TierRow]):
    """The organization's tiers."""

    row = TierRow
    missing = TierNotFound
    sortable = {"name": TierRow.name}
    searched = ("name", "description")


class Grants(Store[GrantRow]):
    """The organization's grants."""

    row = GrantRow
    missing = GrantNotFound
    sortable = {"permission": GrantRow.permission}
    searched = ("permission", "resource")


async def own_roles(work: Work, organization_id: str) -> dict[str, frozenset[str]]:
    """What each role of an organization's own allows; the work may be for all organizations."""
    chosen = select(RoleRow.name, RoleRow.permissions).where(RoleRow.organization_id == organization_id)
    return {name: frozenset(permissions) for name, permissions in await work.session.execute(chosen)}


async def grants_of(work: Work, organization_id: str, user_id: str) -> list[tuple[str, str]]:
    """A member's grants as (permission, resource); the work may be for all organizations."""
    mine = (GrantRow.organization_id == organization_id, GrantRow.user_id == user_id)
    return [
        (one[0], one[1])
        for one in await work.session.execute(select(GrantRow.permission, GrantRow.resource).where(*mine))
    ]


async def tier_limit(work: Work, organization_id: str, tier: str) -> int | None:
    """How many calls in a minute a tier allows, None for as many as wanted; the work may be for all organizations."""
    here = (TierRow.organization_id == organization_id, TierRow.name == tier)
    return (await work.session.execute(select(TierRow.per_minute).where(*here))).scalar_one_or_none()
