from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from toolyard.protocol.convert import (
    CACHEABLE,
    definition_for,
    discover_result,
    from_upstream,
    initialize_result,
    question_for_legacy,
    to_client,
)
from toolyard.protocol.errors import InvalidRequest
from toolyard.protocol.revisions import LEGACY, META_SERVER_INFO, MODERN, SUPPORTED

Json = dict[str, Any]

TEXT = {"type": "text", "text": "hello", "annotations": {"priority": 0.5}}
IMAGE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": "aGVsbG8=", "mimeType": "audio/wav", "_meta": {"a": 1}}
LINK = {
    "type": "resource_link",
    "uri": "file:///report.pdf",
    "name": "report",
    "title": "The report",
    "mimeType": "application/pdf",
    "description": "of last year",
    "annotations": {"audience": ["user"]},
}
EMBEDDED = {"type": "resource", "resource": {"uri": "file:///a", "text": "a"}}
VENDOR = {"type": "com.example/chart", "points": [1, 2]}
ICON = {"src": "https://example.com/i.png", "sizes": ["48x48"]}
TOOL: Json = {
    "name": "paint",
    "title": "Paint",
    "description": "Paints.",
    "icons": [ICON],
    "inputSchema": {
        "type": "object",
        "properties": {"a": True, "b": {"type": "string", "x-mcp-header": "B"}, "c": False},
        "$defs": {"d": {"$anchor": "d"}},
    },
    "outputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "annotations": {"readOnlyHint": True, "vendorHint": 1},
    "execution": {"taskSupport": "optional"},
    "_meta": {"com.example/k": 1},
    "com.example": "kept",
}
RESULTS: dict[str, Json] = {
    "tools/call": {"content": [TEXT, IMAGE, AUDIO, LINK, EMBEDDED], "structuredContent": {"n": 1}, "isError": False},
    "prompts/get": {
        "description": "d",
        "messages": [{"role": "user", "content": block} for block in (TEXT, IMAGE, AUDIO, LINK, EMBEDDED)],
    },
    "tools/list": {"tools": [TOOL], "nextCursor": "c"},
    "prompts/list": {"prompts": [{"name": "p", "icons": [ICON], "arguments": [{"name": "a", "title": "A"}]}]},
    "resources/list": {"resources": [{"uri": "file:///a", "name": "a", "icons": [ICON], "size": 3}]},
    "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "file:///{a}", "name": "t", "icons": [ICON]}]},
    "resources/read": {"contents": [{"uri": "file:///a", "text": "a"}, {"uri": "file:///b", "blob": "aGk="}]},
    "completion/complete": {"completion": {"values": ["a"], "total": 1, "hasMore": False}},
}
MODERN_EXTRAS: Json = {"resultType": "complete", "ttlMs": 5, "cacheScope": "public"}


def call_for(revision: str, *blocks: Json, **members: Any) -> Json:
    return to_client(revision, "tools/call", {"content": list(blocks), **members})


@pytest.mark.parametrize("revision", SUPPORTED)
@pytest.mark.parametrize("method", RESULTS)
@pytest.mark.parametrize("extras", [{}, MODERN_EXTRAS])
def test_each_result_is_valid_in_each_revision(revision: str, method: str, extras: Json) -> None:
    official = pytest.importorskip("mcp_types.methods")
    shaped = to_client(revision, method, {**copy.deepcopy(RESULTS[method]), **extras})
    official.validate_server_result(method, revision, shaped)


@pytest.mark.parametrize("revision", SUPPORTED)
@pytest.mark.parametrize("method", RESULTS)
def test_conversion_changes_nothing_it_was_given(revision: str, method: str) -> None:
    given = {**copy.deepcopy(RESULTS[method]), **MODERN_EXTRAS, "_meta": {META_SERVER_INFO: {}, "k": 1}}
    before = copy.deepcopy(given)
    shaped = to_client(revision, method, given)
    from_upstream(revision, method, given)
    shaped["_meta"] = {}
    assert given == before


