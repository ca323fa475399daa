"""Pages of lists: a cursor is where the last page ended, so pages stay right while rows come and go, and a late page
costs what the first does."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, or_, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from toolyard.control.base.columns import Instant
from toolyard.control.base.errors import Invalid

Row = TypeVar("Row")
Item = TypeVar("Item")
Sortable = Mapping[str, Any]
"""The columns that a list can be ordered by, by the names that callers use."""
MAX_LIMIT = 200
_MAX_CURSOR = 1024


class PageQuery(BaseModel):
    """What a caller says of the page wanted."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=MAX_LIMIT, description="How many items at most.")
    cursor: str | None = Field(None, max_length=_MAX_CURSOR, description="`next_cursor` of the page before.")
    sort: str | None = Field(None, max_length=50, description="What to order by; with `-` before it, backwards.")
    q: str | None = Field(None, max_length=200, description="Only items with this text in a name or description.")


PageParams = Annotated[PageQuery, Query()]


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and where the next page begins, if there is one."""

    rows: Sequence[Row]
    next_cursor: str | None


class Listed(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(
        None, description="Ask again with this as `cursor` for the next page; absent on the last."
    )


async def read_page(
    session: AsyncSession,
    statement: Select[Any],
    row: type[Any],
    query: PageQuery,
    sortable: Sortable,
    searched: Sequence[str],
) -> Page[Any]:
    """One page of what a statement finds. Rows that are equal in the order wanted are ordered by their id. Raises
    Invalid."""
    name, backwards = _order(query, sortable)
    column = sortable[name] if name else row.id
    if query.q:
        statement = statement.where(_contains(row, searched, query.q))
    if query.cursor is not None:
        place = _read_cursor(query.cursor, query.sort, column)
        statement = statement.where(_after(column, row.id, place, backwards=backwards))
    ordered = (column.desc(), row.id.desc()) if backwards else (column.asc(), row.id.asc())
    found = (await session.execute(statement.order_by(*ordered).limit(query.limit + 1))).scalars().all()
    if len(found) <= query.limit:
        return Page(found, None)
    last = found[query.limit - 1]
    return Page(found[: query.limit], _cursor(query.sort, getattr(last, column.key), last.id))


def _order(query: PageQuery, sortable: Sortable) -> tuple[str | None, bool]:
    if query.sort is None:
        return None, False
    name = query.sort.removeprefix("-")
    if name not in sortable:
        raise Invalid(
            f"lists of this kind cannot be ordered by '{name}', only by {', '.join(sorted(sortable)) or 'age'}"
        )
    return name, query.sort.startswith("-")


def _after(column: Any, row_id: Any, place: tuple[Any, str], *, backwards: bool) -> ColumnElement[bool]:
    value, last_id = place
    if column is row_id or column.key == row_id.key:
        return row_id < last_id if backwards else row_id > last_id  # type: ignore[no-any-return]
    here = tuple_(column, row_id)
    there = tuple_(_typed(column, value), last_id)
    return here < there if backwards else here > there


def _typed(column: Any, value: Any) -> Any:
    from sqlalchemy import bindparam  # noqa: PLC0415

    return bindparam(None, value, type_=column.type)


def _contains(row: type[Any], searched: Sequence[str], text: str) -> ColumnElement[bool]:
    return or_(*(getattr(row, name).icontains(text, autoescape=True) for name in searched))


def _cursor(sort: str | None, value: Any, row_id: str) -> str:
    content = msgspec.json.encode([sort, value, row_id])
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _read_cursor(cursor: str, sort: str | None, column: Any) -> tuple[Any, str]:
    try:
        content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        made_for, value, row_id = msgspec.json.decode(content, type=tuple[str | None, Any, str])
        if made_for != sort:
            raise Invalid("this cursor belongs to a list in another order: begin again without it")
        # What is compared with a column must be of its type: PostgreSQL compares nothing else.
        return msgspec.convert(value, _TYPES.get(type(column.type), column.type.python_type | None)), row_id
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise Invalid("this cursor was not given out here: take `next_cursor` of the page before, or none") from None


_TYPES: Final[Mapping[type[Any], Any]] = {Instant: Annotated[dt.datetime, msgspec.Meta(tz=True)] | None}
