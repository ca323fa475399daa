"""What the routes of organizations, users and service accounts take and answer."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, Field

from toolyard.control.base.texts import Line, Prose, unset
from toolyard.control.identity.model import MemberRow, OrganizationRow, ServiceSecretRow, UserRow
from toolyard.control.identity.own_account import BASIC_ROLE
from toolyard.control.identity.schema_auth import Account, Email, FullName, Password, Strict, Username
from toolyard.control.identity.store import Person

MAX_ROLES = 50
Slug = Annotated[
    str, Field(min_length=1, max_length=40, pattern=r"^[a-z0-9]([a-z0-9\-]*[a-z0-9])?$", examples=["research"])
]
Title = Annotated[Line, Field(min_length=1, max_length=200, examples=["Research"])]
Description = Annotated[Prose, Field(max_length=2000)]
RoleName = Annotated[Line, Field(min_length=1, max_length=60, examples=["developer"])]
RoleNames = Annotated[list[RoleName], Field(max_length=MAX_ROLES, description="Built-in or own roles, by name.")]
TierName = Annotated[Line, Field(min_length=1, max_length=60, examples=["gold"])]
ServiceName = Annotated[
    str, Field(min_length=1, max_length=50, pattern=r"^[a-z0-9]([a-z0-9._\-]*[a-z0-9])?$", examples=["ci"])
]


class NewOrganization(Strict):
    """A tenant."""

    slug: Slug
    name: Title
    description: Description = ""


class OrganizationChange(Strict):
    """What shall be different. The slug stays: gateways know the organization by it."""

    name: Title = unset()
    description: Description = unset()
    enabled: bool = unset(description="False: its people, keys and servers are out of use at once.")


class Organization(BaseModel):
    """A tenant: it owns upstreams, servers, keys and people's roles."""

    id: str = Field(examples=["or_01jd3qk5m0v7w8x9yab2c3"])
    slug: str
    name: str
    description: str = ""
    enabled: bool = True
    created_at: dt.datetime

    @classmethod
    def of(cls, row: OrganizationRow) -> Organization:
        return cls(
            id=row.id, slug=row.slug, name=row.name, description=row.description, enabled=row.enabled,
            created_at=row.created_at,
        )  # fmt: skip


class NewUser(Strict):
    """A person with a new account, who belongs to the organization."""

    username: Username
    email: Email | None = None
    full_name: FullName = ""
    password: Password | None = Field(None, description="The first password; without one they cannot log in yet.")
    roles: RoleNames = Field(default=[BASIC_ROLE])
    tier: TierName | None = None


class UserChange(Strict):
    """What shall be different: the place in the organization, and the account itself where it is managed here."""

    email: Email | None = unset()
    full_name: FullName = unset()
    enabled: bool = unset(description="False: all their logins end at once.")
    roles: RoleNames = unset()
    tier: TierName | None = unset()


class User(Account):
    """A person in the organization."""

    roles: list[str]
    tier: str | None = None
    managed_here: bool = Field(description="Whether this organization's administrators may change the account itself.")

    @classmethod
    def of_person(cls, person: Person) -> User:
        user, member = person.user, person.member
        return cls(
            **Account.of(user).model_dump(), roles=member.roles, tier=member.tier,
            managed_here=user.managed_by == member.organization_id,
        )  # fmt: skip


class NewPassword(Strict):
    """The password that somebody else shall have from now on."""

    password: Password


class NewMember(Strict):
    """Somebody with an account who shall belong to the organization too."""

    user: Annotated[Line, Field(max_length=320, description="Id, user name or e-mail address.")]
    roles: RoleNames = Field(default=[BASIC_ROLE])
    tier: TierName | None = None


class NewAccount(Strict):
    """An account, in no organization yet."""

    username: Username
    email: Email | None = None
    full_name: FullName = ""
    password: Password | None = None
    platform_admin: bool = False


class AccountChange(Strict):
    """What shall be different."""

    email: Email | None = unset()
    full_name: FullName = unset()
    enabled: bool = unset()
    platform_admin: bool = unset()


class Place(BaseModel):
    """Where somebody belongs."""

    organization_id: str
    roles: list[str]
    tier: str | None = None

    @classmethod
    def of(cls, row: MemberRow) -> Place:
        return cls(organization_id=row.organization_id, roles=row.roles, tier=row.tier)


class AccountWithPlaces(Account):
    """An account and where its owner belongs."""

    organizations: list[Place]

    @classmethod
    def with_places(cls, row: UserRow, places: list[MemberRow]) -> AccountWithPlaces:
        return cls(**Account.of(row).model_dump(), organizations=[Place.of(one) for one in places])


class NewServiceAccount(Strict):
    """A program that manages things or calls tools with a login of its own."""

    name: ServiceName
    description: FullName = ""
    roles: RoleNames = Field(default=[BASIC_ROLE])
    tier: TierName | None = None


class ServiceAccountChange(Strict):
    """What shall be different."""

    description: FullName = unset()
    enabled: bool = unset()
    roles: RoleNames = unset()
    tier: TierName | None = unset()


class ServiceAccount(BaseModel):
    """A program's account."""

    id: str
    name: str
    description: str
    enabled: bool
    roles: list[str]
    tier: str | None = None
    created_at: dt.datetime

    @classmethod
    def of(cls, person: Person) -> ServiceAccount:
        user, member = person.user, person.member
        return cls(
            id=user.id, name=user.username.partition("/")[2], description=user.full_name, enabled=user.enabled,
            roles=member.roles, tier=member.tier, created_at=user.created_at,
        )  # fmt: skip


class NewSecret(Strict):
    """A secret for a service account."""

    name: Annotated[Line, Field(min_length=1, max_length=100, examples=["build server"])]
    expires_at: dt.datetime | None = Field(None, description="With a time zone; without it, it holds until removed.")


class SecretInfo(BaseModel):
    """A secret of a service account, without the secret."""

    id: str = Field(description="Send it as `client_id`.")
    name: str
    last4: str
    expires_at: dt.datetime | None = None
    used_at: dt.datetime | None = None
    created_at: dt.datetime

    @classmethod
    def of(cls, row: ServiceSecretRow) -> SecretInfo:
        return cls(
            id=row.id, name=row.name, last4=row.last4, expires_at=row.expires_at, used_at=row.used_at,
            created_at=row.created_at,
        )  # fmt: skip


class SecretMade(SecretInfo):
    """A new secret. This is the only time that it is shown."""

    client_secret: str = Field(description="Send it as `client_secret` to `/api/v1/auth/token`.")