@pytest.mark.parametrize("method", RESULTS)
def test_every_modern_result_has_a_type_and_cacheable_ones_have_hints(method: str) -> None:
    shaped = to_client(MODERN, method, RESULTS[method])
    assert shaped["resultType"] == "complete"
    assert ("ttlMs" in shaped, "cacheScope" in shaped) == (method in CACHEABLE, method in CACHEABLE)
    if method in CACHEABLE:
        assert (shaped["ttlMs"], shaped["cacheScope"]) == (0, "private")


def test_valid_cache_hints_travel_and_invalid_ones_are_replaced() -> None:
    good = to_client(MODERN, "resources/read", {"contents": [], "ttlMs": 70, "cacheScope": "public"})
    assert (good["ttlMs"], good["cacheScope"]) == (70, "public")
    for ttl_ms in (-1, 1.5, True, "5", None):
        bad = to_client(MODERN, "resources/read", {"contents": [], "ttlMs": ttl_ms, "cacheScope": "world"})
        assert (bad["ttlMs"], bad["cacheScope"]) == (0, "private")


def test_an_input_required_result_has_no_cache_hints_and_stays_what_it_is() -> None:
    asked = {"resultType": "input_required", "inputRequests": {"k": {}}, "requestState": "s"}
    assert to_client(MODERN, "resources/read", asked) == asked
    assert to_client(MODERN, "tools/call", asked) == asked


@pytest.mark.parametrize("revision", LEGACY)
@pytest.mark.parametrize("method", RESULTS)
def test_legacy_results_have_no_modern_members(revision: str, method: str) -> None:
    meta = {META_SERVER_INFO: {"name": "u"}, "k": 1}
    shaped = to_client(revision, method, {**RESULTS[method], **MODERN_EXTRAS, "_meta": meta, "com.example": 1})
    assert not shaped.keys() & MODERN_EXTRAS.keys()
    assert shaped["_meta"] == {"k": 1}
    assert shaped["com.example"] == 1
    assert "_meta" not in to_client(revision, method, {**RESULTS[method], "_meta": {META_SERVER_INFO: {}}})


@pytest.mark.parametrize(
    ("revision", "kinds"),
    [
        ("2024-11-05", ["text", "image", "text", "text", "resource", "com.example/chart"]),
        ("2025-03-26", ["text", "image", "audio", "text", "resource", "com.example/chart"]),
        ("2025-06-18", ["text", "image", "audio", "resource_link", "resource", "com.example/chart"]),
        ("2025-11-25", ["text", "image", "audio", "resource_link", "resource", "com.example/chart"]),
        (MODERN, ["text", "image", "audio", "resource_link", "resource", "com.example/chart"]),
    ],
)
def test_blocks_a_revision_does_not_know_become_text(revision: str, kinds: list[str]) -> None:
    shaped = call_for(revision, TEXT, IMAGE, AUDIO, LINK, EMBEDDED, VENDOR)
    assert [block["type"] for block in shaped["content"]] == kinds
    messages = [{"role": "user", "content": block} for block in (TEXT, IMAGE, AUDIO, LINK, EMBEDDED, VENDOR)]
    prompt = to_client(revision, "prompts/get", {"messages": messages})
    assert [message["content"]["type"] for message in prompt["messages"]] == kinds


def test_the_text_says_what_the_block_was() -> None:
    audio, link = call_for("2024-11-05", AUDIO, LINK)["content"]
    assert "audio/wav" in audio["text"]
    assert "5 bytes" in audio["text"]
    assert audio["_meta"] == {"a": 1}
    for part in ("The report", "file:///report.pdf", "application/pdf", "of last year"):
        assert part in link["text"]
    assert link["annotations"] == {"audience": ["user"]}


