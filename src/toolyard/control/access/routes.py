"""The routes of roles, tiers and grants."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from toolyard.control.access import service
from toolyard.control.access.model import GrantRow
from toolyard.control.access.schema import (
    Answer,
    Grant,
    KnownPermission,
    NewGrant,
    NewRole,
    NewTier,
    Question,
    Role,
    RoleChange,
    RoleList,
    Tier,
    TierChange,
)
from toolyard.control.access.store import Grants, Roles, Tiers
from toolyard.control.base.declared import Slice
from toolyard.control.base.etags import IfMatch, check_match, tagged
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.pages import Listed, PageParams, PageQuery
from toolyard.policy.permissions import ORGANIZATION, PLATFORM


class GrantQuery(PageQuery):
    """Which grants."""

    user_id: str | None = None


def access_slice() -> Slice:
    """Roles, tiers and grants."""
    one = Slice("access")
    _add_roles(one)
    _add_tiers(one)
    _add_grants(one)
    return one


def _add_roles(one: Slice) -> None:
    @one.get("/permissions", action="self", operation_id="permissions_list")
    async def permissions(work: WorkParam) -> list[KnownPermission]:
        """All that can be allowed."""
        return [KnownPermission.of(*each) for each in (*ORGANIZATION.items(), *PLATFORM.items())]

    @one.get("/roles", action="roles.read", operation_id="roles_list")
    async def roles(work: WorkParam) -> RoleList:
        """The built-in roles and the organization's own."""
        own = [Role.of(row) for row in await Roles(work).every()]
        return RoleList(items=[*Role.built_in_ones(), *own])

    @one.create("/roles", action="roles.write", operation_id="roles_create")
    async def create(work: WorkParam, given: NewRole, response: Response) -> Role:
        """Make a role of the organization's own."""
        row = await service.create_role(work, given.name, given.description, given.permissions)
        tagged(response, row)
        return Role.of(row)

    @one.get("/roles/{role_id}", action="roles.read", operation_id="roles_get")
    async def get(work: WorkParam, role_id: str, response: Response) -> Role:
        """One role of the organization's own."""
        row = await Roles(work).get(role_id)
        tagged(response, row)
        return Role.of(row)

    @one.patch("/roles/{role_id}", action="roles.write", operation_id="roles_change")
    async def change(
        work: WorkParam, role_id: str, given: RoleChange, response: Response, if_match: IfMatch = None
    ) -> Role:
        """Change what a role allows; whoever has it may do that from now on."""
        row = await Roles(work).get(role_id)
        check_match(row, if_match)
        row = await service.change_role(work, row, given.model_dump(exclude_unset=True))
        tagged(response, row)
        return Role.of(row)

    @one.delete("/roles/{role_id}", action="roles.write", operation_id="roles_delete")
    async def delete(work: WorkParam, role_id: str) -> None:
        """Remove a role that nobody has."""
        await service.remove_role(work, await Roles(work).get(role_id))


def _add_tiers(one: Slice) -> None:
    @one.get("/tiers", action="roles.read", operation_id="tiers_list")
    async def tiers(work: WorkParam, page: PageParams) -> Listed[Tier]:
        """The tiers of the organization."""
        found = await Tiers(work).page(page)
        return Listed(items=[Tier.of(row) for row in found.rows], next_cursor=found.next_cursor)

    @one.create("/tiers", action="roles.write", operation_id="tiers_create")
    async def create(work: WorkParam, given: NewTier, response: Response) -> Tier:
        """Make a tier."""
        row = await service.create_tier(work, given.model_dump())
        tagged(response, row)
        return Tier.of(row)

    @one.get("/tiers/{tier_id}", action="roles.read", operation_id="tiers_get")
    async def get(work: WorkParam, tier_id: str, response: Response) -> Tier:
        """One tier."""
        row = await Tiers(work).get(tier_id)
        tagged(response, row)
        return Tier.of(row)

    @one.patch("/tiers/{tier_id}", action="roles.write", operation_id="tiers_change")
    async def change(
        work: WorkParam, tier_id: str, given: TierChange, response: Response, if_match: IfMatch = None
    ) -> Tier:
        """Change a tier's limits."""
        row = await Tiers(work).get(tier_id)
        check_match(row, if_match)
        row = await service.change_tier(work, row, given.model_dump(exclude_unset=True))
        tagged(response, row)
        return Tier.of(row)

    @one.delete("/tiers/{tier_id}", action="roles.write", operation_id="tiers_delete")
    async def delete(work: WorkParam, tier_id: str) -> None:
        """Remove a tier that nobody has."""
        await service.remove_tier(work, await Tiers(work).get(tier_id))


def _add_grants(one: Slice) -> None:
    @one.get("/grants", action="roles.read", operation_id="grants_list")
    async def grants(work: WorkParam, query: Annotated[GrantQuery, Query()]) -> Listed[Grant]:
        """Permissions that were granted beside roles."""
        chosen = [GrantRow.user_id == query.user_id] if query.user_id else []
        found = await Grants(work).page(query, *chosen)
        return Listed(items=[Grant.of(row) for row in found.rows], next_cursor=found.next_cursor)

    @one.create("/grants", action="roles.write", operation_id="grants_create")
    async def create(work: WorkParam, given: NewGrant) -> Grant:
        """Grant a member a permission, everywhere or on one resource."""
        return Grant.of(await service.grant_permission(work, given.user_id, given.permission, given.resource))

    @one.delete("/grants/{grant_id}", action="roles.write", operation_id="grants_delete")
    async def delete(work: WorkParam, grant_id: str) -> None:
        """Take a granted permission back."""
        await service.withdraw_permission(work, await Grants(work).get(grant_id))

    @one.post("/access/check", action="roles.read", safe=True, operation_id="access_check")
    async def check(work: WorkParam, given: Question) -> Answer:
        """Whether a member may do something."""
        return Answer(allowed=await service.check_permission(work, given.user_id, given.action, given.resource))
