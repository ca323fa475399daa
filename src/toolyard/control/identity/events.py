"""What has happened to organizations, people and logins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from toolyard.control.base.facts import Fact


@dataclass(frozen=True, slots=True)
class StandingChanged(Fact):
    """Who somebody is, or what they may do, may be different now: nothing that was found out about it before holds."""


@dataclass(frozen=True, slots=True)
class OrganizationCreated(Fact):
    """There is a new organization."""

    slug: str


@dataclass(frozen=True, slots=True)
class OrganizationChanged(Fact):
    """An organization's name or description is different."""


@dataclass(frozen=True, slots=True)
class OrganizationDisabled(StandingChanged):
    """An organization is out of use: its people, keys and servers with it."""


@dataclass(frozen=True, slots=True)
class OrganizationEnabled(StandingChanged):
    """An organization is in use again."""


@dataclass(frozen=True, slots=True)
class OrganizationRemoved(StandingChanged):
    """An organization is gone, with all it had."""

    slug: str


@dataclass(frozen=True, slots=True)
class UserCreated(Fact):
    """There is a new account."""

    publishes: ClassVar[bool] = False
    username: str
    how: str


@dataclass(frozen=True, slots=True)
class UserChanged(StandingChanged):
    """An account is different. `what`: the names of the fields."""

    publishes: ClassVar[bool] = False
    what: list[str]


@dataclass(frozen=True, slots=True)
class UserDisabled(StandingChanged):
    """An account is out of use, and its logins have ended."""


@dataclass(frozen=True, slots=True)
class UserEnabled(StandingChanged):
    """An account is in use again."""


@dataclass(frozen=True, slots=True)
class UserRemoved(StandingChanged):
    """An account is gone."""

    username: str


@dataclass(frozen=True, slots=True)
class PlatformAdminChanged(StandingChanged):
    """Somebody became a platform administrator or is one no more."""

    platform_admin: bool


@dataclass(frozen=True, slots=True)
class PasswordChanged(StandingChanged):
    """A password is another one. `by_owner`: its owner changed it."""

    publishes: ClassVar[bool] = False
    by_owner: bool


@dataclass(frozen=True, slots=True)
class PasswordConfirmed(StandingChanged):
    """In a login (the id), its owner has proved the password again."""

    publishes: ClassVar[bool] = False
    user_id: str


@dataclass(frozen=True, slots=True)
class MembersChanged(StandingChanged):
    """A user (the id) joined or left the organization, or has other roles or another tier there."""

    what: str


@dataclass(frozen=True, slots=True)
class LoginBegun(Fact):
    """Somebody logged in."""

    publishes: ClassVar[bool] = False
    user_id: str


@dataclass(frozen=True, slots=True)
class LoginEnded(StandingChanged):
    """A login is over."""

    user_id: str
    because: str


@dataclass(frozen=True, slots=True)
class TokensRevoked(StandingChanged):
    """Access tokens given to a user (the id) are void before their time."""


@dataclass(frozen=True, slots=True)
class SecretCreated(Fact):
    """A service account (`user_id`) has a new secret."""

    publishes: ClassVar[bool] = False
    user_id: str


@dataclass(frozen=True, slots=True)
class SecretRemoved(StandingChanged):
    """A secret of a service account is void."""

    user_id: str


@dataclass(frozen=True, slots=True)
class SigningKeysRotated(Fact):
    """Access tokens are signed with a new key; the id is its id."""
