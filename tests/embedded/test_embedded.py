"""The embedded Toolyard: services, tools, calls and batches in the process that uses it."""

from __future__ import annotations

import asyncio
import doctest
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import toolyard.embedded.blocking
import toolyard.embedded.yard
from tests.gateway.rig import a_key, demo, running, snapshot
from toolyard import AsyncToolyard, Toolyard
from toolyard.contract.snapshot import ServerSpec
from toolyard.embedded import (
    ArgumentsInvalid,
    ServiceExists,
    ServiceInvalid,
    ServiceNotReady,
    ToolCall,
    ToolyardClosed,
)
from toolyard.gateway.errors import ToolUnknown, UpstreamUnknown
from toolyard.gateway.feed.yaml_marks import ConfigRejected
from toolyard.gateway.upstream.errors import UpstreamStopped

FAKE = Path(__file__).parents[1] / "gateway" / "upstream" / "fake_stdio_server.py"
PROGRAM = [sys.executable, "-S", "-E", str(FAKE)]
DEMO = {"upstreams": {"demo": {"builtin": "demo"}}}
TWO = {"upstreams": {"one": {"builtin": "demo"}, "two": {"builtin": "demo"}}}


def drive(config: object, scene: Callable[[AsyncToolyard], Awaitable[None]]) -> None:
    async def run() -> None:
        async with AsyncToolyard(config) as yard:  # type: ignore[arg-type]
            await scene(yard)

    asyncio.run(run())


@pytest.mark.parametrize("module", [toolyard.embedded.blocking, toolyard.embedded.yard], ids=lambda m: m.__name__)
def test_the_examples_of_the_classes_do_what_they_show(module: object) -> None:
    outcome = doctest.testmod(module)  # type: ignore[arg-type]
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_a_service_is_checked_registered_connected_and_seen_to_answer() -> None:
    with Toolyard() as yard:
        assert yard.list_services() == []
        [added] = yard.add_service(name="files", command=PROGRAM)
        assert (added.name, added.kind, added.state, added.running) == ("files", "mcp-stdio", "ready", True)
        assert added.tools > 0
        assert yard.list_services() == [added]
        assert yard.get_service_status("files") == added
        assert yard.call_tool("echo", {"text": "hi"}, service="files").text != ""


def test_a_service_that_does_not_answer_is_not_taken_in() -> None:
    async def scene(yard: AsyncToolyard) -> None:
        with pytest.raises(ServiceNotReady, match=r"dead: .*not found"):
            await yard.add_service("no-such-program-anywhere", name="dead")
        with pytest.raises(ServiceNotReady, match="cannot be reached"):
            await yard.add_service("http://127.0.0.1:1/mcp", name="dead")
        assert [one.name for one in await yard.list_services()] == ["demo"]
        [pending] = await yard.add_service("http://127.0.0.1:1/mcp", name="dead", verify=False)
        assert not pending.running

    drive(DEMO, scene)


def test_a_wrong_configuration_is_refused_with_every_key_and_nothing_changes() -> None:
    async def scene(yard: AsyncToolyard) -> None:
        with pytest.raises(ConfigRejected, match=r"upstreams.web.urll: unknown key; did you mean 'url'"):
            await yard.add_service({"urll": "http://127.0.0.1:1/mcp"}, name="web")
        with pytest.raises(ServiceInvalid):
            await yard.add_service()
        with pytest.raises(ServiceExists, match="'demo'"):
            await yard.add_service(name="demo", builtin="demo")
        assert [one.name for one in await yard.list_services()] == ["demo"]

    drive(DEMO, scene)


def test_a_clients_file_brings_several_services_at_once_or_none() -> None:
    program = {"command": PROGRAM[0], "args": PROGRAM[1:], "alwaysAllow": ["echo"]}

    async def scene(yard: AsyncToolyard) -> None:
        added = await yard.add_service({"mcpServers": {"My Files": program, "off": {**program, "disabled": True}}})
        assert [(one.name, one.state) for one in added] == [("my-files", "ready"), ("off", "disabled")]
        with pytest.raises(ServiceNotReady):
            await yard.add_service({"mcpServers": {"good": program, "bad": {"command": "no-such-program-anywhere"}}})
        assert [one.name for one in await yard.list_services()] == ["my-files", "off"]

    drive(None, scene)


def test_a_service_without_a_name_is_called_after_its_program_or_host() -> None:
    async def scene(yard: AsyncToolyard) -> None:
        [first] = await yard.add_service("http://127.0.0.1:1/mcp", verify=False)
        [second] = await yard.add_service("http://127.0.0.1:1/other", verify=False)
        [third] = await yard.add_service("some-server --flag", verify=False)
        assert [one.name for one in (first, second, third)] == ["127-0-0-1", "127-0-0-1-2", "some-server"]

    drive(None, scene)


