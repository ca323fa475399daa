"""What this slice needs to know of roles. The slice above implements it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from toolyard.control.base.work import Work

NO_GRANTS: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Held:
    """What somebody may do in an organization: everywhere, and on single resources."""

    permissions: frozenset[str]
    grants: frozenset[tuple[str, str]] = NO_GRANTS


class Access(Protocol):
    """Roles, tiers and grants. Above: nothing of this slice. Below: the tables of the slice above."""

    async def held(self, work: Work, organization_id: str, user_id: str, roles: Sequence[str]) -> Held:
        """What a member with these roles may do; the work may be for all organizations."""
        ...

    async def per_minute(self, work: Work, organization_id: str, tier: str) -> int | None:
        """How many calls in a minute a tier allows, None for as many as wanted; the work may be for all
        organizations."""
        ...

    async def check_assignable(self, work: Work, roles: Sequence[str], tier: str | None) -> None:
        """Nothing, if the caller may give somebody these roles and this tier. Raises RoleUnknown, TierUnknown,
        MoreThanOwn."""
        ...
