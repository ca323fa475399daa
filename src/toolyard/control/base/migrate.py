"""Bringing a database to the tables that this program knows, and back.

One migration at a time, each in a transaction. Before an SQLite file with rows in it is changed, a copy is kept beside
it. A database that a newer Toolyard made is refused, as is one that another process is changing right now.
"""

from __future__ import annotations

import datetime as dt
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from toolyard.control.base.database import sqlite_file
from toolyard.control.base.tables import Table
from toolyard.control.tables import load_all
from toolyard.kit.errors import PlatformError

OWN_HISTORY = "history of its own"
_LOCK = 0x746F6F6C79617264


class DatabaseUnusable(PlatformError):
    """The database cannot be used as it is. Nothing in it was changed."""

    code: ClassVar[str] = "database_unusable"


class DatabaseTooNew(PlatformError):
    """A newer Toolyard has made this database: run that version, or restore a backup from before."""

    code: ClassVar[str] = "database_too_new"


class DatabaseOutdated(PlatformError):
    """The database has not been brought up to this version: run `toolyard db upgrade`."""

    code: ClassVar[str] = "database_outdated"


class RevisionUnknown(PlatformError):
    """There is no migration of that name: `toolyard db history` lists them."""

    code: ClassVar[str] = "revision_unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """One migration of the history."""

    revision: str
    title: str
    current: bool


def sync_url(url: URL) -> URL:
    """The URL for a connection that blocks, which migrations use."""
    return url.set(drivername="sqlite") if url.get_backend_name() == "sqlite" else url


def head() -> str:
    """The newest migration that this program knows."""
    return str(_script().get_current_head())


def current(url: URL) -> str | None:
    """The migration that a database is at; None if it is empty."""
    with connected(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def history(url: URL) -> list[Step]:
    """All migrations, the oldest first."""
    here = current(url)
    steps = [
        Step(one.revision, (one.doc or "").rstrip("."), one.revision == here) for one in _script().walk_revisions()
    ]
    return steps[::-1]


def upgrade(url: URL, revision: str = "head") -> Path | None:
    """Bring a database up; where a copy of the SQLite file from before is, if one was made. Raises DatabaseTooNew,
    RevisionUnknown."""
    check_known(url)
    before = current(url)
    if before == _resolve(revision):
        return None
    kept = keep_copy(url, before) if before is not None else None
    _run(url, lambda config: command.upgrade(config, revision))
    return kept


def downgrade(url: URL, revision: str) -> Path | None:
    """Take a database back, to a revision or by `-1`; the copy as of `upgrade`. Raises DatabaseTooNew,
    RevisionUnknown."""
    check_known(url)
    kept = keep_copy(url, current(url))
    _run(url, lambda config: command.downgrade(config, revision))
    return kept


def check_known(url: URL) -> None:
    """Raises DatabaseTooNew for a database at a revision that this program does not know."""
    here = current(url)
    if here is not None and here not in {one.revision for one in _script().walk_revisions()}:
        raise DatabaseTooNew


def check_current(url: URL) -> None:
    """Raises DatabaseTooNew, DatabaseOutdated for a database that is not at the newest migration."""
    check_known(url)
    if current(url) != head():
        raise DatabaseOutdated


def differences(url: URL) -> list[str]:
    """How the tables of a database differ from what this program expects; empty if they do not."""
    load_all()
    with connected(url) as connection:
        found = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True, "include_object": _is_ours}),
            Table.metadata,
        )
        return [str(one) for one in found]


def our_tables() -> list[sa.Table]:
    """The tables that these migrations make, those that others refer to first."""
    load_all()
    return [table for table in Table.metadata.sorted_tables if not table.info.get(OWN_HISTORY)]


def _is_ours(item: Any, _name: object, kind: str, *_more: object) -> bool:
    """Tables marked as having a history of their own are nobody's business here."""
    table = item if kind == "table" else getattr(item, "table", None)
    return table is None or not table.info.get(OWN_HISTORY)


def keep_copy(url: URL, revision: str | None) -> Path | None:
    """A copy of an SQLite database beside it; None for others."""
    file = sqlite_file(url)
    if file is None or not file.is_file():
        return None
    moment = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S")
    kept = file.with_name(f"{file.name}.{revision or 'empty'}.{moment}.bak")
    try:
        copy_sqlite(file, kept)
    except sqlite3.DatabaseError:  # damaged: kept byte by byte, for who may want to save something of it
        shutil.copyfile(file, kept)
    return kept


def copy_sqlite(source: Path, target: Path) -> None:
    """A consistent copy of an SQLite database that may be in use, readable by its owner only."""
    target.touch(mode=0o600)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _run(url: URL, do: Callable[[Config], None]) -> None:
    with connected(url) as connection, _alone(connection):
        config = alembic_config()
        config.attributes["connection"] = connection
        try:
            do(config)
        except CommandError as error:
            raise RevisionUnknown(str(error)) from None


def _resolve(revision: str) -> str | None:
    try:
        found = _script().get_revision(revision)
    except CommandError as error:
        raise RevisionUnknown(str(error)) from None
    return found.revision if found else None


@contextmanager
def connected(url: URL) -> Iterator[Connection]:
    """A connection that blocks, committed when the block ends. Raises DatabaseUnusable for a database that is damaged,
    in use by somebody else, or cannot be written."""
    engine = create_engine(sync_url(url))
    try:
        with _opened(engine, url) as connection:
            yield connection
            connection.commit()
    finally:
        engine.dispose()


def _opened(engine: Engine, url: URL) -> Connection:
    file = sqlite_file(url)
    try:
        if file is not None:
            file.touch(mode=0o600)
            _begin_itself(engine)
        connection = engine.connect()
        connection.exec_driver_sql("SELECT 1")
        connection.rollback()
    except (OSError, DBAPIError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        shown = file or url.render_as_string(hide_password=True)
        raise DatabaseUnusable(f"the database {shown} cannot be used, and nothing was changed: {reason}") from error
    return connection


def _begin_itself(engine: Engine) -> None:
    """SQLite can change tables in a transaction, but its driver has to be kept from ending it."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Nobody else migrates meanwhile. SQLite's write lock does that by itself."""
    if connection.dialect.name != "postgresql":
        yield
        return
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
    connection.commit()
    try:
        yield
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
        connection.commit()


def alembic_config() -> Config:
    """Alembic, told where the migrations are."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "migrations"))
    return config


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())
