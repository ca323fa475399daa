"""One entry of `upstreams` into an UpstreamSpec."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from toolyard.contract.snapshot import Isolation, TaskRule, UpstreamKind, UpstreamLimits, UpstreamSpec
from toolyard.contract.upstream_form import (
    BUILTINS,
    LEAST_IDLE_S,
    MAX_CREDENTIAL_BYTES,
    MOST_IDLE_S,
    address_problem,
    checked_url,
    header_problem,
    variable_problem,
)
from toolyard.gateway.feed.document import Document, Section
from toolyard.gateway.feed.tool_rules import check_task_times, tags, task_rule, timeout, tool_rules
from toolyard.kit.quantities import seconds, switch, whole_number
from toolyard.kit.secret import Secret

TRANSPORTS: dict[str, UpstreamKind] = {
    "auto": "mcp-http",
    "http": "mcp-http",
    "sse": "mcp-sse",
    "websocket": "websocket",
}
ISOLATIONS: tuple[Isolation, ...] = get_args(Isolation)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What holds where an entry says nothing (`timeout_s`, `max_connections`), and the longest time it may ask for."""

    timeout_s: float
    max_connections: int
    longest_s: float
    limits: UpstreamLimits = UpstreamLimits()  # noqa: RUF009  (frozen)


def read_upstream(upstream_id: str, entry: Section, bounds: Bounds) -> UpstreamSpec:
    """The upstream that a section describes; problems go to its document, with a harmless value in their place."""
    url, command, builtin = _url(entry), _command(entry), _builtin(entry)
    _check_one_place(entry)
    kind = _kind(entry, url, builtin=builtin)
    tls = entry.section("tls")
    spec = UpstreamSpec(
        id=upstream_id,
        kind=kind,
        url=url,
        headers=_secrets(entry, "headers", header_problem),
        command=(builtin,) if builtin else command,
        env=_secrets(entry, "env", variable_problem),
        cwd=_path(entry, "cwd"),
        enabled=entry.parsed("enabled", switch, default=True),
        timeout_s=entry.parsed("timeout", lambda text: timeout(text, bounds.longest_s), bounds.timeout_s),
        isolation=_isolation(entry),
        idle_s=entry.parsed("idle", _idle, 600.0),
        max_processes=entry.parsed("max_processes", lambda text: whole_number(text, 1, 1000), 8),
        max_connections=entry.parsed(
            "max_connections", lambda text: whole_number(text, 1, 10_000), bounds.max_connections
        ),
        allow_networks=_networks(entry),
        tls_verify=tls.parsed("verify", switch, default=True),
        tls_ca_file=_path(tls, "ca_file"),
        limits=bounds.limits,
        tasks=entry.parsed("tasks", task_rule, TaskRule()),
        tools=tool_rules(entry, bounds.longest_s),
        tags=tags(entry),
        own_tags=entry.parsed("own_tags", switch, default=False),
    )
    _check_fits(entry, spec)
    check_task_times(entry, spec)
    tls.close()
    entry.close()
    return spec


def _check_one_place(entry: Section) -> None:
    places = [name for name in ("command", "url", "builtin") if name in entry]
    if len(places) == 1:
        return
    if places:
        entry.complain(places[1], f"an upstream has only one of command, url, builtin; here are {' and '.join(places)}")
    else:
        entry.complain("", "an upstream needs one of: command (a program), url, builtin: demo")


def _url(entry: Section) -> str | None:
    node = entry.take("url")
    return entry.document.parsed(node, entry.path("url"), checked_url) if node else None


def _command(entry: Section) -> tuple[str, ...]:
    command = entry.texts("command") or ()
    arguments = entry.texts("args") or ()
    if command and not command[0].strip():
        entry.complain("command", "is empty")
    if arguments and "command" not in entry:
        entry.complain("args", "has no command to go with")
    for name, words in (("command", command), ("args", arguments)):
        if any("\x00" in word for word in words):
            entry.complain(name, "contains a NUL character")
    return command + arguments


def _builtin(entry: Section) -> str | None:
    name = entry.text("builtin")
    if name is not None and name not in BUILTINS:
        entry.complain("builtin", f"there is no built-in upstream '{name}'; there is: {', '.join(BUILTINS)}")
    return name


