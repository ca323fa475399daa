"""The journal: what a gateway remembers across restarts, and what it does with a file that is no journal."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.contract.making import observed, tool
from toolyard.contract.naming import Origin
from toolyard.gateway import journal as journal_module
from toolyard.gateway.journal import Journal
from toolyard.kit import faults

ECHO = Origin("default", "plain", "tool", "a", "echo")


@contextmanager
def opened(path: Path | None) -> Iterator[Journal]:
    made = Journal(path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def refusal(number: int = 0, **changes: Any) -> dict[str, Any]:
    values = {"at": 1.0, "principal": "key:1", "server": "default", "reason": "rate_limited", "action": "tools/call"}
    return {**values, "client": "127.0.0.1", "request_id": f"r{number}", **changes}


def rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_what_was_seen_and_named_is_there_after_a_restart(path):
    seen = observed(
        "a",
        tool("echo", title="Écho 搜", inputSchema={"type": "object", "maximum": 2**64 - 1, "x": [None, True, 1.5]}),
        prompts=["p"],
        resources=["r://1"],
        templates=["t://{x}"],
        instructions="Use it.",
        warnings=("one dropped",),
        era="legacy",
    )
    with opened(path) as journal:
        journal.keep_observation(seen)
        journal.keep_names({ECHO: "echo", ECHO._replace(kind="prompt"): "b__echo"})
    with opened(path) as journal:
        assert journal.observations() == {"a": seen}
        assert journal.observations()["a"].digest() == seen.digest()
        assert journal.names() == {ECHO: "echo", ECHO._replace(kind="prompt"): "b__echo"}


def test_of_each_upstream_the_last_observation_is_kept(path):
    with opened(path) as journal:
        for number in range(5):
            journal.keep_observation(observed("a", f"t{number}"))
        journal.keep_observation(observed("b"))
    with opened(path) as journal:
        assert journal.observations() == {"a": observed("a", "t4"), "b": observed("b")}


def test_a_journal_in_memory_works_and_leaves_nothing(tmp_path):
    with opened(None) as journal:
        journal.keep_observation(observed("a"))
        journal.keep_names({})
        journal.flush()
        assert journal.dropped == 0
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_may_read_the_file_from_its_first_moment_on(path):
    before = os.umask(0)
    try:
        with opened(path) as journal:
            journal.keep_names({ECHO: "echo"})
            journal.flush()
            modes = {p.name: p.stat().st_mode & 0o777 for p in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert len(modes) > 1


def not_a_database(path: Path) -> None:
    path.write_bytes(b"this is no database, but a text of some length " * 100)


def damaged(path: Path) -> None:
    with opened(path) as journal:
        for number in range(50):
            journal.keep_observation(observed(f"u{number}", *(f"t{n}" for n in range(50))))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table observations (something text)")


@pytest.mark.parametrize("spoil", [not_a_database, damaged, other_tables], ids=lambda f: f.__name__)
def test_a_file_that_cannot_be_read_is_set_aside_and_a_new_one_begun(path, spoil):
    spoil(path)
    marker = path.read_bytes()[-100:]
    with capture_logs() as logs, opened(path) as journal:
        assert (journal.observations(), journal.names()) == ({}, {})
        journal.keep_names({ECHO: "echo"})
        journal.flush()
        assert journal.dropped == 0
    (aside,) = (p for p in path.parent.iterdir() if ".unreadable" in p.name and p.name[-4:] not in ("-wal", "-shm"))
    assert marker in aside.read_bytes()
    assert [line["event"] for line in logs] == ["journal_set_aside"]
    with opened(path) as journal:
        assert journal.names() == {ECHO: "echo"}


def test_a_second_unreadable_file_does_not_overwrite_the_first(path):
    for text in (b"first " * 100, b"second " * 100):
        path.write_bytes(text)
        Journal(path).close()
    assert len([p for p in path.parent.iterdir() if ".unreadable" in p.name]) == 2


def test_an_entry_of_another_form_is_left_out_and_the_others_stay(path):
    with opened(path) as journal:
        journal.keep_observation(observed("a", "x"))
        journal.keep_observation(observed("b", "x"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update observations set body = '{\"upstream_id\": 7}' where upstream_id = 'a'")
    with capture_logs() as logs, opened(path) as journal:
        assert journal.observations() == {"b": observed("b", "x")}
    assert [(line["event"], line["upstream"]) for line in logs] == [("journal_entry_unreadable", "a")]


def test_without_a_place_for_the_file_the_gateway_remembers_nothing_and_goes_on(tmp_path):
    with capture_logs() as logs, opened(tmp_path / "not" / "there" / "journal.sqlite") as journal:
        journal.keep_names({ECHO: "echo"})
        journal.flush()
        assert (journal.observations(), journal.dropped) == ({}, 0)
    assert logs[0]["event"] == "journal_not_kept"


def test_a_journal_that_another_process_holds_is_left_to_it(path, monkeypatch):
    Journal(path).close()
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, **{**k, "timeout": 0.05}))
    with closing(real(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        with opened(path) as journal:
            journal.keep_names({ECHO: "echo"})
            journal.flush()
        other.execute("rollback")
    assert path.exists()
    assert not [p for p in path.parent.iterdir() if "unreadable" in p.name]


@pytest.mark.parametrize(
    "fault", [OSError("no space left"), sqlite3.OperationalError("disk full")], ids=["os", "sqlite"]
)
def test_a_write_that_fails_loses_its_batch_only_and_is_counted(path, fault):
    with opened(path) as journal:
        journal.keep_names({ECHO: "echo"})
        journal.flush()
        with faults.armed("journal.write", fault), capture_logs() as logs:
            journal.keep_names({ECHO._replace(name="lost"): "lost"})
            journal.flush()
        assert journal.dropped == 1
        assert (logs[0]["event"], logs[0]["lost"]) == ("journal_write_failed", 1)
        journal.keep_names({ECHO._replace(name="kept"): "kept"})
    with opened(path) as journal:
        assert sorted(journal.names().values()) == ["echo", "kept"]


def test_a_value_that_no_database_can_hold_costs_its_batch_and_not_the_journal(path):
    with opened(path) as journal:
        journal.keep_refusal(refusal(client="\ud800"))
        journal.flush()
        journal.keep_refusal(refusal(1))
        journal.flush()
        assert journal.dropped == 1
    assert rows(path, "select request_id from refusals") == [("r1",)]


def test_what_fails_in_the_middle_of_a_batch_undoes_all_of_it(path):
    with opened(path) as journal:
        journal.flush()
        blocked = threading.Event()
        with faults.armed("journal.write", blocked.wait):
            journal.keep_refusal(refusal(0))
            while not journal._jobs.empty():
                pass
            journal.keep_refusal(refusal(1))
            journal.keep_refusal(refusal(2, at=object()))
            blocked.set()
            journal.flush()
        journal.keep_refusal(refusal(3))
        journal.flush()
        assert journal.dropped == 2
    assert rows(path, "select request_id from refusals order by rowid") == [("r0",), ("r3",)]


def test_callers_never_wait_and_what_does_not_fit_is_counted(path, monkeypatch):
    monkeypatch.setattr(journal_module, "_MAX_WAITING", 10)
    with opened(path) as journal:
        blocked = threading.Event()
        with faults.armed("journal.write", blocked.wait):
            for number in range(500):
                journal.keep_refusal(refusal(number))
            lost = journal.dropped
            blocked.set()
            journal.flush()
        assert 0 < lost < 500
    assert len(rows(path, "select * from refusals")) == 500 - lost


def test_the_oldest_refusals_make_room_while_the_gateway_runs_and_at_its_start(path, monkeypatch):
    monkeypatch.setattr(journal_module, "_MAX_REFUSALS", 100)
    with opened(path) as journal:
        for number in range(2050):
            journal.keep_refusal(refusal(number))
        journal.flush()
        assert len(rows(path, "select * from refusals")) <= 150
    with opened(path):
        assert [r[0] for r in rows(path, "select request_id from refusals order by rowid")] == [
            f"r{n}" for n in range(1950, 2050)
        ]


def test_what_was_handed_over_before_the_end_is_written(path):
    journal = Journal(path)
    for number in range(1200):
        journal.keep_refusal(refusal(number))
    journal.close()
    assert len(rows(path, "select * from refusals")) == 1200


def test_work_that_is_waited_for_is_on_disk_when_its_result_is_told(path):
    with opened(path) as journal:
        counted = journal.perform(lambda c: c.execute("select count(*) from tasks").fetchone()[0])
        assert counted.result(10) == 0
        row = ("t", "p", "s", "o", "u", "tool", 1.0, 1.0, 1.0, 2.0, "working", None, None, b"{}")
        sql = f"insert into tasks values ({', '.join('?' * len(row))})"
        journal.perform(lambda c: c.execute(sql, row).rowcount).result(10)
        assert rows(path, "select id from tasks") == [("t",)]


def test_work_that_fails_tells_why_and_leaves_nothing(path):
    def work(connection):
        connection.execute("delete from names")
        connection.execute("insert into nowhere values (1)")

    with opened(path) as journal:
        journal.keep_names({ECHO: "echo"})
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            journal.perform(work).result(10)
        journal.keep_names({ECHO: "echo"})
        journal.flush()
        assert len(rows(path, "select * from names")) == 1


def test_a_closed_journal_says_so_to_who_waits(path):
    with opened(path) as journal:
        journal.close()
        with pytest.raises(OSError, match="closed"):
            journal.perform(lambda _connection: None).result(10)
