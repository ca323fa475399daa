"""The base of stores: the only places with SQL, each for one table, always within the organization of the work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.exc import IntegrityError

from toolyard.control.base.errors import Conflict, NotFound, Taken, VersionOutdated
from toolyard.control.base.pages import Page, PageQuery, Sortable, read_page
from toolyard.control.base.tables import Owned
from toolyard.control.base.work import Work
from toolyard.kit.errors import PlatformError

Row = TypeVar("Row", bound=Owned)


class Store(Generic[Row]):
    """Rows of one owned table. `missing` is raised for an id that is not there or belongs to somebody else; `taken` for
    a row that a unique name forbids."""

    row: ClassVar[type[Any]]
    missing: ClassVar[type[PlatformError]] = NotFound
    taken: ClassVar[type[PlatformError]] = Taken
    sortable: ClassVar[Sortable] = {}
    searched: ClassVar[tuple[str, ...]] = ()
    """Columns in which a query's `q` is looked for."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.session = work.session

    def scoped(self) -> Select[Row]:
        """All rows of this organization: what every statement begins with."""
        return select(self.row).where(self.row.organization_id == self.work.organization_id)

    async def get(self, row_id: str) -> Row:
        """The row with that id. Raises `missing`."""
        row = (await self.session.execute(self.scoped().where(self.row.id == row_id))).scalar_one_or_none()
        if row is None:
            raise self.missing(id=row_id)
        return row

    async def find(self, *conditions: ColumnElement[bool]) -> Row | None:
        """The row that meets the conditions, if there is one."""
        return (await self.session.execute(self.scoped().where(*conditions).limit(1))).scalar_one_or_none()

    async def every(self, *conditions: ColumnElement[bool]) -> list[Row]:
        """All rows that meet the conditions, the oldest first. For tables that are small in one organization."""
        rows = await self.session.execute(self.scoped().where(*conditions).order_by(self.row.id))
        return list(rows.scalars())

    async def page(self, query: PageQuery, *conditions: ColumnElement[bool]) -> Page[Row]:
        """One page of the rows that meet the conditions. Raises Invalid for a cursor or order that cannot be."""
        return await read_page(
            self.session, self.scoped().where(*conditions), self.row, query, self.sortable, self.searched
        )

    async def add(self, row: Row) -> Row:
        """Write a new row. Raises `taken`, Conflict."""
        row.organization_id = self.work.organization_id
        row.created_at = row.updated_at = self.work.now
        self.session.add(row)
        await self.flush()
        return row

    async def changed(self, row: Row) -> Row:
        """Write a changed row. Raises `taken`, Conflict, VersionOutdated."""
        row.updated_at = self.work.now
        await self.flush()
        return row

    async def remove(self, row: Row) -> None:
        """Delete a row, and with it what belongs to it. Raises Conflict if something else needs it."""
        await self.session.delete(row)
        await self.flush()

    async def flush(self) -> None:
        """Send what was changed to the database, so that what it refuses is known here and not at the commit."""
        await flush(self.work, self.taken)


async def flush(work: Work, taken: type[PlatformError] = Taken) -> None:
    """As `Store.flush`, for what is no store."""
    from sqlalchemy.orm.exc import StaleDataError  # noqa: PLC0415

    try:
        await work.session.flush()
    except StaleDataError:
        raise VersionOutdated from None
    except IntegrityError as error:
        raise (taken() if _is_unique(error) else Conflict()) from None


def _is_unique(error: IntegrityError) -> bool:
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", "")
    return code in ("23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")


def names(rows: Iterable[Any]) -> list[str]:
    """The names of rows, sorted."""
    return sorted(row.name for row in rows)
