"""Roles, tiers and grants of an organization."""

from __future__ import annotations

from sqlalchemy import ForeignKeyConstraint, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.columns import Json
from toolyard.control.base.tables import ID_CHARS, Owned, Table, owned

NAME_CHARS = 60


class RoleRow(Table, Owned):
    """A role of the organization's own. Members have roles by name; the built-in ones are in `policy.permissions`."""

    __tablename__ = "roles"
    __table_args__ = owned(UniqueConstraint("organization_id", "name"))

    name: Mapped[str] = mapped_column(String(NAME_CHARS))
    description: Mapped[str] = mapped_column(String(500), default="")
    permissions: Mapped[list[str]] = mapped_column(Json, default=list)


class TierRow(Table, Owned):
    """Limits that members have by the tier's name: how many calls each of them may make in a minute."""

    __tablename__ = "tiers"
    __table_args__ = owned(UniqueConstraint("organization_id", "name"))

    name: Mapped[str] = mapped_column(String(NAME_CHARS))
    description: Mapped[str] = mapped_column(String(500), default="")
    per_minute: Mapped[int | None]


class GrantRow(Table, Owned):
    """One permission of one member beside their roles: everywhere in the organization, or on one resource such as
    `server:sv_…`. It goes with the membership."""

    __tablename__ = "grants"
    __table_args__ = owned(
        UniqueConstraint("organization_id", "user_id", "permission", "resource"),
        ForeignKeyConstraint(
            ["organization_id", "user_id"], ["members.organization_id", "members.user_id"], ondelete="CASCADE"
        ),
    )

    user_id: Mapped[str] = mapped_column(String(ID_CHARS), index=True)
    permission: Mapped[str] = mapped_column(String(NAME_CHARS))
    resource: Mapped[str] = mapped_column(String(200), default="")
    granted_by: Mapped[str] = mapped_column(String(ID_CHARS))
