"""Tags: who gives them, what they choose, what clients see of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.contract.making import observed, snap, tool, upstream
from toolyard.contract.catalog import ServerCatalog, build_catalog
from toolyard.contract.definitions import Json, Observation
from toolyard.contract.patterns import Patterns
from toolyard.contract.snapshot import ServerSpec, ToolRule, UpstreamSpec
from toolyard.contract.tags import MAX_TAG_CHARS, MAX_TAGS, TAGS_KEY, own_tags, tag_problem

BILLS = upstream("bills", tags=("finance",), tools={"pay": ToolRule(tags=("writes",))})
DOCS = upstream("docs", tools={"search": ToolRule(tags=("read-only",)), "price": ToolRule(tags=("finance",))})
PLAIN = upstream("plain")
SEEN = (
    observed("bills", "pay", "show", prompts=["p"], resources=["bills://1"], instructions="Bills."),
    observed("docs", "search", "price", "write", prompts=["p"], resources=["docs://1"], instructions="Docs."),
    observed("plain", "x", prompts=["p"], resources=["plain://1"], instructions="Plain."),
)
PATTERNS = [
    (("tag:finance",), {"bills/pay", "bills/show", "docs/price"}),
    (("*/tag:finance",), {"bills/pay", "bills/show", "docs/price"}),
    (("docs/tag:finance",), {"docs/price"}),
    (("d*/tag:fin*",), {"docs/price"}),
    (("tag:*",), {"bills/pay", "bills/show", "docs/price", "docs/search"}),
    (("tag:writes",), {"bills/pay"}),
    (("tag:finance", "!tag:writes"), {"bills/show", "docs/price"}),
    (("!tag:writes", "tag:finance"), {"bills/show", "docs/price"}),
    (("tag:finance", "!bills/pay"), {"bills/show", "docs/price"}),
    (("tag:finance", "!docs/*"), {"bills/pay", "bills/show"}),
    (("*", "!tag:finance"), {"docs/search", "docs/write", "plain/x"}),
    (("*", "!docs/tag:finance"), {"bills/pay", "bills/show", "docs/search", "docs/write", "plain/x"}),
    (("plain/*", "tag:read-only"), {"plain/x", "docs/search"}),
    (("tag:Finance",), set()),
    (("tag:nobody",), set()),
    (("tag:",), set()),
]


def offered(*patterns: str, upstreams: tuple[UpstreamSpec, ...] = (BILLS, DOCS, PLAIN), **server: Any) -> ServerCatalog:
    spec = ServerSpec("default", tools=patterns, **server)
    return build_catalog(snap(*upstreams, servers=(spec,)), {o.upstream_id: o for o in SEEN}, {}).servers["default"]


def alone(spec: UpstreamSpec, observation: Observation, *patterns: str) -> ServerCatalog:
    server = ServerSpec("default", tools=patterns)
    return build_catalog(snap(spec, servers=(server,)), {spec.id: observation}, {}).servers["default"]


def fastmcp(name: str, *tags: Any, key: str = "fastmcp") -> Json:
    return tool(name, _meta={key: {"tags": list(tags)}})


def origins(server: ServerCatalog) -> set[str]:
    return {f"{one.upstream_id}/{one.upstream_name}" for one in server.tools.values()}


def shown(server: ServerCatalog) -> dict[str, Any]:
    return {one.upstream_name: one.definition.get("_meta", {}).get(TAGS_KEY) for one in server.tools.values()}


@pytest.mark.parametrize(("patterns", "expected"), PATTERNS, ids=[",".join(p) for p, _ in PATTERNS])
def test_patterns_choose_by_the_operators_tags(patterns, expected):
    assert origins(offered(*patterns)) == expected


def test_a_tool_that_was_not_chosen_is_not_even_known_to_be_switched_off():
    off = upstream("docs", tools={"price": ToolRule(enabled=False), "search": ToolRule(enabled=False, tags=("a",))})
    assert offered("tag:a", upstreams=(off,)).disabled_tools == {"docs__search"}


def test_of_an_upstream_that_is_tagged_as_a_whole_prompts_and_resources_come_too_and_of_others_only_tools():
    server = offered("tag:finance")
    assert server.upstream_ids == ("bills", "docs")
    assert (list(server.prompts), list(server.resources)) == (["bills__p"], ["bills://1"])
    only_tools = offered("docs/tag:finance")
    assert (only_tools.upstream_ids, only_tools.prompts, only_tools.resources) == (("docs",), {}, {})
    assert only_tools.capabilities == {"tools": {"listChanged": True}}


def test_leaving_out_the_tag_of_a_whole_upstream_leaves_out_its_prompts_and_resources():
    server = offered("*", "!tag:finance")
    assert server.upstream_ids == ("docs", "plain")
    assert (list(server.prompts), list(server.resources)) == (["docs__p", "plain__p"], ["docs://1", "plain://1"])


def test_an_upstream_of_which_nothing_was_chosen_says_nothing_to_the_servers_clients():
    trusted = upstream("docs", own_tags=True)
    server = offered("bills/*", "tag:read-only", upstreams=(BILLS, trusted))
    assert (server.upstream_ids, server.instructions) == (("bills",), "Bills.")


@pytest.mark.parametrize("key", ["fastmcp", "_fastmcp"])
def test_tags_of_the_upstream_itself_are_shown_but_choose_nothing_unless_the_operator_lets_them(key):
    seen = observed("a", fastmcp("x", "finance", key=key), "y")
    assert alone(upstream("a"), seen, "tag:finance").tools == {}
    assert origins(alone(upstream("a", own_tags=True), seen, "tag:finance")) == {"a/x"}
    assert shown(alone(upstream("a"), seen, "*")) == {"x": ["finance"], "y": None}


def test_tags_of_another_upstream_choose_nothing_where_only_one_is_let():
    trusted, seen = upstream("a", own_tags=True), {u: observed(u, fastmcp("x", "finance")) for u in "ab"}
    spec = ServerSpec("default", tools=("tag:finance",))
    assert origins(build_catalog(snap(trusted, "b", servers=(spec,)), seen, {}).servers["default"]) == {"a/x"}


def test_tags_of_the_upstream_itself_always_leave_out_what_is_to_be_left_out():
    seen = observed("a", fastmcp("x", "destructive"), "y")
    for spec in (upstream("a"), upstream("a", own_tags=True)):
        assert origins(alone(spec, seen, "*", "!tag:destructive")) == {"a/y"}


def test_clients_see_all_tags_sorted_and_the_rest_of_meta_as_it_was():
    meta = {"fastmcp": {"tags": ["z", "finance"]}, "vendor": 1}
    spec = upstream("a", tags=("finance",), tools={"x": ToolRule(tags=("beta", "数据"))})
    seen = observed("a", tool("x", _meta=meta), "y")
    found = {b.upstream_name: b.definition["_meta"] for b in alone(spec, seen, "*").tools.values()}
    assert found["x"] == {**meta, TAGS_KEY: ["beta", "finance", "z", "数据"]}
    assert found["y"] == {TAGS_KEY: ["finance"]}
    assert seen.tools[0]["_meta"] == meta


def test_a_tool_without_tags_is_shown_as_it_came():
    seen = observed("a", "x", tool("y", _meta={"vendor": 1}))
    server = alone(upstream("a"), seen, "a/*")
    assert {b.upstream_name: b.definition for b in server.tools.values()} == {
        "x": {**tool("x"), "name": "a__x"},
        "y": {**tool("y"), "name": "a__y", "_meta": {"vendor": 1}},
    }


@pytest.mark.parametrize(("claimed", "seen"), [(["b", "a"], ["a", "b"]), ("all", None), ([1, "*"], None), ([], None)])
def test_what_an_upstream_says_under_the_gateways_key_counts_as_its_own_tags(claimed, seen):
    definition = tool("x", _meta={TAGS_KEY: claimed, "vendor": 1})
    assert shown(alone(upstream("a"), observed("a", definition), "*")) == {"x": seen}
    assert alone(upstream("a"), observed("a", definition), "tag:*").tools == {}


@pytest.mark.parametrize(
    "meta",
    [None, [], "x", {"fastmcp": None}, {"fastmcp": []}, {"fastmcp": {"tags": None}}, {"fastmcp": {"tags": {"a": 1}}}],
)
def test_meta_of_any_form_is_taken_for_no_tags(meta):
    definition = {**tool("x"), "_meta": meta}
    assert own_tags(definition) == frozenset()
    assert alone(upstream("a"), observed("a", definition), "*").tools["a__x"].definition["_meta"] == meta
    tagged = alone(upstream("a", tags=("t",)), observed("a", definition), "*").tools["a__x"].definition["_meta"]
    assert tagged == {**(meta if isinstance(meta, dict) else {}), TAGS_KEY: ["t"]}


def test_of_an_upstreams_own_tags_a_limited_number_counts_and_none_that_is_too_long():
    many = fastmcp("x", "n" * (MAX_TAG_CHARS + 1), *(f"t{n}" for n in range(10_000)))
    found = own_tags(many)
    assert 0 < len(found) <= MAX_TAGS
    assert max(map(len, found)) <= MAX_TAG_CHARS


@given(st.text(max_size=80))
def test_a_tag_that_is_allowed_is_the_pattern_of_itself_and_of_nothing_else(text):
    if tag_problem(text) is None:
        patterns = Patterns((f"tag:{text}",))
        assert patterns.names_tool(upstream("a", tags=(text,)), tool("x"))
        assert not patterns.names_tool(upstream("a", tags=(f"{text}.", "other")), tool("x"))
        assert len(text) <= MAX_TAG_CHARS


@given(st.text(max_size=12), st.lists(st.text(max_size=6)), st.lists(st.text(max_size=6)), st.booleans())
def test_a_tool_is_offered_only_by_a_server_that_may_offer_its_upstream_and_may_name_it(pattern, given, own, let):
    spec = upstream("u", tools={"x": ToolRule(tags=tuple(given))}, own_tags=let)
    for text in (pattern, f"tag:{pattern}"):
        rules = Patterns((text,))
        if rules.names_tool(spec, fastmcp("x", *own)):
            assert rules.may_offer(spec)
            assert rules.may_name_tool(spec, "x")


def test_nobody_gets_the_name_of_a_tool_that_its_upstream_no_longer_tags():
    trusted, other = upstream("a", own_tags=True), upstream("b", tags=("finance",))
    server = ServerSpec("default", tools=("tag:finance",), names="plain")
    shop = snap(trusted, other, servers=(server,))
    first = build_catalog(shop, {"a": observed("a", fastmcp("pay", "finance")), "b": observed("b")}, {})
    assert first.servers["default"].tools["pay"].upstream_id == "a"
    then = build_catalog(shop, {"a": observed("a", "pay"), "b": observed("b", "pay")}, first.names)
    assert list(then.servers["default"].tools) == ["b__pay"]
    given = {**first.names, **then.names}
    back = build_catalog(shop, {"a": observed("a", fastmcp("pay", "finance")), "b": observed("b", "pay")}, given)
    assert back.servers["default"].tools["pay"].upstream_id == "a"


def test_an_upstream_that_was_never_seen_is_waited_for_only_where_it_may_offer_something():
    spec = ServerSpec("default", tools=("tag:finance",))
    shop = snap(BILLS, PLAIN, upstream("later", own_tags=True), servers=(spec,))
    server = build_catalog(shop, {}, {}).servers["default"]
    assert server.unobserved == ("bills", "later")
