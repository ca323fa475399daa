"""A management API on a database of its own for each test; both kinds of database, from one migrated template.

The everyday check runs on SQLite; the whole test run runs every test of the control plane on PostgreSQL as well.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from tests.postgres import Postgres
from toolyard.control.base import migrate
from toolyard.control.base.database import database_url

for talkative in ("aiosqlite", "httpx2", "alembic"):
    logging.getLogger(talkative).setLevel(logging.WARNING)
KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database, to be copied."""
    path = tmp_path_factory.mktemp("template") / "control.db"
    migrate.upgrade(make_url(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """The name of a migrated PostgreSQL database, to be copied."""
    migrate.upgrade(database_url(postgres.create("control_template")))
    return "control_template"


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """An empty, migrated database."""
    with copied(request, request.param, tmp_path) as made:
        yield made


@contextmanager
def copied(request: pytest.FixtureRequest, kind: str, directory: Path) -> Iterator[URL]:
    """A copy of the template of a kind of database, for a fixture of whatever scope."""
    if kind == "sqlite":
        path = directory / "control.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield database_url(f"sqlite:///{path}")
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    name = f"control-{directory.name}"
    yield database_url(postgres.create(name, template=request.getfixturevalue("postgres_template")))
    postgres.drop(name)


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        yield database_url(f"sqlite:///{tmp_path / 'empty.db'}")
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    yield database_url(postgres.create("empty"))
    postgres.drop("empty")
