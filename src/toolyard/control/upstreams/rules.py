"""What is looked at before an upstream is registered: its form, where it leads, and what it needs on this machine."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from toolyard.contract.tags import MAX_TAGS, tag_problem
from toolyard.contract.upstream_form import (
    BUILTINS,
    LEAST_IDLE_S,
    MOST_IDLE_S,
    address_problem,
    checked_url,
    header_problem,
    upstream_id_problem,
    variable_problem,
)
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.references import is_template, template_problem, used, without_references
from toolyard.net.errors import EgressDenied, InvalidUrl
from toolyard.net.guard import AddressPolicy, check_literal
from toolyard.net.url import parse_url

Problem = Callable[[str, str], str | None]
STDIO: Final = "mcp-stdio"
BY_URL: Final = frozenset({"mcp-http", "mcp-sse", "websocket"})
MAX_NAMED: Final = 100
MAX_ARGUMENTS: Final = 256
MAX_COMMAND_CHARS: Final = 32 * 1024
PROGRAM_FIELDS: Final = frozenset({"kind", "command", "env", "cwd"})
"""A change of one of these is another program, or the same one in other surroundings."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`longest_s`: the longest time that any call may be given; `most`: how many upstreams an organization may have."""

    longest_s: float = 600.0
    most: int = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found: an error keeps an upstream from being registered, a warning does not."""

    at: str
    level: Literal["error", "warning"]
    message: str


def error(at: str, message: str) -> Finding:
    return Finding(at, "error", message)


def warning(at: str, message: str) -> Finding:
    return Finding(at, "warning", message)


def form(row: UpstreamRow, bounds: Bounds) -> Iterator[Finding]:
    """What is wrong with an upstream by itself."""
    wrong = upstream_id_problem(row.name)
    if wrong:
        yield error("name", wrong)
    networks = list(_networks(row))
    yield from networks or _place(row)
    if row.timeout_s is not None and not 0 < row.timeout_s <= bounds.longest_s:
        yield error("timeout_s", f"must be more than 0 and at most {bounds.longest_s:g} seconds")
    if not LEAST_IDLE_S <= row.idle_s <= MOST_IDLE_S:
        yield error("idle_s", f"must be from {LEAST_IDLE_S:g} to {MOST_IDLE_S:g} seconds")
    longest_s = bounds.longest_s if row.timeout_s is None else row.timeout_s
    if row.task_after_s is not None and not 0 <= row.task_after_s < longest_s:
        yield error("tasks.after_s", f"a call ends after {longest_s:g} s, before it would become a task")
    yield from _tags(row.tags)
    yield from _named(row, "headers", header_problem)
    yield from _named(row, "env", variable_problem)


def _place(row: UpstreamRow) -> Iterator[Finding]:
    if row.kind in BY_URL:
        yield from _url(row)
        for name in ("command", "env", "cwd"):
            if getattr(row, name):
                yield error(name, "only means something together with a command")
        return
    if row.kind == "native":
        if len(row.command) != 1 or row.command[0] not in BUILTINS:
            yield error("command", f"names a built-in upstream; there is: {', '.join(BUILTINS)}")
    else:
        yield from _command(row)
    for name in ("url", "headers", "allow_networks", "tls_ca_file"):
        if getattr(row, name):
            yield error(name, "only means something together with a URL")


def _url(row: UpstreamRow) -> Iterator[Finding]:
    if not row.url:
        yield error("url", "is needed for this kind of upstream")
        return
    try:
        checked_url(row.url)
    except ValueError as wrong:
        yield error("url", str(wrong))
        return
    if row.url.startswith(("ws:", "wss:")) != (row.kind == "websocket"):
        yield error("url", "a ws:// or wss:// URL is of kind websocket, and only that is")
    problem = address_problem(row.url, row.allow_networks)
    if problem:
        yield error("url", problem)
    elif row.headers and row.url.startswith(("http:", "ws:")) and not leads_inside(row):
        yield warning("url", "headers go over this connection unencrypted: use https:// or wss://")


def _command(row: UpstreamRow) -> Iterator[Finding]:
    if not row.command or not row.command[0].strip():
        yield error("command", "is needed for this kind of upstream: a program and its arguments, each by itself")
    elif len(row.command) > MAX_ARGUMENTS or sum(map(len, row.command)) > MAX_COMMAND_CHARS:
        yield error("command", f"has at most {MAX_ARGUMENTS} parts and {MAX_COMMAND_CHARS} characters")
    if any("\x00" in word for word in (*row.command, row.cwd or "")):
        yield error("command", "contains a NUL character")
    if row.cwd is not None and not Path(row.cwd).is_absolute():
        yield error("cwd", "must be an absolute path")


def _tags(tags: list[str]) -> Iterator[Finding]:
    for wrong in (problem for tag in tags if (problem := tag_problem(tag)) is not None):
        yield error("tags", wrong)
    if len(tags) > MAX_TAGS:
        yield error("tags", f"{MAX_TAGS} tags are the most")


def _networks(row: UpstreamRow) -> Iterator[Finding]:
    for text in row.allow_networks:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            yield error("allow_networks", f"'{text[:60]}' is not a network such as 10.0.0.0/8")


def _named(row: UpstreamRow, field: str, problem: Problem) -> Iterator[Finding]:
    values: dict[str, str] = getattr(row, field)
    if len(values) > MAX_NAMED:
        yield error(field, f"{MAX_NAMED} are the most")
    if field == "headers" and len({name.lower() for name in values}) < len(values):
        yield error(field, "has one header twice")
    for name, text in values.items():
        wrong = problem(name, without_references(text)) or (template_problem(text) if is_template(text) else None)
        if wrong:
            yield error(f"{field}.{name[:60]}", wrong)


def machine(row: UpstreamRow) -> Iterator[Finding]:
    """What an upstream needs on the gateway's machine and is not on this one, which may be another: warnings."""
    if row.kind == STDIO and row.command and not _is_there(row.command[0], shutil.which):
        yield warning("command", f"the program '{row.command[0][:200]}' is not found on this machine")
    if row.cwd and not _is_there(row.cwd, Path.is_dir):
        yield warning("cwd", "is no directory on this machine")
    if row.tls_ca_file and not _is_there(row.tls_ca_file, Path.is_file):
        yield warning("tls.ca_file", "is no file on this machine")


