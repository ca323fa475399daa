"""What the routes of roles, tiers and grants take and answer."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from toolyard.control.access.model import NAME_CHARS, GrantRow, RoleRow, TierRow
from toolyard.control.base.texts import Line, Prose, unset
from toolyard.policy.permissions import BUILT_IN, PLATFORM

MAX_PERMISSIONS = 100
_NAME = r"^[a-z0-9][a-z0-9_\-]*$"
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS, pattern=_NAME, examples=["analyst"])]
Permission = Annotated[Line, Field(max_length=NAME_CHARS, examples=["tools.call"])]
Permissions = Annotated[list[Permission], Field(max_length=MAX_PERMISSIONS, examples=[["tools.read", "tools.call"]])]
Resource = Annotated[
    Line, Field(max_length=200, pattern=r"^([a-z_]+:\S+)?$", examples=["server:sv_01jd3qk5m0v7w8x9yab2c3"])
]
Limit = Annotated[int, Field(ge=1, le=1_000_000)]


class Strict(BaseModel):
    """What is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class KnownPermission(BaseModel):
    """Something that can be allowed."""

    name: str = Field(examples=["upstreams.write"])
    description: str
    platform: bool = Field(description="Concerns the whole platform: no role of an organization can contain it.")

    @classmethod
    def of(cls, name: str, description: str) -> KnownPermission:
        return cls(name=name, description=description, platform=name in PLATFORM)


class NewRole(Strict):
    """A role of the organization's own."""

    name: Name
    description: Annotated[Prose, Field(max_length=500)] = ""
    permissions: Permissions


class RoleChange(Strict):
    """What shall be different. A role's name stays, since members have it by name."""

    description: Annotated[Prose, Field(max_length=500)] = unset()
    permissions: Permissions = unset()


class Role(BaseModel):
    """What somebody with this role may do."""

    id: str | None = Field(None, description="None of a built-in role, which stays as it is.")
    name: str
    description: str = ""
    permissions: list[str]
    built_in: bool = False

    @classmethod
    def of(cls, row: RoleRow) -> Role:
        return cls(id=row.id, name=row.name, description=row.description, permissions=row.permissions)

    @classmethod
    def built_in_ones(cls) -> list[Role]:
        return [cls(id=None, name=name, permissions=sorted(has), built_in=True) for name, has in BUILT_IN.items()]


class RoleList(BaseModel):
    """All roles that members can have here."""

    items: list[Role]


class TierChange(Strict):
    """What shall be different. A tier's name stays, since members have it by name."""

    description: Annotated[Prose, Field(max_length=500)] = unset()
    per_minute: Limit | None = unset(
        description="Calls that each member may make in a minute; null: as many as they want."
    )


class NewTier(Strict):
    """Limits that members have by the tier's name."""

    name: Name
    description: Annotated[Prose, Field(max_length=500)] = ""
    per_minute: Limit | None = Field(None, description="Calls that each member may make in a minute.")


class Tier(NewTier):
    """A tier."""

    model_config = ConfigDict(extra="ignore")

    id: str

    @classmethod
    def of(cls, row: TierRow) -> Tier:
        return cls(id=row.id, name=row.name, description=row.description, per_minute=row.per_minute)


class NewGrant(Strict):
    """A permission for a member beside their roles."""

    user_id: Annotated[Line, Field(max_length=40)]
    permission: Permission
    resource: Resource = Field("", description="Only on this one, such as `server:sv_…`; empty: everywhere.")


class Grant(BaseModel):
    """A permission that was granted."""

    id: str
    user_id: str
    permission: str
    resource: str
    granted_by: str
    created_at: dt.datetime

    @classmethod
    def of(cls, row: GrantRow) -> Grant:
        return cls(
            id=row.id, user_id=row.user_id, permission=row.permission, resource=row.resource,
            granted_by=row.granted_by, created_at=row.created_at,
        )  # fmt: skip


class Question(Strict):
    """May this member do this?"""

    user_id: Annotated[Line, Field(max_length=40)]
    action: Permission
    resource: Resource = ""


class Answer(BaseModel):
    """Whether they may."""

    allowed: bool
