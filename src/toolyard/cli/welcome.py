"""What `toolyard up` writes and says the first time, so that the first call works at once."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolyard.cli.place import Place
from toolyard.contract.patterns import Patterns
from toolyard.contract.server_codes import server_path
from toolyard.contract.snapshot import Snapshot
from toolyard.gateway.feed.yaml_marks import ConfigRejected
from toolyard.kit.errors import PlatformError
from toolyard.kit.files import write_atomically

LINE = 100

FIRST_CONFIG = """\
# Toolyard's configuration. Saved changes are in force within a second; a broken edit is reported and changes nothing.

# What is behind the gateway. `toolyard add` and `toolyard import` write here, too.
upstreams:
  demo: {builtin: demo}    # a small demonstration inside the gateway; delete it when you have something better

  # A program that speaks MCP on its standard input and output:
  # time: {command: uvx, args: [mcp-server-time]}

  # A server elsewhere. ${NAME} is taken from the environment, ${NAME:default} may be missing:
  # docs: {url: "https://example.com/mcp", headers: {Authorization: "Bearer ${DOCS_TOKEN}"}}

# What clients see: each virtual server has a URL of its own, /mcp/CODE (`default` is also /mcp), and its own keys.
servers:
  default: {tools: ["*"]}
  # team-a: {tools: ["docs/search*", "time/*"], names: plain, limits: {per_key: 600/min}}

# gateway: {host: 127.0.0.1, port: 8000}
# logging: {level: info}
"""


class AlreadyRunning(PlatformError):
    """A gateway is already running on this configuration."""

    code = "already_running"
    status = 409


class CannotListen(PlatformError):
    """The gateway cannot listen on its address."""

    code = "cannot_listen"
    status = 409


@dataclass(frozen=True, slots=True)
class Commands:
    """How commands are typed here: `toolyard` by its `name`, with the configuration if it was named by an option."""

    name: str = "toolyard"
    config: Path | None = None

    def line(self, words: str) -> str:
        """The command line for `tools`, `key create` …"""
        named = f" --config {shlex.quote(str(self.config))}" if self.config else ""
        return f"{self.name} {words}{named}"


def write_first_config(path: Path) -> None:
    """A commented configuration with the demonstration upstream. Raises OSError."""
    write_atomically(path, FIRST_CONFIG.encode(), mode=0o600, point="config")


class FirstKey:
    """The key of a new installation: made before the gateway starts, so that it is in force when it is shown."""

    def __init__(self, plain: str | None) -> None:
        self._plain = plain
        self.shown = False

    def show(self) -> str | None:
        """The key, if one was made; it now counts as shown."""
        self.shown = True
        return self._plain


@contextmanager
def first_key(place: Place) -> Iterator[FirstKey]:
    """Within the block there is a key for the default server: a new one where none is in use. If it was not shown when
    the block ends, nobody knows it, and it is revoked."""
    store = place.keys()
    if any(not record.disabled for record in store.records.values()) or not _needs_key(place):
        yield FirstKey(None)
        return
    plain, record = store.create("default", "first key", now=time.time())
    key = FirstKey(plain)
    try:
        yield key
    finally:
        if not key.shown:
            store.revoke(record.id)


def _needs_key(place: Place) -> bool:
    try:
        server = place.load().snapshot.servers.get("default")
    except ConfigRejected:
        return False
    return server is not None and server.access == "key"


def welcome_text(url: str, snapshot: Snapshot, *, key: str | None, config: Path, commands: Commands) -> str:
    """How to connect; with a ready-made client configuration if there is a new key."""
    from toolyard.sources.client_writer import Connection, entry_for, snippet
    from toolyard.sources.clients import CLIENTS

    server = snapshot.servers.get("default")
    address = url + server_path("default")
    lines = ["", f"  Toolyard is running.  {address}" if server else f"  Toolyard is running at {url}"]
    if key:
        generic = CLIENTS["generic"]
        pasted = snippet(generic, "toolyard", entry_for(generic, Connection(address, key, ())))
        lines += [
            f"  Your API key:         {key}",
            f"                        (shown only now; more with `{commands.line('key create')}`)",
            "",
            f"  For your MCP client (or: {commands.line('connect claude-code --write')}):",
            "",
            *("    " + line for line in pasted.splitlines()),
            "",
            *_in_lines("  Try it:  ", [commands.line(words) for words in _to_try(snapshot)]),
        ]
    elif server and server.access == "key":
        lines.append(f"  Keys:                 {commands.line('key list')}, {commands.line('key create')}")
    lines += [f"  Configuration:        {config}", ""]
    return "\n".join(lines)


def _in_lines(head: str, parts: list[str]) -> list[str]:
    """The parts in one line if it is not too long, else below one another."""
    one = head + "    ".join(parts)
    return [one] if len(one) <= LINE else [head + parts[0], *(" " * len(head) + part for part in parts[1:])]


def _to_try(snapshot: Snapshot) -> Iterator[str]:
    """Commands that will work: the list, a call of the demonstration if it is offered, `import` if there is nothing."""
    yield "tools"
    server = snapshot.servers["default"]
    offered = Patterns(server.tools)
    for spec in snapshot.upstreams.values():
        if spec.kind == "native" and spec.enabled and offered.names_tool(spec, {"name": "echo"}):
            yield f"call {'echo' if server.names == 'plain' else f'{spec.id}__echo'} text=hello"
            return
    if not snapshot.upstreams:
        yield "import"
