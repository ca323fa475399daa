"""What the command line prints: tables for people, JSON and YAML for programs, errors with what to do about them."""

from __future__ import annotations

import errno
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
    "vault_key_missing": "Restore it from your backup of the data directory.",
    "vault_key_wrong": "Give the right one: `vault.key` of the data directory, TOOLYARD_VAULT_KEY, or the command.",
    "tool_unknown": "See the names with `toolyard tools`.",
    "client_file_commented": "Paste what `toolyard connect CLIENT --print` shows, or remove the comments.",
    "already_running": "Stop it first, or run another with a configuration file of its own.",
    "server_unknown": "See the codes with `toolyard servers`.",
    "rate_limited": "Wait a little and try again; the limit is `limits` of the virtual server in toolyard.yaml.",
    "overloaded": "Try again in a moment; the bounds are the settings under `limits`.",
    "tool_disabled": "It is switched off under `tools` of its upstream in toolyard.yaml.",
    "server_disabled": "It is switched off (`enabled: false`) in toolyard.yaml.",
    "timed_out": "Give it more time: `timeout` of the upstream or the tool in toolyard.yaml.",
    "upstream_timeout": "Give it more time: `timeout` of the upstream or the tool in toolyard.yaml.",
    "upstream_busy": "Try again in a moment; see `toolyard upstreams`.",
    "upstream_unreachable": "See what is wrong with `toolyard upstreams` and `toolyard doctor`.",
    "upstream_stopped": "Start it: `toolyard upstream start NAME`.",
    "upstream_unknown": "See the ids with `toolyard upstreams`.",
    "upstream_disabled": "Switch it on: `toolyard upstream set NAME enabled=true`.",
    "upstream_not_ready": "See `toolyard upstreams`; `toolyard upstream restart NAME` opens it anew at once.",
    "upstream_still_open": "Wait, or end them: `toolyard upstream stop NAME --now`.",
    "upstream_exited": "See what the program said with `toolyard upstreams`.",
    "upstream_refused": "Look at `headers` of the upstream in toolyard.yaml; see `toolyard upstreams`.",
    "host_refused": "Add the name to `gateway.allowed_hosts`, or use the URL that `toolyard servers` shows.",
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
    code = str(error.context.get("gateways_code") or error.code)
    message = printable(error.message)
    say(f"error [{code}]: {message}" if "\n" not in message else f"error [{code}]\n{message}")
    mend = error.context.get("mend") or MENDS.get(code)
    if mend:
        say(f"  {mend}")


def complain_of_system(error: OSError) -> None:
    """Print what the operating system refused, and for which file."""
    said = error.strerror or str(error) or type(error).__name__
    files = [str(name) for name in (error.filename, error.filename2) if name is not None]
    say(printable(f"error [system]: {': '.join([' → '.join(files), said] if files else [said])}"))
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        say("  Run it as the owner of that file or directory, or choose another with --config or gateway.data_dir.")
    elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
        say("  Make room on that disk.")


def _scalar_fields(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name, value in row.items() if not isinstance(value, (dict, list)))
    return list(names)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    if not rows:
        say("none")
        return
    columns = [column for column in columns if any(row.get(column) not in (None, "", []) for row in rows)] or columns
    titles = [column.upper().replace("_", " ") for column in columns]
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    if not sys.stdout.isatty():
        _print_lines([titles, *cells])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(titles):
        table.add_column(title, overflow="fold", no_wrap=number == 0)
    for line in cells:
        table.add_row(*map(Text, line))
    console().print(table)


def _fields(value: Mapping[str, Any]) -> None:
    cells = [row for name, item in value.items() for row in _field_rows(name.replace("_", " ").strip(), item)]
    if not sys.stdout.isatty():
        _print_lines(cells)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in cells:
        table.add_row(name, Text(text))
    console().print(table)


def _field_rows(name: str, item: Any) -> list[list[str]]:
    """One row for a field; one for each object of a list of objects, the name before the first."""
    if isinstance(item, list) and any(isinstance(one, dict) for one in item):
        return [[name if number == 0 else "", _words(one)] for number, one in enumerate(item)]
    return [[name, _words(item)]]


def _words(item: Any) -> str:
    if isinstance(item, dict) and not any(isinstance(field, (dict, list)) for field in item.values()):
        return ", ".join(f"{name} {_cell(field)}" for name, field in item.items())
    return _cell(item)


def _print_lines(lines: Sequence[Sequence[str]]) -> None:
    """Each row as one line, however long, for what reads a pipe."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)) and all(isinstance(item, (str, int, float)) for item in value):
        return printable(", ".join(str(item) for item in value))
    if isinstance(value, (dict, list, tuple)):
        return printable(json.dumps(value, ensure_ascii=False))
    return printable(str(value).split("\n", 1)[0]).replace("\t", " ")


def printable(text: str) -> str:
    """The text without control characters, so that a tool's answer cannot steer the terminal."""
    return "".join(
        character if character in "\n\t" or not (ord(character) < 32 or 127 <= ord(character) < 160) else "\ufffd"
        for character in text
    )
