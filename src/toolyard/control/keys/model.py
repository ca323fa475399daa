"""API keys. What is stored opens nothing: see `policy.keys`."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.columns import Instant, Json
from toolyard.control.base.tables import ID_CHARS, Owned, Table, owned, refers_to


class KeyRow(Table, Owned):
    """A key of one virtual server; `id` is the public part of the key itself.

    `user_id`: whose key it is, if it is somebody's: it opens nothing while they may not log in. `retires_at`: the end
    of the grace after a rotation, in which `replaced_by` is the new key. `revoked_at`: disabled, for good. `sealed`:
    the key itself, kept only where showing keys again is switched on."""

    __tablename__ = "keys"
    __table_args__ = owned(refers_to("servers", "server_id"))

    server_id: Mapped[str] = mapped_column(String(ID_CHARS), index=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    digest: Mapped[str] = mapped_column(String(64))
    pepper_version: Mapped[int]
    last4: Mapped[str] = mapped_column(String(4))
    scopes: Mapped[list[str]] = mapped_column(Json, default=list)
    tools: Mapped[list[str]] = mapped_column(Json, default=list)
    networks: Mapped[list[str]] = mapped_column(Json, default=list)
    per_minute: Mapped[dict[str, float] | None] = mapped_column(Json)
    not_before: Mapped[dt.datetime | None] = mapped_column(Instant)
    expires_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    retires_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    revoked_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    replaced_by: Mapped[str | None] = mapped_column(String(ID_CHARS))
    disabled: Mapped[bool] = mapped_column(default=False)
    user_id: Mapped[str | None] = mapped_column(
        String(ID_CHARS), ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    created_by: Mapped[str] = mapped_column(String(200), default="")
    last_used_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    sealed: Mapped[str | None] = mapped_column(Text)
