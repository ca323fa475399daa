"""What kinds of settings there are, and how each is read from the text that people write.

Each parser raises ValueError saying what is wanted; those of secrets never repeat what they were given.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from toolyard.kit.database_url import database_url
from toolyard.kit.quantities import keys, seconds, size_bytes, switch, whole_number
from toolyard.kit.secret import Secret

Kind = Literal[
    "text",
    "url",
    "path",
    "port",
    "workers",
    "count",
    "bytes",
    "seconds",
    "level",
    "log format",
    "list",
    "networks",
    "secret",
    "switch",
    "command",
    "database",
    "keys",
]
CONFIDENTIAL = frozenset({"secret", "keys", "database"})
"""Kinds that may also be given as `file:PATH`."""
MIN_TOKEN_CHARACTERS = 16
MAX_WORKERS = 64


def parse(kind: Kind, text: str, base: Path) -> Any:
    """The value of a setting. Paths are relative to `base`. Raises ValueError."""
    if kind == "path":
        return (base / Path(text).expanduser()).absolute() if text else None
    if kind == "database":
        return database_url(text, base) if text else None
    return _PARSERS[kind](text)


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        lowered = text.strip().lower()
        if lowered not in allowed:
            raise ValueError(f"'{text}' is not one of {', '.join(allowed)}")
        return lowered

    return read


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _networks(text: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(part, strict=False)) for part in _list(text))


def _url(text: str) -> str | None:
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"'{text}' is not a URL such as https://tools.example.com")
    return text.rstrip("/")


def _token(text: str) -> Secret | None:
    """A bearer token. The message never repeats it."""
    if not text:
        return None
    if len(text) < MIN_TOKEN_CHARACTERS:
        raise ValueError(f"must have at least {MIN_TOKEN_CHARACTERS} characters")
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", text):
        raise ValueError("contains a character that a bearer token cannot have; allowed: A-Z a-z 0-9 - . _ ~ + / =")
    return Secret(text)


def _keys(text: str) -> Secret | None:
    if not text:
        return None
    keys(text)
    return Secret(text)


def _command(text: str) -> tuple[str, ...]:
    """Words as a shell would divide them; no shell ever reads them."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"is not a command: {error}") from None


def _positive_seconds(text: str) -> float:
    value = seconds(text)
    if value <= 0:
        raise ValueError(f"'{text}' must be more than nothing")
    return value


_PARSERS: dict[str, Callable[[str], Any]] = {
    "text": str.strip,
    "url": _url,
    "port": lambda text: whole_number(text, 0, 65535),
    "workers": lambda text: whole_number(text, 1, MAX_WORKERS),
    "count": lambda text: whole_number(text, 1, 10_000_000),
    "bytes": size_bytes,
    "seconds": _positive_seconds,
    "level": _one_of("debug", "info", "warning", "error"),
    "log format": _one_of("auto", "console", "json"),
    "list": _list,
    "networks": _networks,
    "secret": _token,
    "switch": switch,
    "command": _command,
    "keys": _keys,
}
