"""The routes of an organization's users and service accounts."""

from __future__ import annotations

from fastapi import Response

from toolyard.control.base.declared import Slice
from toolyard.control.base.etags import IfMatch, check_match, tagged
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.idempotency import SHOWN_ONCE
from toolyard.control.base.pages import Listed, PageParams
from toolyard.control.identity import people, service_accounts
from toolyard.control.identity.entrance import Entrance
from toolyard.control.identity.model import UserRow
from toolyard.control.identity.schema import (
    NewMember,
    NewPassword,
    NewSecret,
    NewServiceAccount,
    NewUser,
    SecretInfo,
    SecretMade,
    ServiceAccount,
    ServiceAccountChange,
    User,
    UserChange,
)
from toolyard.control.identity.schema_auth import secret


def add_people_routes(one: Slice, entrance: Entrance) -> None:
    """Users and service accounts of the organization of the request."""
    _add_users(one, entrance)
    _add_places(one, entrance)
    _add_service_accounts(one, entrance)
    _add_secrets(one, entrance)


def _add_users(one: Slice, entrance: Entrance) -> None:
    @one.get("/users", action="users.read", operation_id="users_list")
    async def users(work: WorkParam, page: PageParams) -> Listed[User]:
        """The people of the organization."""
        found, following = await people.people(work, page)
        return Listed(items=[User.of_person(person) for person in found], next_cursor=following)

    @one.create("/users", action="users.write", operation_id="users_create")
    async def create(work: WorkParam, given: NewUser, response: Response) -> User:
        """Make an account for somebody, who belongs to the organization."""
        kept = await entrance.hashed(secret(given.password), given.username) if given.password else None
        user = UserRow(username=given.username, email=given.email, full_name=given.full_name, password=kept)
        person = await people.create(work, entrance.access, user, given.roles, given.tier)
        tagged(response, person.member)
        return User.of_person(person)

    @one.get("/users/{user_id}", action="users.read", operation_id="users_get")
    async def get(work: WorkParam, user_id: str, response: Response) -> User:
        """One person of the organization."""
        person = await people.human(work, user_id)
        tagged(response, person.member)
        return User.of_person(person)

    @one.patch("/users/{user_id}", action="users.write", operation_id="users_change")
    async def change(
        work: WorkParam, user_id: str, given: UserChange, response: Response, if_match: IfMatch = None
    ) -> User:
        """Change somebody's roles and tier, or the account where it is managed here."""
        person = await people.human(work, user_id)
        check_match(person.member, if_match)
        person = await people.change(work, entrance.access, person, given.model_dump(exclude_unset=True))
        tagged(response, person.member)
        return User.of_person(person)

    @one.delete("/users/{user_id}", action="users.write", operation_id="users_delete")
    async def delete(work: WorkParam, user_id: str) -> None:
        """Take somebody out of the organization; an account that is managed here is removed."""
        await people.remove(work, entrance.access, await people.human(work, user_id))


def _add_places(one: Slice, entrance: Entrance) -> None:
    @one.post("/users/{user_id}/password", action="users.write", operation_id="users_set_password", status_code=204)
    async def set_password(work: WorkParam, user_id: str, given: NewPassword) -> None:
        """Give somebody another password; all their logins end."""
        person = await people.human(work, user_id)
        people.check_managed(work, person.user)
        await people.check_over(work, entrance.access, person)
        await people.set_password(
            work, person.user, await entrance.hashed(secret(given.password), person.user.username)
        )

    @one.create("/members", action="platform.users", operation_id="members_create")
    async def add(work: WorkParam, given: NewMember) -> User:
        """Let somebody who has an account belong to the organization of the request too."""
        user = await people.anybody(work, given.user)
        return User.of_person(await people.join(work, entrance.access, user, given.roles, given.tier))


def _add_service_accounts(one: Slice, entrance: Entrance) -> None:
    @one.get("/service-accounts", action="users.read", operation_id="service_accounts_list")
    async def every(work: WorkParam, page: PageParams) -> Listed[ServiceAccount]:
        """The service accounts of the organization."""
        found, following = await people.people(work, page, services=True)
        return Listed(items=[ServiceAccount.of(account) for account in found], next_cursor=following)

    @one.create("/service-accounts", action="users.write", operation_id="service_accounts_create")
    async def create(work: WorkParam, given: NewServiceAccount, response: Response) -> ServiceAccount:
        """Make a service account; it gets in with secrets."""
        account = await service_accounts.create(work, entrance.access, given)
        tagged(response, account.member)
        return ServiceAccount.of(account)

    @one.get("/service-accounts/{user_id}", action="users.read", operation_id="service_accounts_get")
    async def get(work: WorkParam, user_id: str, response: Response) -> ServiceAccount:
        """One service account."""
        account = await service_accounts.service_account(work, user_id)
        tagged(response, account.member)
        return ServiceAccount.of(account)

    @one.patch("/service-accounts/{user_id}", action="users.write", operation_id="service_accounts_change")
    async def change(
        work: WorkParam, user_id: str, given: ServiceAccountChange, response: Response, if_match: IfMatch = None
    ) -> ServiceAccount:
        """Change a service account's roles, tier or description; take it out of use."""
        account = await service_accounts.service_account(work, user_id)
        check_match(account.member, if_match)
        wanted = given.model_dump(exclude_unset=True)
        if "description" in wanted:
            wanted["full_name"] = wanted.pop("description")
        account = await people.change(work, entrance.access, account, wanted)
        tagged(response, account.member)
        return ServiceAccount.of(account)

    @one.delete("/service-accounts/{user_id}", action="users.write", operation_id="service_accounts_delete")
    async def delete(work: WorkParam, user_id: str) -> None:
        """Remove a service account with its secrets."""
        await people.remove(work, entrance.access, await service_accounts.service_account(work, user_id))


def _add_secrets(one: Slice, entrance: Entrance) -> None:
    secrets_path = "/service-accounts/{user_id}/secrets"

    @one.get(secrets_path, action="users.read", operation_id="service_secrets_list")
    async def every(work: WorkParam, user_id: str) -> list[SecretInfo]:
        """The secrets of a service account, without what is secret."""
        account = await service_accounts.service_account(work, user_id)
        return [SecretInfo.of(row) for row in await service_accounts.secrets_of(work, account)]

    @one.create(secrets_path, action="users.write", operation_id="service_secrets_create")
    async def create(work: WorkParam, user_id: str, given: NewSecret, response: Response) -> SecretMade:
        """Make a secret for a service account; it is shown this once."""
        account = await service_accounts.service_account(work, user_id)
        await people.check_over(work, entrance.access, account)
        row, made = await service_accounts.create_secret(work, entrance.peppers, account, given)
        response.headers[SHOWN_ONCE] = "1"
        return SecretMade(**SecretInfo.of(row).model_dump(), client_secret=made.reveal())

    @one.delete(secrets_path + "/{secret_id}", action="users.write", operation_id="service_secrets_delete")
    async def delete(work: WorkParam, user_id: str, secret_id: str) -> None:
        """Void a secret, and the access tokens got with it."""
        account = await service_accounts.service_account(work, user_id)
        await people.check_over(work, entrance.access, account)
        await service_accounts.remove_secret(work, account, secret_id)
