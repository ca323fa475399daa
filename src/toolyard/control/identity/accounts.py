"""All accounts, as platform administrators see them. All of this is work of all organizations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolyard.control.base.database import EVERYBODY
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.identity import people
from toolyard.control.identity.events import PlatformAdminChanged, UserCreated, UserRemoved
from toolyard.control.identity.model import UserRow
from toolyard.control.identity.revocation import void_tokens
from toolyard.control.identity.store import Users


async def create(work: Work, user: UserRow) -> UserRow:
    """A new account. Raises UsernameTaken, EmailTaken."""
    user.id = new_id("us")
    await Users(work).add(user)
    work.announce(UserCreated(user.id, user.username, "platform"), organization_id=EVERYBODY)
    if user.platform_admin:
        work.announce(PlatformAdminChanged(user.id, platform_admin=True), organization_id=EVERYBODY)
    return user


async def change(work: Work, user: UserRow, given: Mapping[str, Any]) -> UserRow:
    """What is given is different. Raises EmailTaken, LastPlatformAdmin."""
    was_admin, is_admin = user.platform_admin, given.get("platform_admin", user.platform_admin)
    if was_admin and not is_admin:
        await people.check_not_last(work, user)
    await people.change_account(work, user, given)
    if was_admin != is_admin:
        user.platform_admin, user.managed_by = is_admin, None
        await void_tokens(work, user.id)
        work.announce(PlatformAdminChanged(user.id, platform_admin=is_admin), organization_id=EVERYBODY)
    return user


async def remove(work: Work, user: UserRow) -> None:
    """An account is gone, with all its places. Raises LastPlatformAdmin."""
    await people.check_not_last(work, user)
    await people.shut_out(work, user, "removed")
    work.announce(UserRemoved(user.id, user.username), organization_id=EVERYBODY)
    await work.session.delete(user)
    await work.session.flush()
