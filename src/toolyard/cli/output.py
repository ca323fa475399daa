"""What the command line prints: tables for people, JSON and YAML for programs, errors with what to do about them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from toolyard.kit.errors import PlatformError

if TYPE_CHECKING:
    from rich.console import Console


class Format(StrEnum):
    """The value of `-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


MENDS: Mapping[str, str] = {
    "config_missing": "Make one with `toolyard up` or `toolyard add`, or name it: --config FILE (or TOOLYARD_CONFIG).",
    "config_rejected": "Nothing was changed. Mend the lines above, then try `toolyard config validate`.",
    "gateway_absent": "Start it with `toolyard up`, or set TOOLYARD_URL and TOOLYARD_KEY to reach one elsewhere.",
    "gateway_unreachable": "See `toolyard doctor`; after a crash, start it again: `toolyard up`.",
    "key_refused": "Make a key with `toolyard key create` and set it in TOOLYARD_KEY.",
    "key_unknown": "See the ids with `toolyard key list`.",
    "keys_exposed": "Only you may be able to read the files of the data directory.",
    "tool_unknown": "See the names with `toolyard tools`.",
    "client_file_commented": "Paste what `toolyard connect CLIENT --print` shows, or remove the comments.",
    "already_running": "Stop it first, or run another with a configuration file of its own.",
    "server_unknown": "See the codes with `toolyard servers`.",
    "operator_only": "Run the command on the gateway's machine, beside its toolyard.yaml or with --config.",
}


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, or standard error."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def show(value: Any, form: Format, *, columns: Sequence[str] | None = None) -> None:
    """Print a value. A table has a row for each object of a list (by `columns`, else all scalar fields), or for each
    field of one object."""
    if form is Format.JSON:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    elif form is Format.YAML:
        import yaml

        sys.stdout.write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
    elif isinstance(value, list):
        _table(value, columns or _scalar_fields(value))
    else:
        _fields(value)


def say(text: str) -> None:
    """A sentence for the person, on standard error so that standard output stays data."""
    sys.stderr.write(text + "\n")


def complain(error: PlatformError) -> None:
    """Print an error: its code, what is wrong, and what to do."""
    say(
        f"error [{error.code}]: {error.message}"
        if "\n" not in error.message
        else f"error [{error.code}]\n{error.message}"
    )
    mend = error.context.get("mend") or MENDS.get(error.code)
    if mend:
        say(f"  {mend}")


def _scalar_fields(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name, value in row.items() if not isinstance(value, (dict, list)))
    return list(names)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        say("none")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [column for column in columns if any(row.get(column) not in (None, "", []) for row in rows)] or columns
    for number, column in enumerate(columns):
        table.add_column(column.upper().replace("_", " "), overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    console().print(table)


def _fields(value: Mapping[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, item in value.items():
        table.add_row(name.replace("_", " "), Text(_cell(item)))
    console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)) and all(isinstance(item, (str, int, float)) for item in value):
        return printable(", ".join(str(item) for item in value))
    if isinstance(value, (dict, list, tuple)):
        return printable(json.dumps(value, ensure_ascii=False))
    return printable(str(value).split("\n", 1)[0])


def printable(text: str) -> str:
    """The text without control characters, so that a tool's answer cannot steer the terminal."""
    return "".join(
        character if character in "\n\t" or not (ord(character) < 32 or 127 <= ord(character) < 160) else "\ufffd"
        for character in text
    )
