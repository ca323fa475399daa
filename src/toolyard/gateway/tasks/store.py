"""Tasks in the journal: on disk before anybody hears of them, readable by every process of the gateway."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import msgspec

from toolyard.gateway.journal import Job, Journal
from toolyard.gateway.tasks.record import TaskRecord

_COLUMNS = (
    "id, principal, server, owner, upstream, tool, created_at, updated_at, ttl_s, expires_at, status, message, "
    "outcome, questions"
)
_INSERT = f"insert or replace into tasks ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_SELECT = f"select {_COLUMNS} from tasks where id = ?"  # noqa: S608


class TaskStore:
    """Keeps records. `total` and `per_principal` bound how many there are, running or kept."""

    def __init__(self, journal: Journal, *, total: int, per_principal: int) -> None:
        self._journal = journal
        self._total = total
        self._per_principal = per_principal

    async def create(self, record: TaskRecord, now: float) -> bool:
        """Keep a new task, on disk when this returns; False if there are as many as there may be. Raises OSError,
        sqlite3.Error where it cannot be kept."""

        def work(connection: sqlite3.Connection) -> bool:
            if self._is_full(connection, record.principal_id, now):
                return False
            connection.execute(_INSERT, _row(record))
            return True

        return await asyncio.wrap_future(self._journal.perform(work))

    async def save(self, record: TaskRecord) -> None:
        """Keep what a task has become, on disk when this returns. Raises OSError, sqlite3.Error."""
        await asyncio.wrap_future(self._journal.perform(_writing(_INSERT, _row(record))))

    def note(self, record: TaskRecord) -> None:
        """Keep how a running task stands, soon; whether that succeeds is not waited for."""
        row = (record.status, record.updated_at, record.message, _encoded(record.questions), record.id)
        update = "update tasks set status = ?, updated_at = ?, message = ?, questions = ? where id = ?"
        self._journal.later(_writing(update, row))

    async def find(self, task_id: str, now: float) -> TaskRecord | None:
        """The task of that id, if there is one that has not expired. Raises OSError, sqlite3.Error."""

        def work(connection: sqlite3.Connection) -> TaskRecord | None:
            row = connection.execute(_SELECT, (task_id,)).fetchone()
            return None if row is None else _record(row)

        found = await asyncio.wrap_future(self._journal.perform(work))
        return found if found is not None and found.expires_at > now else None

    async def forget(self, task_id: str) -> None:
        """Remove a task that nobody heard of. Raises OSError, sqlite3.Error."""
        await asyncio.wrap_future(self._journal.perform(_writing("delete from tasks where id = ?", (task_id,))))

    def forget_expired(self, now: float) -> None:
        """Remove what nobody may ask for any more, soon."""
        self._journal.later(_writing("delete from tasks where expires_at <= ?", (now,)))

    def _is_full(self, connection: sqlite3.Connection, principal_id: str, now: float) -> bool:
        counted = "select count(*), coalesce(sum(principal = ?), 0) from tasks where expires_at > ?"
        total, own = connection.execute(counted, (principal_id, now)).fetchone()
        return bool(total >= self._total or own >= self._per_principal)


def _writing(sql: str, row: tuple[Any, ...]) -> Job:
    def write(connection: sqlite3.Connection) -> None:
        connection.execute(sql, row)

    return write


def _row(record: TaskRecord) -> tuple[Any, ...]:
    return (
        record.id,
        record.principal_id,
        record.server,
        record.owner,
        record.upstream_id,
        record.tool,
        record.created_at,
        record.updated_at,
        record.ttl_s,
        record.expires_at,
        record.status,
        record.message,
        None if record.outcome is None else _encoded(record.outcome),
        _encoded(record.questions),
    )


def _record(row: tuple[Any, ...]) -> TaskRecord:
    task_id, principal_id, server, owner, upstream_id, tool, created_at, updated_at, ttl_s, _, status, message = row[
        :12
    ]
    return TaskRecord(
        id=task_id,
        principal_id=principal_id,
        server=server,
        owner=owner,
        upstream_id=upstream_id,
        tool=tool,
        created_at=created_at,
        updated_at=updated_at,
        ttl_s=ttl_s,
        status=status,
        message=message,
        outcome=None if row[12] is None else msgspec.json.decode(row[12]),
        questions=msgspec.json.decode(row[13]),
    )


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)
