"""The command `toolyard call`."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolyard.cli.options import ConfigOption, OutputOption, ServerOption
from toolyard.cli.output import Format, console, printable, say, show
from toolyard.kit.errors import PlatformError

if TYPE_CHECKING:
    from rich.status import Status

    from toolyard.cli.client import GatewayClient

SHOW_AFTER_S = 1.0
HEADER_MISMATCH = -32020


class ToolUnknown(PlatformError):
    """The virtual server has no tool of that name."""

    code = "tool_unknown"
    status = 404


def call(
    tool: Annotated[str, typer.Argument(help="Name of the tool, as `toolyard tools` shows it.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Arguments as name=value; name:=JSON for exact JSON.", show_default=False)
    ] = None,
    json_text: Annotated[
        str | None, typer.Option("--json", help="All arguments as a JSON object; @FILE or - (stdin) reads it.")
    ] = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Call a tool and print what it answers. The exit code is 1 if the tool reports an error."""
    from toolyard.cli.ask import reach, split_pairs

    pairs = split_pairs(arguments or [])
    given = _read_json(json_text) if json_text is not None else {}
    client = reach(config)
    by_type = any(not name.endswith(":") for name, _ in pairs)
    schema = _input_schema(client, server, tool) if by_type else None
    values = {**given, **{name.removesuffix(":"): typed(name, text, schema or {}) for name, text in pairs}}
    result = _call(client, server, tool, values, schema)
    if output is Format.TABLE:
        _print_content(result)
    else:
        show(result, output)
    if result.get("isError"):
        raise typer.Exit(1)


def _call(
    client: GatewayClient, server: str | None, tool: str, values: dict[str, Any], schema: dict[str, Any] | None
) -> dict[str, Any]:
    """The tool's answer. What a tool wants in headers is in its schema; without one, that is looked up only if the
    gateway misses such a header, and names that are near only if nothing has this name."""
    from toolyard.cli.client import RemoteError

    try:
        return _request(client, server, tool, values, schema or {})
    except RemoteError as error:
        if schema is not None or (error.rpc_code != HEADER_MISMATCH and error.reason != "tool_unknown"):
            raise
        schema = _input_schema(client, server, tool)
        if error.rpc_code != HEADER_MISMATCH:
            raise
    return _request(client, server, tool, values, schema)


def _request(
    client: GatewayClient, server: str | None, tool: str, values: dict[str, Any], schema: dict[str, Any]
) -> dict[str, Any]:
    from toolyard.protocol.header_parameters import header_parameters

    params = {"name": tool, "arguments": values}
    with Progress(tool) as progress:
        return client.request(
            server, "tools/call", params, on_notification=progress.note, parameters=header_parameters(schema)
        )


def typed(name: str, text: str, schema: dict[str, Any]) -> Any:
    """An argument's text as the type that the tool's schema names for it. Raises BadParameter."""
    if name.endswith(":"):
        return _json(text, name)
    properties = schema.get("properties")
    described = properties.get(name) if isinstance(properties, dict) else None
    kinds = described.get("type") if isinstance(described, dict) else None
    kinds = [kinds] if isinstance(kinds, str) else kinds or []
    if "string" in kinds:
        return text
    if kinds:
        return _json(text, name)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not valid JSON for '{name.rstrip(':')}'") from None


def _read_json(text: str) -> dict[str, Any]:
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise typer.BadParameter(f"{text[1:]} cannot be read: {error.strerror}") from None
    value = _json(text, "--json")
    if not isinstance(value, dict):
        raise typer.BadParameter('--json takes an object, such as \'{"text": "hello"}\'')
    return value


def _input_schema(client: GatewayClient, server: str | None, tool: str) -> dict[str, Any]:
    """The schema of the tool's arguments; an empty one where the gateway will not list (it may still call). Raises
    ToolUnknown."""
    import difflib

    from toolyard.cli.client import RemoteError

    try:
        tools = {str(one.get("name")): one for one in client.list_all(server, "tools/list", "tools")}
    except RemoteError:
        return {}
    if tool not in tools:
        near = difflib.get_close_matches(tool, tools, n=3, cutoff=0.5)
        near = near or [name for name in tools if name.endswith(tool)][:3]
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ToolUnknown(f"the virtual server has no tool '{tool}'{hint}")
    schema = tools[tool].get("inputSchema")
    return schema if isinstance(schema, dict) else {}


def _print_content(result: dict[str, Any]) -> None:
    content = result.get("content") or []
    for item in content:
        if item.get("type") == "text":
            typer.echo(printable(str(item.get("text", ""))))
        else:
            kind = item.get("mimeType") or item.get("uri") or (item.get("resource") or {}).get("uri") or ""
            typer.echo(printable(f"[{item.get('type')} {kind}]"))
    if not content and "structuredContent" in result:
        typer.echo(json.dumps(result["structuredContent"], indent=2, ensure_ascii=False))


class Progress:
    """Shows on a terminal that something is going on once it takes over a second, and what the tool says of it."""

    def __init__(self, what: str) -> None:
        self._what = printable(what)
        self._status: Status | None = None
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._status = console(stderr=True).status(f"{self._what} …")
            self._timer = threading.Timer(SHOW_AFTER_S, self._status.start)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer and self._status:
            self._timer.cancel()
            self._timer.join()
            self._status.stop()

    def note(self, notification: dict[str, Any]) -> None:
        """A notification that came before the answer."""
        params = notification.get("params") or {}
        if notification.get("method") == "notifications/progress" and self._status:
            from rich.markup import escape

            self._status.update(escape(f"{self._what} … {printable(progress_text(params))}"))
        elif notification.get("method") == "notifications/message":
            say(printable(f"{params.get('level', 'info')}: {params.get('data')}"))


def progress_text(params: dict[str, Any]) -> str:
    """ "3 of 10 (30 %): half way" of a progress notification's parameters."""
    done, total, message = params.get("progress"), params.get("total"), params.get("message")
    text = str(done)
    if isinstance(done, (int, float)) and isinstance(total, (int, float)) and total > 0:
        text = f"{done:g} of {total:g} ({100 * done / total:.0f} %)"
    return f"{text}: {message}" if message else text
