"""The SQL of organizations, people and logins.

Accounts and logins are not an organization's: statements about them say themselves whom they are for. What an
organization sees of people, it sees through its members.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, delete, func, insert, or_, select, update

from toolyard.control.base.pages import Page, PageQuery, read_page
from toolyard.control.base.store import Store, flush
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.identity.errors import (
    AlreadyMember,
    EmailTaken,
    LoginUnknown,
    OrganizationUnknown,
    SecretUnknown,
    UsernameTaken,
    UserUnknown,
)
from toolyard.control.identity.model import (
    LoginRow,
    MemberRow,
    OrganizationRow,
    RevocationRow,
    ServiceSecretRow,
    UserRow,
)
from toolyard.kit.errors import PlatformError

AnyRow = TypeVar("AnyRow")
Stamped = TypeVar("Stamped", OrganizationRow, UserRow)


class Organizations:
    """All organizations."""

    def __init__(self, work: Work) -> None:
        self.work = work

    async def get(self, organization_id: str) -> OrganizationRow:
        """Raises OrganizationUnknown."""
        return _found(await self.work.session.get(OrganizationRow, organization_id), OrganizationUnknown)

    async def named(self, id_or_slug: str) -> OrganizationRow | None:
        """The organization with that id or slug."""
        here = or_(OrganizationRow.id == id_or_slug, OrganizationRow.slug == id_or_slug)
        return (await self.work.session.execute(select(OrganizationRow).where(here).limit(1))).scalar_one_or_none()

    async def page(self, query: PageQuery, *conditions: ColumnElement[bool]) -> Page[OrganizationRow]:
        """One page. Raises Invalid."""
        sortable = {"slug": OrganizationRow.slug, "name": OrganizationRow.name}
        chosen = select(OrganizationRow).where(*conditions)
        return await read_page(
            self.work.session, chosen, OrganizationRow, query, sortable, ("slug", "name", "description")
        )

    async def of(self, user_id: str) -> list[OrganizationRow]:
        """Those that a user belongs to and that are enabled, in the order in which they joined. For work of all
        organizations."""
        joined = select(OrganizationRow).join(MemberRow, MemberRow.organization_id == OrganizationRow.id)
        mine = joined.where(MemberRow.user_id == user_id, OrganizationRow.enabled).order_by(MemberRow.id)
        return list((await self.work.session.execute(mine)).scalars())

    async def add(self, row: OrganizationRow) -> OrganizationRow:
        """Raises Taken."""
        return await _added(self.work, row)


class Users:
    """All accounts."""

    sortable = {"username": UserRow.username, "created_at": UserRow.created_at}
    searched = ("username", "full_name", "email")

    def __init__(self, work: Work) -> None:
        self.work = work

    async def get(self, user_id: str) -> UserRow:
        """Raises UserUnknown."""
        return _found(await self.work.session.get(UserRow, user_id), UserUnknown)

    async def named(self, name: str) -> UserRow | None:
        """The account with that user name or e-mail address."""
        column = UserRow.email if "@" in name else UserRow.username
        return (await self.work.session.execute(select(UserRow).where(column == name))).scalar_one_or_none()

    async def page(self, query: PageQuery, *conditions: ColumnElement[bool]) -> Page[UserRow]:
        """One page. Raises Invalid."""
        chosen = select(UserRow).where(*conditions)
        return await read_page(self.work.session, chosen, UserRow, query, self.sortable, self.searched)

    async def add(self, row: UserRow) -> UserRow:
        """Raises UsernameTaken, EmailTaken."""
        await self.check_free(row.username, row.email)
        return await _added(self.work, row, UsernameTaken)

    async def check_free(self, username: str | None, email: str | None) -> None:
        """Raises UsernameTaken, EmailTaken."""
        for value, column, error in ((username, UserRow.username, UsernameTaken), (email, UserRow.email, EmailTaken)):
            if value is None:
                continue
            taken = await self.work.session.execute(select(UserRow.id).where(column == value))
            if taken.scalar_one_or_none() is not None:
                raise error

    async def platform_admins(self, *, locked: bool = False) -> list[UserRow]:
        """The platform administrators whose accounts are enabled. `locked`: nobody else changes them meanwhile."""
        chosen = select(UserRow).where(UserRow.platform_admin, UserRow.enabled).order_by(UserRow.id)
        return list((await self.work.session.execute(chosen.with_for_update() if locked else chosen)).scalars())

    async def has_platform_admin(self) -> bool:
        """Whether there is any platform administrator."""
        number = await self.work.session.execute(select(func.count()).where(UserRow.platform_admin))
        return number.scalar_one() > 0


@dataclass(frozen=True, slots=True)
class Person:
    """An account and its place in an organization."""

    user: UserRow
    member: MemberRow


class Members(Store[MemberRow]):
    """The people and service accounts of one organization."""

    row = MemberRow
    missing = UserUnknown
    taken = AlreadyMember

    async def person(self, user_id: str) -> Person:
        """The person with that account. Raises UserUnknown."""
        found = (await self.session.execute(self._people().where(UserRow.id == user_id))).one_or_none()
        if found is None:
            raise UserUnknown
        user, member = found
        return Person(user, member)

    async def people(self, query: PageQuery, *conditions: ColumnElement[bool]) -> tuple[list[Person], str | None]:
        """One page of people, and where the next begins. Raises Invalid."""
        ids = self.scoped().with_only_columns(MemberRow.user_id)
        chosen = select(UserRow).where(UserRow.id.in_(ids), *conditions)
        page = await read_page(self.session, chosen, UserRow, query, Users.sortable, Users.searched)
        places = await self.every(MemberRow.user_id.in_([user.id for user in page.rows]))
        place = {member.user_id: member for member in places}
        return [Person(user, place[user.id]) for user in page.rows], page.next_cursor

    def _people(self) -> Select[UserRow, MemberRow]:
        mine = self.scoped().join(UserRow, MemberRow.user_id == UserRow.id)
        return mine.with_only_columns(UserRow, MemberRow)


async def memberships(work: Work, *user_ids: str) -> list[MemberRow]:
    """All memberships of some users, the oldest first. For work of all organizations."""
    chosen = select(MemberRow).where(MemberRow.user_id.in_(user_ids)).order_by(MemberRow.id)
    return list((await work.session.execute(chosen)).scalars())


async def users_of(work: Work, organization_id: str) -> list[str]:
    """The ids of all who belong to an organization. For work of all organizations."""
    chosen = select(MemberRow.user_id).where(MemberRow.organization_id == organization_id)
    return list((await work.session.execute(chosen)).scalars())


async def membership(work: Work, organization_id: str, user_id: str) -> MemberRow | None:
    """A user's place in an organization."""
    here = select(MemberRow).where(MemberRow.organization_id == organization_id, MemberRow.user_id == user_id)
    return (await work.session.execute(here)).scalar_one_or_none()


