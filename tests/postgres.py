"""A PostgreSQL for tests: the one that TOOLYARD_TEST_POSTGRES_URL names, else a private one on a free port of loopback.

The private one is started by the first test that wants it and serves all processes of a test run. Whoever uses it holds
a shared lock on a file; a keeper waits for the exclusive lock, which it gets when the last of them is gone, whichever
way, and then takes the server down and its files away. `fsync` is off: nothing here has to survive anything.

Where there is no PostgreSQL, tests are skipped with the reason; under CI they fail.
"""

from __future__ import annotations

import fcntl
import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

import pytest

ROLE = "toolyard"
"""Owns the databases. Not a superuser: row-level policies do not hold for those."""
OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum": "off",  # its workers cannot be sent away by the role that drops a database
}
TRIES = 3


class PostgresMissing(Exception):
    """There is no PostgreSQL that could be used; the text says what was looked for."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server on which databases can be made, for one process of a test run."""

    url: str
    worker: str = field(default_factory=lambda: os.environ.get("PYTEST_XDIST_WORKER", "main"))

    def create(self, name: str, *, template: str | None = None) -> str:
        """The URL of a new database, which is empty or a copy of another one of this process. One that is there is
        replaced."""
        self.drop(name)
        copied = f' TEMPLATE "{self._full(template)}"' if template else ""
        self._execute(f'CREATE DATABASE "{self._full(name)}"{copied}')
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{self._full(name)}"))

    def drop(self, name: str) -> None:
        """Take a database away, also from under those who use it."""
        self._execute(f'DROP DATABASE IF EXISTS "{self._full(name)}" WITH (FORCE)')

    def drop_all(self) -> None:
        """Take away every database that this process made."""
        found = self._execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", self._full(""))
        for (name,) in found:
            self.drop(name.removeprefix(self._full("")))

    def _full(self, name: str) -> str:
        return f"toolyard_test_{self.worker}_{name}"

    def _execute(self, statement: str, *values: str) -> list[Any]:
        import psycopg

        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            done = connection.execute(statement.encode(), values or None)
            return done.fetchall() if done.description else []


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The server for this test run."""
    given = os.environ.get("TOOLYARD_TEST_POSTGRES_URL")
    if given:
        yield from _used(Postgres(given, worker=f"{os.getpid()}"))
        return
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "postgres.users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            server = Postgres(_running(shared))
        except PostgresMissing as missing:
            _unavailable(str(missing))
        yield from _used(server)


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty database."""
    yield postgres.create("one")
    postgres.drop("one")


def _used(server: Postgres) -> Iterator[Postgres]:
    try:
        yield server
    finally:
        server.drop_all()


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _running(shared: Path) -> str:
    """The URL of the private server, started if nobody has. Raises PostgresMissing."""
    address = shared / "postgres.url"
    with (shared / "postgres.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            cluster = Cluster.make()
            try:
                address.write_text(cluster.start())
            except BaseException:
                shutil.rmtree(cluster.directory)
                raise
            keeper = [sys.executable, __file__, str(shared), str(cluster.directory), str(cluster.programs)]
            subprocess.run(
                keeper, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        return address.read_text()


@dataclass(frozen=True, slots=True)
class Cluster:
    """The files of a private server and the programs to run it with."""

    directory: Path
    programs: Path

    @classmethod
    def make(cls) -> Cluster:
        """Raises PostgresMissing."""
        programs = programs_directory()
        cluster = cls(Path(tempfile.mkdtemp(prefix="toolyard-postgres-")), programs)
        if os.geteuid() == 0:
            shutil.chown(cluster.directory, *account())
        cluster.run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
        return cluster

    def start(self) -> str:
        """The URL for the role that owns the databases. Another program may take the port first: then another one."""
        for left in reversed(range(TRIES)):
            port = free_port()
            given = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in {**OPTIONS, "port": port}.items())
            try:
                self.run("pg_ctl", "-w", "-s", "-l", str(self.directory / "log"), "-o", given, "start")
                break
            except PostgresMissing:
                if not left:
                    raise
        import psycopg

        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB")
        return f"postgresql://{ROLE}@127.0.0.1:{port}/postgres"

    def stop(self) -> None:
        """Take the server down and its files away."""
        self.run("pg_ctl", "-w", "-s", "-m", "immediate", "stop")
        shutil.rmtree(self.directory)

    def run(self, program: str, *arguments: str) -> None:
        """As an unprivileged user, since these programs refuse to be run by root. Raises PostgresMissing."""
        user, group = account() if os.geteuid() == 0 else (None, None)
        said = self.directory / "said"
        with said.open("ab") as complaints:
            done = subprocess.run(
                [self.programs / program, "-D", self.directory / "data", *arguments],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(self.directory)},
                check=False,
                timeout=120,
            )
        if done.returncode != 0:
            text = said.read_text()[-1000:]
            raise PostgresMissing(f"{self.programs / program} ended with {done.returncode}: {text}")


def programs_directory() -> Path:
    """Where PostgreSQL's server programs are, the newest version first. Raises PostgresMissing."""
    found = sorted(
        glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]), reverse=True
    )
    on_path = shutil.which("initdb")
    if on_path:
        found.insert(0, str(Path(on_path).resolve()))
    if not found:
        raise PostgresMissing("no PostgreSQL: no initdb on PATH or in /usr/lib/postgresql (apt-get install postgresql)")
    return Path(found[0]).parent


def account() -> tuple[int, int]:
    """The user and group that run the server where the tests are run by root."""
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise PostgresMissing("the tests are run by root, and there is neither a user 'postgres' nor 'nobody'")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def keep(shared: Path, cluster: Cluster) -> None:
    """In a process of its own, wait until nobody uses the server, and take it down. Meanwhile the file of the keeper,
    which says what it keeps, is locked."""
    with (shared / "postgres.keeper").open("w") as keeper, (shared / "postgres.users").open("a") as users:
        fcntl.flock(keeper, fcntl.LOCK_EX)
        keeper.write(str(cluster.directory))
        keeper.flush()
        if os.fork():
            os._exit(0)
        os.setsid()
        fcntl.flock(users, fcntl.LOCK_EX)
        (shared / "postgres.url").unlink(missing_ok=True)
        cluster.stop()


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Cluster(Path(sys.argv[2]), Path(sys.argv[3])))
