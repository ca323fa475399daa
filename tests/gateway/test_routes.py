"""The route table: complete declarations, no clashes, exact matching."""

from __future__ import annotations

import pytest

from tests.gateway.wire_rig import DECLARED, echo, route
from toolyard.gateway.routes import Match, MethodNotAllowed, Route, RouteTable, RouteUndeclared


def matched(table: RouteTable, method: str, path: str) -> Match:
    match = table.match(method, path)
    assert isinstance(match, Match)
    return match


@pytest.mark.parametrize("missing", sorted(DECLARED))
def test_a_route_without_one_of_its_four_declarations_is_refused(missing: str) -> None:
    with pytest.raises(RouteUndeclared, match=missing):
        RouteTable([route("/x", echo, **{missing: None})])


def test_a_bare_route_is_refused() -> None:
    with pytest.raises(RouteUndeclared):
        RouteTable([Route("/x", ("GET",), echo)])


def test_two_routes_for_one_method_and_path_are_refused() -> None:
    with pytest.raises(RouteUndeclared, match="two routes"):
        RouteTable([route("/a/{x}", echo, "GET"), route("/a/{y}", echo, "POST", "GET")])


@pytest.mark.parametrize("pattern", ["", "mcp", "/a//b", "/a/", "/{A}", "/a b", "/{x"])
def test_a_pattern_that_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(RouteUndeclared):
        RouteTable([route(pattern, echo)])


def test_a_route_without_methods_is_refused() -> None:
    with pytest.raises(RouteUndeclared):
        RouteTable([Route("/x", (), echo, **DECLARED)])


def test_a_parameter_takes_one_segment_and_fixed_segments_win() -> None:
    table = RouteTable([route("/mcp/{server_code}", echo, "GET"), route("/mcp/info", echo, "GET"), route("/", echo)])
    assert matched(table, "GET", "/mcp/alpha").params == {"server_code": "alpha"}
    assert matched(table, "GET", "/mcp/info").params == {}
    assert matched(table, "POST", "/").route.pattern == "/"
    for path in ("/mcp/", "/mcp/a/b", "/mcp", "", "/MCP/alpha", "/mcp/alpha/"):
        assert table.match("GET", path) is None


def test_a_dead_end_behind_a_fixed_segment_falls_back_to_the_parameter() -> None:
    table = RouteTable([route("/a/b/c", echo), route("/a/{x}/d", echo), route("/{y}/{z}/e", echo)])
    assert matched(table, "POST", "/a/b/d").params == {"x": "b"}
    assert matched(table, "POST", "/a/b/e").params == {"y": "a", "z": "b"}


def test_a_known_path_with_another_method_names_the_methods_it_takes() -> None:
    table = RouteTable([route("/mcp", echo, "POST"), route("/mcp", echo, "GET", "DELETE")])
    assert table.match("PUT", "/mcp") == MethodNotAllowed(("DELETE", "GET", "POST"))


def test_remembered_matches_are_bounded_and_stay_right() -> None:
    table = RouteTable([route("/mcp/{server_code}", echo)])
    for number in range(10_000):
        assert matched(table, "POST", f"/mcp/s{number}").params == {"server_code": f"s{number}"}
    assert len(table._remembered) <= 4096
    assert matched(table, "POST", "/mcp/s9999").params == {"server_code": "s9999"}


def test_the_rest_of_a_path_is_taken_by_a_wildcard_behind_every_other_route() -> None:
    own = [route("/api/v1/tools/call", echo, "POST"), route("/api/{version}/health", echo, "GET")]
    table = RouteTable([*own, route("/api/{rest*}", echo, "GET", "POST", "PATCH"), route("/", echo, "GET")])
    assert matched(table, "POST", "/api/v1/tools/call").params == {}
    assert matched(table, "GET", "/api/v1/health").params == {"version": "v1"}
    for path in ("/api/v1/tools/x", "/api/v1", "/api", "/api/v1/tools", "/api/v1/health/x", "/api/v1/tools/call/x"):
        assert matched(table, "PATCH", path).params == {"rest": path.removeprefix("/api").removeprefix("/")}
    assert table.match("PATCH", "/api/v1/tools/call") == MethodNotAllowed(("POST",))
    assert table.match("GET", "/apis") is None


@pytest.mark.parametrize("pattern", ["/{rest*}", "/a/{rest*}/b", "/a/{rest**}", "/a{rest*}"])
def test_a_wildcard_stands_alone_at_the_end_and_never_at_the_root(pattern: str) -> None:
    with pytest.raises(RouteUndeclared):
        RouteTable([route(pattern, echo)])
