"""Where a call goes: by tables and templates, with the names its upstream knows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.contract.making import observed, served, snap, upstream
from toolyard.contract.catalog import ServerCatalog, build_catalog
from toolyard.contract.snapshot import ToolRule
from toolyard.gateway.errors import PromptUnknown, ResourceUnknown, ToolDisabled, ToolUnknown
from toolyard.gateway.routing import (
    ROUTERS,
    route_completion,
    route_prompt,
    route_resource,
    route_tool,
)
from toolyard.protocol.errors import InvalidParams

ARGUMENT = {"name": "path", "value": "a"}


@pytest.fixture(scope="module")
def server() -> ServerCatalog:
    return served(
        observed(
            "a", "x", "y z", prompts=["p", "q r"], resources=["doc://1"], templates=["file:///{path}", "a://{+all}"]
        ),
        observed("b", "x", prompts=["p"], resources=["doc://2"], templates=["file:///{path}", "b://{one}/{two}"]),
        observed("c", "x"),
    )


def test_a_tool_is_called_under_its_own_name_with_everything_else_unchanged(server):
    params = {"name": "b__x", "arguments": {"name": "b__x"}, "vendor": 1}
    target = route_tool(server, params)
    assert (target.upstream_id, target.name) == ("b", "b__x")
    assert target.params == {"name": "x", "arguments": {"name": "b__x"}, "vendor": 1}
    assert params["name"] == "b__x"


def test_a_name_that_was_cleaned_is_called_as_the_upstream_knows_it(server):
    assert route_tool(server, {"name": "a__y_z"}).params == {"name": "y z"}
    assert route_prompt(server, {"name": "a__q_r"}).params == {"name": "q r"}


@pytest.mark.parametrize(
    "name", ["x", "a__", "__x", "d__x", "A__x", "a__x ", "a/x", "", "a__p", pytest.param("n" * 10_000, id="long")]
)
def test_a_tool_nobody_exposes_is_unknown(server, name):
    with pytest.raises(ToolUnknown) as caught:
        route_tool(server, {"name": name})
    assert len(str(caught.value.context["tool"])) <= 128


@pytest.mark.parametrize("params", [{}, {"name": None}, {"name": 7}, {"name": ["a__x"]}, {"name": {}}, {"name": True}])
def test_a_name_that_is_no_text_is_invalid(server, params):
    for route in (route_tool, route_prompt):
        with pytest.raises(InvalidParams):
            route(server, params)


def test_a_tool_that_is_switched_off_says_so_and_one_that_has_a_limit_of_its_own_has_it():
    spec = upstream("a", tools={"off": ToolRule(enabled=False), "slow": ToolRule(timeout_s=99.0)}, timeout_s=5.0)
    server = build_catalog(snap(spec), {"a": observed("a", "off", "slow", "usual")}, {}).servers["default"]
    with pytest.raises(ToolDisabled):
        route_tool(server, {"name": "a__off"})
    assert route_tool(server, {"name": "a__slow"}).timeout_s == 99.0
    assert route_tool(server, {"name": "a__usual"}).timeout_s == 5.0


def test_a_prompt_goes_to_its_upstream(server):
    target = route_prompt(server, {"name": "b__p", "arguments": {"k": "v"}})
    assert (target.upstream_id, target.params) == ("b", {"name": "p", "arguments": {"k": "v"}})
    with pytest.raises(PromptUnknown):
        route_prompt(server, {"name": "b__x"})


@pytest.mark.parametrize(
    ("uri", "upstream_id"),
    [
        ("doc://1", "a"),
        ("doc://2", "b"),
        ("file:///readme", "a"),
        ("a://any/thing?at=all", "a"),
        ("b://x/y", "b"),
        ("file:///%E6%90%9C", "a"),
    ],
)
def test_a_resource_goes_by_the_table_then_by_the_first_template_and_its_uri_stays(server, uri, upstream_id):
    target = route_resource(server, {"uri": uri})
    assert (target.upstream_id, target.params, target.name) == (upstream_id, {"uri": uri}, uri)


@pytest.mark.parametrize(
    "uri",
    ["doc://3", "file:///a/b", "b://x", "b://x/y/z", "", "DOC://1", pytest.param("file:///" + "x" * 9000, id="long")],
)
def test_a_resource_that_nobody_has_is_unknown_where_several_upstreams_have_resources(server, uri):
    with pytest.raises(ResourceUnknown) as caught:
        route_resource(server, {"uri": uri})
    assert caught.value.data == {"uri": uri}


def test_the_only_upstream_that_has_resources_is_asked_for_what_it_did_not_list():
    server = served(observed("a", resources=["doc://1"]), observed("b", "x"))
    assert route_resource(server, {"uri": "doc://hidden"}).upstream_id == "a"
    with pytest.raises(ResourceUnknown):
        route_resource(served(observed("b", "x")), {"uri": "doc://hidden"})


def test_a_completion_goes_where_its_prompt_or_template_is(server):
    prompt = route_completion(
        server, {"ref": {"type": "ref/prompt", "name": "b__p", "title": "P"}, "argument": ARGUMENT, "context": {}}
    )
    assert prompt.upstream_id == "b"
    assert prompt.params == {
        "ref": {"type": "ref/prompt", "name": "p", "title": "P"},
        "argument": ARGUMENT,
        "context": {},
    }
    for uri, owner in (("file:///{path}", "a"), ("b://{one}/{two}", "b"), ("doc://2", "b"), ("b://1/2", "b")):
        asked = {"ref": {"type": "ref/resource", "uri": uri}, "argument": ARGUMENT}
        target = route_completion(server, asked)
        assert (target.upstream_id, target.params) == (owner, asked)


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ({"type": "ref/prompt", "name": "p"}, PromptUnknown),
        ({"type": "ref/resource", "uri": "no://thing"}, ResourceUnknown),
        ({"type": "ref/prompt"}, InvalidParams),
        ({"type": "ref/resource"}, InvalidParams),
        ({"type": "ref/tool", "name": "a__x"}, InvalidParams),
        ({"name": "a__p"}, InvalidParams),
        ("ref/prompt", InvalidParams),
        (None, InvalidParams),
    ],
)
def test_a_completion_for_nothing_that_exists_is_refused(server, ref, error):
    with pytest.raises(error):
        route_completion(server, {"ref": ref, "argument": ARGUMENT})


@pytest.mark.parametrize("argument", [None, {}, {"name": "a"}, {"name": "a", "value": 1}, [], "a"])
def test_a_completion_without_its_argument_is_refused(server, argument):
    with pytest.raises(InvalidParams):
        route_completion(server, {"ref": {"type": "ref/prompt", "name": "b__p"}, "argument": argument})


def test_every_method_that_goes_to_an_upstream_survives_any_parameters(server):
    odd: list[Any] = [None, 7, "", [], {}, {"uri": 1}, True]
    for router in ROUTERS.values():
        for value in odd:
            with pytest.raises((InvalidParams, ToolUnknown, PromptUnknown, ResourceUnknown)):
                router(server, {"name": value, "uri": value, "ref": value})
