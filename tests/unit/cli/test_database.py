"""Commands for the control plane's database, on a file in the data directory."""

import json
import sqlite3
from contextlib import closing


def configured(here):
    (here / "toolyard.yaml").write_text("upstreams: {}\n")
    (here / ".toolyard").mkdir(mode=0o700)


def organizations(here):
    with closing(sqlite3.connect(here / ".toolyard" / "toolyard.db")) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM organizations")]


def rename(here, name):
    with closing(sqlite3.connect(here / ".toolyard" / "toolyard.db")) as connection, connection:
        connection.execute("UPDATE organizations SET name = ?", (name,))


def test_a_new_database_is_brought_up_and_found_whole(toolyard, here):
    configured(here)
    assert toolyard("db", "current") == 0
    assert toolyard.out.strip() == "empty"
    assert toolyard("db", "check") == 1
    assert "toolyard db upgrade" in toolyard.err
    assert toolyard("db", "upgrade") == 0
    assert toolyard("db", "check") == 0
    assert organizations(here) == ["Default"]
    assert toolyard("db", "history", "-o", "json") == 0
    steps = json.loads(toolyard.out)
    assert [one["current"] for one in steps] == [False] * (len(steps) - 1) + [True]


def test_what_was_backed_up_comes_back(toolyard, here):
    configured(here)
    toolyard("db", "upgrade")
    rename(here, "before")
    assert toolyard("db", "backup", here / "kept") == 0
    rename(here, "after")
    assert toolyard("db", "restore", here / "kept", "--yes") == 0
    assert organizations(here) == ["before"]
    (here / "kept").write_bytes(b"nothing")
    assert toolyard("db", "restore", here / "kept", "--yes") == 1
    assert organizations(here) == ["before"]


def test_a_reset_empties_the_database_and_keeps_a_copy(toolyard, here):
    configured(here)
    toolyard("db", "upgrade")
    rename(here, "mine")
    assert toolyard("db", "reset", "--yes") == 0
    assert organizations(here) == ["Default"]
    assert len(list((here / ".toolyard").glob("toolyard.db.*.bak"))) == 1


def test_a_migration_that_is_not_there_is_refused_and_nothing_is_changed(toolyard, here):
    configured(here)
    toolyard("db", "upgrade")
    toolyard("db", "current")
    before = toolyard.out
    assert toolyard("db", "downgrade", "nowhere") == 1
    assert "nowhere" in toolyard.err
    toolyard("db", "current")
    assert toolyard.out == before
