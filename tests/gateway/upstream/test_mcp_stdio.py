"""stdio upstreams, good and bad (attack book STD-03, 04, 08 to 14; UPF-02, 05, 06, 08)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.upstream.errors import (
    UpstreamError,
    UpstreamExited,
    UpstreamInvalid,
    UpstreamTimedOut,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from toolyard.gateway.upstream.mcp_stdio import StdioUpstream
from toolyard.kit.clock import ManualClock, SystemClock
from toolyard.kit.secret import Secret
from toolyard.protocol.errors import RelayedError

from .at_once import StdioAtOnce
from .callers import Caller, RecordedEvents, said
from .leftovers import alive, eventually, run_clean

TREE = str(Path(__file__).with_name("fake_stdio_tree.py"))
FAKE = str(Path(__file__).with_name("fake_stdio_server.py"))


class NoWait:
    """Chance that always decides for the shortest wait."""

    def uniform(self, low: float, high: float) -> float:
        return low


@pytest.fixture(autouse=True, params=["waited-for", "begun"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a request goes its way."""
    if request.param == "begun":
        monkeypatch.setitem(globals(), "StdioUpstream", StdioAtOnce)


def spec(*arguments: str, **more: Any) -> UpstreamSpec:
    return UpstreamSpec(id="fake", kind="mcp-stdio", command=(sys.executable, "-S", "-E", FAKE, *arguments), **more)


def drive(
    use: Callable[[StdioUpstream], Awaitable[Any]],
    *arguments: str,
    events: RecordedEvents | None = None,
    hint: str | None = None,
    plain: bool = False,
    **more: Any,
) -> Any:
    """Run `use` with an upstream on the fake server, and see that nothing is left afterwards."""

    async def whole() -> Any:
        upstream = StdioUpstream(
            spec(*arguments, **more), events=events or RecordedEvents(), clock=SystemClock(), era_hint=hint,
            rng=NoWait(),  # type: ignore[arg-type]
        )  # fmt: skip
        try:
            return await use(upstream)
        finally:
            await upstream.aclose()

    return run_clean(whole, plain=plain)


async def tool(upstream: StdioUpstream, caller: Caller, name: str, /, seconds: float = 20.0, **arguments: Any) -> Any:
    params = {"name": name, "arguments": arguments}
    return said(await upstream.request(caller.call(seconds), "tools/call", params))


# -- eras --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("era", "found"), [("legacy", "legacy"), ("modern", "modern"), ("both", "modern")])
def test_the_era_is_found_out_and_definitions_are_observed(era: str, found: str) -> None:
    async def use(upstream: StdioUpstream) -> None:
        seen = await upstream.observe()
        assert seen.era == found == upstream.status()["era"]
        assert {tool["name"] for tool in seen.tools} >= {"echo", "die"}
        assert [resource["uri"] for resource in seen.resources] == ["fake://r"]
        assert seen.server_info["name"] == "fake"
        assert await tool(upstream, Caller(), "echo", n=1) == {"n": 1}

    drive(use, "--era", era)


@pytest.mark.parametrize(("hint", "era"), [("legacy", "modern"), ("modern", "legacy")])
def test_a_remembered_era_that_became_wrong_is_found_out_again(hint: str, era: str) -> None:
    async def use(upstream: StdioUpstream) -> None:
        assert await tool(upstream, Caller(), "echo") == {}
        assert upstream.status()["era"] == era

    drive(use, "--era", era, hint=hint)


def test_a_server_that_dies_of_the_probe_is_started_again_as_legacy() -> None:
    async def use(upstream: StdioUpstream) -> None:
        assert await tool(upstream, Caller(), "echo") == {}
        assert upstream.status()["era"] == "legacy"

    drive(use, "--die-on-discover")


def test_a_server_that_does_not_answer_the_probe_is_legacy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolyard.gateway.upstream.mcp_stdio.PROBE_S", 0.2)

    async def use(upstream: StdioUpstream) -> None:
        assert (await upstream.observe()).era == "legacy"

    drive(use, "--mute-discover")


def test_a_slow_modern_server_that_refuses_to_initialize_is_modern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolyard.gateway.upstream.mcp_stdio.PROBE_S", 0.2)

    async def use(upstream: StdioUpstream) -> None:
        assert (await upstream.observe()).era == "modern"

    drive(use, "--late-discover", "--era", "modern")


