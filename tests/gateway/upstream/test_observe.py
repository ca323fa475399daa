"""Reading definitions: all of them, within bounds, and nothing bad hides what is good (POI-10, HDR-12)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from toolyard.contract.definitions import Json, Observation
from toolyard.gateway.upstream import observe
from toolyard.gateway.upstream.errors import UpstreamInvalid, UpstreamTimedOut
from toolyard.gateway.upstream.observe import observe_all
from toolyard.kit.clock import ManualClock
from toolyard.protocol.errors import RelayedError

EVERYTHING: Json = {"tools": {}, "resources": {}, "prompts": {}}


def tool(name: str, **more: Any) -> Json:
    return {"name": name, "inputSchema": {"type": "object"}, **more}


class Lists:
    """Answers list requests from pages; `asked` keeps the methods in order."""

    def __init__(self, pages: dict[str, list[Json]]) -> None:
        self.pages = pages
        self.asked: list[tuple[str, Json]] = []

    async def __call__(self, method: str, params: Json) -> Json:
        self.asked.append((method, params))
        if method not in self.pages:
            raise RelayedError(-32601, "Method not found")
        return self.pages[method][int(params.get("cursor") or 0)]


def observed(
    send: observe.Send, *, capabilities: Json = EVERYTHING, era: Any = "modern", over_http: bool = False
) -> Observation:
    return asyncio.run(
        observe_all(
            "up",
            send,
            era=era,
            revision="2026-07-28",
            server_info={"name": "s"},
            capabilities=capabilities,
            instructions=None,
            clock=ManualClock(1000.0),
            over_http=over_http,
        )
    )


def test_all_pages_of_all_promised_lists_are_read_as_they_were_sent():
    send = Lists(
        {
            "tools/list": [
                {"tools": [tool("a", icons=[{"src": "x"}])], "nextCursor": "1", "ttlMs": 900},
                {"tools": [tool("b")], "ttlMs": 500},
            ],
            "resources/list": [{"resources": [{"name": "r", "uri": "x:1"}], "ttlMs": 700}],
            "resources/templates/list": [{"resourceTemplates": [{"name": "t", "uriTemplate": "x:{y}"}], "ttlMs": 700}],
            "prompts/list": [{"prompts": [{"name": "p"}], "ttlMs": 700}],
        }
    )
    seen = observed(send)
    assert [t["name"] for t in seen.tools] == ["a", "b"]
    assert seen.tools[0]["icons"] == [{"src": "x"}]
    assert (len(seen.resources), len(seen.resource_templates), len(seen.prompts)) == (1, 1, 1)
    assert (seen.ttl_ms, seen.observed_at, seen.warnings) == (500, 1000.0, ())


def test_lists_that_the_capabilities_do_not_promise_are_never_asked_for():
    send = Lists({"tools/list": [{"tools": []}]})
    observed(send, capabilities={"tools": {}})
    assert [method for method, _ in send.asked] == ["tools/list"]


def test_a_promised_list_that_does_not_exist_counts_as_empty():
    seen = observed(Lists({"tools/list": [{"tools": [tool("a")]}]}))
    assert len(seen.tools) == 1
    assert seen.resources == ()
    assert seen.warnings == ()


def test_an_error_of_another_list_leaves_the_tools_and_is_said():
    async def send(method: str, params: Json) -> Json:
        if method == "tools/list":
            return {"tools": [tool("a")]}
        raise RelayedError(-32603, "boom")

    seen = observed(send)
    assert len(seen.tools) == 1
    assert len(seen.warnings) == 3


def test_an_error_of_the_tool_list_is_the_error_of_the_observation():
    async def send(method: str, params: Json) -> Json:
        raise RelayedError(-32603, "boom")

    with pytest.raises(RelayedError):
        observed(send)


def test_the_ttl_of_a_legacy_upstream_is_nought_and_a_missing_or_odd_one_too():
    assert observed(Lists({"tools/list": [{"tools": [], "ttlMs": 900}]}), era="legacy").ttl_ms == 0
    for odd in (True, -1, 1.5, "9", None):
        assert observed(Lists({"tools/list": [{"tools": [], "ttlMs": odd}]})).ttl_ms == 0


def test_an_empty_cursor_is_a_cursor_and_one_that_repeats_ends_the_list():
    send = Lists({"tools/list": [{"tools": [tool("a")], "nextCursor": ""}]})
    seen = observed(send, capabilities={"tools": {}})
    assert [params for _, params in send.asked] == [{}, {"cursor": ""}]
    assert "cursor" in seen.warnings[-1]


def test_a_cursor_that_never_ends_stops_at_the_page_bound():
    count = 0

    async def send(method: str, params: Json) -> Json:
        nonlocal count
        count += 1
        return {"tools": [tool(f"t{count}")], "nextCursor": str(count)}

    seen = observed(send, capabilities={"tools": {}})
    assert (count, len(seen.tools)) == (observe.MAX_PAGES, observe.MAX_PAGES)
    assert "pages" in seen.warnings[-1]


def test_two_thousand_tools_are_kept_and_the_next_one_is_not():
    page = {"tools": [tool(f"t{n}") for n in range(observe.MAX_ENTRIES)]}
    assert observed(Lists({"tools/list": [page]}), capabilities={"tools": {}}).warnings == ()
    page = {"tools": [tool(f"t{n}") for n in range(100_000)]}
    seen = observed(Lists({"tools/list": [page]}), capabilities={"tools": {}})
    assert len(seen.tools) == observe.MAX_ENTRIES
    assert "entries" in seen.warnings[-1]


def test_a_page_beyond_the_byte_bound_is_left_out():
    huge = tool("big", description="x" * observe.MAX_BYTES)
    send = Lists({"tools/list": [{"tools": [tool("a")], "nextCursor": "1"}, {"tools": [huge]}]})
    seen = observed(send, capabilities={"tools": {}})
    assert [t["name"] for t in seen.tools] == ["a"]
    assert "MiB" in seen.warnings[-1]


def test_malformed_entries_are_dropped_and_their_neighbours_stay():
    bad: list[Any] = [
        7,
        {"inputSchema": {"type": "object"}},
        {"name": "", "inputSchema": {"type": "object"}},
        {"name": "x", "inputSchema": "object"},
        {"name": "y", "inputSchema": {"type": "string"}},
        {"name": "z"},
        tool("w", outputSchema=3),
        tool("good"),
    ]
    seen = observed(Lists({"tools/list": [{"tools": [*bad, tool("good")]}]}), capabilities={"tools": {}})
    assert [t["name"] for t in seen.tools] == ["good"]
    assert len(seen.warnings) == len(bad)


def test_warnings_are_bounded():
    seen = observed(Lists({"tools/list": [{"tools": [1] * 1000}]}), capabilities={"tools": {}})
    assert len(seen.warnings) == observe.MAX_WARNINGS


def test_an_answer_without_the_list_is_invalid():
    for odd in ({}, {"tools": {}}, {"tools": None}):
        with pytest.raises(UpstreamInvalid):
            observed(Lists({"tools/list": [odd]}))


def annotated(header: Any, kind: Any = "string") -> Json:
    return {"type": "object", "properties": {"a": {"type": kind, "x-mcp-header": header}}}


@pytest.mark.parametrize(
    "schema",
    [
        annotated("Content Length"),
        annotated("a\r\nb"),
        annotated(""),
        annotated("Region", "number"),
        {
            "type": "object",
            "properties": {
                "a": {"type": "string", "x-mcp-header": "Region"},
                "b": {"type": "string", "x-mcp-header": "region"},
            },
        },
        {"type": "object", "oneOf": [annotated("Region")]},
    ],
)
def test_over_http_a_tool_with_invalid_header_annotations_is_dropped_and_the_others_stay(schema: Json):
    lists = {"tools/list": [{"tools": [{"name": "bad", "inputSchema": schema}, tool("good")]}]}
    seen = observed(Lists(lists), capabilities={"tools": {}}, over_http=True)
    assert [t["name"] for t in seen.tools] == ["good"]
    assert "x-mcp-header" in seen.warnings[0]
    assert len(observed(Lists(lists), capabilities={"tools": {}}).tools) == 2


def test_a_list_that_takes_too_long_is_cut_or_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(observe, "MAX_SECONDS", 0.05)

    async def never_after(method: str, params: Json) -> Json:
        if params:
            await asyncio.Event().wait()
        return {"tools": [tool("a")], "nextCursor": "1"}

    seen = observed(never_after, capabilities={"tools": {}})
    assert [t["name"] for t in seen.tools] == ["a"]
    assert "longer" in seen.warnings[-1]

    async def never(method: str, params: Json) -> Json:
        await asyncio.Event().wait()
        return {}

    with pytest.raises(UpstreamTimedOut):
        observed(never, capabilities={"tools": {}})
