"""Virtual servers."""

from __future__ import annotations

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.columns import Json
from toolyard.control.base.tables import Owned, Table, owned


class ServerRow(Table, Owned):
    """A virtual server. `code` is its part of the URL, the same for nobody else on the platform; it never changes.

    Its tools are what the patterns in `tools` name and what is in `chosen` one by one ("namespace/tool"); `overrides`
    are by "namespace/tool" too. `prompts` and `resources`: patterns, or None for those of its tools' upstreams.
    `per_key` and `per_server` are limits as {"per_minute", "burst"}. A server with `owner` "file" is described in the
    configuration file, at `line` of `file`."""

    __tablename__ = "servers"
    __table_args__ = owned(UniqueConstraint("code"), UniqueConstraint("organization_id", "title"))

    code: Mapped[str] = mapped_column(String(63))
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(String(2000), default="")
    instructions: Mapped[str | None] = mapped_column(Text)
    names: Mapped[str] = mapped_column(String(20), default="prefixed")
    tools: Mapped[list[str]] = mapped_column(Json, default=list)
    chosen: Mapped[list[str]] = mapped_column(Json, default=list)
    prompts: Mapped[list[str] | None] = mapped_column(Json)
    resources: Mapped[list[str] | None] = mapped_column(Json)
    overrides: Mapped[dict[str, dict[str, object]]] = mapped_column(Json, default=dict)
    roles: Mapped[list[str]] = mapped_column(Json, default=list)
    tiers: Mapped[list[str]] = mapped_column(Json, default=list)
    access: Mapped[str] = mapped_column(String(20), default="key")
    enabled: Mapped[bool] = mapped_column(default=True, index=True)
    per_key: Mapped[dict[str, float] | None] = mapped_column(Json)
    per_server: Mapped[dict[str, float] | None] = mapped_column(Json)
    created_by: Mapped[str] = mapped_column(String(200), default="", index=True)
    owner: Mapped[str] = mapped_column(String(20), default="database")
    file: Mapped[str | None] = mapped_column(String(1000))
    line: Mapped[int | None]