# -- what travels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [True, False])
def test_many_calls_at_once_each_get_their_own_answer(plain: bool) -> None:
    async def use(upstream: StdioUpstream) -> None:
        callers = [Caller(f"key:{n}") for n in range(3)]
        answers = await asyncio.gather(*(tool(upstream, callers[n % 3], "echo", n=n) for n in range(300)))
        assert answers == [{"n": n} for n in range(300)]

    drive(use, plain=plain)


def test_a_modern_upstream_gets_the_callers_own_capabilities_and_our_progress_token() -> None:
    async def use(upstream: StdioUpstream) -> None:
        caller = Caller(
            era="modern", capabilities={"elicitation": {}}, wants_progress=True, meta={"traceparent": "00-1"}
        )
        meta = (await tool(upstream, caller, "params"))["_meta"]
        assert meta["io.modelcontextprotocol/clientCapabilities"] == {"elicitation": {}}
        assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
        assert meta["traceparent"] == "00-1"
        assert type(meta["progressToken"]) is int

    drive(use, "--era", "modern")


def test_integers_stay_exact_and_a_lone_surrogate_is_refused() -> None:
    async def use(upstream: StdioUpstream) -> None:
        number = 2**64 - 1
        line = json.dumps({"jsonrpc": "2.0", "id": 0, "result": {"n": number}}).replace('"id": 0', '"id": ID')
        caller = Caller()
        result = await upstream.request(caller.call(), "tools/call", {"name": "raw", "arguments": {"line": line}})
        assert result == {"n": number}
        with pytest.raises(UpstreamInvalid):
            await tool(upstream, caller, "raw", line='{"jsonrpc":"2.0","id":ID,"result":{"t":"\\ud800"}}')

    drive(use)


def test_progress_goes_to_the_call_that_owns_the_token_without_the_token() -> None:
    async def use(upstream: StdioUpstream) -> None:
        one, other = Caller(wants_progress=True), Caller()
        held = asyncio.ensure_future(tool(upstream, other, "hold"))
        assert await tool(upstream, one, "progress", count=3) == "done"
        assert await tool(upstream, one, "foreign_progress") == "done"
        await tool(upstream, one, "release")
        await held
        assert [n["params"] for n in one.notifications] == [{"progress": n, "message": ""} for n in range(3)]
        assert one.notifications[0]["method"] == "notifications/progress"
        assert other.notifications == []

    drive(use)


def test_log_messages_reach_the_only_running_call_at_its_level_and_nobody_when_two_run() -> None:
    async def use(upstream: StdioUpstream) -> None:
        caller, silent = Caller(log_level="warning"), Caller()
        await tool(upstream, caller, "logs")
        assert [n["params"]["level"] for n in caller.notifications] == ["warning", "error"]
        await tool(upstream, silent, "logs")
        held = asyncio.ensure_future(tool(upstream, caller, "hold"))
        await tool(upstream, caller, "logs")
        await tool(upstream, caller, "release")
        await held
        assert len(caller.notifications) == 2
        assert silent.notifications == []

    drive(use)


def test_an_error_of_the_upstream_is_relayed_with_its_code() -> None:
    async def use(upstream: StdioUpstream) -> None:
        with pytest.raises(RelayedError) as caught:
            await tool(upstream, Caller(), "fault", code=-32042)
        assert caught.value.rpc_code == -32042

    drive(use)


# -- arguments and environment (STD-03, STD-04) ------------------------------------------------------------------------


def test_arguments_reach_the_program_as_they_are() -> None:
    strange = ("a;b", "$(touch x)", "two\nlines", "--", "-x", "@file", "`id`", "*", "", "ü", "x" * 100_000)

    async def use(upstream: StdioUpstream) -> None:
        assert await tool(upstream, Caller(), "argv") == ["--", *strange]

    drive(use, "--", *strange)


@pytest.mark.parametrize("argument", ["zero\0byte", "x" * 1_000_000])
def test_arguments_that_no_program_can_get_are_refused(argument: str) -> None:
    async def use(upstream: StdioUpstream) -> None:
        with pytest.raises(UpstreamUnreachable):
            await tool(upstream, Caller(), "argv")

    drive(use, argument)


