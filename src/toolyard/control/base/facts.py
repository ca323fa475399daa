"""Facts: what has happened, in the past tense, written in the transaction in which it happened.

A fact is a small frozen dataclass. `Work.announce` writes it into the outbox, so that the change and the news of it are
durable together; after the commit, whoever listens is woken. The number of the last fact is the revision of everything:
a listener that knows it has missed nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import BigInteger, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.columns import Instant, Json
from toolyard.control.base.tables import ID_CHARS, Table


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that has happened to a thing with an id. `publishes`: what gateways know may be different now."""

    id: str
    publishes: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return type(self).__name__


class FactRow(Table):
    """One fact. `number` grows by at least one with each."""

    __tablename__ = "facts"

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    organization_id: Mapped[str | None] = mapped_column(
        String(ID_CHARS), ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(100))
    subject: Mapped[str] = mapped_column(String(200))
    said: Mapped[dict[str, object]] = mapped_column(Json)
    publishes: Mapped[bool]
    actor: Mapped[str] = mapped_column(String(200))
    at: Mapped[dt.datetime] = mapped_column(Instant)
