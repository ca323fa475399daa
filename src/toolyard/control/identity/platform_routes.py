"""The routes of the platform's administrators: organizations, all accounts, signing keys."""

from __future__ import annotations

import asyncio

from fastapi import Response
from pydantic import BaseModel, Field

from toolyard.control.base.declared import Slice
from toolyard.control.base.etags import IfMatch, check_match, tagged
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.pages import Listed, PageParams
from toolyard.control.base.work import Work
from toolyard.control.identity import accounts, organizations, people
from toolyard.control.identity.entrance import Entrance
from toolyard.control.identity.events import SigningKeysRotated
from toolyard.control.identity.model import UserRow
from toolyard.control.identity.schema import (
    AccountChange,
    AccountWithPlaces,
    NewAccount,
    NewOrganization,
    NewPassword,
    Organization,
    OrganizationChange,
)
from toolyard.control.identity.schema_auth import secret
from toolyard.control.identity.signing import SigningKeys
from toolyard.control.identity.store import Organizations, Users, memberships


class SigningState(BaseModel):
    """The ids of the keys that sign and verify access tokens."""

    current: str
    verifying: list[str] = Field(description="Tokens signed by these hold until they expire.")

    @classmethod
    def of(cls, signing: SigningKeys) -> SigningState:
        return cls(current=signing.current.kid, verifying=sorted(signing.verify_keys()))


def add_platform_routes(one: Slice, entrance: Entrance) -> None:
    """What concerns all organizations."""
    _add_organizations(one)
    _add_accounts(one)
    _add_account_changes(one, entrance)
    _add_signing(one, entrance.signing)


def _add_organizations(one: Slice) -> None:
    @one.get("/organizations", action="organizations.read", operation_id="organizations_list")
    async def every(work: WorkParam, page: PageParams) -> Listed[Organization]:
        """All organizations."""
        found = await Organizations(work).page(page)
        return Listed(items=[Organization.of(row) for row in found.rows], next_cursor=found.next_cursor)

    @one.create("/organizations", action="organizations.write", operation_id="organizations_create")
    async def create(work: WorkParam, given: NewOrganization, response: Response) -> Organization:
        """Make an organization."""
        await work.widen()
        row = await organizations.create(work, given.slug, given.name, given.description)
        tagged(response, row)
        return Organization.of(row)

    @one.get("/organizations/{organization_id}", action="organizations.read", operation_id="organizations_get")
    async def get(work: WorkParam, organization_id: str, response: Response) -> Organization:
        """One organization."""
        row = await Organizations(work).get(organization_id)
        tagged(response, row)
        return Organization.of(row)

    @one.patch("/organizations/{organization_id}", action="organizations.write", operation_id="organizations_change")
    async def change(
        work: WorkParam, organization_id: str, given: OrganizationChange, response: Response, if_match: IfMatch = None
    ) -> Organization:
        """Change an organization, or take it out of use."""
        await work.widen()
        row = await Organizations(work).get(organization_id)
        check_match(row, if_match)
        row = await organizations.change(work, row, given.model_dump(exclude_unset=True))
        tagged(response, row)
        return Organization.of(row)

    @one.delete("/organizations/{organization_id}", action="organizations.write", operation_id="organizations_delete")
    async def delete(work: WorkParam, organization_id: str) -> None:
        """Remove an organization with all it has."""
        await work.widen()
        await organizations.remove(work, await Organizations(work).get(organization_id))


def _add_accounts(one: Slice) -> None:
    @one.get("/platform/users", action="platform.users", operation_id="platform_users_list")
    async def every(work: WorkParam, page: PageParams) -> Listed[AccountWithPlaces]:
        """All accounts, with the organizations that their owners belong to."""
        await work.widen()
        found = await Users(work).page(page)
        return Listed(items=await _with_places(work, list(found.rows)), next_cursor=found.next_cursor)

    @one.get("/platform/users/{user_id}", action="platform.users", operation_id="platform_users_get")
    async def get(work: WorkParam, user_id: str, response: Response) -> AccountWithPlaces:
        """One account."""
        await work.widen()
        user = await Users(work).get(user_id)
        tagged(response, user)
        return (await _with_places(work, [user]))[0]


def _add_account_changes(one: Slice, entrance: Entrance) -> None:
    @one.create("/platform/users", action="platform.users", operation_id="platform_users_create")
    async def create(work: WorkParam, given: NewAccount) -> AccountWithPlaces:
        """Make an account, which belongs to no organization yet; perhaps of a platform administrator."""
        await work.widen()
        kept = await entrance.hashed(secret(given.password), given.username) if given.password else None
        user = UserRow(
            username=given.username, email=given.email, full_name=given.full_name, password=kept,
            platform_admin=given.platform_admin,
        )  # fmt: skip
        return (await _with_places(work, [await accounts.create(work, user)]))[0]

    @one.patch("/platform/users/{user_id}", action="platform.users", operation_id="platform_users_change")
    async def change(
        work: WorkParam, user_id: str, given: AccountChange, response: Response, if_match: IfMatch = None
    ) -> AccountWithPlaces:
        """Change an account; make somebody a platform administrator, or one no more."""
        await work.widen()
        user = await Users(work).get(user_id)
        check_match(user, if_match)
        await accounts.change(work, user, given.model_dump(exclude_unset=True))
        answer = (await _with_places(work, [user]))[0]
        tagged(response, user)
        return answer

    @one.post("/platform/users/{user_id}/password", action="platform.users", operation_id="platform_users_set_password",
              status_code=204)  # fmt: skip
    async def set_password(work: WorkParam, user_id: str, given: NewPassword) -> None:
        """Give somebody another password; all their logins end."""
        user = await Users(work).get(user_id)
        await people.set_password(work, user, await entrance.hashed(secret(given.password), user.username))

    @one.delete("/platform/users/{user_id}", action="platform.users", operation_id="platform_users_delete")
    async def delete(work: WorkParam, user_id: str) -> None:
        """Remove an account."""
        await work.widen()
        await accounts.remove(work, await Users(work).get(user_id))


def _add_signing(one: Slice, signing: SigningKeys) -> None:
    @one.get("/platform/signing-keys", action="platform.operate", operation_id="signing_keys_list")
    async def state(work: WorkParam) -> SigningState:
        """Which keys sign and verify access tokens."""
        return SigningState.of(signing)

    @one.post("/platform/signing-keys/rotate", action="platform.operate", operation_id="signing_keys_rotate")
    async def rotate(work: WorkParam) -> SigningState:
        """Sign access tokens with a new key, in some seconds; those that are out hold until they expire."""
        kid = await asyncio.to_thread(signing.rotate)
        work.announce(SigningKeysRotated(kid))
        return SigningState.of(signing)


async def _with_places(work: Work, users: list[UserRow]) -> list[AccountWithPlaces]:
    places = await memberships(work, *(user.id for user in users))
    return [AccountWithPlaces.with_places(user, [one for one in places if one.user_id == user.id]) for user in users]
