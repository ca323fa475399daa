"""Commands that are operations of the management API, made from its table."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolyard.cli.lazy import command_of
from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, printable, say, show
from toolyard.kit.errors import PlatformError
from toolyard.sdk.operations import OPERATIONS
from toolyard.sdk.shape import Field, Operation

if TYPE_CHECKING:
    from toolyard.sdk.client import Client
    from toolyard.sdk.requests import Reply

ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="The login to use (TOOLYARD_PROFILE).", show_default=False)
]
OrganizationOption = Annotated[
    str | None,
    typer.Option(
        "--organization", "-O", help="Id or slug of the organization, if not the login's.", show_default=False
    ),
]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", "-j", help="The body as JSON: @FILE, - for standard input, or itself.", show_default=False),
]
TAKEN = frozenset({"profile", "config", "output", "json", "all", "if-match", "idempotency-key", "to", "help"})
COLUMNS = (
    "id", "name", "code", "slug", "username", "key", "title", "kind", "upstream", "server", "masked", "state",
    "enabled", "value", "permission", "resource", "roles", "tier", "email", "created_at",
)  # fmt: skip
TYPES: Mapping[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "strings": list[str]}
NAMED: Mapping[tuple[str, str], tuple[str, str, str]] = {
    ("upstreams", "upstream_id"): ("upstreams_list", "name", "name"),
    ("servers", "server_id"): ("servers_list", "code", "code"),
    ("keys", "server_id"): ("servers_list", "code", "code"),
    ("users", "user_id"): ("users_list", "q", "username"),
    ("platform_users", "user_id"): ("platform_users_list", "q", "username"),
    ("service_accounts", "user_id"): ("service_accounts_list", "q", "name"),
    ("service_secrets", "user_id"): ("service_accounts_list", "q", "name"),
    ("organizations", "organization_id"): ("organizations_list", "q", "slug"),
    ("tiers", "tier_id"): ("tiers_list", "q", "name"),
}
"""Where a name does as well as an id: the list to look in, its filter, and the field that is the name."""
_ID = re.compile(r"[a-z]{2}_[0-9a-z]{12,}")


class NameUnknown(PlatformError):
    """There is nothing of that name."""

    code = "name_unknown"
    status = 404


def command(operation_id: str, name: str) -> Any:
    """The command of an operation."""
    operation = OPERATIONS[operation_id]
    parameters = [*_positional(operation), *_options(operation), *_common(operation)]

    def run(**given: Any) -> None:
        _run(operation, given)

    run.__name__ = operation_id
    run.__doc__ = operation.about
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command_of(name, run)


def _positional(operation: Operation) -> list[inspect.Parameter]:
    found = [
        _parameter(f"path_{name}", str, typer.Argument(metavar=name.upper(), help=_about(operation, name)))
        for name in operation.path_fields
    ]
    if operation.upload:
        found.append(_parameter("file", Path, typer.Argument(metavar="FILE", help="The file to send.")))
    return found


def _about(operation: Operation, name: str) -> str:
    words = name.removesuffix("_id").replace("_", " ")
    named = NAMED.get((operation.group, name))
    if named is not None:
        return f"The {words}, by its id or {named[2]}."
    return f"Id of the {words}." if name.endswith("_id") else f"The {words}."


def _options(operation: Operation) -> list[inspect.Parameter]:
    found = [_option("query", one) for one in operation.query if _is_option(one)]
    asked = {one.name for one in operation.query}
    if operation.body is not None:
        fields = [one for one in operation.body.fields if one.name not in asked and _is_option(one)]
        found += [_option("body", one) for one in fields if not (operation.upload and one.name == "file")]
        if not operation.upload:
            found.append(_parameter("json_", JsonOption, default=None))
    if operation.paged:
        found.append(_parameter("every", bool, typer.Option("--all", help="All pages, not just one."), default=False))
    if operation.matched:
        option = typer.Option("--if-match", help="Refuse the change unless this is still the ETag.", show_default=False)
        found.append(_parameter("if_match", str | None, option, default=None))
    if operation.keyed:
        option = typer.Option("--idempotency-key", help="The same key again makes nothing more.", show_default=False)
        found.append(_parameter("idempotency_key", str | None, option, default=None))
    if operation.download:
        option = typer.Option("--to", help="The file to write (default: standard output).", show_default=False)
        found.append(_parameter("to", Path | None, option, default=None))
    return found


def _is_option(field: Field) -> bool:
    return field.kind != "any" and _flag(field) not in TAKEN


def _flag(field: Field) -> str:
    return field.name.replace("_", "-") + ("-file" if field.secret else "")


def _option(where: str, field: Field) -> inspect.Parameter:
    flag = _flag(field)
    about = [field.about] if field.about else []
    if field.choices:
        about.append(f"One of {', '.join(field.choices)}.")
    if field.secret:
        about.append("A file with it in its first line; - for standard input.")
        if field.required:
            about.append("Without it you are asked.")
    elif field.required:
        about.append("Needed.")
    declared = f"--{flag}/--no-{flag}" if field.kind == "boolean" else f"--{flag}"
    option = typer.Option(declared, help=" ".join(about) or None, show_default=False)
    return _parameter(f"{where}_{field.name}", TYPES["string" if field.secret else field.kind] | None, option, None)


def _common(operation: Operation) -> list[inspect.Parameter]:
    found = [
        _parameter("profile", ProfileOption, default=None),
        _parameter("config", ConfigOption, default=None),
        _parameter("output", OutputOption, default=Format.TABLE),
    ]
    if not any(one.name.endswith("_organization") for one in _options(operation)):
        found.insert(0, _parameter("organization", OrganizationOption, default=None))
    return found


def _parameter(name: str, kind: Any, told: Any = None, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    annotation = kind if told is None else Annotated[kind, told]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _run(operation: Operation, given: Mapping[str, Any]) -> None:
    from toolyard.cli.reach import need_reach
    from toolyard.sdk.requests import Upload

    arguments: dict[str, Any] = {"query": _given(given, "query_"), "body": body_of(operation, given)}
    for name in ("if_match", "idempotency_key"):
        if given.get(name) is not None:
            arguments[name] = given[name]
    if operation.upload:
        arguments["file"] = Upload.of(given["file"])
    with need_reach(given["config"], given["profile"]).connect(given.get("organization")) as client:
        named = _given(given, "path_")
        arguments["path"] = {name: id_of(client, operation.group, name, text) for name, text in named.items()}
        if given.get("every"):
            show(list(client.items(operation.id, **arguments)), given["output"], columns=None)
        else:
            print_reply(operation, client.call(operation.id, **arguments), given)


def body_of(operation: Operation, given: Mapping[str, Any]) -> Any:
    """The body that `--json` and the options say; an option wins over the same field of the JSON."""
    if operation.body is None:
        return None
    said = _said_json(given.get("json_"))
    fields = {one.name: one for one in operation.body.fields}
    options = {
        name: _secret(fields[name], value) if fields[name].secret else value
        for name, value in _given(given, "body_").items()
    }
    if not fields or not (said is None or isinstance(said, dict)):
        if said is None:
            raise typer.BadParameter("say the body: @FILE, - or JSON", param_hint="--json")
        return said
    body = {**(said or {}), **options}
    for one in fields.values():
        if one.required and one.name not in body and not operation.upload:
            if not one.secret:
                raise typer.BadParameter("needed, here or in --json", param_hint=f"--{_flag(one)}")
            body[one.name] = _secret(one, None)
    return body


def _said_json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(_content(text))
    except ValueError as error:
        raise typer.BadParameter(f"no JSON: {error}", param_hint="--json") from None


def _content(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    return Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text


def _secret(field: Field, file: str | None) -> str:
    """A secret from a file, from standard input, or from whoever sits there."""
    if file is None:
        if not sys.stdin.isatty():
            raise typer.BadParameter("needed: a file, or - for standard input", param_hint=f"--{_flag(field)}")
        return str(typer.prompt(field.name.replace("_", " ").capitalize(), hide_input=True, err=True))
    content = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    return content.partition("\n")[0].rstrip("\r")


def _given(given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found = {name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)}
    return {name: value for name, value in found.items() if value is not None and value != []}


def id_of(client: Client, group: str, field: str, text: str) -> str:
    """The id of what is named by its id or its name. Raises NameUnknown."""
    known = NAMED.get((group, field))
    if known is None or _ID.fullmatch(text):
        return text
    found = find_named(client, known, text)
    if found is None:
        raise NameUnknown(f"there is no {field.removesuffix('_id')} '{text}'")
    return str(found["id"])


def find_named(client: Client, known: tuple[str, str, str], text: str) -> Mapping[str, Any] | None:
    """What has that name in a list, or None."""
    listing, search, field = known
    found = client.items(listing, query={search: text})
    return next((one for one in found if one.get(field) == text), None)


def print_reply(operation: Operation, reply: Reply, given: Mapping[str, Any]) -> None:
    """Print what an operation answered."""
    value, output = reply.value, given["output"]
    if isinstance(value, bytes):
        _write_bytes(value, given.get("to"))
    elif value is None:
        say("done")
    elif isinstance(value, str):
        typer.echo(printable(value))
    elif output is Format.TABLE and isinstance(value, dict) and isinstance(value.get("items"), list):
        show(value["items"], output, columns=columns_of(value["items"]))
        if value.get("next_cursor"):
            say(f"more: --cursor {value['next_cursor']}, or --all")
    else:
        show(value, output)
        if output is Format.TABLE and operation.method == "GET" and reply.etag:
            say(f"etag: {reply.etag}")


def columns_of(rows: list[Mapping[str, Any]]) -> list[str] | None:
    """The columns that a table of these rows has; None for all, where they have nothing that is known here."""
    found = [name for name in COLUMNS if any(name in row for row in rows)]
    return found if len(found) > 1 else None


def _write_bytes(content: bytes, to: Path | None) -> None:
    if to is None:
        sys.stdout.buffer.write(content)
    else:
        to.write_bytes(content)
        say(f"wrote {to}")