def test_a_service_is_stopped_started_restarted_and_removed() -> None:
    async def scene(yard: AsyncToolyard) -> None:
        await yard.discover_tools()
        assert (await yard.stop_service("demo")).state == "stopped"
        with pytest.raises(UpstreamStopped):
            await yard.call_tool("demo__add", {"a": 1, "b": 1})
        assert (await yard.start_service("demo")).running
        assert (await yard.restart_service("demo")).running
        assert (await yard.call_tool("demo__add", {"a": 1, "b": 1})).text == "2"
        await yard.remove_service("demo")
        assert await yard.list_services() == []
        assert await yard.list_tools() == []
        with pytest.raises(UpstreamUnknown, match="'demo'"):
            await yard.get_service_status("demo")

    drive(DEMO, scene)


def test_tools_are_listed_with_their_service_and_asked_for_anew() -> None:
    async def scene(yard: AsyncToolyard) -> None:
        found = await yard.discover_tools("one")
        assert [tool.name for tool in found if tool.own_name == "add"] == ["one__add"]
        assert {tool.service for tool in await yard.list_tools()} == {"one", "two"}
        adds = next(tool for tool in found if tool.own_name == "add")
        assert adds.description == "Adds two numbers."
        assert adds.input_schema["required"] == ["a", "b"]
        with pytest.raises(UpstreamUnknown):
            await yard.discover_tools("three")

    drive(TWO, scene)


def test_a_call_is_looked_up_checked_and_carried_out() -> None:
    async def scene(yard: AsyncToolyard) -> None:
        result = await yard.call_tool("demo__add", {"a": 2, "b": 3})
        assert (result.text, result.structured, result.failed) == ("5", {"sum": 5}, False)
        assert (await yard.call_tool("add", {"a": 2, "b": 3}, service="demo")).text == "5"
        assert (await yard.call_tool("demo__now", {"timezone": "Nowhere/At-all"})).failed
        with pytest.raises(ArgumentsInvalid, match="'b' is missing"):
            await yard.call_tool("demo__add", {"a": 2})
        with pytest.raises(ArgumentsInvalid, match="'a' must be of type number"):
            await yard.call_tool("demo__add", {"a": "2", "b": 3})
        with pytest.raises(ToolUnknown):
            await yard.call_tool("demo__fly")
        with pytest.raises(ToolUnknown, match="service 'demo' offers no tool 'fly'"):
            await yard.call_tool("fly", service="demo")

    drive(DEMO, scene)


def test_a_batch_is_grouped_by_service_and_what_fails_fails_alone() -> None:
    async def scene(yard: AsyncToolyard) -> None:
        calls = [ToolCall(f"{service}__add", {"a": n, "b": n}) for n in range(40) for service in ("one", "two")]
        done = await yard.batch_call([*calls, {"name": "one__fly"}, {"name": "add", "arguments": {}, "service": "two"}])
        assert [outcome.call for outcome in done.outcomes[:80]] == calls
        assert [outcome.result.text for outcome in done.outcomes[:80] if outcome.result] == [
            str(2 * n) for n in range(40) for _ in range(2)
        ]
        assert (done.succeeded, done.failed) == (80, 2)
        assert {name: len(outcomes) for name, outcomes in done.by_service.items()} == {"one": 40, "two": 41}
        assert isinstance(done.outcomes[80].error, ToolUnknown)
        assert isinstance(done.outcomes[81].error, ArgumentsInvalid)

    drive(TWO, scene)


def test_the_calls_of_a_batch_run_side_by_side() -> None:
    async def scene(yard: AsyncToolyard) -> None:
        await yard.discover_tools()
        slow = {"to": 100, "interval_ms": 1000}
        batch = asyncio.ensure_future(
            yard.batch_call([{"name": "one__count", "arguments": slow}, {"name": "two__count", "arguments": slow}])
        )
        pool = yard._home.gateway.pool
        async with asyncio.timeout(20):
            while {pool.entry(name).in_flight for name in ("one", "two")} != {1}:
                await asyncio.sleep(0)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch

    drive(TWO, scene)


