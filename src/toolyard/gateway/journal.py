"""The journal: one local SQLite file for what a gateway has seen and must not forget.

Observations (definitions last seen on each upstream), assigned names, refusals of known callers, and tasks. One thread
owns the connection; callers hand over values and never wait, except for tasks (`perform`), which are on disk before
anybody hears of them. Nothing here is on the path of a plain call: `flush` exists for the end of the process and for
tests. A file that cannot be read is set aside, never overwritten; where there can be no file (no room, no permission,
in another's hands) the gateway remembers nothing and serves all the same.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from toolyard.contract.definitions import Observation
from toolyard.contract.naming import Names, Origin
from toolyard.kit import faults
from toolyard.kit.ids import short_id
from toolyard.kit.logs import get_logger

log = get_logger(__name__)

_SCHEMA = """
create table if not exists observations (upstream_id text primary key, digest text not null, body blob not null);
create table if not exists names (
    server text, naming text, kind text, upstream_id text, name text, exposed text not null,
    primary key (server, naming, kind, upstream_id, name));
create table if not exists refusals (
    at real not null, principal text not null, server text not null, reason text not null, action text not null,
    client text not null, request_id text not null);
create index if not exists refusals_at on refusals (at);
create table if not exists tasks (
    id text primary key, principal text not null, server text not null, owner text not null, upstream text not null,
    tool text not null, created_at real not null, updated_at real not null, ttl_s real not null,
    expires_at real not null, status text not null, message text, outcome blob, questions blob not null);