async def add_member(work: Work, organization_id: str, member: MemberRow) -> MemberRow:
    """A new place in any organization. Raises AlreadyMember. For work of all organizations."""
    member.id, member.organization_id = new_id("me"), organization_id
    member.created_at = member.updated_at = work.now
    work.session.add(member)
    await flush(work, AlreadyMember)
    return member


class Logins:
    """The logins of people."""

    def __init__(self, work: Work) -> None:
        self.work = work

    async def find(self, login_id: str, *, locked: bool = False) -> tuple[LoginRow, UserRow] | None:
        """A login and whose it is. `locked`: nobody else changes it meanwhile."""
        joined = select(LoginRow, UserRow).join(UserRow, LoginRow.user_id == UserRow.id).where(LoginRow.id == login_id)
        joined = joined.with_for_update(of=LoginRow) if locked else joined
        found = (await self.work.session.execute(joined)).one_or_none()
        return (found[0], found[1]) if found else None

    async def live(self, *user_ids: str, locked: bool = False) -> list[LoginRow]:
        """The logins of some users that are not over, the newest first. `locked`: nobody else changes them
        meanwhile."""
        now = self.work.now
        chosen = select(LoginRow).where(
            LoginRow.user_id.in_(user_ids), LoginRow.ended_at.is_(None), LoginRow.expires_at > now
        )
        chosen = chosen.order_by(LoginRow.id.desc())
        return list((await self.work.session.execute(chosen.with_for_update() if locked else chosen)).scalars())

    async def mine(self, login_id: str) -> LoginRow:
        """The caller's own login with that id. Raises LoginUnknown."""
        chosen = select(LoginRow).where(LoginRow.id == login_id, LoginRow.user_id == self.work.caller.id)
        found = await self.work.session.execute(chosen.with_for_update())
        return _found(found.scalar_one_or_none(), LoginUnknown)

    async def add(self, row: LoginRow) -> None:
        """Write a new login, and forget those that were over a month ago."""
        over = self.work.now - dt.timedelta(days=30)
        await self.work.session.execute(delete(LoginRow).where(LoginRow.expires_at < over))
        self.work.session.add(row)
        await flush(self.work)

    async def touch(self, login_id: str) -> None:
        """Note that a login is being used."""
        await self.work.session.execute(update(LoginRow).where(LoginRow.id == login_id).values(used_at=self.work.now))


