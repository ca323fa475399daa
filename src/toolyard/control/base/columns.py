"""Column types that are the same on every database."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)

Json = JSON().with_variant(JSONB(), "postgresql")
"""A JSON value; what is in it is never looked for."""


class Instant(TypeDecorator[dt.datetime]):
    """A moment in UTC, stored as whole microseconds since 1970: sortable and exact everywhere, with no time zone to be
    lost on the way."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> dt.datetime | None:
        return None if value is None else _EPOCH + value * _MICROSECOND
