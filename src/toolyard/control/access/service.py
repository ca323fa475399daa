"""Who may do what: roles, tiers and grants of an organization."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolyard.control.access.errors import PermissionUnknown, RoleBuiltIn, RoleInUse, TierInUse
from toolyard.control.access.events import (
    PermissionGranted,
    PermissionWithdrawn,
    RoleChanged,
    RoleCreated,
    RoleRemoved,
    TierChanged,
)
from toolyard.control.access.model import GrantRow, RoleRow, TierRow
from toolyard.control.access.store import Grants, Roles, Tiers, grants_of, own_roles, tier_limit
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.identity.access_port import Held
from toolyard.control.identity.errors import MoreThanOwn, RoleUnknown, TierUnknown
from toolyard.control.identity.people import members_with, person
from toolyard.control.identity.revocation import void_tokens
from toolyard.policy.permissions import BUILT_IN, ORGANIZATION, allows, granted
from toolyard.policy.tokens import PLATFORM_ADMIN

RESERVED = frozenset(BUILT_IN) | {PLATFORM_ADMIN}


class OwnAccess:
    """What the slice below asks of roles, tiers and grants."""

    async def held(self, work: Work, organization_id: str, user_id: str, roles: Sequence[str]) -> Held:
        """What a member with these roles may do; the work may be for all organizations."""
        needed = any(role not in BUILT_IN for role in roles)
        own = await own_roles(work, organization_id) if needed else {}
        given = await grants_of(work, organization_id, user_id)
        everywhere = frozenset(permission for permission, resource in given if not resource)
        on_one = frozenset((permission, resource) for permission, resource in given if resource)
        return Held(granted(roles, own) | (everywhere & ORGANIZATION.keys()), on_one)

    async def per_minute(self, work: Work, organization_id: str, tier: str) -> int | None:
        """How many calls in a minute a tier allows; the work may be for all organizations."""
        return await tier_limit(work, organization_id, tier)

    async def check_assignable(self, work: Work, roles: Sequence[str], tier: str | None) -> None:
        """Nothing, if the caller may give somebody these roles and this tier. Raises RoleUnknown, TierUnknown,
        MoreThanOwn."""
        own = await own_roles(work, work.organization_id)
        for role in roles:
            if role not in BUILT_IN and role not in own:
                raise RoleUnknown(f"there is no role '{role}' here")
        check_own(work, granted(roles, own))
        if tier is not None and await Tiers(work).find(TierRow.name == tier) is None:
            raise TierUnknown(f"there is no tier '{tier}' here")


def check_own(work: Work, permissions: Iterable[str]) -> None:
    """Raises MoreThanOwn if the caller may not do all of this themselves."""
    if any(not work.caller.may(permission) for permission in permissions):
        raise MoreThanOwn


def check_known(permissions: Iterable[str]) -> None:
    """Raises PermissionUnknown for one that no role of an organization can contain."""
    for permission in permissions:
        if permission not in ORGANIZATION:
            raise PermissionUnknown(f"no role of an organization can contain '{permission}'")


async def create_role(work: Work, name: str, description: str, permissions: Sequence[str]) -> RoleRow:
    """A new role. Raises RoleBuiltIn, Taken, PermissionUnknown, MoreThanOwn."""
    _check_role(work, name, permissions)
    wanted = RoleRow(id=new_id("ro"), name=name, description=description, permissions=sorted(set(permissions)))
    row = await Roles(work).add(wanted)
    work.announce(RoleCreated(row.id, name))
    return row


async def change_role(work: Work, row: RoleRow, given: Mapping[str, Any]) -> RoleRow:
    """Another description, or other permissions. A role's name stays. Raises PermissionUnknown, MoreThanOwn."""
    if "permissions" in given:
        _check_role(work, None, [*given["permissions"], *row.permissions])
        row.permissions = sorted(set(given["permissions"]))
    row.description = given.get("description", row.description)
    row = await Roles(work).changed(row)
    await void_tokens(work, *await members_with(work, role=row.name))
    work.announce(RoleChanged(row.id, row.name))
    return row


async def remove_role(work: Work, row: RoleRow) -> None:
    """Raises RoleInUse, MoreThanOwn."""
    check_own(work, row.permissions)
    if await members_with(work, role=row.name):
        raise RoleInUse
    await Roles(work).remove(row)
    work.announce(RoleRemoved(row.id, row.name))


async def create_tier(work: Work, given: Mapping[str, Any]) -> TierRow:
    """A new tier. Raises Taken."""
    row = await Tiers(work).add(TierRow(id=new_id("ti"), **given))
    work.announce(TierChanged(row.id, row.name))
    return row


async def change_tier(work: Work, row: TierRow, given: Mapping[str, Any]) -> TierRow:
    """Other limits, or another description. A tier's name stays."""
    for name, value in given.items():
        setattr(row, name, value)
    row = await Tiers(work).changed(row)
    await void_tokens(work, *await members_with(work, tier=row.name))
    work.announce(TierChanged(row.id, row.name))
    return row


async def remove_tier(work: Work, row: TierRow) -> None:
    """Raises TierInUse."""
    if await members_with(work, tier=row.name):
        raise TierInUse
    await Tiers(work).remove(row)
    work.announce(TierChanged(row.id, row.name))


async def grant_permission(work: Work, user_id: str, permission: str, resource: str = "") -> GrantRow:
    """Give a member a permission beside their roles: everywhere in the organization, or on one resource. One that is
    there already stays. Raises UserUnknown, PlatformAdminProtected, PermissionUnknown, MoreThanOwn."""
    check_known([permission])
    check_own(work, [permission])
    await person(work, user_id)
    there = await Grants(work).find(
        GrantRow.user_id == user_id, GrantRow.permission == permission, GrantRow.resource == resource
    )
    if there is not None:
        return there
    row = GrantRow(
        id=new_id("gr"), user_id=user_id, permission=permission, resource=resource, granted_by=work.caller.id
    )
    row = await Grants(work).add(row)
    await void_tokens(work, user_id)
    work.announce(PermissionGranted(row.id, user_id, permission, resource))
    return row


async def withdraw_permission(work: Work, row: GrantRow) -> None:
    """Take a grant back. Raises MoreThanOwn."""
    check_own(work, [row.permission])
    await Grants(work).remove(row)
    await void_tokens(work, row.user_id)
    work.announce(PermissionWithdrawn(row.id, row.user_id, row.permission, row.resource))


async def check_permission(work: Work, user_id: str, action: str, resource: str = "") -> bool:
    """Whether a member may do something, everywhere or on one resource. Raises UserUnknown, PlatformAdminProtected."""
    one = await person(work, user_id)
    if not one.user.enabled:
        return False
    if one.user.platform_admin:
        return True
    held = await OwnAccess().held(work, work.organization_id, user_id, one.member.roles)
    return allows(held.permissions, held.grants, action, [resource] if resource else ())


def _check_role(work: Work, name: str | None, permissions: Sequence[str]) -> None:
    if name in RESERVED:
        raise RoleBuiltIn
    check_known(permissions)
    check_own(work, permissions)
