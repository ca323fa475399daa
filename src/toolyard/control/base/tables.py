"""What all tables have in common.

Every row that belongs to an organization has its id, and refers to other such rows by (organization_id, id): a row can
not point into another organization, whatever the code above does.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from toolyard.control.base.columns import Instant

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
ID_CHARS = 40
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def new_id(kind: str) -> str:
    """A fresh id such as `up_01jd3q…`: later ones sort after earlier ones, and nobody can guess one."""
    moment, chance = int(time.time() * 1000), secrets.randbits(65)
    return f"{kind}_{_base32(moment, 9)}{_base32(chance, 13)}"


def _base32(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


class Table(DeclarativeBase):
    """The base of all tables. Constraint names follow one rule, so that migrations can name them."""

    metadata = MetaData(naming_convention=NAMES)


class Changing:
    """A row with the times of its creation and last change, and a version that grows with each change: two changes of
    one version cannot both succeed."""

    id: Mapped[str] = mapped_column(String(ID_CHARS), primary_key=True)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    updated_at: Mapped[dt.datetime] = mapped_column(Instant)
    version: Mapped[int] = mapped_column(default=1)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805  (a class, as SQLAlchemy calls it)
        return {"version_id_col": cls.version}


class Owned(Changing):
    """A row of one organization."""

    @declared_attr
    def organization_id(cls) -> Mapped[str]:  # noqa: N805
        return mapped_column(String(ID_CHARS), ForeignKey("organizations.id", ondelete="CASCADE"), index=True)


def owned(*constraints: Any) -> tuple[Any, ...]:
    """The table arguments of an owned table: others may refer to (organization_id, id), and what else is given."""
    return (UniqueConstraint("organization_id", "id"), *constraints)


def refers_to(table: str, column: str, *, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """A reference from `column` to a row of `table` in the same organization."""
    there = [f"{table}.organization_id", f"{table}.id"]
    return ForeignKeyConstraint(["organization_id", column], there, ondelete=ondelete)
