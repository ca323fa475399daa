"""The command `toolyard connect`: a client's configuration leads to the gateway, and can be led back."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolyard.cli.options import ConfigOption
from toolyard.cli.output import say
from toolyard.kit.errors import PlatformError

if TYPE_CHECKING:
    from toolyard.cli.place import Place
    from toolyard.sources.client_writer import Connection
    from toolyard.sources.clients import Client


class NotConnected(PlatformError):
    """Toolyard did not write this client's configuration, so there is nothing to undo."""

    code = "not_connected"
    status = 404


class ClientWithoutFile(PlatformError):
    """This client keeps no file that could be written; use --print and paste."""

    code = "client_without_file"
    status = 400


@dataclass(frozen=True, slots=True)
class Written:
    """What `--write` did, kept in the data directory for `--undo`. `before` is None where there was no file; `after` is
    the SHA-256 of what was written, which has a key in it and is kept nowhere else."""

    client: str
    path: str
    name: str
    before: str | None
    after: str
    key_id: str | None


def connect(
    client: Annotated[
        str, typer.Argument(help="claude-code, claude-desktop, cursor, vscode, codex, gemini or generic.")
    ],
    write: Annotated[
        bool, typer.Option("--write", help="Write it into the client's file, with a key of its own.")
    ] = False,
    print_: Annotated[bool, typer.Option("--print", help="Show what to paste (the default).")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what --write did, and revoke its key.")] = False,
    server: Annotated[str, typer.Option("--server", "-s", help="Code of the virtual server.")] = "default",
    name: Annotated[str, typer.Option("--name", "-n", help="What the client shall call it.")] = "toolyard",
    key: Annotated[str | None, typer.Option(help="Use this key instead of a new one.", show_default=False)] = None,
    project: Annotated[bool, typer.Option("--project", help="The project's file instead of the user's.")] = False,
    config: ConfigOption = None,
) -> None:
    """Lead an MCP client to this gateway."""
    from toolyard.cli.client_files import client_file, named_client
    from toolyard.cli.place import need_place

    if sum((write, print_, undo)) > 1:
        raise typer.BadParameter("choose one of --write, --print, --undo")
    one = named_client(client)
    place = need_place(config)
    path = client_file(one, project=project)
    if not (write or undo):
        _print(place, one, server, name, key, path)
        return
    if path is None:
        raise ClientWithoutFile
    if undo:
        _undo(place, one, path)
    else:
        _write(place, one, path, server, name, key)


def _print(place: Place, client: Client, server: str, name: str, key: str | None, path: Path | None) -> None:
    from toolyard.sources.client_writer import entry_for, snippet

    needs_key = client.speaks == "url" and _access(place, server) == "key"
    entry = entry_for(client, _connection(place, server, key or "YOUR-KEY" if needs_key else None))
    if path:
        say(f"For {client.title}, in {path}:")
    typer.echo(snippet(client, name, entry), nl=False)
    if needs_key and key is None:
        say(f"YOUR-KEY stands for a key: toolyard key create --server {server}")


def _write(place: Place, client: Client, path: Path, server: str, name: str, key: str | None) -> None:
    from toolyard.gateway.feed.file import read_text
    from toolyard.kit.files import write_atomically
    from toolyard.sources.client_writer import entry_for, with_entry

    access = _access(place, server)
    before = read_text(path) if path.exists() else None
    with_entry(client, before or "", name, {})  # raises before a key is made
    key_id = None
    if client.speaks == "url" and access == "key" and key is None:
        key, record = place.keys().create(server, f"connect {client.name}", now=time.time())
        key_id = record.id
    after = with_entry(client, before or "", name, entry_for(client, _connection(place, server, key)))
    earlier = _recall(place, client, path)
    if earlier and before is not None and _digest(before) == earlier.after:
        before = earlier.before
        _revoke(place, earlier)
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    write_atomically(path, after.encode(), mode=mode, point="client")
    _remember(place, client, path, Written(client.name, str(path), name, before, _digest(after), key_id))
    say(f"{client.title} now has '{name}' in {path}. Restart it to take it up; take it back with --undo.")


def _undo(place: Place, client: Client, path: Path) -> None:
    from toolyard.gateway.feed.file import read_text
    from toolyard.kit.files import write_atomically
    from toolyard.sources.client_writer import existing_entry, with_entry

    written = _recall(place, client, path)
    if written is None:
        raise NotConnected
    now = read_text(path) if path.exists() else None
    untouched = now is not None and _digest(now) == written.after
    if untouched and written.before is None:
        path.unlink()
    elif now is not None:
        earlier = existing_entry(client, written.before or "", written.name)
        text = written.before if untouched else with_entry(client, now, written.name, earlier)
        write_atomically(path, (text or "").encode(), mode=path.stat().st_mode & 0o777, point="client")
    _revoke(place, written)
    _memory(place, client, path).unlink()
    say(f"{client.title}: {path} is as it was before.")


def _revoke(place: Place, written: Written) -> None:
    if written.key_id and written.key_id in place.keys().records:
        place.keys().revoke(written.key_id)


def _access(place: Place, server: str) -> str:
    from toolyard.cli.keys import need_server

    return need_server(place, server).access


def _connection(place: Place, server: str, key: str | None) -> Connection:
    from toolyard.contract.server_codes import server_path
    from toolyard.sources.client_writer import Connection

    program = shutil.which("toolyard") or str(Path(sys.argv[0]).absolute())
    command = (program, "stdio", "--config", str(place.config), "--server", server)
    return Connection(place.url() + server_path(server), key, command)


def _memory(place: Place, client: Client, path: Path) -> Path:
    return place.data_dir / "connect" / f"{client.name}-{_digest(str(path))[:12]}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _remember(place: Place, client: Client, path: Path, written: Written) -> None:
    from toolyard.kit.files import make_private_directory, write_atomically

    memory = _memory(place, client, path)
    make_private_directory(place.data_dir)
    make_private_directory(memory.parent)
    write_atomically(memory, json.dumps(asdict(written)).encode(), point="connect")


def _recall(place: Place, client: Client, path: Path) -> Written | None:
    try:
        content: dict[str, Any] = json.loads(_memory(place, client, path).read_bytes())
        return Written(**content)
    except (OSError, ValueError, TypeError):
        return None