def test_a_service_at_a_url_is_reached_with_what_it_wants_to_see() -> None:
    key, record = a_key()

    async def scene() -> None:
        locked = snapshot(demo(), servers=(ServerSpec("default", names="plain"),), keys=(record,))
        async with running(locked) as rig, AsyncToolyard() as yard:
            wants_key = {"url": f"http://127.0.0.1:{rig.port}/mcp"}
            with pytest.raises(ServiceNotReady, match="refused the gateway's credentials"):
                await yard.add_service(wants_key, name="remote")
            [added] = await yard.add_service(wants_key, name="remote", headers={"Authorization": f"Bearer {key}"})
            assert (added.kind, added.state, added.tools) == ("mcp-http", "ready", 5)
            assert (await yard.call_tool("remote__add", {"a": 1, "b": 2})).structured == {"sum": 3}

    asyncio.run(scene())


def test_a_file_is_the_configuration_and_what_is_wrong_in_it_has_its_line(tmp_path: Path) -> None:
    good = tmp_path / "toolyard.yaml"
    good.write_text(
        "upstreams:\n  demo: {builtin: demo, enabled: true, timeout: 5s}\nservers:\n  lab: {tools: [demo/add]}\n"
    )
    with Toolyard(good) as yard:
        assert [one.name for one in yard.list_services()] == ["demo"]
        yard.add_service(name="more", builtin="demo")
        assert len(yard.list_services()) == 2
    assert "more" not in good.read_text()
    clients = tmp_path / "mcp.json"
    clients.write_text(json.dumps({"mcpServers": {"A b": {"command": PROGRAM[0], "args": PROGRAM[1:]}}}))
    with Toolyard(str(clients)) as yard:
        assert yard.discover_tools("a-b") != []
    bad = tmp_path / "bad.yaml"
    bad.write_text("upstreams:\n  demo:\n    bultin: demo\n")
    with pytest.raises(ConfigRejected, match=r"bad.yaml:3: upstreams.demo.bultin"):
        Toolyard(bad)


def test_references_to_the_environment_are_expanded_and_may_be_given() -> None:
    config = {"upstreams": {"demo": {"builtin": "${WHICH}"}}}
    with Toolyard(config, environ={"WHICH": "demo"}) as yard:
        assert yard.list_services()[0].name == "demo"
    with pytest.raises(ConfigRejected, match="WHICH"):
        Toolyard(config, environ={})


def test_what_services_offered_is_remembered_only_where_it_is_said(tmp_path: Path) -> None:
    with Toolyard({"upstreams": {"files": {"command": PROGRAM}}}, data_dir=tmp_path / "data") as yard:
        names = [tool.name for tool in yard.discover_tools()]
        yard.stop_service("files")
    gone = {"upstreams": {"files": {"command": ["no-such-program-anywhere"]}}}
    with Toolyard(gone, data_dir=tmp_path / "data") as yard:
        assert [tool.name for tool in yard.list_tools()] == names
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_two_of_them_have_nothing_to_do_with_each_other() -> None:
    with Toolyard(DEMO) as one, Toolyard() as other:
        assert other.list_services() == []
        one.remove_service("demo")
        other.add_service(name="demo", builtin="demo")
        assert one.list_services() == []


def test_a_closed_one_says_so() -> None:
    yard = Toolyard(DEMO)
    yard.close()
    yard.close()
    with pytest.raises(ToolyardClosed):
        yard.list_tools()
    with pytest.raises(ToolyardClosed):
        yard.check_permission("a", "tools.call", "demo")

    async def before_it_is_open() -> None:
        with pytest.raises(ToolyardClosed):
            await AsyncToolyard(DEMO).list_tools()

    asyncio.run(before_it_is_open())


def test_whoever_stops_waiting_stops_the_call() -> None:
    async def scene(yard: AsyncToolyard) -> None:
        await yard.discover_tools()
        call = asyncio.ensure_future(yard.call_tool("demo__count", {"to": 100, "interval_ms": 1000}))
        entry = yard._home.gateway.pool.entry("demo")
        async with asyncio.timeout(20):
            while not entry.in_flight:
                await asyncio.sleep(0)
            call.cancel()
            while entry.in_flight:
                await asyncio.sleep(0)

    drive(DEMO, scene)


@pytest.mark.slow
def test_a_program_that_forgets_to_close_ends_all_the_same_and_leaves_nothing_behind(tmp_path: Path) -> None:
    script = tmp_path / "forgets.py"
    script.write_text(
        "from toolyard import Toolyard\n"
        f"yard = Toolyard({{'upstreams': {{'files': {{'command': {PROGRAM!r}}}}}}})\n"
        "print(len(yard.discover_tools()) > 0, yard._inner._home.gateway.pool.status()[0])\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("True ")


@pytest.mark.slow
def test_the_name_of_the_package_alone_loads_nothing_of_it() -> None:
    script = "import sys, toolyard; print(sorted(name for name in sys.modules if name.startswith('toolyard')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['toolyard']"