def _is_there(path: str, look: Callable[[Path], object]) -> bool:
    try:
        return bool(look(Path(path)))
    except (OSError, ValueError):  # a name that no file can have
        return False


def leads_inside(row: UpstreamRow) -> bool:
    """Whether an upstream is, or may be, where only the gateway's machine can go: at a loopback or private address, or
    wherever `allow_networks` lets it."""
    if row.allow_networks:
        return True
    if not row.url:
        return False
    try:
        url = parse_url(row.url)
        check_literal(url, AddressPolicy())
    except EgressDenied:
        return True
    except InvalidUrl:
        return False
    return url.host == "localhost" or url.host.endswith(".localhost")


def origin(row: UpstreamRow) -> str | None:
    """Whom an upstream's credentials are shown to."""
    try:
        return parse_url(row.url).origin if row.url else None
    except InvalidUrl:
        return None


def program_digest(row: UpstreamRow) -> str:
    """What is approved: the program with its arguments, where it runs and what it is told there."""
    content = [row.kind, list(row.command), row.cwd, sorted(row.env.items())]
    return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode("ascii")).hexdigest()


def is_approved(row: UpstreamRow) -> bool:
    """Whether an upstream may run: it runs no program, or exactly the one that was approved."""
    return row.kind != STDIO or row.approved == program_digest(row)


def credentials_of(row: UpstreamRow) -> list[str]:
    """The credentials that an upstream refers to."""
    return used(row.headers, row.env)
