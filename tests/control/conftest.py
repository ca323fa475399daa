"""A management API on a database of its own for each test; both kinds of database, from one migrated template."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from toolyard.control.base import migrate
from toolyard.control.base.database import database_url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database, to be copied."""
    path = tmp_path_factory.mktemp("template") / "control.db"
    migrate.upgrade(make_url(f"sqlite:///{path}"))
    return path


@pytest.fixture
def url(sqlite_template: Path, tmp_path: Path) -> URL:
    """An empty, migrated database."""
    path = tmp_path / "control.db"
    shutil.copy(sqlite_template, path)
    return database_url(f"sqlite:///{path}")
