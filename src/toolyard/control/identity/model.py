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
    """A person with a login, or a service account of one organization (`service_of`), which has secrets instead of a
    password. `managed_by`: the organization whose administrators may change the account itself; none if it is its
    owner's or belongs to several organizations. `tokens_after`: access tokens from before are void."""

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
    managed_by: Mapped[str | None] = mapped_column(
        String(ID_CHARS), ForeignKey("organizations.id", ondelete="SET NULL"), index=True
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


class LoginRow(Table):
    """A login of a person: from a proof of the password until it is ended, unused for too long, or too old. Its secret
    and its refresh token are kept as digests. `epoch` grows when what its owner may do gets less: access tokens name
    the login and the epoch (`handle`), so that all from before are void."""

    __tablename__ = "logins"

    id: Mapped[str] = mapped_column(String(ID_CHARS), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(ID_CHARS), ForeignKey("users.id", ondelete="CASCADE"), index=True)
    organization: Mapped[str | None] = mapped_column(
        String(ID_CHARS), ForeignKey("organizations.id", ondelete="SET NULL"), index=True
    )
    digest: Mapped[str] = mapped_column(String(64))
    refresh_digest: Mapped[str | None] = mapped_column(String(64))
    by_cookie: Mapped[bool]
    epoch: Mapped[int] = mapped_column(default=1)
    address: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(300), default="")
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    used_at: Mapped[dt.datetime] = mapped_column(Instant)
    expires_at: Mapped[dt.datetime] = mapped_column(Instant, index=True)
    fresh_until: Mapped[dt.datetime] = mapped_column(Instant)
    ended_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    ended_because: Mapped[str | None] = mapped_column(String(40))

    @property
    def handle(self) -> str:
        """What access tokens call this login."""
        return f"{self.id}.{self.epoch}"


class ServiceSecretRow(Table, Owned):
    """One secret with which a service account gets access tokens, kept as a peppered digest."""

    __tablename__ = "service_secrets"
    __table_args__ = owned()

    user_id: Mapped[str] = mapped_column(String(ID_CHARS), ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64))
    pepper_version: Mapped[int]
    last4: Mapped[str] = mapped_column(String(4))
    epoch: Mapped[int] = mapped_column(default=1)
    expires_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    used_at: Mapped[dt.datetime | None] = mapped_column(Instant)

    @property
    def handle(self) -> str:
        """What access tokens call this secret."""
        return f"{self.id}.{self.epoch}"


class RevocationRow(Table):
    """The handle of access tokens that are void although they have not expired yet; after `until` they have."""

    __tablename__ = "revocations"

    handle: Mapped[str] = mapped_column(String(80), primary_key=True)
    until: Mapped[dt.datetime] = mapped_column(Instant, index=True)
