"""The first administrator: made with a token that only whoever can read the data directory has, once. There is no
default password, ever."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Final

from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.identity.entrance import EVERYWHERE, Entrance
from toolyard.control.identity.errors import SetupDone, SetupTokenWrong
from toolyard.control.identity.events import PlatformAdminChanged, UserCreated
from toolyard.control.identity.model import DEFAULT_ORGANIZATION, OrganizationRow, UserRow
from toolyard.control.identity.store import Users
from toolyard.kit.secret import Secret
from toolyard.kit.secret_files import read_or_make, read_private

SETUP_FILE: Final = "setup.token"


def setup_token(data_dir: Path) -> str:
    """The token of the set-up link, made on first use. Raises SecretFileExposed, SecretFileUnusable, OSError."""
    made = read_or_make(data_dir / SETUP_FILE, lambda: secrets.token_urlsafe(32).encode(), point="setup")
    return made.decode("ascii", "replace").strip()


async def setup_needed(work: Work) -> bool:
    """Whether there is no platform administrator yet."""
    return not await Users(work).has_platform_admin()


class SettingUp:
    """Makes the first administrator of the platform."""

    def __init__(self, entrance: Entrance, data_dir: Path) -> None:
        self._entrance = entrance
        self._file = data_dir / SETUP_FILE

    async def first_admin(
        self, token: Secret, username: str, password: Secret, email: str | None, address: str
    ) -> UserRow:
        """The administrator; the token is burnt. Raises SetupDone, SetupTokenWrong, PasswordRejected, LoginDelayed."""
        works = self._entrance.works
        async with works.read(EVERYWHERE) as work:
            if not await setup_needed(work):
                raise SetupDone
        key = self._entrance.delays.begin("set-up", address)
        expected = read_private(self._file)
        if expected is None or not hmac.compare_digest(token.reveal().encode(), expected.strip()):
            raise SetupTokenWrong
        self._entrance.delays.forgive(key)
        kept = await self._entrance.hashed(password, username)
        async with works.write(EVERYWHERE) as work:
            user = await make_first_admin(work, username, kept, email)
        self._file.unlink(missing_ok=True)
        return user


async def make_first_admin(work: Work, username: str, password: str, email: str | None) -> UserRow:
    """A platform administrator with this (hashed) password, where there is none. For work of all organizations. Raises
    SetupDone, UsernameTaken, EmailTaken."""
    await work.session.get(OrganizationRow, DEFAULT_ORGANIZATION, with_for_update=True)
    if not await setup_needed(work):
        raise SetupDone
    user = UserRow(id=new_id("us"), username=username, email=email, password=password, platform_admin=True)
    user = await Users(work).add(user)
    work.announce(UserCreated(user.id, username, "setup"), organization_id=DEFAULT_ORGANIZATION)
    work.announce(PlatformAdminChanged(user.id, platform_admin=True), organization_id=DEFAULT_ORGANIZATION)
    return user
