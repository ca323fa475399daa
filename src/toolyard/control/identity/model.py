"""Organizations, the people in them, and their logins."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.columns import Instant, Json
from toolyard.control.base.tables import ID_CHARS, Changing, Owned, Table, owned

DEFAULT_ORGANIZATION = "default"
"""The organization that is there from the beginning; what the configuration file describes belongs to it."""


class OrganizationRow(Table, Changing):
    """A tenant. `slug` is its name in ids that gateways see; it never changes."""

    __tablename__ = "organizations"

    slug: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(String(2000), default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    settings: Mapped[dict[str, object]] = mapped_column(Json, default=dict)


class UserRow(Table, Changing):
    """A person with a login, or a service account of one organization (`service_of`), which has keys instead of a
    password. `tokens_after`: access tokens from before are void."""

    __tablename__ = "users"
    username: Mapped[str] = mapped_column(String(100), unique=True)
    email: Mapped[str | None] = mapped_column(String(320), unique=True)
    full_name: Mapped[str] = mapped_column(String(200), default="")
    password: Mapped[str | None] = mapped_column(String(500))
    enabled: Mapped[bool] = mapped_column(default=True)
    platform_admin: Mapped[bool] = mapped_column(default=False)
    service_of: Mapped[str | None] = mapped_column(
        String(ID_CHARS), ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    tokens_after: Mapped[dt.datetime | None] = mapped_column(Instant)
    last_login_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    profile: Mapped[dict[str, object]] = mapped_column(Json, default=dict)
    preferences: Mapped[dict[str, object]] = mapped_column(Json, default=dict)


class MemberRow(Table, Owned):
    """A user's place in an organization: which roles and which tier."""

    __tablename__ = "members"
    __table_args__ = owned(UniqueConstraint("organization_id", "user_id"))

    user_id: Mapped[str] = mapped_column(String(ID_CHARS), ForeignKey("users.id", ondelete="CASCADE"), index=True)
    roles: Mapped[list[str]] = mapped_column(Json, default=list)
    tier: Mapped[str | None] = mapped_column(String(60))
