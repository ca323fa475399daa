"""How clients reach a virtual server: its addresses, and what to copy into each client."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, Field

from toolyard.contract.server_codes import DEFAULT_CODE
from toolyard.control.servers.model import ServerRow
from toolyard.control.servers.schema import url_of
from toolyard.sources.client_commands import KEY_PLACE, Reached, claude_code, curl, program_entry, vscode
from toolyard.sources.client_writer import Connection, entry_for, snippet
from toolyard.sources.clients import CLIENTS, Client


class Addresses(BaseModel):
    """The server's addresses, by what a client speaks."""

    streamable_http: str = Field(examples=["https://tools.example.com/mcp/team-a"])
    sse: str = Field(examples=["https://tools.example.com/sse/team-a"])
    websocket: str = Field(examples=["wss://tools.example.com/ws/mcp/team-a"])
    stdio: list[str] = Field(description="A program to start; it finds the gateway by TOOLYARD_URL and TOOLYARD_KEY.")


class ClientSetting(BaseModel):
    """What one client's configuration needs."""

    client: str = Field(examples=["cursor"])
    title: str = Field(examples=["Cursor"])
    file: str | None = Field(description="Where it keeps that, below the home directory on Linux.")
    format: str = Field(examples=["json"])
    text: str


class Command(BaseModel):
    """One line for a terminal."""

    client: str = Field(examples=["claude-code"])
    line: str


class ServerConnection(BaseModel):
    """How to connect clients to a virtual server. `YOUR-KEY` stands where a key of the server goes."""

    url: str
    needs_key: bool
    header: str | None = Field(examples=["Authorization: Bearer YOUR-KEY"])
    addresses: Addresses
    clients: list[ClientSetting]
    commands: list[Command]


def connection_of(row: ServerRow, public_url: str, name: str) -> ServerConnection:
    """All that there is to copy. `name`: what clients shall call the server."""
    base, url = public_url.rstrip("/"), url_of(row, public_url)
    reached = Reached(name, base, url, row.code, needs_key=row.access == "key")
    suffix = "" if row.code == DEFAULT_CODE else f"/{row.code}"
    return ServerConnection(
        url=url,
        needs_key=reached.needs_key,
        header=next((f"{name}: {value}" for name, value in reached.headers.items()), None),
        addresses=Addresses(
            streamable_http=url,
            sse=f"{base}/sse{suffix}",
            websocket=f"{_websocket(base)}/ws/mcp{suffix}",
            stdio=["toolyard", "stdio", "--server", row.code],
        ),
        clients=[_setting(client, reached) for client in CLIENTS.values()],
        commands=[
            Command(client="claude-code", line=claude_code(reached)),
            Command(client="vscode", line=vscode(reached)),
            Command(client="curl", line=curl(reached)),
        ],
    )


def _setting(client: Client, reached: Reached) -> ClientSetting:
    connection = Connection(reached.url, KEY_PLACE if reached.needs_key else None, ())
    entry = program_entry(reached) if client.speaks == "command" else entry_for(client, connection)
    return ClientSetting(
        client=client.name,
        title=client.title,
        file=client.user.get("linux"),
        format=client.format,
        text=snippet(client, reached.name, entry),
    )


def _websocket(base: str) -> str:
    parts = urlsplit(base)
    return urlunsplit(parts._replace(scheme="wss" if parts.scheme == "https" else "ws"))
