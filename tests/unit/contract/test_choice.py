"""Organizations, namespaces, and what a server chooses besides tools."""

from __future__ import annotations

import pytest

from tests.unit.contract.making import observed, snap, upstream
from toolyard.contract.catalog import ServerCatalog, build_catalog
from toolyard.contract.snapshot import ServerSpec
from toolyard.gateway.errors import ResourceUnknown
from toolyard.gateway.routing import route_resource

ACME_DOCS = upstream("acme.docs", organization="acme", namespace="docs")


def of_acme(**server: object) -> ServerCatalog:
    """A server of acme's, beside another organization's upstream that offers the same."""
    spec = ServerSpec("acme", organization="acme", **server)  # type: ignore[arg-type]
    seen = {i: observed(i, "search", "read", prompts=["intro"], resources=["r://1"]) for i in ("docs", "acme.docs")}
    return build_catalog(snap("docs", ACME_DOCS, servers=(spec, ServerSpec("default"))), seen, {}).servers["acme"]


def test_a_server_takes_in_upstreams_of_its_own_organization_only_under_their_namespaces():
    server = of_acme()
    assert list(server.tools) == ["docs__read", "docs__search"]
    assert {b.upstream_id for b in (*server.tools.values(), *server.resources.values())} == {"acme.docs"}
    assert list(server.prompts) == ["docs__intro"]
    assert server.collisions == ()


def test_patterns_name_namespaces_and_not_the_ids_of_upstreams():
    assert list(of_acme(tools=("docs/search",)).tools) == ["docs__search"]
    assert list(of_acme(tools=("acme.docs/*",)).tools) == []


def test_two_upstreams_of_one_namespace_keep_names_apart_and_say_so():
    seen = {"a": observed("a", "x"), "b": observed("b", "x")}
    snapshot = snap(upstream("a", namespace="docs"), upstream("b", namespace="docs"))
    server = build_catalog(snapshot, seen, {}).servers["default"]
    first, second = server.tools
    assert first == "docs__x"
    assert second.startswith("docs__x_")
    assert len(server.collisions) == 1


CHOSEN = [
    (None, ["docs__intro"]),
    (("*",), ["docs__intro"]),
    (("docs/*",), ["docs__intro"]),
    (("docs/intro",), ["docs__intro"]),
    (("docs/in*",), ["docs__intro"]),
    (("other/*",), []),
    (("*", "!docs/intro"), []),
    ((), []),
    (("docs/tag:intro", "tag:intro"), []),
]


@pytest.mark.parametrize(("patterns", "prompts"), CHOSEN, ids=[str(p) for p, _ in CHOSEN])
def test_prompts_are_chosen_by_patterns_of_their_own_or_go_with_their_upstream(patterns, prompts):
    server = of_acme(prompts=patterns)
    assert list(server.prompts) == prompts
    assert list(server.resources) == ["r://1"]
    assert len(server.tools) == 2


def test_resources_are_chosen_without_any_tool_of_their_upstream():
    server = of_acme(tools=(), resources=("docs/r://*",))
    assert (list(server.tools), list(server.prompts), list(server.resources)) == ([], [], ["r://1"])
    assert server.upstream_ids == ("acme.docs",)
    assert "resources" in server.capabilities
    assert "prompts" not in server.capabilities


def test_a_resource_that_is_left_out_is_read_neither_by_a_template_nor_because_one_upstream_has_them_all():
    seen = {"docs": observed("docs", resources=["r://1", "r://secret"], templates=["r://{x}", "s://{x}"])}

    def server(*resources: str) -> ServerCatalog:
        spec = ServerSpec("default", resources=resources)
        return build_catalog(snap("docs", servers=(spec,)), seen, {}).servers["default"]

    some = server("docs/*", "!docs/r://secret")
    assert list(some.resources) == ["r://1"]
    assert route_resource(some, {"uri": "r://other"}).upstream_id == "docs"
    with pytest.raises(ResourceUnknown):
        route_resource(some, {"uri": "r://secret"})
    one = server("docs/r://1")
    with pytest.raises(ResourceUnknown):
        route_resource(one, {"uri": "t://anything"})
    assert one.templates == ()
