"""Commands for API keys. They change the key store itself; a running gateway sees the change within a second."""

from __future__ import annotations

import difflib
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, say, show
from toolyard.contract.snapshot import KeyRecord, ServerSpec
from toolyard.kit.errors import PlatformError

if TYPE_CHECKING:
    from pathlib import Path

    from toolyard.cli.place import Place


COLUMNS = ("id", "server", "name", "state", "ends_in", "created", "expires")


class ServerUnknown(PlatformError):
    """There is no virtual server with that code."""

    code = "server_unknown"
    status = 404


def create(
    server: Annotated[
        str, typer.Option("--server", "-s", help="Code of the virtual server the key is for.")
    ] = "default",
    name: Annotated[str, typer.Option("--name", "-n", help="What you will know the key by.")] = "",
    expires: Annotated[
        str | None, typer.Option(help="How long it is valid: 90d, 12h … (default: until revoked)", show_default=False)
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make an API key for a virtual server. It is shown once and kept nowhere."""
    from toolyard.cli.place import need_place

    place = need_place(config)
    need_server(place, server)
    now = time.time()
    lifetime_s = duration(expires)
    plain, record = place.keys().create(
        server, name, now=now, expires_at=None if lifetime_s is None else now + lifetime_s
    )
    _show_new(plain, record, output)


def need_server(place: Place, code: str) -> ServerSpec:
    """The virtual server of that code. In a file that is broken here (a variable that only the gateway has), any code
    is taken to be there. Raises ServerUnknown."""
    from toolyard.gateway.feed.yaml_marks import ConfigRejected

    try:
        known = place.load().snapshot.servers
    except ConfigRejected:
        return ServerSpec(code)
    if code not in known:
        near = difflib.get_close_matches(code, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
        raise ServerUnknown(f"there is no virtual server '{code}'; {hint}")
    return known[code]


def list_keys(config: ConfigOption = None, output: OutputOption = Format.TABLE) -> None:
    """List the API keys: ids and states, never the keys."""
    show(described_keys(config), output, columns=COLUMNS)


def described_keys(config: Path | None) -> list[dict[str, Any]]:
    """The keys of the key store, as they are shown."""
    from toolyard.cli.place import need_place

    return [_described(record) for record in need_place(config).keys().records.values()]


def is_in_file(config: Path | None, key_id: str) -> bool:
    """Whether there is a configuration file here whose key store has the key."""
    from toolyard.cli.place import find_place

    place = find_place(config)
    return place is not None and place.config.is_file() and key_id in place.keys().records


def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `toolyard key list` shows it.")],
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Revoke an API key for good."""
    from toolyard.cli.place import need_place

    show(_described(need_place(config).keys().revoke(key_id)), output)


def rotate(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `toolyard key list` shows it.")],
    grace: Annotated[str, typer.Option(help="How long the old key is still accepted.")] = "24h",
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make a new API key in the place of another, which is accepted for a while longer."""
    from toolyard.cli.place import need_place

    plain, record = need_place(config).keys().rotate(key_id, now=time.time(), grace_s=duration(grace) or 0.0)
    _show_new(plain, record, output)


def duration(text: str | None) -> float | None:
    """Seconds, of a text such as 90d."""
    from toolyard.kit.quantities import seconds

    try:
        return None if text is None else seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _show_new(plain: str, record: KeyRecord, output: Format) -> None:
    if output is Format.TABLE:
        say(f"Key {record.id} for the virtual server '{record.server}'. It is shown only now:")
        typer.echo(plain)
    else:
        show({**_described(record), "key": plain}, output)


def _described(record: KeyRecord) -> dict[str, Any]:
    from toolyard.policy.keys import refusal

    return {
        "id": record.id,
        "server": record.server,
        "name": record.name,
        "ends_in": record.last4,
        "state": refusal(record, time.time()) or ("retiring" if record.retires_at else "valid"),
        "created": _moment(record.created_at),
        "expires": _moment(record.expires_at),
        "retires": _moment(record.retires_at),
    }


def _moment(at: float | None) -> str | None:
    return None if at is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
