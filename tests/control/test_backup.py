"""Backups are whole or refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from toolyard.control.base import migrate
from toolyard.control.base.backup import BackupFailed, BackupRefused, back_up, integrity, restore


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's programs, where Debian keeps them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if found and shutil.which("pg_dump") is None:
        monkeypatch.setenv("PATH", str(found[-1]), prepend=":")


def rename(url: URL, name: str) -> None:
    with migrate.connected(url) as connection:
        connection.execute(text("UPDATE organizations SET name = :name"), {"name": name})


def name_of(url: URL) -> str:
    with migrate.connected(url) as connection:
        return str(connection.execute(text("SELECT name FROM organizations")).scalar_one())


def test_what_is_restored_is_what_was_backed_up(url: URL, tmp_path: Path) -> None:
    rename(url, "before")
    kept = back_up(url, tmp_path / "kept.backup")
    assert kept.stat().st_mode & 0o077 == 0
    rename(url, "after")
    restore(url, kept)
    assert name_of(url) == "before"
    assert integrity(url) == []


@pytest.mark.parametrize("damage", ["cut", "changed", "no checksum", "gone"])
def test_a_backup_that_is_not_what_was_written_changes_nothing(url: URL, tmp_path: Path, damage: str) -> None:
    kept = back_up(url, tmp_path / "kept.backup")
    rename(url, "after")
    content = kept.read_bytes()
    if damage == "cut":
        kept.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "gone":
        kept.unlink()
    else:
        kept.with_name("kept.backup.sha256").unlink()
    with pytest.raises(BackupRefused):
        restore(url, kept)
    assert name_of(url) == "after"


def test_a_backup_never_replaces_a_file(url: URL, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("precious")
    with pytest.raises(BackupFailed):
        back_up(url, there)
    assert there.read_text() == "precious"
