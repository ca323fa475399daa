"""Servers whose tools are chosen by tag: what is listed can be called, and nothing else."""

from __future__ import annotations

from typing import Any

from tests.gateway.fake_upstream import Fakes
from tests.gateway.rig import Rig, play, rpc, snapshot
from tests.unit.contract.making import observed, tool, upstream
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, Snapshot, ToolRule, UpstreamSpec

FINANCE = ServerSpec("finance", tools=("tag:finance", "!tag:destructive"), access="open", names="plain")
ALL = ServerSpec("default", access="open")


def fastmcp(name: str, *tags: str) -> Json:
    return tool(name, _meta={"fastmcp": {"tags": list(tags)}})


def shop(*upstreams: UpstreamSpec, revision: int = 1) -> Snapshot:
    return snapshot(*upstreams, servers=(ALL, FINANCE), revision=revision)


async def tags_at(rig: Rig, path: str) -> dict[str, Any]:
    listed = (await rig.modern("tools/list", path=path)).result["tools"]
    return {one["name"]: one.get("_meta", {}).get("toolyard/tags") for one in listed}


async def called(rig: Rig, name: str, path: str = "/mcp/finance") -> Any:
    """What the tool said, or why it was not called."""
    answer = (await rig.modern("tools/call", {"name": name, "arguments": {}}, path=path)).message
    return answer["result"]["content"][0]["text"] if "result" in answer else answer["error"]["data"]["reason"]


def test_what_is_tagged_is_listed_and_called_and_what_is_not_is_unknown() -> None:
    bank = upstream("bank", tags=("finance",), tools={"close": ToolRule(tags=("destructive",))})
    docs = upstream("docs", tools={"price": ToolRule(tags=("finance",)), "off": ToolRule(enabled=False)})
    fakes = Fakes(observed("bank", "pay", "close", resources=["bank://1"]), observed("docs", "price", "read", "off"))

    async def scene(rig: Rig) -> None:
        assert await tags_at(rig, "/mcp/finance") == {"pay": ["finance"], "price": ["finance"]}
        assert (await tags_at(rig, "/mcp"))["bank__close"] == ["destructive", "finance"]
        assert [await called(rig, name) for name in ("pay", "price")] == ["pay", "price"]
        refused = [await called(rig, name) for name in ("close", "read", "off", "docs__read", "bank__close")]
        assert refused == ["tool_unknown"] * 5
        assert [params["name"] for fake in fakes.made for _, params in fake.requests] == ["pay", "price"]

    play(scene, shop(bank, docs), make=fakes.make)


def test_what_is_not_chosen_of_an_upstream_cannot_be_read_or_completed_either() -> None:
    docs = upstream("docs", tools={"price": ToolRule(tags=("finance",))})
    fakes = Fakes(observed("docs", "price", resources=["docs://1"], templates=["docs://{n}"], prompts=["p"]))

    async def scene(rig: Rig) -> None:
        for method, params in (
            ("resources/read", {"uri": "docs://1"}),
            ("resources/read", {"uri": "docs://2"}),
            ("prompts/get", {"name": "p"}),
            (
                "completion/complete",
                {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}},
            ),
        ):
            assert "error" not in (await rig.modern(method, {**params, **_named(params)}, path="/mcp")).message
            reason = (await rig.modern(method, params, path="/mcp/finance")).error
            assert reason["code"] == -32602, method
        assert (await rig.modern("resources/list", path="/mcp/finance")).result["resources"] == []
        assert (await rig.modern("prompts/list", path="/mcp/finance")).result["prompts"] == []

    play(scene, shop(docs), make=fakes.make)


def _named(params: dict[str, Any]) -> dict[str, Any]:
    """The same at the server with prefixed names."""
    if "name" in params:
        return {"name": f"docs__{params['name']}"}
    return {"ref": {**params["ref"], "name": "docs__p"}} if "ref" in params else {}


def test_an_upstream_brings_its_tools_into_a_server_only_where_the_operator_lets_it() -> None:
    fakes = Fakes(observed("bank", "pay"), observed("stranger", fastmcp("pay_me", "finance")))
    upstreams = [upstream("bank", tags=("finance",)), upstream("stranger")]

    async def scene(rig: Rig) -> None:
        assert list(await tags_at(rig, "/mcp/finance")) == ["pay"]
        assert (await tags_at(rig, "/mcp"))["stranger__pay_me"] == ["finance"]
        assert await called(rig, "pay_me") == "tool_unknown"
        rig.gateway.offer(shop(upstreams[0], upstream("stranger", own_tags=True), revision=2))
        await rig.ready()
        assert list(await tags_at(rig, "/mcp/finance")) == ["pay", "pay_me"]
        assert await called(rig, "pay_me") == "pay_me"

    play(scene, shop(*upstreams), make=fakes.make)


def test_a_tool_comes_and_goes_with_its_tags_and_listeners_are_told() -> None:
    trusted = upstream("a", own_tags=True)
    fakes = Fakes(observed("a", fastmcp("x", "finance"), fastmcp("y")))

    async def scene(rig: Rig) -> None:
        session = await rig.initialize(path="/mcp/finance")
        stream = await rig.open("GET", "/mcp/finance", {"accept": "text/event-stream", "mcp-session-id": session})
        listed = await rig.legacy(rpc("tools/list"), session, path="/mcp/finance")
        assert [(t["name"], t["_meta"]["toolyard/tags"]) for t in listed.result["tools"]] == [("x", ["finance"])]
        rig.gateway.observed(observed("a", fastmcp("x", "finance", "destructive"), fastmcp("y", "finance")))
        assert (await stream.message())["method"] == "notifications/tools/list_changed"
        assert await tags_at(rig, "/mcp/finance") == {"y": ["finance"]}
        assert [await called(rig, name) for name in "xy"] == ["tool_unknown", "y"]
        stream.close()

    play(scene, shop(trusted), make=fakes.make)