def test_the_child_sees_only_a_few_variables_and_the_declared_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLYARD_TEST_SECRET", "SEKRET-ENV-1")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("HOME", "/home/somebody")

    async def use(upstream: StdioUpstream) -> None:
        seen = await tool(upstream, Caller(), "environment")
        assert seen["HOME"] == "/home/somebody"
        assert seen["DECLARED"] == "yes $HOME"
        extra = {name for name in seen if not name.startswith("LC_")} - {"PATH", "HOME", "LANG", "TMPDIR", "DECLARED"}
        assert extra == set()

    drive(use, env=(("DECLARED", Secret("yes $HOME")),))


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "NODE_OPTIONS", "BASH_ENV", "PATH",
     "GIT_SSH_COMMAND", "BASH_FUNC_x%%", "A=B", ""],
)  # fmt: skip
def test_a_variable_that_changes_what_runs_is_refused_by_name(name: str) -> None:
    async def use(upstream: StdioUpstream) -> None:
        with pytest.raises(UpstreamUnreachable, match="may not be set") as caught:
            await tool(upstream, Caller(), "echo")
        assert repr(name) in caught.value.message
        assert "SEKRET" not in caught.value.message

    drive(use, env=((name, Secret("SEKRET-ENV-2")),))


def test_a_command_that_does_not_exist_is_unreachable_at_once() -> None:
    async def use(upstream: StdioUpstream) -> None:
        with pytest.raises(UpstreamUnreachable, match="not found"):
            await tool(upstream, Caller(), "echo")
        assert upstream.status()["state"] != "serving"

    async def whole() -> None:
        missing = UpstreamSpec(id="gone", kind="mcp-stdio", command=("no-such-program-here",))
        upstream = StdioUpstream(missing, events=RecordedEvents(), clock=SystemClock())
        await use(upstream)
        await upstream.aclose()

    run_clean(whole)


# -- bad output (STD-09, STD-12, UPF-05, UPF-06) -----------------------------------------------------------------------


def test_junk_on_standard_output_is_skipped_and_counted() -> None:
    async def use(upstream: StdioUpstream) -> None:
        assert await tool(upstream, Caller(), "junk") == "after junk"
        session = upstream.status()["sessions"][0]
        assert session["junk_lines"] + session["dropped"]["junk"] >= 8

    drive(use)


def test_a_line_over_four_mebibytes_ends_the_child_and_the_next_call_gets_another() -> None:
    async def use(upstream: StdioUpstream) -> None:
        caller = Caller()
        first = await tool(upstream, caller, "pid")
        with pytest.raises(UpstreamTooLarge):
            await tool(upstream, caller, "long_line", bytes=100 * 1024 * 1024)
        second = await tool(upstream, caller, "pid")
        assert second != first
        eventually(lambda: not alive(first), "the old child ends")

    drive(use)


def test_a_line_just_below_the_limit_arrives() -> None:
    async def use(upstream: StdioUpstream) -> None:
        size = 4 * 1024 * 1024 - 200
        assert len(await tool(upstream, Caller(), "big", bytes=size)) == size

    drive(use)


@pytest.mark.parametrize(("name", "answer"), [("string_id", "right"), ("twice", "first"), ("ahead", "right")])
def test_answers_to_nobody_are_dropped_and_counted(name: str, answer: str) -> None:
    async def use(upstream: StdioUpstream) -> None:
        caller = Caller()
        assert await tool(upstream, caller, name) == answer
        for n in range(30):
            assert await tool(upstream, caller, "echo", n=n) == {"n": n}
        assert upstream.status()["sessions"][0]["dropped"]["replies"] >= 1

    drive(use)


def test_an_answer_with_another_calls_id_goes_to_the_owner_of_that_id() -> None:
    async def use(upstream: StdioUpstream) -> None:
        caller = Caller()
        await tool(upstream, caller, "echo")
        held = asyncio.ensure_future(tool(upstream, caller, "hold"))
        await asyncio.sleep(0)
        assert await tool(upstream, caller, "steal") == "own"
        assert await held == "stolen"

    drive(use)


