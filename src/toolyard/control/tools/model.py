"""What upstreams offer: each definition once, by its digest, and each tool, resource and prompt with what is said of it
here."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.columns import Instant, Json
from toolyard.control.base.tables import ID_CHARS, Owned, Table, owned, refers_to

LABEL_CHARS = 200
TAGS_CHARS = 2200


class DefinitionRow(Table, Owned):
    """One definition as an upstream sent it, its members in their order, under the digest of its content. It never
    changes."""

    __tablename__ = "definitions"
    __table_args__ = owned(UniqueConstraint("organization_id", "digest"))

    digest: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(10))
    content: Mapped[dict[str, object]] = mapped_column(JSON)


class ToolRow(Table, Owned):
    """One tool, resource, resource template or prompt of an upstream. `name` is what the upstream knows it by (of a
    resource, its URI); `key` stands for it where a text must be short, `label` where it is ordered. `tags`: as
    `,one,two,`, so that one can be looked for. `gone_at`: since when the upstream offers it no more."""

    __tablename__ = "tools"
    __table_args__ = owned(
        UniqueConstraint("organization_id", "upstream_id", "key"),
        refers_to("upstreams", "upstream_id"),
        Index("ix_tools_label", "organization_id", "label", "id"),
    )

    upstream_id: Mapped[str] = mapped_column(String(ID_CHARS), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    name: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(LABEL_CHARS))
    digest: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(500), default="")
    description: Mapped[str] = mapped_column(Text, default="")
    first_seen_at: Mapped[dt.datetime] = mapped_column(Instant)
    changed_at: Mapped[dt.datetime] = mapped_column(Instant)
    gone_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    enabled: Mapped[bool] = mapped_column(default=True)
    timeout_s: Mapped[float | None]
    category: Mapped[str] = mapped_column(String(100), default="")
    tags: Mapped[str] = mapped_column(String(TAGS_CHARS), default="")
    owner: Mapped[str | None] = mapped_column(String(ID_CHARS), ForeignKey("users.id", ondelete="SET NULL"), index=True)
    settings: Mapped[dict[str, object]] = mapped_column(Json, default=dict)


class ObservedRow(Table, Owned):
    """What an upstream was seen to offer the last time, as a whole."""

    __tablename__ = "observed"
    __table_args__ = owned(UniqueConstraint("organization_id", "upstream_id"), refers_to("upstreams", "upstream_id"))

    upstream_id: Mapped[str] = mapped_column(String(ID_CHARS))
    digest: Mapped[str] = mapped_column(String(100))
    seen_at: Mapped[dt.datetime] = mapped_column(Instant)
    era: Mapped[str] = mapped_column(String(20), default="")
    revision: Mapped[str] = mapped_column(String(40), default="")
    server: Mapped[dict[str, object]] = mapped_column(Json, default=dict)
    instructions: Mapped[str] = mapped_column(Text, default="")
