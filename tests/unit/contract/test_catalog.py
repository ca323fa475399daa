"""The catalog: what one virtual server offers of what was seen on its upstreams."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.contract.making import observed, served, snap, tool, upstream
from toolyard.contract.catalog import ServerCatalog, build_catalog
from toolyard.contract.patterns import Patterns
from toolyard.contract.snapshot import ServerSpec, ToolRule

PATTERNS = [
    (("*",), {"a/x", "a/y", "b/x"}),
    (("a/*",), {"a/x", "a/y"}),
    (("a/x",), {"a/x"}),
    (("*/x",), {"a/x", "b/x"}),
    (("a/x", "b/*"), {"a/x", "b/x"}),
    (("a",), {"a/x", "a/y"}),
    (("?/x",), {"a/x", "b/x"}),
    (("*", "!a/x"), {"a/y", "b/x"}),
    (("!a/x", "*"), {"a/y", "b/x"}),
    (("*", "!a"), {"b/x"}),
    (("*", "!a/*"), {"b/x"}),
    (("*", "!*"), set()),
    (("!a/x",), set()),
    (("a/X",), set()),
    ((), set()),
]


@pytest.mark.parametrize(("patterns", "expected"), PATTERNS, ids=[",".join(p) or "none" for p, _ in PATTERNS])
def test_patterns_say_which_tools_a_server_offers(patterns, expected):
    server = served(observed("a", "x", "y"), observed("b", "x"), tools=patterns)
    assert {f"{t.upstream_id}/{t.upstream_name}" for t in server.tools.values()} == expected


@pytest.mark.parametrize("pattern", ["!a", "!a/*"])
def test_leaving_out_all_of_an_upstream_leaves_out_its_prompts_and_resources(pattern):
    server = served(observed("a", "x", prompts=["p"], resources=["r://1"], templates=["r://{n}"]), tools=("*", pattern))
    assert (server.upstream_ids, server.tools, server.prompts, server.resources, server.templates) == (
        (),
        {},
        {},
        {},
        (),
    )


def test_leaving_out_one_tool_leaves_the_rest_of_its_upstream():
    server = served(observed("a", "x", "y", prompts=["p"], resources=["r://1"]), tools=("*", "!a/x"))
    assert (list(server.tools), list(server.prompts), list(server.resources)) == (["a__y"], ["a__p"], ["r://1"])


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_text_is_a_pattern_that_names_at_most_itself_or_what_its_stars_say(pattern, name):
    rules = Patterns((pattern,))
    if rules.names_tool(upstream("u"), tool(name)):
        assert rules.may_offer(upstream("u"))


def all_lists(server: ServerCatalog) -> list[list[object]]:
    parts = (server.tools, server.prompts, server.resources)
    return [[b.definition for b in part.values()] for part in parts] + [[t.definition for t in server.templates]]


def test_lists_have_the_order_of_the_configuration_then_of_names_however_upstreams_answer():
    names, uris = [f"t{n}" for n in range(20)], [f"r://{n}" for n in range(20)]
    templates = [f"t://{n}/{{x}}" for n in range(20)]

    def made(seed: int) -> ServerCatalog:
        mixed = [random.Random(seed).sample(part, 20) for part in (names, names, uris, templates)]
        b = observed("b", *mixed[0], prompts=mixed[1], resources=mixed[2], templates=mixed[3])
        return build_catalog(snap("b", "a"), {"a": observed("a", *reversed(mixed[0])), "b": b}, {}).servers["default"]

    assert all_lists(made(1)) == all_lists(made(2))
    assert list(made(1).tools)[:20] == sorted(f"b__{n}" for n in names)
    assert list(made(1).tools)[20:] == sorted(f"a__{n}" for n in names)


def test_a_definition_shows_the_exposed_name_and_keeps_every_other_member():
    shown = tool("add", title="Add", icons=[{"src": "https://x"}], annotations={"a": 1}, vendor={"deep": [1]})
    server = served(observed("u", shown))
    assert server.tools["u__add"].definition == {**shown, "name": "u__add"}
    assert server.tools["u__add"].upstream_name == "add"


def test_capabilities_are_only_what_some_upstream_offers():
    assert served(observed("a", "x")).capabilities == {"tools": {"listChanged": True}}
    nothing = served(observed("a", capabilities={}))
    assert nothing.capabilities == {"tools": {"listChanged": True}}


@pytest.mark.parametrize(
    ("offered", "declared"),
    [
        ({"completions": {}}, {"completions": {}}),
        ({"logging": {}}, {"logging": {}}),
        ({"prompts": {}}, {"prompts": {"listChanged": True}}),
        ({"resources": {}}, {"resources": {"listChanged": True}}),
        ({"resources": {"subscribe": True}}, {"resources": {"listChanged": True, "subscribe": True}}),
        ({"resources": {"subscribe": False}}, {"resources": {"listChanged": True}}),
        (
            {"extensions": {"io.modelcontextprotocol/ui": {"v": 1}}},
            {"extensions": {"io.modelcontextprotocol/ui": {"v": 1}}},
        ),
        (
            {"extensions": {"io.modelcontextprotocol/tasks": {}, "com.example/own": {}}},
            {"extensions": {"io.modelcontextprotocol/tasks": {}}},
        ),
        ({"tasks": {}, "experimental": {"x": {}}, "roots": {}}, {}),
        ({"resources": True, "prompts": None, "extensions": []}, {}),
        ({"resources": {"subscribe": "yes"}, "extensions": "ui"}, {"resources": {"listChanged": True}}),
    ],
    ids=lambda value: "-".join(value) or "nothing",
)
def test_a_capability_of_one_upstream_is_declared_once_and_nonsense_is_not(offered, declared):
    server = served(observed("a", "x"), observed("b", capabilities=offered))
    assert server.capabilities == {"tools": {"listChanged": True}, **declared}


def test_while_an_upstream_was_never_seen_the_lists_are_declared_and_not_to_be_kept():
    catalog = build_catalog(snap("a", "b"), {"a": observed("a", "x", ttl_ms=60_000)}, {})
    server = catalog.servers["default"]
    assert server.unobserved == ("b",)
    assert server.upstream_ids == ("a", "b")
    assert set(server.capabilities) == {"tools", "prompts", "resources"}
    assert server.ttl_ms == 0


def test_lists_stay_fresh_as_long_as_the_shortest_of_their_upstreams_says():
    assert served(observed("a", ttl_ms=500), observed("b", ttl_ms=90)).ttl_ms == 90
    assert served(observed("a", ttl_ms=500), observed("b", ttl_ms=0)).ttl_ms == 0


def test_instructions_are_the_operators_or_the_only_upstreams_or_all_with_their_names():
    a, b = observed("a", instructions="Use x."), observed("b", instructions="Use y.")
    assert served(a, b, instructions="Mine.").instructions == "Mine."
    assert served(a, observed("c")).instructions == "Use x."
    assert served(a, observed("c"), b).instructions == "## a\nUse x.\n\n## b\nUse y."
    assert served(observed("c"), observed("d", instructions="")).instructions is None


def test_no_upstream_crowds_the_others_instructions_out():
    merged = served(observed("a", instructions="x" * 100_000), observed("b", instructions="Use y.")).instructions
    assert merged is not None
    assert len(merged) < 5000
    assert merged.endswith("## b\nUse y.")


def test_a_uri_belongs_to_the_first_upstream_that_has_it_and_the_other_is_reported():
    server = served(
        observed("a", resources=["r://1", "r://2"], templates=["t://{x}"]),
        observed("b", resources=["r://2", "r://3"], templates=["t://{x}", "t://{y}"]),
    )
    assert {uri: r.upstream_id for uri, r in server.resources.items()} == {"r://1": "a", "r://2": "a", "r://3": "b"}
    assert [(t.key, t.upstream_id) for t in server.templates] == [("t://{x}", "a"), ("t://{y}", "b")]
    assert server.collisions == (
        "resource 'r://2' of 'b' is hidden: it belongs to 'a'",
        "resource 't://{x}' of 'b' is hidden: it belongs to 'a'",
    )


def test_a_tool_that_is_switched_off_is_not_listed_but_known_and_its_name_stays():
    off = upstream("a", tools={"x": ToolRule(enabled=False), "y": ToolRule(timeout_s=7.0)})
    catalog = build_catalog(snap(off), {"a": observed("a", "x", "y", "z")}, {})
    server = catalog.servers["default"]
    assert list(server.tools) == ["a__y", "a__z"]
    assert server.disabled_tools == {"a__x"}
    assert [server.tools[n].timeout_s for n in ("a__y", "a__z")] == [7.0, off.timeout_s]
    assert len(catalog.names) == 3


def test_an_upstream_that_is_switched_off_offers_nothing():
    server = build_catalog(snap(upstream("a", enabled=False), "b"), {"a": observed("a", "x")}, {}).servers["default"]
    assert (server.upstream_ids, server.tools) == (("b",), {})


def test_every_server_has_its_own_choice_and_its_own_names():
    servers = (ServerSpec("one", tools=("a/*",), names="plain"), ServerSpec("two", tools=("*/x",)))
    catalog = build_catalog(
        snap("a", "b", servers=servers), {"a": observed("a", "x", "y"), "b": observed("b", "x")}, {}
    )
    assert {code: list(s.tools) for code, s in catalog.servers.items()} == {"one": ["x", "y"], "two": ["a__x", "b__x"]}


def test_of_two_tools_of_one_name_on_one_upstream_the_first_is_offered():
    server = served(observed("a", tool("x", title="1"), tool("x", title="2")))
    assert [t.definition["title"] for t in server.tools.values()] == ["1"]


def test_equal_arguments_give_equal_catalogs():
    seen = {"a": observed("a", "x", "y", resources=["r://1"]), "b": observed("b", "x", prompts=["p"])}
    assert build_catalog(snap("a", "b"), seen, {}) == build_catalog(snap("a", "b"), dict(reversed(seen.items())), {})


def test_the_header_parameters_of_a_tool_are_known_by_its_exposed_name():
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    broken = {"type": "object", "properties": {"a": {"type": "array", "x-mcp-header": "A"}}}
    server = served(observed("a", tool("x", inputSchema=schema), tool("y", inputSchema=broken)))
    (parameter,) = server.header_parameters_of("a__x") or ()
    assert (parameter.header, parameter.path) == ("Mcp-Param-Region", ("region",))
    assert server.header_parameters_of("a__y") == ()
    assert server.header_parameters_of("x") is None
