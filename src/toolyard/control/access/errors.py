"""What can go wrong with roles, tiers and grants."""

from __future__ import annotations

from typing import ClassVar

from toolyard.control.base.errors import Conflict, Invalid, NotFound


class RoleNotFound(NotFound):
    """There is no role of your organization's own with that id."""


class TierNotFound(NotFound):
    """There is no tier with that id."""


class GrantNotFound(NotFound):
    """There is no grant with that id."""


class RoleInUse(Conflict):
    """Somebody has this role: take it from them first."""

    code: ClassVar[str] = "role_in_use"


class TierInUse(Conflict):
    """Somebody has this tier: take it from them first."""

    code: ClassVar[str] = "tier_in_use"


class RoleBuiltIn(Conflict):
    """A role of that name is built in."""

    code: ClassVar[str] = "role_built_in"


class PermissionUnknown(Invalid):
    """No role of an organization can contain this permission, or there is none of that name."""

    code: ClassVar[str] = "permission_unknown"
