"""Copies of the whole database, and putting one back.

SQLite is copied by its own backup, consistent while the database is in use; PostgreSQL by its own `pg_dump` and
`pg_restore`. Beside each copy lies its checksum; one that does not match is not restored.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import ClassVar, Final

from sqlalchemy import URL

from toolyard.control.base import migrate
from toolyard.control.base.database import sqlite_file
from toolyard.kit.errors import PlatformError

CHECKSUM: Final = ".sha256"
LIMIT_S: Final = 3600.0
_EVERYTHING: Final = {"PGCONNECT_TIMEOUT": "10", "PGOPTIONS": "-c toolyard.organization=*"}
"""Rows of all organizations (migrations/isolation.py)."""


class BackupRefused(PlatformError):
    """This backup cannot be restored."""

    code: ClassVar[str] = "backup_refused"
    status: ClassVar[int] = 409


class BackupFailed(PlatformError):
    """The backup could not be made."""

    code: ClassVar[str] = "backup_failed"


def back_up(url: URL, target: Path) -> Path:
    """Copy the database into the new file `target`, with its checksum beside it. Raises BackupFailed."""
    if target.exists():
        raise BackupFailed(f"{target} is there already; name a file that is not")
    file = sqlite_file(url)
    if file is not None:
        if not file.is_file():
            raise BackupFailed(f"there is no database at {file}")
        migrate.copy_sqlite(file, target)
    else:
        target.touch(mode=0o600)
        _postgres_tool("pg_dump", url, "--format=custom", "--enable-row-security", f"--file={target}")
    checksum = _digest(target)
    _checksum_file(target).write_text(f"{checksum}  {target.name}\n", "ascii")
    return target


def restore(url: URL, source: Path) -> Path | None:
    """Put a backup in the place of the database; where the copy of what was there is. The database must not be in use.
    Raises BackupRefused, DatabaseTooNew."""
    check(source)
    file = sqlite_file(url)
    if file is None:
        _postgres_tool("pg_restore", url, "--clean", "--if-exists", "--no-owner", "--single-transaction", str(source))
        migrate.check_known(url)
        return None
    _check_sqlite(source)
    kept = migrate.keep_copy(url, "before-restore")
    fresh = file.with_name(f".{file.name}.restored")
    shutil.copyfile(source, fresh)
    fresh.chmod(0o600)
    for leftover in (file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        leftover.unlink(missing_ok=True)
    fresh.replace(file)
    return kept


def check(source: Path) -> None:
    """Raises BackupRefused if a backup is not what was written."""
    if not source.is_file():
        raise BackupRefused(f"there is no file {source}")
    beside = _checksum_file(source)
    if not beside.is_file():
        raise BackupRefused(f"{beside} is missing, so nobody can say that {source} is whole")
    if beside.read_text("ascii").partition(" ")[0] != _digest(source):
        raise BackupRefused(f"{source} is not what was written: its checksum is another one")


def integrity(url: URL) -> list[str]:
    """What an SQLite database finds wrong with itself; nothing for others, which look after themselves."""
    file = sqlite_file(url)
    if file is None:
        return []
    with closing(sqlite3.connect(file)) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        broken = [
            f"row {row[1]} of {row[0]} refers to nothing" for row in connection.execute("PRAGMA foreign_key_check")
        ]
    return [one for one in found if one != "ok"] + broken


def _check_sqlite(source: Path) -> None:
    url = URL.create("sqlite", database=str(source))
    try:
        problems = integrity(url)
    except sqlite3.DatabaseError:
        raise BackupRefused(f"{source} is no SQLite database") from None
    if problems:
        raise BackupRefused(f"{source} is damaged: {problems[0]}")
    migrate.check_known(url)


def _checksum_file(path: Path) -> Path:
    return path.with_name(path.name + CHECKSUM)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _postgres_tool(name: str, url: URL, *arguments: str) -> None:
    """Run one of PostgreSQL's own programs; the password goes through the environment, not the command line."""
    program = shutil.which(name)
    if program is None:
        raise BackupFailed(f"{name} is not installed: it comes with PostgreSQL's client programs")
    environ = {**os.environ, "PGPASSWORD": url.password or "", **_EVERYTHING}
    shown = url.set(drivername="postgresql", password=None).render_as_string()
    done = subprocess.run(  # noqa: S603  (PostgreSQL's own program, with arguments from here)
        [program, f"--dbname={shown}", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise BackupFailed(f"{name} failed: {done.stderr.strip()[:500]}")
