"""The people of an organization: who belongs to it, with which roles and tier.

An organization's administrators may change an account itself only where it is theirs alone (`managed_by`). Nobody gives
more than they have, and nobody changes somebody who may do more than they.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolyard.control.base.pages import PageQuery
from toolyard.control.base.store import flush
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.identity.access_port import Access
from toolyard.control.identity.errors import (
    AccountNotYours,
    EmailTaken,
    LastPlatformAdmin,
    MoreThanOwn,
    NoOrganization,
    PlatformAdminProtected,
    UserUnknown,
)
from toolyard.control.identity.events import (
    MembersChanged,
    PasswordChanged,
    UserChanged,
    UserCreated,
    UserDisabled,
    UserEnabled,
    UserRemoved,
)
from toolyard.control.identity.model import MemberRow, UserRow
from toolyard.control.identity.revocation import end_logins, void_tokens
from toolyard.control.identity.schema_auth import normal_name
from toolyard.control.identity.store import Members, Person, Users

_ACCOUNT = ("email", "full_name", "enabled")


async def person(work: Work, user_id: str) -> Person:
    """Somebody of the organization. Raises UserUnknown, PlatformAdminProtected."""
    one = await Members(work).person(user_id)
    if one.user.platform_admin and not work.caller.platform:
        raise PlatformAdminProtected
    return one


async def human(work: Work, user_id: str) -> Person:
    """A person of the organization, who is no service account. Raises UserUnknown, PlatformAdminProtected."""
    one = await person(work, user_id)
    if one.user.service_of is not None:
        raise UserUnknown
    return one


async def anybody(work: Work, name: str) -> UserRow:
    """Anybody with an account, by id, user name or e-mail address. Raises UserUnknown."""
    user = await work.session.get(UserRow, name) or await Users(work).named(normal_name(name))
    if user is None:
        raise UserUnknown
    return user


async def people(work: Work, query: PageQuery, *, services: bool = False) -> tuple[list[Person], str | None]:
    """One page of the organization's people, or of its service accounts. Only platform administrators see platform
    administrators. Raises Invalid."""
    chosen = [UserRow.service_of.is_not(None) if services else UserRow.service_of.is_(None)]
    if not work.caller.platform:
        chosen.append(UserRow.platform_admin.is_(False))
    return await Members(work).people(query, *chosen)


async def members_with(work: Work, *, role: str | None = None, tier: str | None = None) -> list[str]:
    """The users of the organization who have a role or a tier."""
    everybody = await Members(work).every()
    return [one.user_id for one in everybody if (role in one.roles if role else one.tier == tier)]


async def create(work: Work, access: Access, user: UserRow, roles: list[str], tier: str | None) -> Person:
    """A new account that the organization manages. Raises UsernameTaken, EmailTaken, RoleUnknown, TierUnknown,
    MoreThanOwn, NoOrganization."""
    if not work.organization_id:
        raise NoOrganization
    await access.check_assignable(work, roles, tier)
    user.id, user.managed_by = new_id("us"), work.organization_id
    await Users(work).add(user)
    member = MemberRow(id=new_id("me"), user_id=user.id, roles=_unique(roles), tier=tier)
    await Members(work).add(member)
    work.announce(UserCreated(user.id, user.username, "administrator"))
    work.announce(MembersChanged(user.id, "joined"))
    return Person(user, member)


async def join(work: Work, access: Access, user: UserRow, roles: list[str], tier: str | None) -> Person:
    """Somebody with an account belongs to this organization too; no single organization manages the account any more.
    Raises AlreadyMember, RoleUnknown, TierUnknown, MoreThanOwn, UserUnknown."""
    if user.service_of is not None:
        raise UserUnknown
    await access.check_assignable(work, roles, tier)
    member = MemberRow(id=new_id("me"), user_id=user.id, roles=_unique(roles), tier=tier)
    await Members(work).add(member)
    user.managed_by = None
    work.announce(MembersChanged(user.id, "joined"))
    return Person(user, member)


async def change(work: Work, access: Access, one: Person, given: Mapping[str, Any]) -> Person:
    """What is given is different. Raises AccountNotYours, MoreThanOwn, EmailTaken, RoleUnknown, TierUnknown."""
    await check_over(work, access, one)
    if any(name in given for name in _ACCOUNT):
        check_managed(work, one.user)
        await change_account(work, one.user, given)
        await Members(work).changed(one.member)
    if "roles" in given or "tier" in given:
        await _change_place(work, access, one, given)
    return one


async def change_account(work: Work, user: UserRow, given: Mapping[str, Any]) -> None:
    """Another e-mail address or name; in or out of use. Raises EmailTaken, LastPlatformAdmin."""
    if given.get("enabled") is False:
        await check_not_last(work, user)
    if "email" in given and given["email"] != user.email:
        await Users(work).check_free(None, given["email"])
        user.email = given["email"]
    user.full_name = given.get("full_name", user.full_name)
    was_enabled, user.enabled = user.enabled, given.get("enabled", user.enabled)
    user.updated_at = work.now
    await flush(work, EmailTaken)
    if was_enabled and not user.enabled:
        await shut_out(work, user, "disabled")
        work.announce(UserDisabled(user.id))
    elif user.enabled and not was_enabled:
        work.announce(UserEnabled(user.id))
    work.announce(UserChanged(user.id, sorted(name for name in given if name in _ACCOUNT)))


async def set_password(work: Work, user: UserRow, kept: str) -> None:
    """Another (hashed) password, given by somebody else: all logins end."""
    user.password, user.updated_at = kept, work.now
    await flush(work)
    await end_logins(work, user.id, "password_reset")
    work.announce(PasswordChanged(user.id, by_owner=False))


async def remove(work: Work, access: Access, one: Person) -> None:
    """Somebody belongs to the organization no more; an account that it manages is gone. Raises MoreThanOwn,
    LastPlatformAdmin."""
    await check_over(work, access, one)
    if one.user.managed_by == work.organization_id:
        await check_not_last(work, one.user)
        await shut_out(work, one.user, "removed")
        work.announce(UserRemoved(one.user.id, one.user.username))
        await work.session.delete(one.user)
        await work.session.flush()
    else:
        await void_tokens(work, one.user.id)
        await Members(work).remove(one.member)
    work.announce(MembersChanged(one.user.id, "left"))


async def shut_out(work: Work, user: UserRow, because: str) -> None:
    """No login and no access token of a user holds any longer."""
    user.tokens_after = work.now
    await end_logins(work, user.id, because)
    await void_tokens(work, user.id)


async def check_over(work: Work, access: Access, one: Person) -> None:
    """Raises MoreThanOwn if somebody may do what the caller may not."""
    if work.caller.platform or work.caller.id == one.user.id:
        return
    held = await access.held(work, work.organization_id, one.user.id, one.member.roles)
    everywhere = ((permission,) for permission in held.permissions)
    if any(not work.caller.may(*one) for one in (*everywhere, *held.grants)):
        raise MoreThanOwn


async def check_not_last(work: Work, user: UserRow) -> None:
    """Raises LastPlatformAdmin if there is no other platform administrator who could log in."""
    if not user.platform_admin:
        return
    admins = await Users(work).platform_admins(locked=True)
    if not any(one.id != user.id for one in admins):
        raise LastPlatformAdmin


def check_managed(work: Work, user: UserRow) -> None:
    """Raises AccountNotYours if the caller may not change the account itself."""
    if not work.caller.platform and user.managed_by != work.organization_id:
        raise AccountNotYours


async def _change_place(work: Work, access: Access, one: Person, given: Mapping[str, Any]) -> None:
    member = one.member
    roles, tier = given.get("roles", member.roles), given.get("tier", member.tier)
    await access.check_assignable(work, roles, tier)
    member.roles, member.tier = _unique(roles), tier
    await Members(work).changed(member)
    await void_tokens(work, one.user.id)
    work.announce(MembersChanged(one.user.id, "changed"))


def _unique(roles: list[str]) -> list[str]:
    return list(dict.fromkeys(roles))
