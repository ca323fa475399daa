"""Tags: words by which tools are found and chosen.

The operator gives them to tools and to whole upstreams; an upstream may give its tools some of its own. Clients see
both. A tool is brought into a server only by tags that the operator gave, or lets the upstream give (`own_tags`):
nobody else decides what a server offers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import Any, Final

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec

TAGS_KEY: Final = "toolyard/tags"
"""The member of a definition's `_meta` with all tags of a tool, sorted."""
MAX_TAGS: Final = 32
"""How many tags one list of an operator may have, and how many of an upstream's own count."""
MAX_TAG_CHARS: Final = 64

NO_TAGS: Final[frozenset[str]] = frozenset()
_WITH_A_MEANING: Final = re.compile(r"[*?\[\]/,]")
_OWN_KEYS: Final = ("fastmcp", "_fastmcp")
"""Where servers made with FastMCP have an object with `tags`, today's and before its version 3."""
_KEYS: Final = frozenset({TAGS_KEY, *_OWN_KEYS})


def tag_problem(text: str) -> str | None:
    """Why `text` cannot be a tag, or None."""
    if not 0 < len(text) <= MAX_TAG_CHARS:
        return f"a tag has 1 to {MAX_TAG_CHARS} characters"
    if text != text.strip() or not text.isprintable():
        return f"{text!r} is not a tag: no line breaks, invisible characters, or spaces at the ends"
    if _WITH_A_MEANING.search(text):
        return f"'{text}' is not a tag: none of * ? [ ] / , may be in it"
    return None


def operators_tags(upstream: UpstreamSpec, tool: str) -> frozenset[str]:
    """What the operator says of a tool, by itself and as one of its upstream's."""
    rule = upstream.tools.get(tool)
    of_the_rule = rule.tags if rule is not None else ()
    return frozenset((*upstream.tags, *of_the_rule)) if upstream.tags or of_the_rule else NO_TAGS


def own_tags(definition: Json) -> frozenset[str]:
    """What the upstream says of its tool: another gateway's tags, or FastMCP's. What cannot be a tag is passed over."""
    meta = definition.get("_meta")
    return frozenset(_found(meta)) if isinstance(meta, dict) and not _KEYS.isdisjoint(meta) else NO_TAGS


def with_tags(definition: Json, tags: Set[str]) -> Json:
    """A definition that shows these tags and no others under the gateway's key; everything else of it stays."""
    meta = definition.get("_meta")
    kept: Json = meta if isinstance(meta, dict) else {}
    if tags:
        return {**definition, "_meta": {**kept, TAGS_KEY: sorted(tags)}}
    if TAGS_KEY not in kept:
        return definition
    return {**definition, "_meta": {name: value for name, value in kept.items() if name != TAGS_KEY}}


def _found(meta: Json) -> Iterator[str]:
    lists: list[Any] = [meta.get(TAGS_KEY)]
    lists += [part.get("tags") for key in _OWN_KEYS if isinstance(part := meta.get(key), dict)]
    texts = [text for found in lists if isinstance(found, list) for text in found[:MAX_TAGS] if isinstance(text, str)]
    yield from [text for text in texts if tag_problem(text) is None][:MAX_TAGS]
