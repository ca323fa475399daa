"""What can go wrong with virtual servers."""

from __future__ import annotations

from typing import ClassVar

from toolyard.control.base.errors import Invalid, NotFound, Taken


class ServerUnknown(NotFound):
    """There is no virtual server with that id here."""

    code: ClassVar[str] = "server_not_found"


class ServerTaken(Taken):
    """A virtual server with that code or title exists already."""

    code: ClassVar[str] = "server_taken"


class RoleOrTierUnknown(Invalid):
    """A virtual server can only be for roles and tiers that the organization has."""

    code: ClassVar[str] = "role_or_tier_unknown"
