"""Commands that ask a gateway: servers, upstreams, tools, resources, prompts, status."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolyard.cli.options import ConfigOption, OutputOption, ServerOption
from toolyard.cli.output import Format, printable, say, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolyard.cli.client import GatewayClient
    from toolyard.cli.place import Place

LAST_LINES = 12


def reach(config: ConfigOption) -> GatewayClient:
    """A client for the gateway at TOOLYARD_URL, else for the one that runs on the configuration file."""
    from toolyard.cli.client import GatewayClient, Target
    from toolyard.cli.place import need_place

    url = os.environ.get("TOOLYARD_URL")
    if url and config is None:
        return GatewayClient(Target(url=url, key=os.environ.get("TOOLYARD_KEY") or None))
    return GatewayClient(Target(socket=need_place(config).socket))


def tools(
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="Only tools with this tag; given again, with both.", show_default=False),
    ] = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """List the tools of a virtual server."""
    listed = reach(config).list_all(server, "tools/list", "tools")
    rows = [one for one in listed if set(tag or ()) <= set(_tags_of(one))]
    if listed and not rows:
        known = sorted({name for one in listed for name in _tags_of(one)})
        say(f"No tool is tagged so; there are: {printable(', '.join(known)) or 'no tags'}.")
    if output is Format.TABLE:
        rows = [{**one, "tags": _tags_of(one)} for one in rows]
    show(rows, output, columns=("name", "tags", "description"))


def _tags_of(tool: dict[str, Any]) -> list[str]:
    from toolyard.contract.tags import TAGS_KEY

    meta = tool.get("_meta")
    found = meta.get(TAGS_KEY) if isinstance(meta, dict) else None
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def resources(
    uri: Annotated[
        str | None, typer.Argument(help="Read this resource instead of listing.", show_default=False)
    ] = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """List the resources of a virtual server, or read one."""
    client = reach(config)
    if uri is None:
        listed = client.list_all(server, "resources/list", "resources")
        templates = client.list_all(server, "resources/templates/list", "resourceTemplates")
        rows = listed + (
            [{**one, "uri": one.get("uriTemplate")} for one in templates] if output is Format.TABLE else []
        )
        show(rows, output, columns=("uri", "name", "mimeType", "description"))
        return
    result = client.request(server, "resources/read", {"uri": uri})
    if output is not Format.TABLE:
        show(result, output)
        return
    for content in result.get("contents", []):
        typer.echo(
            printable(content["text"]) if "text" in content else f"[{len(content.get('blob', ''))} bytes of base64]"
        )


def prompts(
    name: Annotated[str | None, typer.Argument(help="Get this prompt instead of listing.", show_default=False)] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Its arguments, as name=value.", show_default=False)
    ] = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """List the prompts of a virtual server, or get one."""
    client = reach(config)
    if name is None:
        show(client.list_all(server, "prompts/list", "prompts"), output, columns=("name", "description"))
        return
    result = client.request(server, "prompts/get", {"name": name, "arguments": dict(split_pairs(arguments or []))})
    if output is not Format.TABLE:
        show(result, output)
        return
    for message in result.get("messages", []):
        content = message.get("content", {})
        typer.echo(f"{message.get('role')}: {printable(str(content.get('text', content.get('type'))))}")


def servers(config: ConfigOption = None, output: OutputOption = Format.TABLE) -> None:
    """List the virtual servers."""
    from toolyard.contract.server_codes import server_path

    rows = _operator_rows(config, "servers")
    if rows is not None:
        base = _place(config).url()
        rows = [{**row, "url": base + server_path(str(row["code"]))} for row in rows]
    else:
        rows = _servers_in_file(_place(config))
    show(rows, output, columns=("code", "access", "names", "enabled", "tools", "upstreams", "url"))


def upstreams(config: ConfigOption = None, output: OutputOption = Format.TABLE) -> None:
    """List the upstreams and how each does."""
    rows = _operator_rows(config, "upstreams")
    if rows is None:
        rows = _upstreams_in_file(_place(config))
    show(rows, output, columns=("id", "kind", "state", "era", "calls", "error_code", "at"))
    if output is Format.TABLE:
        for line in troubles(rows):
            typer.echo(line)


def troubles(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Why the failing ones fail: the reason, and the last words of their programs."""
    for row in rows:
        if row.get("state") not in {"failing", "pending"} or not row.get("error"):
            continue
        yield ""
        yield f"{row['id']}: {printable(str(row['error']))}"
        words = [line for line in str(row.get("diagnosis") or "").splitlines() if line.strip()]
        if words[-1:] != [row["error"]]:
            yield from (f"  | {printable(line)}" for line in words[-LAST_LINES:])


def status(server: ServerOption = None, config: ConfigOption = None, output: OutputOption = Format.TABLE) -> None:
    """Say whether a gateway is running, and how it does; with --server, what that virtual server says."""
    from toolyard.cli.client import OperatorOnly

    client = reach(config)
    if server is None:
        try:
            show(client.operator("/operator/status"), output)
            return
        except OperatorOnly:
            pass
    show(client.request(server, "server/discover", {}), output)


def _place(config: ConfigOption) -> Place:
    from toolyard.cli.place import need_place

    return need_place(config)


def _operator_rows(config: ConfigOption, what: str) -> list[dict[str, Any]] | None:
    """What the running gateway tells its operator, or None where no gateway runs."""
    from toolyard.cli.client import GatewayAbsent

    try:
        found = reach(config).operator(f"/operator/{what}")
    except GatewayAbsent:
        say("No gateway is running; this is what the file says.")
        return None
    rows = found.get(what, found) if isinstance(found, dict) else found
    return list(rows) if isinstance(rows, list) else [{"id": name, **fields} for name, fields in rows.items()]


def _servers_in_file(place: Place) -> list[dict[str, Any]]:
    from toolyard.contract.server_codes import server_path

    base = place.url()
    return [
        {
            "code": spec.code, "url": base + server_path(spec.code), "access": spec.access, "names": spec.names,
            "enabled": spec.enabled, "tools": list(spec.tools),
        }
        for spec in place.load().snapshot.servers.values()
    ]  # fmt: skip


def _upstreams_in_file(place: Place) -> list[dict[str, Any]]:
    return [
        {
            "id": spec.id,
            "kind": spec.kind,
            "state": "configured" if spec.enabled else "off",
            "at": spec.url or " ".join(spec.command),
        }
        for spec in place.load().snapshot.upstreams.values()
    ]


def split_pairs(words: list[str]) -> list[tuple[str, str]]:
    """["a=1", "b:=[2]"] → pairs; the colon stays at the end of the name. Raises BadParameter."""
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"'{word}' is not an argument; write name=value")
        pairs.append((name, value))
    return pairs
