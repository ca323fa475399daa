"""What has happened to roles, tiers and grants."""

from __future__ import annotations

from dataclasses import dataclass

from toolyard.control.base.facts import Fact
from toolyard.control.identity.events import StandingChanged


@dataclass(frozen=True, slots=True)
class RoleCreated(Fact):
    """The organization has a new role of its own."""

    role: str


@dataclass(frozen=True, slots=True)
class RoleChanged(StandingChanged):
    """A role allows something else, or is called otherwise."""

    role: str


@dataclass(frozen=True, slots=True)
class RoleRemoved(StandingChanged):
    """A role is gone."""

    role: str


@dataclass(frozen=True, slots=True)
class TierChanged(Fact):
    """A tier is new, different or gone."""

    tier: str


@dataclass(frozen=True, slots=True)
class PermissionGranted(StandingChanged):
    """A member has a permission beside their roles."""

    user_id: str
    permission: str
    resource: str


@dataclass(frozen=True, slots=True)
class PermissionWithdrawn(StandingChanged):
    """A member no longer has a permission that had been granted."""

    user_id: str
    permission: str
    resource: str
