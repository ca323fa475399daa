"""Databases that cannot be used, migrations that are killed, and full disks (book GWF-02, GWF-03, GWF-05)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from tests.control.whole import whole
from toolyard.control.base import migrate
from toolyard.control.base.backup import back_up, integrity, restore
from toolyard.control.base.database import database_url

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120
KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url
from toolyard.control.base import migrate

left = int(sys.argv[2])

@event.listens_for(Engine, "before_cursor_execute")
def count(*_: object) -> None:
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

migrate.upgrade(make_url(sys.argv[1]))
"""


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    return subprocess.run(
        [sys.executable, *arguments], env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def _damage(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 500)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()


def _put_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.fixture
def installed(sqlite_template: Path, tmp_path: Path) -> Path:
    """An installation with a database; its path."""
    (tmp_path / "toolyard.yaml").write_text("upstreams: {}\n")
    data_dir = tmp_path / ".toolyard"
    data_dir.mkdir(mode=0o700)
    return Path(shutil.copy(sqlite_template, data_dir / "toolyard.db"))


def _start(database: Path) -> tuple[int, dict[str, str]]:
    """What starting the control process on a database ends with, and what it says last."""
    orders = {"config": str(database.parents[1] / "toolyard.yaml"), "data_dir": str(database.parent)}
    done = _python("-m", "toolyard.control_main", json.dumps({**orders, "log_format": "json"}))
    said = done.stderr.strip().splitlines() or done.stdout.strip().splitlines()
    return done.returncode, json.loads(said[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_damage, "database_unusable"),
        (_cut, "database_unusable"),
        (_put_a_directory, "database_unusable"),
        (_make_newer, "database_too_new"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_and_left_as_it_is(
    installed: Path, spoil: Callable[[Path], None], code: str
) -> None:
    spoil(installed)
    before = installed.read_bytes() if installed.is_file() else None
    status, said = _start(installed)
    assert status != 0
    assert (said["event"], said["code"]) == ("control_not_started", code)
    assert before is None or installed.read_bytes() == before


@pytest.mark.slow
def test_a_database_that_somebody_else_holds_is_refused_with_the_reason(installed: Path) -> None:
    with closing(sqlite3.connect(installed, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        status, said = _start(installed)
    assert status != 0
    assert said["code"] == "database_unusable"
    assert "locked" in said["reason"]


def test_a_backup_takes_the_place_of_a_damaged_database_whose_bytes_are_kept(installed: Path) -> None:
    url = make_url(f"sqlite:///{installed}")
    kept = back_up(url, installed.with_name("kept.backup"))
    _damage(installed)
    spoiled = restore(url, kept)
    assert integrity(url) == []
    assert spoiled is not None
    assert spoiled.read_bytes().startswith(b"not a database")


@pytest.mark.slow
@pytest.mark.parametrize("statements", [5, 20, 50, 80])
def test_a_migration_that_was_killed_goes_on_at_the_next_start(empty_url: URL, statements: int) -> None:
    url = migrate.sync_url(empty_url).render_as_string(hide_password=False)
    done = _python("-c", KILLED, url, str(statements))
    assert done.returncode == -signal.SIGKILL, done.stderr
    migrate.upgrade(empty_url)
    assert migrate.differences(empty_url) == []
    assert integrity(empty_url) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes, where this user may make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    made = (
        mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True).returncode
    )
    if made != 0:
        pytest.skip("no disk can be mounted here: that needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_a_full_disk_refuses_writes_and_nothing_else_until_there_is_room_again(
    small_disk: Path, sqlite_template: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(sqlite_template, small_disk / "control.db"))
    role = {"permissions": ["tools.read"], "description": "x" * 400}

    async def test() -> None:
        async with whole(database_url(f"sqlite:///{path}"), tmp_path / "data") as plane:
            plane.control.app.state.gate.limits.limits = {}
            filler = small_disk / "filler"
            with filler.open("wb") as file:
                while shutil.disk_usage(small_disk).free > 65_536:
                    file.write(b"\0" * 32_768)
                    file.flush()
            made, refused = 0, None
            for number in range(2000):
                refused = await plane.socket.post("/api/v1/roles", json={"name": f"r{number}", **role})
                if refused.status_code != 201:
                    break
                made += 1
            assert refused is not None
            assert refused.status_code in (503, 507), refused.text
            listed = await plane.operate("GET", "/api/v1/roles")
            assert len([one for one in listed["items"] if not one["built_in"]]) == made
            filler.unlink()
            await plane.operate("POST", "/api/v1/roles", json={"name": "after", **role})

    asyncio.run(test())
    assert integrity(make_url(f"sqlite:///{path}")) == []
