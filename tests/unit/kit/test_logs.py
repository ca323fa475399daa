"""Logs: one event is one line, whatever it holds; levels, rotation, private files."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from toolyard.kit.logs import MAX_VALUE_CHARS, LogSettings, configure, get_logger
from toolyard.kit.secret import Secret


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def lines(directory: Path) -> list[str]:
    return (directory / "toolyard.log").read_text().splitlines()


def test_an_event_is_one_json_object_on_one_line(tmp_path: Path) -> None:
    configure(LogSettings(format="json", directory=tmp_path))
    nasty = 'a\r\nb\x1b[31m\u2028"quoted"\x00'
    get_logger("test").info("something_happened", name=nasty, number=3, **{"odd\nkey": "x"})
    (line,) = lines(tmp_path)
    event = json.loads(line)
    assert event["event"] == "something_happened"
    assert event["level"] == "info"
    assert event["number"] == 3
    assert "\n" not in event["name"]
    assert line.isascii()


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    configure(LogSettings(format="json", directory=tmp_path))
    get_logger("test").info("long", value="x" * 1_000_000)
    assert len(json.loads(lines(tmp_path)[0])["value"]) == MAX_VALUE_CHARS + 1


def test_events_below_the_level_are_not_written(tmp_path: Path) -> None:
    configure(LogSettings(level="warning", format="json", directory=tmp_path))
    log = get_logger("test")
    log.info("too_low")
    log.warning("high_enough")
    logging.getLogger("elsewhere").info("too low, too")
    logging.getLogger("elsewhere").error("of another library")
    assert [json.loads(line)["event"] for line in lines(tmp_path)] == ["high_enough", "of another library"]


def test_files_are_rotated_and_old_ones_deleted(tmp_path: Path) -> None:
    configure(LogSettings(format="json", directory=tmp_path, max_bytes=2_000, backups=2))
    log = get_logger("test")
    for number in range(200):
        log.info("filling", number=number)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["toolyard.log", "toolyard.log.1", "toolyard.log.2"]
    assert all(p.stat().st_size <= 2_000 for p in tmp_path.iterdir())
    assert json.loads(lines(tmp_path)[-1])["number"] == 199


def test_log_files_are_private(tmp_path: Path) -> None:
    configure(LogSettings(format="json", directory=tmp_path, max_bytes=300))
    for _ in range(5):
        get_logger("test").info("something")
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o600}


def test_secrets_and_local_variables_are_not_printed(tmp_path: Path) -> None:
    configure(LogSettings(format="json", directory=tmp_path))
    hidden = Secret("SEKRET-1")

    def fail() -> None:
        local = "SEKRET-2"
        raise ValueError(len(local))

    try:
        fail()
    except ValueError:
        get_logger("test").exception("failed", credential=hidden)
    (line,) = lines(tmp_path)
    assert "ValueError" in line
    assert "SEKRET" not in line


def test_a_gateway_does_without_the_library_that_draws_tables_and_the_command_line_still_finds_it() -> None:
    code = (
        "import sys, toolyard.platform\n"
        "assert not any(name.partition('.')[0] == 'rich' for name in sys.modules)\n"
        "from toolyard.cli.output import console\n"
        "console().print('[bold]found[/bold]')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "found\n"
