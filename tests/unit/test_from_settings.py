"""What settings do to the parts that are made from them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from toolyard.from_settings import configure_logs
from toolyard.gateway.feed.file import load_settings
from toolyard.kit.logs import get_logger


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


def logged(directory: Path, **environ: str) -> list[str]:
    """The levels of what is written into the log's directory when every level is logged."""
    settings = load_settings(directory / "none", {"LOG_DIR": str(directory / "logs"), **environ})
    configure_logs(settings, "json", "toolyard")
    logger = get_logger(f"test.{environ}")
    for level in ("debug", "info", "warning", "error"):
        getattr(logger, level)("something")
    text = (directory / "logs" / "toolyard.log").read_text()
    return [level for level in ("debug", "info", "warning", "error") if f'"level": "{level}"' in text]


def test_the_level_and_the_directory_of_logs_come_from_their_variables(tmp_path: Path) -> None:
    assert logged(tmp_path, LOG_LEVEL="WARNING") == ["warning", "error"]


def test_debug_logs_everything_whatever_the_level(tmp_path: Path) -> None:
    assert logged(tmp_path, LOG_LEVEL="error", DEBUG="true") == ["debug", "info", "warning", "error"]