class Secrets(Store[ServiceSecretRow]):
    """The secrets of an organization's service accounts."""

    row = ServiceSecretRow
    missing = SecretUnknown


async def secret_and_owner(work: Work, secret_id: str) -> tuple[ServiceSecretRow, UserRow] | None:
    """A secret and whose it is. For work of all organizations."""
    joined = select(ServiceSecretRow, UserRow).join(UserRow, ServiceSecretRow.user_id == UserRow.id)
    found = (await work.session.execute(joined.where(ServiceSecretRow.id == secret_id))).one_or_none()
    return (found[0], found[1]) if found else None


async def note_use(work: Work, row: UserRow | ServiceSecretRow) -> None:
    """Note that somebody logged in or a secret was used; that is no new version of the row."""
    kind = type(row)
    column = UserRow.last_login_at if isinstance(row, UserRow) else ServiceSecretRow.used_at
    noted = update(kind).where(kind.id == row.id).values({column: work.now})
    await work.session.execute(noted.execution_options(synchronize_session=False))


async def secrets_of(work: Work, *user_ids: str) -> list[ServiceSecretRow]:
    """All secrets of some service accounts, which nobody else changes meanwhile."""
    chosen = select(ServiceSecretRow).where(ServiceSecretRow.user_id.in_(user_ids)).with_for_update()
    return list((await work.session.execute(chosen)).scalars())


class Revocations:
    """The handles of access tokens that are void before their time."""

    def __init__(self, work: Work) -> None:
        self.work = work

    async def add(self, handles: Sequence[str], *, kept: dt.timedelta) -> None:
        """Void them, and forget those whose tokens have expired. None of them has been void before."""
        now = self.work.now
        await self.work.session.execute(delete(RevocationRow).where(RevocationRow.until < now))
        if handles:
            rows = [{"handle": handle, "until": now + kept} for handle in handles]
            await self.work.session.execute(insert(RevocationRow), rows)

    async def every(self) -> list[str]:
        """Those whose tokens may still not have expired."""
        chosen = select(RevocationRow.handle).where(RevocationRow.until >= self.work.now)
        return list((await self.work.session.execute(chosen.order_by(RevocationRow.handle))).scalars())


async def _added(work: Work, row: Stamped, taken: type[PlatformError] | None = None) -> Stamped:
    row.created_at = row.updated_at = work.now
    work.session.add(row)
    await (flush(work, taken) if taken else flush(work))
    return row


def _found(row: AnyRow | None, missing: type[PlatformError]) -> AnyRow:
    if row is None:
        raise missing
    return row