create index if not exists tasks_expire on tasks (expires_at);
"""
_MAX_WAITING = 10_000
_MAX_REFUSALS = 100_000
_TRIM_EVERY = 1000
_TRIM = "delete from refusals where rowid <= (select max(rowid) from refusals) - ?"
_UNREADABLE = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_NOTADB})
"""What SQLite says of a file that is no database, a damaged one, or one with other tables than ours."""

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True)
class _Deed(Generic[T]):
    """Work whose result somebody waits for. What it writes is on disk when it is told."""

    work: Callable[[sqlite3.Connection], T]
    done: Future[T] = field(default_factory=Future)


class Journal:
    """What a gateway remembers across restarts. `path` None keeps it in memory."""

    def __init__(self, path: Path | None) -> None:
        self._jobs: queue.Queue[Job | _Deed[Any] | threading.Event | None] = queue.Queue(_MAX_WAITING)
        self._path = path
        self.dropped = 0
        self._connection = self._open()
        self._thread = threading.Thread(target=self._run, name="toolyard-journal", daemon=True)
        self._thread.start()

    def observations(self) -> dict[str, Observation]:
        """The last known definitions of every upstream; call once, before the first write."""
        rows = self._read("select upstream_id, body from observations")
        return {row[0]: seen for row in rows if (seen := _decoded(*row)) is not None}

    def names(self) -> dict[Origin, str]:
        """The exposed names given so far; call once, before the first write."""
        rows = self._read("select server, naming, kind, upstream_id, name, exposed from names")
        return {Origin(*row[:5]): row[5] for row in rows}

    def keep_observation(self, observation: Observation) -> None:
        """Remember what an upstream offers now."""
        upstream_id, digest = observation.upstream_id, observation.digest()
        insert = "insert or replace into observations values (?, ?, ?)"
        self._put(lambda c: _execute(c, insert, (upstream_id, digest, msgspec.json.encode(observation))))

    def keep_names(self, names: Names) -> None:
        """Remember exposed names, so that they never move."""
        rows = [(*origin, exposed) for origin, exposed in names.items()]
        if rows:
            self._put(lambda c: _executemany(c, "insert or replace into names values (?, ?, ?, ?, ?, ?)", rows))

    def keep_refusal(self, values: Mapping[str, object]) -> None:
        """Remember that a known caller was refused: at, principal, server, reason, action, client, request_id."""
        row = tuple(values[k] for k in ("at", "principal", "server", "reason", "action", "client", "request_id"))
        self._put(lambda c: _insert_refusal(c, row))

    def later(self, job: Job) -> None:
        """Do `job` soon; it is dropped and counted where that is not possible."""
        self._put(job)

    def perform(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Do `work` in a transaction and give its result when that is on disk. The result is sqlite3.Error or OSError
        where it could not be done."""
        deed = _Deed(work)
        try:
            if not self._thread.is_alive():
                raise OSError("the journal is closed")
            self._jobs.put_nowait(deed)
        except (queue.Full, OSError) as error:
            deed.done.set_exception(OSError(f"the journal takes nothing more: {error}"))
        return deed.done

    def flush(self) -> None:
        """Wait until everything handed over so far is written or lost."""
        done = threading.Event()
        self._jobs.put(done)
        done.wait(10)

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._jobs.put(None)
        self._thread.join(10)

    def _put(self, job: Job) -> None:
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self.dropped += 1

    def _read(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql).fetchall()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            self._connection = self._instead(error)
            return []

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect(self._path)
        except (sqlite3.DatabaseError, OSError) as error:
            return self._instead(error)

    def _instead(self, error: Exception) -> sqlite3.Connection:
        """An empty journal in place of the one that gave `error`."""
        if self._path is None or getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF not in _UNREADABLE:
            log.warning("journal_not_kept", reason=str(error))
            return self._connect(None)
        kept_as = f"{self._path.name}.unreadable-{short_id()}"
        try:
            for ending in ("", "-wal", "-shm"):
                part = self._path.with_name(self._path.name + ending)
                if part.exists():
                    part.replace(part.with_name(kept_as + ending))
            log.warning("journal_set_aside", reason=str(error), kept_as=kept_as)
            return self._connect(self._path)
        except (sqlite3.DatabaseError, OSError) as again:
            log.warning("journal_not_kept", reason=str(again))
            return self._connect(None)

    def _connect(self, path: Path | None) -> sqlite3.Connection:
        if path is not None:
            path.touch(mode=0o600)
            path.chmod(0o600)
        connection = sqlite3.connect(str(path or ":memory:"), check_same_thread=False, isolation_level=None)
        try:
            connection.execute("pragma journal_mode=wal")
            connection.execute("pragma synchronous=normal")
            connection.executescript(_SCHEMA)
            connection.execute(_TRIM, (_MAX_REFUSALS,))
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _run(self) -> None:
        while True:
            batch = [self._jobs.get()]
            while len(batch) < 500 and not self._jobs.empty():
                batch.append(self._jobs.get())
            self._write([job for job in batch if callable(job)])
            self._perform([deed for deed in batch if isinstance(deed, _Deed)])
            for waiting in batch:
                if isinstance(waiting, threading.Event):
                    waiting.set()
            if None in batch:
                self._connection.close()
                return

    def _write(self, batch: list[Job]) -> None:
        try:
            faults.hit("journal.write")
            self._connection.execute("begin immediate")
            for job in batch:
                job(self._connection)
            self._connection.execute("commit")
        except (sqlite3.Error, OSError, ValueError, OverflowError) as error:
            self.dropped += len(batch)
            log.warning("journal_write_failed", reason=str(error), lost=len(batch))
            with suppress(sqlite3.Error):
                self._connection.rollback()

    def _perform(self, deeds: list[_Deed[Any]]) -> None:
        """Deeds of one batch share one transaction, and one wait for the disk."""
        deeds = [deed for deed in deeds if deed.done.set_running_or_notify_cancel()]
        if not deeds:
            return
        try:
            faults.hit("journal.perform")
            self._connection.execute("pragma synchronous=full")
            self._connection.execute("begin immediate")
            results = [deed.work(self._connection) for deed in deeds]
            self._connection.execute("commit")
        except (sqlite3.Error, OSError, ValueError, TypeError, OverflowError, msgspec.MsgspecError) as error:
            log.warning("journal_write_failed", reason=str(error), lost=len(deeds))
            with suppress(sqlite3.Error):
                self._connection.rollback()
            failure = error if isinstance(error, sqlite3.Error | OSError) else sqlite3.DataError(str(error))
            for deed in deeds:
                deed.done.set_exception(failure)
        else:
            for deed, result in zip(deeds, results, strict=True):
                deed.done.set_result(result)
        finally:
            with suppress(sqlite3.Error):
                self._connection.execute("pragma synchronous=normal")


def _decoded(upstream_id: str, body: bytes) -> Observation | None:
    """An observation as it was kept; one that another version kept in another form is seen anew."""
    try:
        return msgspec.json.decode(body, type=Observation)
    except (msgspec.MsgspecError, TypeError) as error:
        log.warning("journal_entry_unreadable", upstream=upstream_id, reason=str(error))
        return None


def _insert_refusal(connection: sqlite3.Connection, row: tuple[object, ...]) -> None:
    inserted = connection.execute("insert into refusals values (?, ?, ?, ?, ?, ?, ?)", row)
    if (inserted.lastrowid or 0) % _TRIM_EVERY == 0:
        connection.execute(_TRIM, (_MAX_REFUSALS,))


def _execute(connection: sqlite3.Connection, sql: str, row: tuple[object, ...]) -> None:
    connection.execute(sql, row)


def _executemany(connection: sqlite3.Connection, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
    connection.executemany(sql, rows)
