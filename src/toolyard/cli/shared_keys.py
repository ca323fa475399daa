"""API keys: those of the control plane if one is in reach and has the virtual server or the key, else those of the
configuration file's own key store."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolyard.cli import keys
from toolyard.cli.operating import (
    NAMED,
    JsonOption,
    OrganizationOption,
    ProfileOption,
    body_of,
    columns_of,
    find_named,
)
from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, say, show
from toolyard.sdk.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from toolyard.sdk.client import Client

KeyArgument = Annotated[str, typer.Argument(help="The key's id, as `toolyard key list` shows it.")]
Patterns = Annotated[
    list[str] | None, typer.Option("--tool", help="A pattern of tools it may call; all without.", show_default=False)
]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", help="What it may do, as tools:call; all without.", show_default=False)
]
Networks = Annotated[
    list[str] | None, typer.Option("--network", help="Where it may come from; anywhere without.", show_default=False)
]


def create(
    server: Annotated[
        str, typer.Option("--server", "-s", help="Code of the virtual server the key is for.")
    ] = "default",
    name: Annotated[str, typer.Option("--name", "-n", help="What you will know the key by.")] = "",
    expires: Annotated[
        str | None, typer.Option(help="How long it is valid: 90d, 12h … (default: until revoked)", show_default=False)
    ] = None,
    tool: Patterns = None,
    scope: Scopes = None,
    network: Networks = None,
    json_: JsonOption = None,
    organization: OrganizationOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make an API key for a virtual server. It is shown once and kept nowhere.

    --tool, --scope, --network and --json are for virtual servers of a control plane; --json says what else limits
    such a key."""
    with _client(organization, profile, config) as client:
        found = find_named(client, NAMED["servers", "server_id"], server) if client else None
        if client is not None and (found or server.startswith("sv_")):
            body = body_of(OPERATIONS["keys_create"], {"json_": json_, **_limits(name, tool, scope, network)})
            if expires is not None:
                body["expires_at"] = _moment(expires)
            path = {"server_id": found["id"] if found else server}
            _show_new(client.value("keys_create", path=path, body=body), output)
            return
    if tool or scope or network or json_:
        raise typer.BadParameter(f"no control plane in reach has a virtual server '{server}'", param_hint="--server")
    keys.create(server, name, expires, config, output)


def list_keys(
    server: Annotated[
        str | None, typer.Option("--server", "-s", help="Only those of this virtual server.", show_default=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="How many at most.", show_default=False)] = None,
    organization: OrganizationOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """List the API keys: ids and states, never the keys."""
    with _client(organization, profile, config) as client:
        if client is None:
            rows = keys.described_keys(config)
            chosen = [one for one in rows if server in (None, one["server"])][:limit]
            show(chosen, output, columns=keys.COLUMNS)
            return
        query = {"limit": limit} if limit else {}
        found = [one for one in client.items("keys_list", query=query) if server in (None, one["server"])][:limit]
    from toolyard.cli.place import find_place

    place = find_place(config) if profile is None else None
    if place is not None and place.config.is_file():
        found += [one for one in keys.described_keys(config) if server in (None, one["server"])]
    show(found, output, columns=columns_of(found))


def revoke(
    key_id: KeyArgument,
    organization: OrganizationOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Revoke an API key for good."""
    if profile is None and keys.is_in_file(config, key_id):
        keys.revoke(key_id, config, output)
        return
    with _client(organization, profile, config) as client:
        if client is not None:
            show(client.value("keys_revoke", path={"key_id": key_id}), output)
            return
    keys.revoke(key_id, config, output)


def rotate(
    key_id: KeyArgument,
    grace: Annotated[str, typer.Option(help="How long the old key is still accepted.")] = "24h",
    expires: Annotated[
        str | None, typer.Option(help="How long the new one is valid, of a control plane's.", show_default=False)
    ] = None,
    organization: OrganizationOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make a new API key in the place of another, which is accepted for a while longer."""
    if profile is None and keys.is_in_file(config, key_id):
        keys.rotate(key_id, grace, config, output)
        return
    with _client(organization, profile, config) as client:
        if client is not None:
            body: dict[str, Any] = {"grace_s": keys.duration(grace)}
            if expires is not None:
                body["expires_at"] = _moment(expires)
            _show_new(client.value("keys_rotate", path={"key_id": key_id}, body=body), output)
            return
    keys.rotate(key_id, grace, config, output)


@contextmanager
def _client(organization: str | None, profile: str | None, config: Path | None) -> Iterator[Client | None]:
    """A client of the management API in reach, or None."""
    from toolyard.cli.reach import find_reach

    reach = find_reach(config, profile)
    if reach is None:
        yield None
        return
    with reach.connect(organization) as client:
        yield client


def _limits(name: str, tool: list[str] | None, scope: list[str] | None, network: list[str] | None) -> dict[str, Any]:
    return {"body_name": name or None, "body_tools": tool, "body_scopes": scope, "body_networks": network}


def _moment(lifetime: str) -> str:
    at = time.time() + (keys.duration(lifetime) or 0.0)
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat()


def _show_new(issued: dict[str, Any], output: Format) -> None:
    if output is Format.TABLE:
        say(f"Key {issued['id']} for the virtual server '{issued['server']}'. It is shown only now:")
        typer.echo(issued["key"])
    else:
        show(issued, output)
