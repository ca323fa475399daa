"""What a client can put into a log: whatever it sends, one event stays one harmless line."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolyard.kit.logs import MAX_ITEMS, MAX_VALUE_CHARS, LogSettings, configure, get_logger
from toolyard.kit.secret import Secret

NASTY = 'a\r\nb\x1b[31mred\x1b[0m\u2028\u2029\x85\x0b\x0c"quoted"\x00\x7f\ud800\u202e{"event": "forged"}'


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


@dataclass
class Holder:
    """Something that holds a secret."""

    credential: Secret
    name: str = NASTY


VALUES: dict[str, Any] = {
    "text": NASTY,
    "bytes": NASTY.encode("utf-8", "surrogatepass"),
    "list": [NASTY, {NASTY: [NASTY]}],
    "mapping": {"k": {"deep": {"deeper": {"deepest": NASTY}}}},
    "set": {NASTY},
    "exception": ValueError(NASTY),
    "object": Holder(Secret("SEKRET")),
    "none": None,
    "number": 1.5,
}


@pytest.mark.parametrize("kind", VALUES)
def test_one_event_is_one_json_line_whatever_kind_of_value_it_has(tmp_path, kind):
    configure(LogSettings(format="json", directory=tmp_path))
    get_logger("test").info("something", value=VALUES[kind])
    logging.getLogger("another.library").warning("they say %s", VALUES[kind])
    content = (tmp_path / "toolyard.log").read_bytes()
    assert content.isascii()
    events = [json.loads(line) for line in content.splitlines()]
    assert len(events) == 2
    assert events[0]["event"] == "something"
    assert b"SEKRET" not in content


@pytest.mark.parametrize("kind", VALUES)
def test_one_event_is_one_console_line_without_control_characters(monkeypatch, kind):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    configure(LogSettings(format="console"))
    get_logger("test").info("something", value=VALUES[kind])
    logging.getLogger("another.library").warning("they say %s", VALUES[kind])
    text = shown.getvalue()
    assert len(text.splitlines()) == 2
    assert "\x1b[31m" not in text
    assert "SEKRET" not in text


def test_an_exception_shows_its_lines_and_no_control_characters(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    configure(LogSettings(format="console"))
    try:
        raise ValueError(NASTY)
    except ValueError:
        get_logger("test").exception("failed")
    text = shown.getvalue()
    assert "Traceback" in text
    assert not {"\x1b", "\x00", "\r", "\u2028", "\x85"} & set(text.replace("\x1b[0m", "").replace("\x1b[1m", ""))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.text(max_size=50), st.recursive(st.text(max_size=20), lambda inner: st.lists(inner, max_size=3)))
def test_any_name_and_any_value_make_one_line(tmp_path, name, value):
    configure(LogSettings(format="json", directory=tmp_path))
    before = (tmp_path / "toolyard.log").stat().st_size
    get_logger("test").info(name, value=value)
    added = (tmp_path / "toolyard.log").read_bytes()[before:]
    assert added.count(b"\n") == 1
    json.loads(added)


def test_a_megabyte_anywhere_is_cut(tmp_path):
    configure(LogSettings(format="json", directory=tmp_path))
    megabyte = "x" * 1_000_000
    get_logger("test").info(
        megabyte,
        text=megabyte,
        inside=[megabyte, {"deep": megabyte, megabyte: 1}],
        long=list(range(1_000_000)),
        raw=megabyte.encode(),
        nested=[[[[[[megabyte]]]]]],
    )
    try:
        raise ValueError(megabyte)
    except ValueError:
        get_logger("test").exception("failed")
    first, second = (tmp_path / "toolyard.log").read_text().splitlines()
    assert len(first) < 20 * MAX_VALUE_CHARS
    assert len(second) < 20 * MAX_VALUE_CHARS
    assert len(json.loads(first)["long"]) == MAX_ITEMS


def test_a_secret_is_not_printed_wherever_it_is(tmp_path):
    configure(LogSettings(format="json", directory=tmp_path))
    secret = Secret("SEKRET")
    get_logger("test").warning(
        "using", plain=secret, many=[secret, {"k": secret}], text=f"{secret}", held=Holder(secret)
    )
    logging.getLogger("other").warning("%s %r", secret, [secret])
    content = (tmp_path / "toolyard.log").read_text()
    assert "SEKRET" not in content
    assert content.count("Secret(****)") == 7


def test_a_request_id_that_was_bound_is_in_the_events_of_its_request_only(tmp_path):
    configure(LogSettings(format="json", directory=tmp_path))
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        get_logger("test").info("within")
    get_logger("test").info("after")
    within, after = (json.loads(line) for line in (tmp_path / "toolyard.log").read_text().splitlines())
    assert within["request_id"] == "r1"
    assert "request_id" not in after
    assert within["timestamp"].endswith("Z")
    assert within["logger"] == "test"


@pytest.mark.parametrize("backups", [1, 3])
def test_there_are_as_many_old_files_as_said_and_none_is_larger_than_said(tmp_path, backups):
    configure(LogSettings(format="json", directory=tmp_path / "made" / "anew", max_bytes=1000, backups=backups))
    for number in range(100):
        get_logger("test").info("filling", number=number, text="x" * 50)
    files = sorted((tmp_path / "made" / "anew").iterdir())
    assert len(files) == backups + 1
    assert all(f.stat().st_size <= 1000 for f in files)
    assert {f.stat().st_mode & 0o777 for f in files} == {0o600}
    numbers = [json.loads(line)["number"] for f in reversed(files) for line in f.read_text().splitlines()]
    assert numbers == list(range(100 - len(numbers), 100))


def test_a_level_can_be_raised_and_configuring_again_does_not_write_twice(tmp_path):
    for level in ("error", "debug"):
        configure(LogSettings(level=level, format="json", directory=tmp_path))
    get_logger("test").debug("once")
    assert len(Path(tmp_path / "toolyard.log").read_text().splitlines()) == 1