@pytest.mark.parametrize("revision", LEGACY)
@pytest.mark.parametrize("value", [[1, 2], "text", 3, 2.5, True, None])
def test_structured_content_that_is_no_object_becomes_text_for_legacy_clients(revision: str, value: object) -> None:
    shaped = call_for(revision, TEXT, structuredContent=value)
    assert "structuredContent" not in shaped
    assert json.loads(shaped["content"][-1]["text"]) == value
    assert call_for(MODERN, TEXT, structuredContent=value)["structuredContent"] == value


def test_structured_content_that_is_said_already_is_not_said_twice() -> None:
    said = {"type": "text", "text": "[1, 2]"}
    assert call_for("2025-11-25", said, structuredContent=[1, 2])["content"] == [said]


def test_structured_objects_are_kept_from_2025_06_18_and_become_text_before() -> None:
    value = {"n": 1}
    for revision in ("2025-11-25", "2025-06-18"):
        shaped = call_for(revision, TEXT, structuredContent=value)
        assert (shaped["structuredContent"], shaped["content"]) == (value, [TEXT])
    for revision in ("2025-03-26", "2024-11-05"):
        shaped = call_for(revision, TEXT, structuredContent=value)
        assert "structuredContent" not in shaped
        assert shaped["content"] == [TEXT, {"type": "text", "text": '{"n":1}'}]


@pytest.mark.parametrize("revision", SUPPORTED)
def test_a_call_result_always_has_content(revision: str) -> None:
    assert to_client(revision, "tools/call", {"structuredContent": {"n": 1}})["content"] is not None


def test_tools_keep_what_their_readers_can_use() -> None:
    always = {"name", "title", "description", "inputSchema", "annotations", "_meta", "com.example"}
    members = {revision: set(definition_for(revision, "tools/list", TOOL)) - always for revision in SUPPORTED}
    assert members == {
        MODERN: {"icons", "outputSchema"},
        "2025-11-25": {"icons", "outputSchema", "execution"},
        "2025-06-18": {"outputSchema"},
        "2025-03-26": set(),
        "2024-11-05": set(),
    }


def test_schemas_travel_verbatim_but_for_boolean_properties_of_legacy_tools() -> None:
    assert definition_for(MODERN, "tools/list", TOOL)["inputSchema"] == TOOL["inputSchema"]
    legacy = definition_for("2025-11-25", "tools/list", TOOL)["inputSchema"]
    assert legacy == {
        **TOOL["inputSchema"],
        "properties": {"a": {}, "b": {"type": "string", "x-mcp-header": "B"}, "c": {"not": {}}},
    }


@pytest.mark.parametrize("schema", [{"type": "array"}, {"anyOf": [{"type": "object"}]}, {}, True])
def test_an_output_schema_that_describes_no_object_is_for_modern_clients_only(schema: object) -> None:
    tool = {"name": "t", "inputSchema": {"type": "object"}, "outputSchema": schema}
    assert definition_for(MODERN, "tools/list", tool)["outputSchema"] == schema
    assert "outputSchema" not in definition_for("2025-11-25", "tools/list", tool)


@pytest.mark.parametrize("method", ["prompts/list", "resources/list", "resources/templates/list"])
def test_icons_are_for_revisions_that_know_them(method: str) -> None:
    for revision in SUPPORTED:
        (definitions,) = (
            value for value in to_client(revision, method, RESULTS[method]).values() if isinstance(value, list)
        )
        assert ("icons" in definitions[0]) == (revision in (MODERN, "2025-11-25"))


def test_a_list_that_is_encoded_already_is_left_alone() -> None:
    encoded = object()
    for revision in SUPPORTED:
        assert to_client(revision, "tools/list", {"tools": encoded})["tools"] is encoded