@pytest.mark.parametrize(
    "line",
    [
        '{"jsonrpc":"2.0","id":ID,"result":{},"error":{"code":1,"message":"both"}}',
        '{"jsonrpc":"2.0","id":ID}',
        '{"jsonrpc":"2.0","id":ID,"result":[]}',
        '{"jsonrpc":"2.0","id":ID,"result":null}',
        '{"jsonrpc":"2.0","id":ID,"error":"no"}',
        '{"jsonrpc":"2.0","id":ID,"error":{"code":"1","message":"x"}}',
        '{"jsonrpc":"2.0","id":ID,"result":{"n":NaN}}',
    ],
)
def test_an_answer_of_a_wrong_shape_is_an_error_of_its_call_only(line: str) -> None:
    async def use(upstream: StdioUpstream) -> None:
        caller = Caller()
        await tool(upstream, caller, "echo")
        held = asyncio.ensure_future(tool(upstream, caller, "hold"))
        await asyncio.sleep(0)
        with pytest.raises(UpstreamInvalid):
            await tool(upstream, caller, "raw", line=line)
        await tool(upstream, caller, "release")
        await held

    drive(use)


# -- silence, floods, death (STD-08, STD-10, STD-11, UPF-02, UPF-08) ---------------------------------------------------


def received(log: Path, method: str) -> list[Any]:
    messages = [json.loads(line) for line in log.read_text().splitlines()]
    return [message for message in messages if message.get("method") == method]


def test_a_call_that_is_never_answered_times_out_and_the_upstream_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def use(upstream: StdioUpstream) -> None:
        caller = Caller()
        await tool(upstream, caller, "echo")
        with pytest.raises(UpstreamTimedOut):
            await tool(upstream, caller, "never", seconds=0.3)
        assert await tool(upstream, caller, "echo", n=1) == {"n": 1}
        cancelled = received(log, "notifications/cancelled")
        assert [c["params"]["requestId"] for c in cancelled] == [received(log, "tools/call")[1]["id"]]

    drive(use, "--log", str(log))


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_cancelled_call_is_cancelled_upstream(tmp_path: Path, era: str) -> None:
    log = tmp_path / "log"

    async def use(upstream: StdioUpstream) -> None:
        caller = Caller()
        await tool(upstream, caller, "echo")
        running = asyncio.ensure_future(tool(upstream, caller, "never"))
        await tool(upstream, caller, "echo")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await tool(upstream, caller, "echo")
        ids = [c["params"]["requestId"] for c in received(log, "notifications/cancelled")]
        never = [c["id"] for c in received(log, "tools/call") if c["params"]["name"] == "never"]
        assert ids == never

    drive(use, "--log", str(log), "--era", era)


@pytest.mark.parametrize("plain", [True, False])
def test_all_running_calls_fail_at_once_when_the_child_dies_and_the_next_call_is_served(plain: bool) -> None:
    async def use(upstream: StdioUpstream) -> None:
        caller = Caller()
        await tool(upstream, caller, "echo")
        waiting = [asyncio.ensure_future(tool(upstream, caller, "never", seconds=60)) for _ in range(5)]
        with pytest.raises(UpstreamExited):
            await tool(upstream, caller, "die", words="farewell SEKRET-ENV-3")
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, UpstreamExited) and outcome.may_have_run for outcome in outcomes)
        assert await tool(upstream, caller, "echo", n=2) == {"n": 2}
        status = upstream.status()
        assert status["restarts"] == 1
        assert "last words: farewell ****" in status["diagnosis"]

    drive(use, env=(("TOKEN", Secret("SEKRET-ENV-3")),), plain=plain)


def test_a_child_that_keeps_dying_is_failed_until_five_minutes_have_passed() -> None:
    async def whole() -> None:
        clock = ManualClock()
        upstream = StdioUpstream(
            spec("--die-at-start"), events=RecordedEvents(), clock=clock, era_hint="legacy",
            rng=NoWait(),  # type: ignore[arg-type]
        )  # fmt: skip
        for _ in range(5):
            with pytest.raises(UpstreamError):
                await tool(upstream, Caller(), "echo")
            clock.advance(1.0)
        assert upstream.status()["state"] == "failed"
        with pytest.raises(UpstreamUnreachable, match="keeps failing"):
            await tool(upstream, Caller(), "echo")
        assert upstream.status()["restarts"] == 5
        clock.advance(300.0)
        assert upstream.status()["state"] == "ready"
        await upstream.aclose()

    run_clean(whole)


