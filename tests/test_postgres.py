"""The PostgreSQL that tests are given: there for all, alone for each, gone afterwards."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests import postgres as provider
from tests.postgres import Postgres, PostgresMissing

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow

TESTS = """
import os, psycopg, pytest
from tests.postgres import postgres, postgres_url

@pytest.mark.parametrize("n", range(4))
def test_one(postgres, postgres_url, n):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE t (n int)")
        place = connection.execute("SELECT current_database(), inet_server_port()").fetchone()
    with open(os.environ["TOLD"], "a") as told:
        told.write(f"{place[0]} {place[1]}\\n")
    if n == 3:
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))
"""


def ask(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row and row[0]


def test_a_database_is_empty_and_owned_by_somebody_for_whom_policies_hold(postgres: Postgres) -> None:
    url = postgres.create("owned")
    assert ask(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert ask(url, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user") is False


def test_a_database_is_copied_from_another_and_replaced_when_it_is_made_again(postgres: Postgres) -> None:
    with psycopg.connect(postgres.create("template")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    copy = postgres.create("copy", template="template")
    assert ask(copy, "SELECT n FROM kept") == 7
    assert ask(postgres.create("copy"), "SELECT to_regclass('kept')::text") is None


def test_two_processes_share_a_server_have_their_own_databases_and_leave_nothing(tmp_path: Path) -> None:
    told = run_tests(tmp_path, "-n", "2", "--dist", "load", signal="0")
    assert len(told) == 4
    assert len({port for _, port in told}) == 1
    assert {name for name, _ in told} <= {"toolyard_test_gw0_one", "toolyard_test_gw1_one"}
    assert_gone(tmp_path, told[0][1])


def test_a_test_process_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    told = run_tests(tmp_path, "-p", "no:xdist", signal="9")
    assert_gone(tmp_path, told[-1][1])


def test_without_postgresql_tests_are_skipped_and_under_ci_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="none here"):
        provider._unavailable("none here")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="none here"):
        provider._unavailable("none here")


def test_what_was_looked_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider.glob, "glob", lambda _pattern: [])
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PostgresMissing, match="apt-get install postgresql"):
        provider.programs_directory()


def run_tests(directory: Path, *options: str, signal: str) -> list[tuple[str, str]]:
    """(database, port) of each of the tests, run by a pytest of their own."""
    (directory / "test_it.py").write_text(TESTS)
    (directory / "told").touch()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "TOOLYARD_"))}
    environment |= {"TOLD": str(directory / "told"), "SIGNAL": signal, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(directory / "base")]
    command += ["--import-mode=importlib", *options, str(directory / "test_it.py")]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    lines = (directory / "told").read_text().split("\n")[:-1]
    assert lines, done.stdout + done.stderr
    return [(line.split()[0], line.split()[1]) for line in lines]


def assert_gone(directory: Path, port: str) -> None:
    """Once the keeper has ended, nobody listens and no file is left."""
    with (directory / "base" / "postgres.keeper").open("a") as keeper:
        fcntl.flock(keeper, fcntl.LOCK_EX)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)), timeout=10)
    assert not Path((directory / "base" / "postgres.keeper").read_text()).exists()