def test_malformed_parts_travel_as_they_are() -> None:
    assert call_for("2024-11-05", "no block", {"type": ["audio"]}, {})["content"] == [
        "no block",
        {"type": ["audio"]},
        {},
    ]  # type: ignore[arg-type]
    assert to_client("2024-11-05", "prompts/get", {"messages": [1, {}]})["messages"] == [1, {}]
    assert to_client("2024-11-05", "tools/list", {"tools": ["x"]})["tools"] == ["x"]


def test_results_of_unlisted_methods_lose_only_modern_members() -> None:
    assert to_client("2025-11-25", "ping", {"resultType": "complete"}) == {}
    assert to_client(MODERN, "subscriptions/listen", {"_meta": {}}) == {"_meta": {}, "resultType": "complete"}


def test_a_modern_upstream_result_becomes_neutral() -> None:
    neutral = from_upstream(
        MODERN, "tools/list", {"tools": [], "resultType": "complete", "ttlMs": 5, "cacheScope": "x"}
    )
    assert neutral == {"tools": [], "ttlMs": 5}
    assert from_upstream(MODERN, "tools/call", {"content": []}) == {"content": []}
    asked = {"resultType": "input_required", "requestState": "s"}
    assert from_upstream(MODERN, "tools/call", asked) == asked


@pytest.mark.parametrize(
    ("method", "kind"),
    [("tools/call", "task"), ("tools/call", 1), ("tools/call", None), ("tools/list", "input_required")],
)
def test_an_unknown_result_type_of_a_modern_upstream_is_invalid(method: str, kind: object) -> None:
    with pytest.raises(InvalidRequest):
        from_upstream(MODERN, method, {"resultType": kind})


@pytest.mark.parametrize("revision", LEGACY)
def test_a_legacy_upstream_cannot_speak_in_modern_terms(revision: str) -> None:
    forged = {
        "resultType": "input_required",
        "inputRequests": {},
        "ttlMs": 10**9,
        "cacheScope": "public",
        "content": [],
    }
    assert from_upstream(revision, "tools/call", forged) == {"content": [], "inputRequests": {}}


@pytest.mark.parametrize("revision", LEGACY)
def test_the_initialize_result_is_valid_in_each_legacy_revision(revision: str) -> None:
    capabilities = {"tools": {"listChanged": True}, "extensions": {"a/b": {}}, "tasks": {}}
    info = {"name": "g", "version": "1", "icons": [ICON]}
    result = initialize_result(revision, capabilities, info, "Be kind.")
    assert result["protocolVersion"] == revision
    assert result["instructions"] == "Be kind."
    assert set(result["capabilities"]) == ({"tools", "tasks"} if revision == "2025-11-25" else {"tools"})
    assert ("icons" in result["serverInfo"]) == (revision == "2025-11-25")
    assert "instructions" not in initialize_result(revision, {}, info, None)
    pytest.importorskip("mcp_types.methods").validate_server_result("initialize", revision, result)


def test_the_discover_result_is_valid_and_names_the_server() -> None:
    info = {"name": "g", "version": "1"}
    result = discover_result(SUPPORTED, {"tools": {}, "tasks": {}}, info, "Be kind.")
    assert result["supportedVersions"] == list(SUPPORTED)
    assert result["capabilities"] == {"tools": {}}
    assert result["_meta"] == {META_SERVER_INFO: info}
    assert to_client(MODERN, "server/discover", result) == result
    pytest.importorskip("mcp_types.methods").validate_server_result("server/discover", MODERN, result)


def test_a_question_to_visit_a_page_has_an_id_for_legacy_clients() -> None:
    url = {"method": "elicitation/create", "params": {"mode": "url", "url": "https://example.com", "message": "Go"}}
    asked = question_for_legacy(url, lambda: "made")
    assert asked == {"method": url["method"], "params": {**url["params"], "elicitationId": "made"}}
    assert question_for_legacy(asked, lambda: "another") == asked
    for other in ({"method": "roots/list"}, {"method": "elicitation/create", "params": {"message": "Name?"}}):
        assert question_for_legacy(other, lambda: "made") == other
