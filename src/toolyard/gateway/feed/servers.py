"""One entry of `servers` into a ServerSpec."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import cast

from toolyard.contract.snapshot import Access, Naming, RateLimit, ServerSpec
from toolyard.gateway.feed.document import Section
from toolyard.gateway.feed.upstreams import ID_GRAMMAR
from toolyard.kit.quantities import rate, switch

RESERVED_CODES = frozenset({"server", "info", "health"})


def server_code_problem(code: str) -> str | None:
    """Why `code` cannot be the code of a virtual server, or None."""
    if code in RESERVED_CODES:
        return f"'{code}' is reserved; choose another code"
    if not ID_GRAMMAR.fullmatch(code):
        return f"'{code}' is not a server code: use a-z, 0-9, '-' and '_', at most 63, beginning with a letter or digit"
    return None


def read_server(code: str, entry: Section, upstreams: Collection[str], *, loopback: bool) -> ServerSpec:
    """The virtual server that a section describes; problems go to its document. `loopback`: the gateway listens for
    this machine only, so that `access: open` is allowed."""
    limits = entry.section("limits")
    spec = ServerSpec(
        code=code,
        tools=_patterns(entry, upstreams),
        names=entry.parsed("names", _naming, "prefixed"),
        access=entry.parsed("access", _access, "key"),
        enabled=entry.parsed("enabled", switch, default=True),
        title=entry.text("title"),
        instructions=entry.text("instructions"),
        per_key=_limit(limits, "per_key"),
        per_server=_limit(limits, "per_server"),
    )
    if spec.access == "open" and not loopback:
        entry.complain(
            "access", "open is allowed only while the gateway listens on a loopback address (127.0.0.1, ::1)"
        )
    limits.close()
    entry.close()
    return spec


def _naming(text: str) -> Naming:
    if text not in {"prefixed", "plain"}:
        raise ValueError(f"'{text}' is not one of prefixed, plain")
    return cast(Naming, text)


def _access(text: str) -> Access:
    if text not in {"key", "open"}:
        raise ValueError(f"'{text}' is not one of key, open")
    return cast(Access, text)


def _patterns(entry: Section, upstreams: Collection[str]) -> tuple[str, ...]:
    patterns = entry.texts("tools")
    if patterns is None:
        return ("*",)
    for number, pattern in enumerate(patterns):
        wrong = _pattern_problem(pattern, upstreams)
        if wrong:
            node = entry.take("tools")
            items = node.value if node and isinstance(node.value, tuple) else ()
            line = items[number].line if number < len(items) else (node.line if node else entry.line)
            entry.document.complain(line, f"{entry.path('tools')}[{number}]", wrong)
    if patterns and all(pattern.startswith("!") for pattern in patterns):
        entry.complain("tools", 'only leaves tools out; say first what the server offers, such as "*"')
    return patterns


def _pattern_problem(pattern: str, upstreams: Collection[str]) -> str | None:
    if pattern == "*":
        return None
    upstream, slash, tools = pattern.removeprefix("!").partition("/")
    if not slash or not tools:
        return (
            f"'{pattern}' is not a tool pattern: write upstream/tool, upstream/* or *, or !upstream/tool to leave out"
        )
    if upstream == "*" or any(fnmatchcase(one, upstream) for one in upstreams):
        return None
    near = difflib.get_close_matches(upstream, sorted(upstreams), n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(upstreams)) or 'none'}"
    return f"there is no upstream '{upstream}'; {hint}"


def _limit(limits: Section, name: str) -> RateLimit | None:
    found = limits.parsed(name, rate, default=None)
    return RateLimit(per_minute=found[0], burst=found[1]) if found else None
