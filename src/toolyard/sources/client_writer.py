"""Writing Toolyard's own entry into a client's file, and taking it out again. Pure: text in, text out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolyard.kit.errors import PlatformError
from toolyard.sources.clients import Client, ClientFileUnreadable, parse_client_file

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class ClientFileCommented(PlatformError):
    """The client's file has comments, which writing it would lose; add the entry by hand."""

    code = "client_file_commented"
    status = 409


@dataclass(frozen=True, slots=True)
class Connection:
    """How a client shall reach us: by URL with a key (if the server needs one), or by running `command`."""

    url: str
    key: str | None
    command: tuple[str, ...]


def entry_for(client: Client, connection: Connection) -> dict[str, Any]:
    """The entry that the client needs under its `section`."""
    if client.speaks == "command":
        return {"command": connection.command[0], "args": list(connection.command[1:])}
    entry: dict[str, Any] = {"type": client.type_name} if client.type_name else {}
    entry[client.url_name] = connection.url
    if connection.key:
        entry[client.headers_name] = {"Authorization": f"Bearer {connection.key}"}
    return entry


def snippet(client: Client, name: str, entry: Mapping[str, Any]) -> str:
    """What to paste into an empty file of this client."""
    if client.format == "toml":
        return _toml_tables(client.section, name, entry)
    return json.dumps({client.section: {name: entry}}, indent=2, ensure_ascii=False) + "\n"


def existing_entry(client: Client, text: str, name: str) -> dict[str, Any] | None:
    """The entry of that name in a client's file, if there is one. Raises ClientFileUnreadable."""
    section = parse_client_file(client, text).get(client.section)
    entry = section.get(name) if isinstance(section, dict) else None
    return entry if isinstance(entry, dict) else None


def with_entry(client: Client, text: str, name: str, entry: Mapping[str, Any] | None) -> str:
    """The file's text with `entry` under `name` (None: without it); everything else stays as it is.
    Raises ClientFileUnreadable, ClientFileCommented."""
    if client.format == "toml":
        return _toml_with(client, text, name, entry)
    content = parse_client_file(client, text)
    _check_plain(text)
    section = content.setdefault(client.section, {})
    if not isinstance(section, dict):
        raise ClientFileUnreadable(f"'{client.section}' must be an object")
    if entry is None:
        section.pop(name, None)
    else:
        section[name] = dict(entry)
    return json.dumps(content, indent=_indent(text), ensure_ascii=False) + "\n"


def _check_plain(text: str) -> None:
    try:
        json.loads(text.strip() or "{}")
    except ValueError:
        raise ClientFileCommented from None


def _indent(text: str) -> int | str:
    found = re.search(r"^([ \t]+)\"", text, re.MULTILINE)
    if not found:
        return 2
    return "\t" if found[1].startswith("\t") else len(found[1])


def _toml_with(client: Client, text: str, name: str, entry: Mapping[str, Any] | None) -> str:
    expected = parse_client_file(client, text)
    section = {key: value for key, value in expected.get(client.section, {}).items() if key != name}
    section |= {name: dict(entry)} if entry is not None else {}
    kept = _toml_without(client.section, text, name)
    if entry is not None:
        kept += ("\n" if kept else "") + _toml_tables(client.section, name, entry)
    after = _loads_or_empty(kept)
    if {**after, client.section: after.get(client.section, {})} != {**expected, client.section: section}:
        raise ClientFileUnreadable(f"'{client.section}.{name}' is written in a form that cannot be replaced safely")
    return kept


def _loads_or_empty(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError:
        return {}


def _toml_without(section: str, text: str, name: str) -> str:
    """The text without the tables [section.name] and those below it."""
    names = "|".join(re.escape(form) for form in (name, f'"{name}"', f"'{name}'"))
    ours = re.compile(rf"^\s*\[\s*{re.escape(section)}\s*\.\s*(?:{names})\s*(?:\.[^\]]*)?\]")
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            inside = bool(ours.match(line))
        if not inside:
            kept.append(line)
    return re.sub(r"\n{3,}\Z", "\n\n", "".join(kept)).rstrip("\n") + "\n" if "".join(kept).strip() else ""


def _toml_tables(section: str, name: str, entry: Mapping[str, Any]) -> str:
    quoted = name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    lines = [f"[{section}.{quoted}]"]
    lines += [f"{key} = {_toml_value(value)}" for key, value in entry.items() if value is not None]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key, ensure_ascii=False)} = {_toml_value(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
