"""Structured logs: one JSON object or one console line for each event, with levels, rotation and request ids.

Values are cut at 2 KiB and control characters are escaped, so that one event is one line whatever a client sends.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Within the block, a module that is not loaded yet seems not to be installed."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # what the import system documents for this
    try:
        yield
    finally:
        del sys.modules[module]


with _hidden("rich"):  # structlog loads it to colour tracebacks, which are text here: 52 modules, 25 ms and 4 MiB
    import structlog

MAX_VALUE_CHARS = 2048
MAX_ITEMS = 100
MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`level`: debug…error. `format`: json, console or auto (console on a terminal). `directory`: where rotated files
    go (none: standard error only). A file is rotated at `max_bytes`; `backups` old ones are kept, older ones
    deleted. `name` is what the files are called: one process writes to a file."""

    level: str = "info"
    format: str = "auto"
    directory: Path | None = None
    max_bytes: int = 16 * 1024 * 1024
    backups: int = 5
    name: str = "toolyard"


def configure(settings: LogSettings) -> None:
    """Send all logs of the process where `settings` says. Call once, at the composition root."""
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(_formatter(console=console))
    if settings.directory is not None:
        settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = settings.directory / f"{settings.name}.log"
        rotating = _PrivateRotatingFile(
            path, maxBytes=settings.max_bytes, backupCount=settings.backups, encoding="utf-8"
        )
        rotating.setFormatter(_formatter(console=False))
        handlers.append(rotating)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        if isinstance(old, _PrivateRotatingFile):
            old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(settings.level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _harmless,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def leave_to_host() -> None:
    """Hand all logs to the standard library's loggers (`toolyard.…`), for a program that is somebody else's: where they
    go is its own to say. What it has configured already stays as it is."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            _harmless,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


class _PrivateRotatingFile(RotatingFileHandler):
    """A rotated file that only its owner may read."""

    def _open(self) -> TextIOWrapper:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, "a", encoding="utf-8", opener=private)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of one module; further keyword arguments of each event become fields."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _formatter(*, console: bool) -> logging.Formatter:
    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if console else None
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _harmless,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            renderer or structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
    )


def _harmless(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key == "exception" and isinstance(value, str):
            event[key] = "\n".join(_printable(line) for line in value[: 8 * MAX_VALUE_CHARS].split("\n"))
        elif not key.startswith("_"):
            event[key] = _plain(value, MAX_DEPTH)
    return event


def _plain(value: Any, depth: int) -> Any:
    """The value as it may be written: texts on one line and cut, collections cut, anything else by its description."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _one_line(value)
    if depth and isinstance(value, Mapping):
        return {_one_line(str(k)): _plain(v, depth - 1) for k, v in islice(value.items(), MAX_ITEMS)}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_plain(v, depth - 1) for v in islice(value, MAX_ITEMS)]
    return _one_line(repr(value))


def _one_line(value: str) -> str:
    if len(value) > MAX_VALUE_CHARS:
        value = value[:MAX_VALUE_CHARS] + "…"
    return _printable(value)


def _printable(value: str) -> str:
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value)
