"""The configuration files of MCP clients on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from toolyard.sources.clients import CLIENTS, Client, user_file


def client_file(client: Client, *, project: bool = False) -> Path | None:
    """The file of a client for this user, or for the project in the current directory."""
    if project:
        return Path.cwd() / client.project if client.project else None
    found = user_file(client, Path.home(), sys.platform)
    return Path(found) if found else None


def found_files() -> list[tuple[Client, Path]]:
    """Every client's file that exists, the user's before the project's."""
    places = [
        (client, client_file(client, project=project)) for client in CLIENTS.values() for project in (False, True)
    ]
    return [(client, path) for client, path in places if path is not None and path.is_file()]


def named_client(name: str) -> Client:
    """The client of that name. Raises BadParameter with the names there are."""
    client = CLIENTS.get(name)
    if client is None:
        raise typer.BadParameter(f"'{name}' is not one of {', '.join(CLIENTS)}")
    return client
