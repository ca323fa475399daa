"""How the patterns of a virtual server are written. The same for the operator's file and the API."""

from __future__ import annotations

import re
from typing import Final

from toolyard.contract.patterns import BY_TAG

_WITH_A_MEANING: Final = re.compile(r"[*?\[]")


def tool_pattern_problem(pattern: str) -> str | None:
    """Why `pattern` cannot choose tools, or None."""
    if pattern == "*":
        return None
    _, what = parts(pattern)
    tag = what.removeprefix(BY_TAG) if what.startswith(BY_TAG) else None
    if not what or tag == "" or "/" in (tag or ""):
        return (
            f"'{pattern}' is not a tool pattern: write upstream/tool, upstream/*, tag:TAG, upstream/tag:TAG or *, "
            "or !upstream/tool to leave out"
        )
    return None


def parts(pattern: str) -> tuple[str, str]:
    """(upstream, what) of a tool pattern, without its `!`; empty if it has no such parts."""
    chosen = pattern.removeprefix("!")
    if chosen.startswith(BY_TAG):
        return "*", chosen
    upstream, _, what = chosen.partition("/")
    return upstream, what


def exactly(namespace: str, name: str) -> str:
    """The pattern that names one tool and nothing else, whatever characters its name has."""
    escaped = _WITH_A_MEANING.sub(lambda found: f"[{found[0]}]", name)
    if escaped.startswith(BY_TAG):
        escaped = f"[{escaped[0]}]{escaped[1:]}"
    return f"{namespace}/{escaped}"
