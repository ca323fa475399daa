"""The gateways that have reported here."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.columns import Instant
from toolyard.control.base.tables import Table


class GatewayRow(Table):
    """One gateway process: what it has in force, and when it was last heard."""

    __tablename__ = "gateways"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger, default=0)
    rejected: Mapped[str | None] = mapped_column(String(2000))
    first_seen_at: Mapped[dt.datetime] = mapped_column(Instant)
    last_seen_at: Mapped[dt.datetime] = mapped_column(Instant, index=True)
