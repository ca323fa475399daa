"""One entry of `servers` into a ServerSpec."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import cast

from toolyard.contract.pattern_form import parts, tool_pattern_problem
from toolyard.contract.patterns import BY_TAG, compile_pattern
from toolyard.contract.snapshot import Access, Naming, RateLimit, ServerSpec, UpstreamSpec
from toolyard.gateway.feed.document import Section
from toolyard.kit.quantities import rate, switch


def read_server(code: str, entry: Section, upstreams: Mapping[str, UpstreamSpec], *, loopback: bool) -> ServerSpec:
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


def _patterns(entry: Section, upstreams: Mapping[str, UpstreamSpec]) -> tuple[str, ...]:
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


def _pattern_problem(pattern: str, upstreams: Mapping[str, UpstreamSpec]) -> str | None:
    wrong = tool_pattern_problem(pattern)
    if wrong or pattern == "*":
        return wrong
    chosen = pattern.removeprefix("!")
    upstream, what = parts(pattern)
    tag = what.removeprefix(BY_TAG) if what.startswith(BY_TAG) else None
    if upstream != "*" and not any(fnmatchcase(one, upstream) for one in upstreams):
        near = difflib.get_close_matches(upstream, sorted(upstreams), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(upstreams)) or 'none'}"
        return f"there is no upstream '{upstream}'; {hint}"
    if tag is None or any(compile_pattern(chosen).may_name_one_of(one) for one in upstreams.values()):
        return None
    return _unknown_tag(tag, [one for one in upstreams.values() if fnmatchcase(one.id, upstream)])


def _unknown_tag(tag: str, upstreams: list[UpstreamSpec]) -> str:
    lists = [tags for one in upstreams for tags in (one.tags, *(rule.tags for rule in one.tools.values()))]
    near = difflib.get_close_matches(tag, sorted({known for tags in lists for known in tags}), n=1)
    hint = f"did you mean '{near[0]}'?" if near else "those that an upstream gives count with its `own_tags: true`"
    return f"nothing is tagged '{tag}' here; {hint}"


def _limit(limits: Section, name: str) -> RateLimit | None:
    found = limits.parsed(name, rate, default=None)
    return RateLimit(per_minute=found[0], burst=found[1]) if found else None