def _kind(entry: Section, url: str | None, *, builtin: str | None) -> UpstreamKind:
    transport = entry.parsed("transport", _transport, "auto")
    if builtin:
        return "native"
    if "command" in entry:
        return "mcp-stdio"
    over_websocket = url is not None and url.startswith(("ws:", "wss:"))
    if over_websocket and transport not in {"auto", "websocket"}:
        entry.complain("transport", f"a ws:// URL is reached over websocket, not {transport}")
    if transport == "websocket" and url is not None and not over_websocket:
        entry.complain("transport", "websocket needs a ws:// or wss:// URL")
    return "websocket" if over_websocket else TRANSPORTS[transport]


def _isolation(entry: Section) -> Isolation:
    """The policy. `stateless: true` is an older way to write `isolation: shared`."""
    isolation = entry.parsed("isolation", _policy, None)
    stateless = entry.parsed("stateless", switch, default=None)
    if stateless is None:
        return isolation or "per-principal"
    if isolation is not None and stateless != (isolation == "shared"):
        entry.complain("stateless", f"contradicts `isolation: {isolation}`; leave `stateless` out")
    return isolation or ("shared" if stateless else "per-principal")


def _policy(text: str) -> Isolation:
    found = next((policy for policy in ISOLATIONS if policy == text), None)
    if found is None:
        raise ValueError(f"'{text}' is not one of {', '.join(ISOLATIONS)}")
    return found


def _idle(text: str) -> float:
    value = seconds(text)
    if not LEAST_IDLE_S <= value <= MOST_IDLE_S:
        raise ValueError(f"'{text}' is not an idle time: from 1s to 24h")
    return value


def _transport(text: str) -> str:
    if text not in TRANSPORTS:
        raise ValueError(f"'{text}' is not one of {', '.join(TRANSPORTS)}")
    return text


def _check_fits(entry: Section, spec: UpstreamSpec) -> None:
    """Complain about fields that mean nothing for this kind of upstream."""
    over_network = spec.url is not None
    for name in ("headers", "tls", "allow_networks", "transport"):
        if name in entry and not over_network and "url" not in entry:
            entry.complain(name, "only means something together with url")
    for name in ("env", "cwd"):
        if name in entry and spec.kind != "mcp-stdio":
            entry.complain(name, "only means something together with command")
    if spec.url is not None:
        wrong = address_problem(spec.url, spec.allow_networks)
        if wrong:
            entry.complain("url", wrong)


def _path(entry: Section, name: str) -> str | None:
    text = entry.text(name)
    return None if text is None else str(entry.document.path(text))


def _networks(entry: Section) -> tuple[str, ...]:
    networks = []
    for text in entry.texts("allow_networks") or ():
        try:
            networks.append(str(ipaddress.ip_network(text, strict=False)))
        except ValueError:
            entry.complain("allow_networks", f"'{text}' is not a network such as 10.0.0.0/8")
    return tuple(networks)


def _secrets(entry: Section, name: str, problem: Callable[[str, str], str | None]) -> tuple[tuple[str, Secret], ...]:
    section = entry.section(name)
    pairs: dict[str, Secret] = {}
    for field, node in section.items():
        value = section.document.parsed(node, section.path(field), lambda text: read_credential(text, entry.document))
        if value is None:
            continue
        wrong = problem(field, value)
        if wrong:
            section.complain(field, wrong)
        pairs[field] = Secret(value)
    return tuple(pairs.items())


def read_credential(text: str, document: Document) -> str:
    """The value itself, or for `file:PATH` what is in that file without its last line break. `file://…` is a value.
    Raises ValueError if the file cannot be read."""
    if not text.startswith("file:") or text.startswith("file://"):
        return text
    path = document.path(text.removeprefix("file:"))
    document.files.append(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"the credential file {path} is not a file")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CREDENTIAL_BYTES + 1)
        if len(content) > MAX_CREDENTIAL_BYTES:
            raise ValueError(f"the credential file {path} is larger than {MAX_CREDENTIAL_BYTES} bytes")
        return content.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"the credential file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the credential file {path} is not text in UTF-8") from None
