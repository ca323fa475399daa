"""Gateways over HTTP."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, Field

from toolyard.control.gateways.model import GatewayRow


class Gateway(BaseModel):
    """One gateway process, as it reported last."""

    name: str = Field(examples=["5f2c9a01d3e4/0"])
    revision: int = Field(description="The revision of the snapshot that it has in force.")
    rejected: str | None = Field(description="Why it did not take the newest snapshot.")
    first_seen_at: dt.datetime
    last_seen_at: dt.datetime

    @classmethod
    def of(cls, row: GatewayRow) -> Gateway:
        """As it is."""
        return cls(
            name=row.name,
            revision=row.revision,
            rejected=row.rejected,
            first_seen_at=row.first_seen_at,
            last_seen_at=row.last_seen_at,
        )


class GatewayList(BaseModel):
    """All gateways that were heard in the last day."""

    items: list[Gateway]
    published: int | None = Field(description="The revision that gateways should have.")
