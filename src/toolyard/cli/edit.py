"""Commands that read or change the configuration file: add, import, config validate."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, say, show

if TYPE_CHECKING:
    from toolyard.sources.clients import ClientEntry

_URL = re.compile(r"(https?|wss?)://", re.IGNORECASE)
_NOISE = re.compile(
    r"^(mcp[-_]server[-_]|server[-_]mcp[-_]|server[-_]|mcp[-_])|([-_]mcp[-_]server|[-_]server|[-_]mcp)$"
)


def add(
    what: Annotated[
        list[str], typer.Argument(help="A URL, a client's JSON file, or -- COMMAND ARGUMENTS…", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Id of the upstream (default: made of WHAT).", show_default=False)
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="Header for a URL: 'Name: value'.", show_default=False)
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", "-e", help="Variable for a command: NAME=value.", show_default=False)
    ] = None,
    transport: Annotated[
        str | None, typer.Option(help="For a URL: auto, http, sse or websocket.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Add an upstream to the configuration: a URL, a command, or all servers of a client's file.

    A command comes after two dashes: toolyard add -- uvx mcp-server-time"""
    from toolyard.sources.clients import ClientEntry, read_any

    if len(what) == 1 and _URL.match(what[0]):
        fields: dict[str, Any] = {"url": what[0]}
        fields |= {"headers": dict(_pairs(header, ":", "--header"))} if header else {}
        fields |= {"transport": transport} if transport else {}
        entries = [ClientEntry(name or _name_of_url(what[0]), fields)]
    elif len(what) == 1 and what[0].endswith((".json", ".jsonc")):
        entries = read_any(_read(Path(what[0])))
    else:
        fields = {"command": what[0], "args": what[1:]} if len(what) > 1 else {"command": what[0]}
        fields |= {"env": dict(_pairs(env, "=", "--env"))} if env else {}
        entries = [ClientEntry(name or _name_of_command(what), fields)]
    _add(entries, config, exact=name is not None)


def import_clients(
    client: Annotated[str | None, typer.Argument(help="Only from this client.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take everything over without asking.")] = False,
    config: ConfigOption = None,
) -> None:
    """Find the MCP servers of Claude, Cursor, VS Code, Codex and Gemini on this machine and take them over."""
    from toolyard.cli.client_files import found_files, named_client
    from toolyard.kit.errors import PlatformError
    from toolyard.sources.clients import read_entries

    wanted = named_client(client).name if client else None
    chosen: list[ClientEntry] = []
    for one, path in found_files():
        if wanted not in {None, one.name}:
            continue
        try:
            entries = read_entries(one, _read(path))
        except PlatformError as error:
            say(f"{one.title}: {path}: {error.message}")
            continue
        say(f"{one.title}: {path}: {len(entries)} MCP server{'s' if len(entries) != 1 else ''}")
        chosen += [
            entry
            for entry in entries
            if yes or typer.confirm(f"  {_summary(entry)}: take over?", default=True, err=True)
        ]
    if not chosen:
        say("Nothing to take over.")
        return
    _add(chosen, config, exact=False)


def validate(
    file: Annotated[Path | None, typer.Argument(help="The file (default: as --config).", show_default=False)] = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Check a configuration file, and name every problem by file, line and key."""
    from dataclasses import asdict

    from toolyard.cli.place import need_place
    from toolyard.gateway.feed.yaml_marks import ConfigRejected

    place = need_place(file or config)
    try:
        snapshot = place.load().snapshot
    except ConfigRejected as rejected:
        if output is Format.TABLE:
            raise
        show({"valid": False, "problems": [asdict(problem) for problem in rejected.problems]}, output)
        raise typer.Exit(1) from None
    if output is Format.TABLE:
        say(f"{place.config} is valid: {len(snapshot.upstreams)} upstreams, {len(snapshot.servers)} servers")
    else:
        show({"valid": True, "upstreams": list(snapshot.upstreams), "servers": list(snapshot.servers)}, output)


def _add(entries: Iterable[ClientEntry], config: Path | None, *, exact: bool) -> None:
    """Write the entries into the file, under free ids (or exactly the given one), and say what was done."""
    from toolyard.cli.place import Place, find_place, need_directory
    from toolyard.cli.yaml_edit import FileNotEditable, upstream_ids, with_upstreams, write_config
    from toolyard.gateway.feed.file import read_text
    from toolyard.sources.clients import id_of

    path = (find_place(config) or Place(Path.cwd() / "toolyard.yaml")).config
    need_directory(path)
    text = read_text(path) if path.exists() else ""
    taken = upstream_ids(text)
    added: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        if exact and entry.name in taken:
            raise FileNotEditable(f"there is already an upstream '{entry.name}' in {path}")
        upstream_id = entry.name if exact else id_of(entry.name, [*taken, *added])
        added[upstream_id] = entry.fields
    if not added:
        say("Nothing to add.")
        return
    write_config(path, with_upstreams(text, added))
    for upstream_id, fields in added.items():
        say(f"Added '{upstream_id}': {_what(fields)}")
    say(f"in {path}; a running gateway takes it up by itself.")


def _read(path: Path) -> str:
    from toolyard.gateway.feed.file import read_text

    return read_text(path)


def _pairs(words: list[str] | None, separator: str, option: str) -> Iterable[tuple[str, str]]:
    for word in words or []:
        name, found, value = word.partition(separator)
        if not found or not name.strip():
            raise typer.BadParameter(f"'{word}' is not of the form NAME{separator}value", param_hint=option)
        yield name.strip(), value.strip() if separator == ":" else value


def _name_of_url(url: str) -> str:
    """docs for https://docs.example.com/mcp, example for https://mcp.example.com/."""
    host = urlsplit(url).hostname or "upstream"
    labels = [label for label in host.split(".") if label not in {"www", "mcp", "api"}]
    return host if host.replace(".", "").isdecimal() else (labels or [host])[0]


def _name_of_command(words: list[str]) -> str:
    """time for `uvx mcp-server-time`, memory for `npx -y @modelcontextprotocol/server-memory`."""
    launchers = {"npx", "uvx", "uv", "run", "node", "python", "python3", "bunx", "docker", "-m", "-y", "--yes", "tool"}
    word = next((one for one in words if Path(one).name not in launchers and not one.startswith("-")), words[0])
    base = re.sub(r"(?<=.)@[^/]*$", "", word).rsplit("/", 1)[-1]
    base = re.sub(r"\.(py|js|mjs|ts|sh)$", "", base).replace("mcp_server_", "")
    return _NOISE.sub("", base) or base


def _summary(entry: ClientEntry) -> str:
    return f"{entry.name} ({_what(entry.fields)})"


def _what(fields: Mapping[str, Any]) -> str:
    if "url" in fields:
        return str(fields["url"])
    return shlex.join([str(fields.get("command", "")), *map(str, fields.get("args", []))])
