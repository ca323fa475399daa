"""What people do with their own accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from toolyard.control.base.errors import Invalid
from toolyard.control.base.store import flush
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.identity.entrance import EVERYWHERE, Entrance
from toolyard.control.identity.errors import EmailTaken, LoginUnknown, RegistrationClosed
from toolyard.control.identity.events import MembersChanged, UserChanged, UserCreated
from toolyard.control.identity.model import DEFAULT_ORGANIZATION, MemberRow, UserRow
from toolyard.control.identity.revocation import end_login
from toolyard.control.identity.schema_auth import MAX_JSON, ProfileChange, Registration, secret
from toolyard.control.identity.store import Logins, Users, add_member

BASIC_ROLE = "member"
RegistrationOpen = Callable[[Work], Awaitable[bool]]


async def register(entrance: Entrance, is_open: RegistrationOpen, wanted: Registration) -> UserRow:
    """A new account with the basic role in the default organization. Raises RegistrationClosed, EmailTaken,
    UsernameTaken, PasswordRejected."""
    async with entrance.works.read(EVERYWHERE) as work:
        if not await is_open(work):
            raise RegistrationClosed
        await Users(work).check_free(wanted.username, wanted.email)
    kept = await entrance.hashed(secret(wanted.password), wanted.username)
    user = UserRow(
        id=new_id("us"), username=wanted.username, email=wanted.email, full_name=wanted.full_name, password=kept
    )
    async with entrance.works.write(EVERYWHERE) as work:
        await Users(work).add(user)
        await add_member(work, DEFAULT_ORGANIZATION, MemberRow(user_id=user.id, roles=[BASIC_ROLE]))
        work.announce(UserCreated(user.id, user.username, "registration"), organization_id=DEFAULT_ORGANIZATION)
        work.announce(MembersChanged(user.id, "joined"), organization_id=DEFAULT_ORGANIZATION)
    return user


async def change_profile(work: Work, change: ProfileChange) -> UserRow:
    """Raises EmailTaken, UserUnknown, Invalid."""
    users = Users(work)
    user = await users.get(work.caller.id)
    given = change.model_dump(exclude_unset=True)
    if "email" in given and given["email"] != user.email:
        await users.check_free(None, given["email"])
        user.email = given["email"]
    if given.get("full_name") is not None:
        user.full_name = given["full_name"]
    if given.get("details") is not None:
        user.profile = merged(user.profile, given["details"])
    user.updated_at = work.now
    await flush(work, EmailTaken)
    work.announce(UserChanged(user.id, sorted(given)))
    return user


async def change_preferences(work: Work, given: Mapping[str, Any]) -> UserRow:
    """Raises UserUnknown, Invalid."""
    user = await Users(work).get(work.caller.id)
    user.preferences = merged(user.preferences, given)
    user.updated_at = work.now
    await flush(work)
    return user


async def end_own_login(work: Work, login_id: str, because: str) -> None:
    """Raises LoginUnknown."""
    login = await Logins(work).mine(login_id)
    if login.ended_at is not None:
        raise LoginUnknown
    await end_login(work, login, because)


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Both, where a null of the new takes one away. Raises Invalid if that is too much."""
    both = {name: value for name, value in {**old, **new}.items() if value is not None}
    if len(str(both)) > MAX_JSON:
        raise Invalid(f"all of this together is more than {MAX_JSON} characters")
    return both
