"""What somebody is in an organization: computed here only, for every request and for every access token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolyard.control.base.work import Work
from toolyard.control.identity.access_port import Access
from toolyard.control.identity.errors import NoOrganization
from toolyard.control.identity.model import DEFAULT_ORGANIZATION, OrganizationRow, UserRow
from toolyard.control.identity.store import Organizations, membership
from toolyard.policy.permissions import ALL
from toolyard.policy.tokens import PLATFORM_ADMIN

AT_GATEWAYS = ("tools.call",)
"""The permissions that gateways ask for."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A user's place in one organization. `platform`: they may act in all."""

    organization_id: str
    organization_slug: str
    permissions: frozenset[str]
    grants: frozenset[tuple[str, str]]
    roles: tuple[str, ...]
    tier: str | None
    platform: bool

    @property
    def may_at_gateways(self) -> tuple[str, ...]:
        """What access tokens say of permissions."""
        return tuple(name for name in AT_GATEWAYS if name in self.permissions)


async def standing_in(work: Work, access: Access, user: UserRow, organization: OrganizationRow) -> Standing | None:
    """What a user is there; None if nothing. For work of all organizations."""
    if user.service_of not in (None, organization.id):
        return None
    place = await membership(work, organization.id, user.id)
    if user.platform_admin:
        roles = (PLATFORM_ADMIN, *(place.roles if place else ()))
        tier = place.tier if place else None
        return Standing(organization.id, organization.slug, ALL, frozenset(), roles, tier, platform=True)
    if place is None or not organization.enabled:
        return None
    held = await access.held(work, organization.id, user.id, place.roles)
    roles = tuple(place.roles)
    return Standing(
        organization.id, organization.slug, held.permissions, held.grants, roles, place.tier, platform=False
    )


async def chosen_organization(work: Work, user: UserRow, wanted: str | None) -> OrganizationRow:
    """The organization that a user wants to work in, by id or slug, else the first of theirs. Raises NoOrganization.
    For work of all organizations."""
    theirs: Sequence[OrganizationRow] = await Organizations(work).of(user.id)
    for one in theirs:
        if wanted in (None, one.id, one.slug):
            return one
    if user.platform_admin:
        found = await Organizations(work).named(wanted or DEFAULT_ORGANIZATION)
        if found is not None:
            return found
    raise NoOrganization