@pytest.mark.slow
@pytest.mark.parametrize("plain", [True, False])
def test_a_flood_on_standard_error_is_drained_and_its_end_kept(plain: bool) -> None:
    async def use(upstream: StdioUpstream) -> None:
        assert await tool(upstream, Caller(), "stderr", bytes=8 * 1024 * 1024, seconds=60) == "done"
        with pytest.raises(UpstreamExited):
            await tool(upstream, Caller(), "die", words="bye")
        kept = upstream.status()["diagnosis"]
        assert "last words: bye" in kept
        assert len(kept) <= 64 * 1024

    drive(use, plain=plain)


def test_a_flood_of_notifications_is_cut_and_the_answer_arrives() -> None:
    async def use(upstream: StdioUpstream) -> None:
        caller = Caller(wants_progress=True)
        assert await tool(upstream, caller, "progress", count=20_000, seconds=60) == "done"
        assert 1 <= len(caller.notifications) < 10_000
        dropped = upstream.status()["sessions"][0]["dropped"]["notifications"]
        assert dropped == 20_000 - len(caller.notifications)

    drive(use)


@pytest.mark.slow
def test_a_caller_that_takes_no_notifications_does_not_hold_up_the_others() -> None:
    async def use(upstream: StdioUpstream) -> None:
        stuck, other = Caller(wants_progress=True), Caller()
        never = asyncio.Event()

        async def emit(notification: Any) -> None:
            await never.wait()

        stuck.emit = emit  # type: ignore[method-assign]
        await tool(upstream, other, "echo")
        slow = asyncio.ensure_future(tool(upstream, stuck, "progress", count=1000, seconds=1.0))
        for n in range(20):
            assert await tool(upstream, other, "echo", n=n) == {"n": n}
        assert await slow == "done"

    drive(use)


@pytest.mark.slow
def test_a_child_that_reads_nothing_more_costs_a_timeout_and_not_the_memory() -> None:
    async def use(upstream: StdioUpstream) -> None:
        caller = Caller()
        await tool(upstream, caller, "stop_reading")
        calls = [tool(upstream, caller, "echo", seconds=1.0, x="x" * 500_000) for _ in range(12)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, UpstreamTimedOut) for outcome in outcomes)
        assert any(not outcome.may_have_run for outcome in outcomes)

    drive(use)


def test_a_child_that_closes_its_output_is_ended() -> None:
    async def use(upstream: StdioUpstream) -> None:
        caller = Caller()
        pid = await tool(upstream, caller, "pid")
        with pytest.raises(UpstreamExited):
            await tool(upstream, caller, "close_output")
        assert await tool(upstream, caller, "pid") != pid
        eventually(lambda: not alive(pid), "the old child ends")

    drive(use)


@pytest.mark.slow
def test_the_whole_tree_is_gone_when_the_upstream_is_closed() -> None:
    async def whole() -> list[int]:
        stubborn = UpstreamSpec(id="tree", kind="mcp-stdio", command=(sys.executable, TREE))
        upstream = StdioUpstream(stubborn, events=RecordedEvents(), clock=SystemClock(), era_hint="legacy")
        with pytest.raises(UpstreamTimedOut):
            await upstream.request(Caller().call(0.5), "tools/call", {"name": "x"})
        await upstream.aclose()
        return []

    run_clean(whole)


@pytest.mark.slow
def test_nothing_survives_a_gateway_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "gateway.py"
    script.write_text(
        "import asyncio, sys\n"
        "from toolyard.contract.snapshot import UpstreamSpec\n"
        "from toolyard.gateway.upstream.child import start_child\n"
        "from toolyard.gateway.upstream.child_process import Command\n"
        "async def main():\n"
        f"    spec = UpstreamSpec(id='x', kind='mcp-stdio', command=(sys.executable, {TREE!r}))\n"
        "    child = await start_child(Command.of(spec))\n"
        "    child.listen(lambda line: print(line.decode(), flush=True), lambda end: None)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    gateway = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=dict(os.environ))
    assert gateway.stdout is not None
    pids = json.loads(gateway.stdout.readline())["pids"]
    assert all(alive(pid) for pid in pids)
    gateway.kill()
    gateway.wait(30)
    gateway.stdout.close()
    eventually(lambda: not any(alive(pid) for pid in pids), "all children end")
