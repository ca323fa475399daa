"""The command `toolyard doctor`: what is wrong here, and how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import typer

from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, console, show

if TYPE_CHECKING:
    from toolyard.cli.place import Place
    from toolyard.contract.snapshot import UpstreamSpec
    from toolyard.gateway.feed.file import Loaded


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` says what to do where it is not well."""

    check: str
    state: Literal["ok", "warn", "fail"]
    finding: str
    mend: str = ""


def doctor(config: ConfigOption = None, output: OutputOption = Format.TABLE) -> None:
    """Say what is wrong here and how to mend it. The exit code is 1 if something is."""
    findings = list(examine(config))
    if output is Format.TABLE:
        _print(findings)
    else:
        show([asdict(finding) for finding in findings], output)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


def examine(config: Path | None) -> Iterator[Finding]:
    """Every finding about this machine and this installation."""
    from toolyard.cli.place import find_place
    from toolyard.gateway.feed.yaml_marks import ConfigRejected

    yield _python()
    place = find_place(config)
    if place is None or not place.config.is_file():
        yield Finding("config", "fail", "there is no toolyard.yaml here", "run `toolyard up`, or name it with --config")
        yield from _clients()
        return
    try:
        loaded = place.load()
    except ConfigRejected as rejected:
        for problem in rejected.problems:
            yield Finding("config", "fail", str(problem), "mend this line; see `toolyard config validate`")
        yield from _data_dir(place)
        return
    yield Finding("config", "ok", f"{place.config} is valid")
    yield from _data_dir(place)
    yield _port(place)
    for spec in loaded.snapshot.upstreams.values():
        yield _upstream(spec)
    yield from _servers(loaded)
    yield from _clients()


def _python() -> Finding:
    text = f"Python {platform.python_version()} on {sys.platform}"
    if sys.platform.startswith("linux"):
        return Finding("python", "ok", text)
    return Finding("python", "warn", f"{text}; Toolyard is tested on Linux", "please report what does not work")


def _data_dir(place: Place) -> Iterator[Finding]:
    from toolyard.gateway.feed.keys import KEYS_FILE
    from toolyard.kit.errors import PlatformError
    from toolyard.policy.peppers import PEPPER_FILE

    if not place.data_dir.exists():
        yield Finding("data directory", "ok", f"{place.data_dir} will be made at the first start")
        return
    if not place.data_dir.is_dir():
        text = f"{place.data_dir} is not a directory"
        yield Finding("data directory", "fail", text, "move it away, or choose another: gateway.data_dir")
        return
    for path, mode in ((place.data_dir, 0o700), *((place.data_dir / name, 0o600) for name in (KEYS_FILE, PEPPER_FILE))):
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding("data directory", "fail", f"{path} can be read by others", f"chmod {mode:o} {path}")
            return
    if not os.access(place.data_dir, os.W_OK):
        yield Finding("data directory", "fail", f"{place.data_dir} cannot be written", "run as its owner")
        return
    try:
        count = sum(1 for record in place.keys().records.values() if not record.disabled)
    except PlatformError as error:
        yield Finding("data directory", "fail", error.message, "restore the data directory from a backup")
        return
    keys = "1 key" if count == 1 else f"{count} keys"
    yield Finding("data directory", "ok", f"{place.data_dir}, {keys} in use")


def _port(place: Place) -> Finding:
    gateway = place.settings.gateway
    running = place.running()
    if running:
        return Finding("port", "ok", f"a gateway is running at {running.get('url')} (process {running.get('pid')})")
    family = socket.AF_INET6 if ":" in gateway.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((gateway.host.strip("[]"), gateway.port))
        except OSError as error:
            text = f"{gateway.host}:{gateway.port} cannot be listened on: {error.strerror or error}"
            return Finding("port", "fail", text, "stop what uses it, or choose another: toolyard up --port 8001")
    return Finding("port", "ok", f"{gateway.host}:{gateway.port} is free")


def _upstream(spec: UpstreamSpec) -> Finding:
    check = f"upstream {spec.id}"
    if not spec.enabled:
        return Finding(check, "ok", "switched off")
    if spec.kind == "native":
        return Finding(check, "ok", "built in")
    return _command(check, spec) if spec.kind == "mcp-stdio" else _address(check, spec)


def _command(check: str, spec: UpstreamSpec) -> Finding:
    program = spec.command[0]
    path = {name: value.reveal() for name, value in spec.env}.get("PATH")
    if shutil.which(program, path=path) is None:
        mend = f"install it, or write its full path as the command of '{spec.id}'"
        if " " in program:
            mend = "write the program under `command` and its arguments under `args`"
        return Finding(check, "fail", f"the command '{program}' is not found", mend)
    if spec.cwd and not Path(spec.cwd).is_dir():
        return Finding(check, "fail", f"the directory {spec.cwd} is not there", "make it, or change `cwd`")
    return Finding(check, "ok", f"the command '{program}' is found")


def _address(check: str, spec: UpstreamSpec) -> Finding:
    """Whether a connection can be made just as the gateway makes it: to the same addresses, with the same TLS."""
    from toolyard.cli.dialling import dial_once
    from toolyard.net.errors import EgressDenied, NetError, TlsRefused

    place = urlsplit(spec.url or "").netloc
    try:
        dial_once(spec)
    except EgressDenied as error:
        text = f"{place} is at {error.context.get('kind', 'another address')}, which is not allowed for this upstream"
        return Finding(check, "fail", text, "name that network under `allow_networks`, if it is meant")
    except TlsRefused as error:
        return Finding(
            check, "fail", f"{place}: {error.message}", "correct `url`, or name the authority: `tls: ca_file`"
        )
    except NetError as error:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else None
        text = f"{place} cannot be reached: {reason or error.message}"
        return Finding(check, "fail", text, "start it, or correct `url`; the other upstreams are not affected")
    return Finding(check, "ok", f"{place} accepts connections")


def _servers(loaded: Loaded) -> Iterator[Finding]:
    from toolyard.contract.patterns import Patterns

    snapshot = loaded.snapshot
    shown = [Patterns(spec.tools) for spec in snapshot.servers.values()]
    for upstream_id, upstream in snapshot.upstreams.items():
        if not any(patterns.may_offer(upstream) for patterns in shown):
            mend = f'add "{upstream_id}/*" to the tools of a server'
            yield Finding(f"upstream {upstream_id}", "warn", "no virtual server offers any of its tools", mend)


def _clients() -> Iterator[Finding]:
    from toolyard.cli.client_files import found_files

    for client, path in found_files():
        yield Finding(
            "client", "ok", f"{client.title} is here ({path}); lead it here: toolyard connect {client.name} --write"
        )


def _print(findings: list[Finding]) -> None:
    from rich.text import Text

    marks = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}
    out = console()
    for finding in findings:
        mark, colour = marks[finding.state]
        out.print(Text.assemble((f"{mark} ", colour), (f"{finding.check}: ", "bold"), finding.finding))
        if finding.mend:
            out.print(Text(f"    → {finding.mend}"))
