"""The database and its transactions. SQLite or PostgreSQL; the statements are the same.

SQLite has one writer at a time. Writers of this process wait for each other here, in order and without a thread, and
take the write lock at once (BEGIN IMMEDIATE), so that no transaction fails half-way for wanting it later. On PostgreSQL
each transaction says for which organization it works, which is what the row-level policies compare with; whatever code
forgets, rows of others do not exist for it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from toolyard.control.base.errors import DatabaseBusy, DatabaseUnavailable, StorageFull, Unkeepable
from toolyard.kit.errors import PlatformError

WAIT_S: Final = 5.0
STATEMENT_LIMIT_MS: Final = 30_000
EVERYBODY: Final = "*"
"""The organization of work on behalf of the whole platform."""
_WRITES = "toolyard_writes"
_BROKEN: Final = ("file is not a database", "database disk image is malformed")
_STEADY: Final = {"isolation_level": "REPEATABLE READ"}


def database_url(written: str) -> URL:
    """A URL with the driver that is used here: `sqlite:///path`, `postgresql://user@host/name`. Raises ValueError."""
    try:
        url = make_url(written)
    except SQLAlchemyError:
        raise ValueError("is not a database URL such as sqlite:///path or postgresql://user@host/name") from None
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    kind = url.drivername.partition("+")[0]
    if kind not in drivers:
        raise ValueError(f"'{kind}' is no database that can be used: take sqlite or postgresql")
    return url.set(drivername=drivers[kind])


class Database:
    """One database with its connections. `replica`: another one for heavy reads, kept the same by the database."""

    def __init__(self, url: URL, *, pool_size: int = 10, echo: bool = False, replica: URL | None = None) -> None:
        self.url = url
        self.engine = make_engine(url, pool_size=pool_size, echo=echo)
        self._replica = make_engine(replica, pool_size=pool_size, echo=echo) if replica is not None else self.engine
        self._turn: asyncio.Lock | nullcontext[None] = asyncio.Lock() if self.is_sqlite else nullcontext()

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @asynccontextmanager
    async def reading(
        self, organization_id: str, *, heavy: bool = False, steady: bool = False
    ) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads. `heavy` reads go to the replica, if there is one; `steady` ones see one state
        of the database from beginning to end, as they always do on SQLite. Raises DatabaseBusy, DatabaseUnavailable."""
        with _translated():
            async with AsyncSession(self._replica if heavy else self.engine, expire_on_commit=False) as session:
                await self._begin(session, organization_id, steady=steady)
                yield session

    @asynccontextmanager
    async def writing(self, organization_id: str) -> AsyncIterator[AsyncSession]:
        """A transaction that is committed when the block ends and rolled back when it raises. Once this returns, what
        was written is durable. Raises DatabaseBusy, DatabaseUnavailable, StorageFull."""
        with _translated():
            async with self._in_turn(), AsyncSession(self.engine, expire_on_commit=False) as session:
                await self._begin(session, organization_id, writes=True)
                yield session
                await session.commit()

    async def ping(self) -> None:
        """Ask the database something. Raises DatabaseUnavailable, DatabaseBusy."""
        async with self.reading(EVERYBODY) as session:
            await session.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()
        if self._replica is not self.engine:
            await self._replica.dispose()

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        if isinstance(self._turn, nullcontext):
            yield
            return
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turn.acquire()
        except TimeoutError:
            raise DatabaseBusy from None
        try:
            yield
        finally:
            self._turn.release()

    async def _begin(
        self, session: AsyncSession, organization_id: str, *, writes: bool = False, steady: bool = False
    ) -> None:
        if self.is_sqlite:
            await session.connection(execution_options={_WRITES: writes})
        else:
            await session.connection(execution_options=_STEADY if steady else {})
        await for_organization(session, organization_id)


async def for_organization(session: AsyncSession, organization_id: str) -> None:
    """Say for which organization a transaction works from here on. SQLite does not want to know."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(_FOR_ORGANIZATION, {"organization": organization_id})


_FOR_ORGANIZATION = text("SELECT set_config('toolyard.organization', :organization, true)")


def make_engine(url: URL, *, pool_size: int = 10, echo: bool = False) -> AsyncEngine:
    """An engine with what each kind of database needs for transactions to mean what they say."""
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(url, echo=echo, pool_size=pool_size, connect_args={"timeout": WAIT_S})
        listen_sqlite(engine.sync_engine)
        return engine
    limits = f"-c statement_timeout={STATEMENT_LIMIT_MS} -c idle_in_transaction_session_timeout={STATEMENT_LIMIT_MS}"
    return create_async_engine(
        url,
        echo=echo,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=WAIT_S,
        pool_pre_ping=True,
        connect_args={"connect_timeout": int(WAIT_S), "options": limits},
    )


def listen_sqlite(engine: Engine) -> None:
    """Have an SQLite engine begin transactions itself: the driver's own way commits before it should."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={int(WAIT_S * 1000)}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite database, or None if it is no such database or has no file."""
    named = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if named else None


class _translated:  # noqa: N801  (used as a statement)
    """Within the block, failures of the database itself become errors that callers know."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TimeoutError):
            return
        known = translated(error)
        if known is not None:
            raise known from error


def translated(error: BaseException | None) -> PlatformError | None:
    """The error that callers know for a failure of the database itself, or for a value that it cannot keep; None for
    all others."""
    original = error.orig if isinstance(error, StatementError) else error
    if isinstance(error, DataError) or isinstance(original, UnicodeEncodeError | OverflowError):
        return Unkeepable()
    if isinstance(error, SQLAlchemyError) and not isinstance(error, DBAPIError):
        return DatabaseBusy() if type(error).__name__ == "TimeoutError" else None
    if isinstance(original, sqlite3.DatabaseError) and str(original).startswith(_BROKEN):
        return DatabaseUnavailable()
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    if isinstance(original, sqlite3.OperationalError):
        said = str(original).lower()
        if "full" in said:
            return StorageFull()
        return DatabaseBusy() if "locked" in said or "busy" in said else DatabaseUnavailable()
    return DatabaseUnavailable()
