"""Agents of an embedded Toolyard: each sees its own subset and may do what it was granted."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from toolyard import AsyncToolyard, Toolyard
from toolyard.embedded import PermissionUnknown
from toolyard.gateway.errors import NotAllowed, ToolNotInServer, ToolUnknown, UpstreamUnknown

STATEFUL = Path(__file__).parents[1] / "gateway" / "stateful_server.py"
TWO = {"upstreams": {"one": {"builtin": "demo"}, "two": {"builtin": "demo"}}}


def test_an_agent_sees_nothing_until_it_is_granted_something() -> None:
    with Toolyard(TWO) as yard:
        yard.discover_tools()
        agent = yard.for_agent("analyst")
        assert (agent.list_services(), agent.list_tools()) == ([], [])
        with pytest.raises(ToolNotInServer):
            agent.call_tool("one__add", {"a": 1, "b": 1})
        yard.grant_permission("analyst", "tools.call", "one/a*")
        assert [tool.name for tool in agent.list_tools()] == ["one__add", "one__ask_name"]
        assert [(one.name, one.tools) for one in agent.list_services()] == [("one", 2)]
        assert agent.call_tool("one__add", {"a": 1, "b": 1}).text == "2"
        with pytest.raises(ToolNotInServer):
            agent.call_tool("one__echo", {"text": "x"})
        with pytest.raises(ToolUnknown):
            agent.call_tool("echo", {"text": "x"}, service="one")
        with pytest.raises(UpstreamUnknown):
            agent.get_service_status("two")


def test_two_agents_have_subsets_of_their_own_and_the_store_has_all() -> None:
    with Toolyard(TWO) as yard:
        yard.discover_tools()
        yard.grant_permission("a", "tools.call", "one")
        yard.grant_permission("b", "tools.call", "*/add")
        assert {tool.service for tool in yard.for_agent("a").list_tools()} == {"one"}
        assert [tool.name for tool in yard.for_agent("b").list_tools()] == ["one__add", "two__add"]
        assert yard.for_store().list_tools() == yard.list_tools()
        assert len(yard.for_store().list_tools()) == 10


def test_what_an_agent_adds_is_its_own_and_the_stores() -> None:
    with Toolyard(TWO) as yard:
        agent, other = yard.for_agent("a"), yard.for_agent("b")
        agent.add_service(name="mine", builtin="demo")
        assert [one.name for one in agent.list_services()] == ["mine"]
        assert other.list_services() == []
        assert [one.name for one in yard.list_services()] == ["one", "two", "mine"]
        assert agent.call_tool("mine__add", {"a": 1, "b": 1}).text == "2"
        assert agent.stop_service("mine").state == "stopped"
        assert agent.start_service("mine").running
        agent.remove_service("mine")
        assert [one.name for one in yard.list_services()] == ["one", "two"]


def test_an_agent_that_may_call_a_service_may_not_change_it() -> None:
    with Toolyard(TWO) as yard:
        yard.grant_permission("a", "tools.call", "one")
        agent = yard.for_agent("a")
        for change in (agent.stop_service, agent.restart_service, agent.remove_service):
            with pytest.raises(NotAllowed, match="agent 'a' may use service 'one', not change it"):
                change("one")
        with pytest.raises(UpstreamUnknown):
            agent.stop_service("two")
        yard.grant_permission("a", "upstreams.write", "one")
        assert agent.stop_service("one").state == "stopped"


def test_permissions_are_granted_checked_and_taken_back() -> None:
    with Toolyard(TWO) as yard:
        yard.discover_tools()
        assert not yard.check_permission("a", "tools.call", "one/add")
        yard.grant_permission("a", "tools.call", "one/add")
        assert yard.check_permission("a", "tools.call", "one/add")
        assert yard.check_permission("a", "tools.call", "one__add")
        assert yard.check_permission("a", "tools.call", "one")
        assert not yard.check_permission("a", "tools.call", "one/echo")
        assert not yard.check_permission("a", "tools.call", "two/add")
        assert not yard.check_permission("b", "tools.call", "one/add")
        assert not yard.check_permission("a", "upstreams.write", "one")
        yard.grant_permission("a", "upstreams.write", "*")
        assert yard.check_permission("a", "upstreams.write", "two")
        assert not yard.check_permission("a", "upstreams.write", "three")
        yard.revoke_permission("a", "tools.call", "one/add")
        assert not yard.check_permission("a", "tools.call", "one/add")
        assert yard.for_agent("a").list_tools() == []


def test_what_there_is_not_cannot_be_granted_or_asked_for() -> None:
    with Toolyard(TWO) as yard:
        with pytest.raises(UpstreamUnknown, match="'three'"):
            yard.grant_permission("a", "tools.call", "three/add")
        with pytest.raises(PermissionUnknown, match=r"tools.call and upstreams.write"):
            yard.grant_permission("a", "fly", "one")
        with pytest.raises(PermissionUnknown):
            yard.check_permission("a", "fly", "one")


def test_what_was_granted_of_a_service_goes_with_it() -> None:
    with Toolyard(TWO) as yard:
        yard.grant_permission("a", "tools.call", "one")
        yard.remove_service("one")
        yard.add_service(name="one", builtin="demo")
        assert yard.for_agent("a").list_tools() == []


def test_agents_whose_names_look_alike_are_two() -> None:
    with Toolyard(TWO) as yard:
        yard.discover_tools()
        yard.grant_permission("data team", "tools.call", "one/add")
        yard.grant_permission("数据", "tools.call", "two/add")
        assert yard.for_agent("data-team").list_tools() == []
        assert [tool.name for tool in yard.for_agent("data team").list_tools()] == ["one__add"]
        assert [tool.name for tool in yard.for_agent("数据").list_tools()] == ["two__add"]


def test_agents_never_share_a_session_of_a_service_that_keeps_state() -> None:
    async def scene() -> None:
        config = {"upstreams": {"notes": {"command": [sys.executable, str(STATEFUL)]}}}
        async with AsyncToolyard(config) as yard:
            for agent in ("a", "b"):
                await yard.grant_permission(agent, "tools.call", "notes")
            await yard.discover_tools()
            for agent in ("a", "b"):
                await yard.for_agent(agent).call_tool("notes__remember", {"value": agent})
            found = [(await yard.for_agent(agent).call_tool("notes__recall")).text for agent in ("a", "b")]
            assert found == ['["a"]', '["b"]']

    asyncio.run(scene())
