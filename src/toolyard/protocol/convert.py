"""Results between revisions, as explicit rules on plain dicts: members nobody names here travel untouched.

Upstream results are first made neutral (`from_upstream`), then made fit for the client's revision (`to_client`). A rule
changes only what the client's revision forbids, requires or cannot understand, and each names its source. Nothing here
changes a dict it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from toolyard.protocol.content_rules import blocks_for, messages_for, without_structure
from toolyard.protocol.definition_rules import LISTED, definition_for, implementation_for
from toolyard.protocol.error_rules import error_from_upstream, error_to_client
from toolyard.protocol.errors import InvalidRequest
from toolyard.protocol.revisions import META_SERVER_INFO, MODERN, at_least

__all__ = [
    "definition_for",
    "discover_result",
    "error_from_upstream",
    "error_to_client",
    "from_upstream",
    "initialize_result",
    "question_for_legacy",
    "to_client",
]

Json = dict[str, Any]

COMPLETE: Final = "complete"
INPUT_REQUIRED: Final = "input_required"

CACHEABLE: Final = frozenset(
    {
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
    }
)
"""Methods whose complete results need cache hints (2026-07-28 server/utilities/caching)."""

INTERACTIVE: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Methods whose results may be `input_required` (2026-07-28 basic/patterns/mrtr)."""

_MODERN_MEMBERS: Final = frozenset({"resultType", "ttlMs", "cacheScope"})


def to_client(revision: str, method: str, result: Json) -> Json:
    """A new result as a client of `revision` may see it."""
    if revision == MODERN:
        return _to_modern(method, result)
    shaped = _without_modern_members(result)
    rule = _LEGACY_RULES.get(method)
    return shaped if rule is None else rule(revision, method, shaped)


def from_upstream(revision: str, method: str, result: Json) -> Json:
    """A new result, neutral: `resultType` only where it says something else than complete, cache hints only where they
    are valid. Raises InvalidRequest for a result type that a modern upstream may not answer `method` with."""
    if revision != MODERN:
        return _without_modern_members(result)
    shaped = _with_valid_cache_hints(result)
    kind = shaped.pop("resultType", COMPLETE)
    if kind == COMPLETE:
        return shaped
    if kind != INPUT_REQUIRED or method not in INTERACTIVE:
        raise InvalidRequest(f"A result of {method} has an unknown type.")
    return {**shaped, "resultType": kind}


def question_for_legacy(request: Json, new_id: Callable[[], str]) -> Json:
    """A modern upstream's question as a request to a legacy client: one to visit a page has an `elicitationId`
    (2025-11-25 client/elicitation, URL mode), which the modern era has not."""
    params = request.get("params")
    if request["method"] != "elicitation/create" or not isinstance(params, dict) or params.get("mode") != "url":
        return request
    return request if "elicitationId" in params else {**request, "params": {**params, "elicitationId": new_id()}}


def initialize_result(revision: str, capabilities: Json, server_info: Json, instructions: str | None) -> Json:
    """The answer of `initialize` (legacy lifecycle pages). `extensions` are modern; core `tasks` only of 2025-11-25."""
    modern_only = {"extensions"} if revision == "2025-11-25" else {"extensions", "tasks"}
    result: Json = {
        "protocolVersion": revision,
        "capabilities": {name: value for name, value in capabilities.items() if name not in modern_only},
        "serverInfo": implementation_for(revision, server_info),
    }
    if instructions:
        result["instructions"] = instructions
    return result


def discover_result(
    supported_versions: Sequence[str], capabilities: Json, server_info: Json, instructions: str | None
) -> Json:
    """The answer of `server/discover` (2026-07-28 server/discover), stale at once unless the caller says otherwise."""
    result: Json = {
        "resultType": COMPLETE,
        "supportedVersions": list(supported_versions),
        "capabilities": {name: value for name, value in capabilities.items() if name != "tasks"},
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {META_SERVER_INFO: server_info},
    }
    if instructions:
        result["instructions"] = instructions
    return result


def _to_modern(method: str, result: Json) -> Json:
    """2026-07-28 basic/index: every result has a type; utilities/caching: some need cache hints."""
    shaped = dict(result)
    kind = shaped.setdefault("resultType", COMPLETE)
    if kind != COMPLETE:
        return shaped
    if method in CACHEABLE:
        shaped = _with_valid_cache_hints(shaped)
        shaped.setdefault("ttlMs", 0)
        shaped.setdefault("cacheScope", "private")
    if method == "tools/call":
        shaped.setdefault("content", [])
    return _definitions_rule(MODERN, method, shaped) if method in LISTED else shaped


def _without_modern_members(result: Json) -> Json:
    """Legacy revisions know no result types, cache hints and per-result server information; a legacy upstream that
    sends them anyway means something else by them."""
    if "_meta" not in result and _MODERN_MEMBERS.isdisjoint(result):
        return dict(result)
    shaped = {name: value for name, value in result.items() if name not in _MODERN_MEMBERS}
    meta = shaped.get("_meta")
    if isinstance(meta, dict) and META_SERVER_INFO in meta:
        kept = {key: value for key, value in meta.items() if key != META_SERVER_INFO}
        if kept:
            shaped["_meta"] = kept
        else:
            del shaped["_meta"]
    return shaped


def _with_valid_cache_hints(result: Json) -> Json:
    """2026-07-28 server/utilities/caching: `ttlMs` is a non-negative integer, `cacheScope` public or private."""
    shaped = dict(result)
    ttl_ms = shaped.get("ttlMs", 0)
    if type(ttl_ms) is not int or ttl_ms < 0:
        del shaped["ttlMs"]
    if shaped.get("cacheScope", "private") not in ("public", "private"):
        del shaped["cacheScope"]
    return shaped


def _definitions_rule(revision: str, method: str, result: Json) -> Json:
    """Lists: each definition as the revision knows it. A list that is encoded already was shaped by who encoded it."""
    member = LISTED[method]
    entries = result.get(member)
    if isinstance(entries, list):
        result[member] = [definition_for(revision, method, entry) for entry in entries]
    return result


def _call_rule(revision: str, _method: str, result: Json) -> Json:
    """`tools/call`: `content` is required; structured content is an object, from 2025-06-18 on; blocks by revision."""
    content = result.get("content")
    result["content"] = content if isinstance(content, list) else []
    if "structuredContent" in result:
        fits = at_least(revision, "2025-06-18") and isinstance(result["structuredContent"], dict)
        result = result if fits else without_structure(result)
    result["content"] = blocks_for(revision, result["content"])
    return result


def _prompt_rule(revision: str, _method: str, result: Json) -> Json:
    """`prompts/get`: the content of each message by revision."""
    if isinstance(result.get("messages"), list):
        result["messages"] = messages_for(revision, result["messages"])
    return result


_LEGACY_RULES: Final[dict[str, Callable[[str, str, Json], Json]]] = {
    "tools/call": _call_rule,
    "prompts/get": _prompt_rule,
    **dict.fromkeys(LISTED, _definitions_rule),
}
