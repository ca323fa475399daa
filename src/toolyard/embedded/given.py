"""What `add_service` is given, as entries of a configuration."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal
from urllib.parse import urlsplit

from toolyard.embedded.errors import ServiceExists, ServiceInvalid
from toolyard.sources.clients import id_of

Form = Literal["upstreams", "mcpServers"]
"""Whose form an entry has: ours, or that of clients' files."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One service to be: its name, how it is written, in whose form."""

    name: str
    fields: Mapping[str, Any]
    form: Form = "upstreams"


def entries_of(
    config: str | Mapping[str, Any] | None, name: str | None, fields: Mapping[str, Any], taken: Collection[str]
) -> list[Entry]:
    """The services that are to be added beside those that are `taken`. Raises ServiceInvalid, ServiceExists."""
    if isinstance(config, Mapping):
        for section in ("mcpServers", "servers"):
            if section in config:
                return _many(config[section], taken)
    entry = {**_one(config), **fields}
    name = name or entry.pop("name", None)
    entry.pop("name", None)
    if name is None:
        return [Entry(id_of(_likely_name(entry), taken), entry)]
    if not isinstance(name, str):
        raise ServiceInvalid("the name of a service is a text")
    _check_free(name, taken)
    return [Entry(name, entry)]


def _many(written: Any, taken: Collection[str]) -> list[Entry]:
    if not isinstance(written, Mapping) or not all(isinstance(fields, Mapping) for fields in written.values()):
        raise ServiceInvalid("'mcpServers' has an entry for each service, by its name")
    entries: list[Entry] = []
    for name, fields in written.items():
        service = id_of(str(name), [one.name for one in entries])
        _check_free(service, taken)
        entries.append(Entry(service, fields, "mcpServers"))
    return entries


def _check_free(name: str, taken: Collection[str]) -> None:
    if name in taken:
        raise ServiceExists(f"there is a service '{name}' already", service=name)


def _one(config: str | Mapping[str, Any] | None) -> dict[str, Any]:
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return dict(config)
    if config.startswith(("http://", "https://", "ws://", "wss://")):
        return {"url": config}
    try:
        return {"command": shlex.split(config)}
    except ValueError as error:
        raise ServiceInvalid(f"this is not a command line: {error}") from None


def _likely_name(entry: Mapping[str, Any]) -> str:
    """A name for a service that was given none: its host, its program, the built-in."""
    if isinstance(entry.get("url"), str):
        return urlsplit(entry["url"]).hostname or "service"
    command = entry.get("command")
    words = [command] if isinstance(command, str) else command
    if isinstance(words, Sequence) and words:
        return PurePath(str(words[0])).name
    if isinstance(entry.get("builtin"), str):
        return str(entry["builtin"])
    raise ServiceInvalid
