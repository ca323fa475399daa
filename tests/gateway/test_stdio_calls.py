"""Calls of modern clients through a whole gateway to a program: those that go on without a task, the first on a
connection as well as those in the same words as one before, and everything that can happen to one on its way."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.faults.raw_client import Answer, Wire, http_request
from tests.gateway.rig import Rig, a_key, bearer, modern_request, running, snapshot
from tests.gateway.upstream.leftovers import run_clean
from toolyard.contract.snapshot import ServerSpec, ToolRule, UpstreamSpec
from toolyard.gateway.upstream.mcp_stdio import StdioUpstream

pytestmark = pytest.mark.slow  # real programs, real deadlines

FAKE = str(Path(__file__).parent / "upstream" / "fake_stdio_server.py")
KEYED = ServerSpec("default", names="plain")
HASTY_S = 0.3
ERAS = ["modern", "legacy"]
FIRST, AGAIN = 0, 4
in_both_eras = pytest.mark.parametrize("era", ERAS)
first_or_again = pytest.mark.parametrize("before", [FIRST, AGAIN], ids=["first", "again"])


class Stage:
    """A gateway with one program behind it, and clients that call its tool `act`. `trips`: how many calls went by a
    plan."""

    def __init__(self, rig: Rig, keys: list[str], log: Path) -> None:
        self.rig = rig
        self.log = log
        self._keys = keys
        self.trips = 0
        self._wires: dict[Wire, str] = {}
        self._numbers = itertools.count(1001)  # of one width, as a longer body is judged anew
        express: Any = rig.gateway.modern._express
        begin = express.begin

        def counted(*args: Any) -> Any:
            trip = begin(*args)
            self.trips += trip is not None
            return trip

        express.begin = counted

    async def wire(self, key: int = 0, *, before: int = AGAIN) -> Wire:
        """A connection on which so many calls were made before."""
        wire = await Wire.opened(self.rig.port)
        self._wires[wire] = self._keys[key]
        for _ in range(before):
            await self.is_served(wire)
        return wire

    async def send(self, wire: Wire, do: str, *, tool: str = "act", meta: Any = None, **arguments: Any) -> int:
        """Call a tool; the number that the call can be known by in the log."""
        number = next(self._numbers)
        params = {"name": tool, "arguments": {"do": do, "number": number, **arguments}}
        headers, body = modern_request("tools/call", params, request_id=number, meta=meta)
        await wire.send(http_request({**headers, **bearer(self._wires[wire])}, body))
        return number

    async def answer(self, wire: Wire, do: str, **more: Any) -> Answer:
        """Call, and read the answer, which is to this call."""
        number = await self.send(wire, do, **more)
        answer = await wire.answer()
        assert answer.messages[-1]["id"] == number
        return answer

    async def is_served(self, wire: Wire) -> None:
        answer = await self.answer(wire, "echo")
        assert json.loads(answer.said)["number"] == answer.messages[-1]["id"]

    def received(self, number: int) -> list[Any]:
        """What the program got of one call."""
        return [m for m in self._messages() if m.get("params", {}).get("arguments", {}).get("number") == number]

    def cancelled(self) -> list[Any]:
        """The ids of requests that the program was told to give up."""
        return [m["params"]["requestId"] for m in self._messages() if m.get("method") == "notifications/cancelled"]

    async def arrived(self, number: int) -> Any:
        """The id that the program knows the call by, once it is there."""
        await self.rig.until(lambda: bool(self.received(number)))
        return self.received(number)[0]["id"]

    def _messages(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]

    def dropped(self) -> dict[str, int]:
        """What came from the program for nobody."""
        sessions = (self.rig.gateway.pool.status_of("program") or {})["sessions"]
        return {what: sum(one["dropped"][what] for one in sessions) for what in sessions[0]["dropped"]}

    async def rests(self) -> None:
        """Until nothing is left of any call. (The gateway's own requests on a modern program's session may wait.)"""
        pool, server = self.rig.gateway.pool, self.rig.server

        def at_rest() -> bool:
            sessions = (pool.status_of("program") or {})["sessions"]
            left = sum(one["busy"] + (one["waiting"] if one["owner"] else 0) for one in sessions)
            return not (left or pool.entry("program").in_flight or server.running_count)

        await self.rig.until(at_rest)

    def close(self) -> None:
        for wire in self._wires:
            wire.close()


@asynccontextmanager
async def staged(log: Path, era: str) -> AsyncIterator[Stage]:
    command = (sys.executable, "-S", "-E", FAKE, "--era", era, "--log", str(log))
    hasty = {"hasty": ToolRule(timeout_s=HASTY_S)}
    spec = UpstreamSpec("program", "mcp-stdio", command=command, tools=hasty)
    made = [a_key() for _ in range(2)]
    snap = snapshot(spec, servers=(KEYED,), keys=tuple(record for _, record in made))

    def make(spec: UpstreamSpec, events: Any, clock: Any, hint: str | None) -> StdioUpstream:
        return StdioUpstream(spec, events=events, clock=clock, era_hint=era)

    async with running(snap, make=make) as rig:
        stage = Stage(rig, [key for key, _ in made], log)
        try:
            yield stage
        finally:
            stage.close()


@pytest.fixture
def on_stage(tmp_path: Path) -> Callable[[str, Callable[[Stage], Awaitable[None]]], None]:
    """Play a scene before a program of an era, and see that nothing is left."""

    def play(era: str, scene: Callable[[Stage], Awaitable[None]]) -> None:
        async def run() -> None:
            async with staged(tmp_path / "log", era) as stage:
                await scene(stage)

        run_clean(run)

    return play


@in_both_eras
@first_or_again
def test_a_call_that_waits_for_its_program_costs_no_task(on_stage, era: str, before: int) -> None:
    async def scene(stage: Stage) -> None:
        other = await stage.wire()
        wire = await stage.wire(before=before)
        await stage.rests()
        tasks = len(asyncio.all_tasks())
        await stage.arrived(await stage.send(wire, "hold"))
        assert len(asyncio.all_tasks()) == tasks
        assert (await stage.answer(other, "release")).status == 200
        assert (await wire.answer()).said.startswith("held")
        await stage.rests()

    on_stage(era, scene)


@in_both_eras
def test_calls_in_the_same_words_go_by_a_plan_through_the_session_that_the_first_one_had(on_stage, era: str) -> None:
    async def scene(stage: Stage) -> None:
        wire, other = await stage.wire(), await stage.wire(1)
        trips = stage.trips
        pid = (await stage.answer(wire, "pid")).said
        others = (await stage.answer(other, "pid")).said
        assert (pid == others) is (era == "modern")
        assert stage.trips == trips + 2
        os.kill(int(pid), signal.SIGKILL)
        for _ in range(1 + AGAIN):
            after = (await stage.answer(wire, "pid")).said
        assert after != pid
        trips = stage.trips
        await stage.is_served(wire)
        assert stage.trips == trips + 1

    on_stage(era, scene)


@in_both_eras
def test_calls_that_want_progress_or_logs_go_by_no_plan(on_stage, era: str) -> None:
    async def scene(stage: Stage) -> None:
        for wish in ({"progressToken": "p"}, {"io.modelcontextprotocol/logLevel": "error"}):
            wire = await stage.wire(before=0)
            said = [await stage.answer(wire, "logs", meta=wish) for _ in range(3)]
            assert [one.said for one in said] == ["done"] * 3
            levels = [message["params"]["level"] for one in said for message in one.messages[:-1]]
            assert levels == (["error"] * 3 if "progressToken" not in wish else [])
        assert stage.trips == 0

    on_stage(era, scene)


@in_both_eras
def test_many_calls_of_two_principals_at_once_each_get_their_own_answer(on_stage, era: str) -> None:
    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(number % 2) for number in range(8)]

        async def client(wire: Wire) -> set[str]:
            for _ in range(20):
                await stage.is_served(wire)
            return {(await stage.answer(wire, "pid")).said}

        pids = await asyncio.gather(*(client(wire) for wire in wires))
        assert len(set.union(*pids)) == (1 if era == "modern" else 2)
        assert len(set.union(*pids[::2])) == 1
        await stage.rests()

    on_stage(era, scene)


@in_both_eras
@first_or_again
def test_a_program_that_dies_of_a_call_has_run_it_once_and_the_next_call_gets_another(
    on_stage, era: str, before: int
) -> None:
    async def scene(stage: Stage) -> None:
        beside = await stage.wire()
        wire = await stage.wire(before=before)
        held = await stage.send(beside, "hold")
        await stage.arrived(held)
        number = await stage.send(wire, "die")
        for lost in (await wire.answer(), await beside.answer()):
            assert lost.said == "!upstream_exited"
            assert lost.may_have_run
        await stage.is_served(wire)
        assert [len(stage.received(one)) for one in (number, held)] == [1, 1]
        await stage.rests()

    on_stage(era, scene)


@in_both_eras
@first_or_again
def test_a_call_to_a_program_that_has_just_died_is_answered_once(on_stage, era: str, before: int) -> None:
    async def scene(stage: Stage) -> None:
        wire = await stage.wire(before=AGAIN)
        pid = int((await stage.answer(wire, "pid")).said)
        if before == FIRST:
            wire = await stage.wire(before=FIRST)
        os.kill(pid, signal.SIGKILL)
        answer = await stage.answer(wire, "echo")
        runs = len(stage.received(answer.messages[-1]["id"]))
        if answer.said == "!upstream_exited":
            assert runs <= answer.may_have_run
        else:
            assert (json.loads(answer.said)["do"], runs) == ("echo", 1)
        await stage.is_served(wire)
        await stage.rests()

    on_stage(era, scene)


@in_both_eras
@first_or_again
def test_a_call_whose_client_goes_is_cancelled_and_its_late_answer_is_nobodys(on_stage, era: str, before: int) -> None:
    async def scene(stage: Stage) -> None:
        other = await stage.wire()
        wire = await stage.wire(before=before)
        request_id = await stage.arrived(await stage.send(wire, "hold"))
        wire.reset()
        await stage.rig.until(lambda: stage.cancelled() == [request_id])
        dropped = stage.dropped()["replies"]
        assert (await stage.answer(other, "release")).status == 200
        assert stage.dropped()["replies"] == dropped + 1
        await stage.is_served(other)
        await stage.rests()

    on_stage(era, scene)


@in_both_eras
@first_or_again
def test_a_call_that_takes_too_long_is_cancelled_and_those_beside_it_go_on(on_stage, era: str, before: int) -> None:
    async def scene(stage: Stage) -> None:
        beside, wire = await stage.wire(), await stage.wire(before=FIRST)
        for _ in range(before):
            assert (await stage.answer(wire, "echo", tool="hasty")).status == 200
        await stage.arrived(await stage.send(beside, "hold"))
        number = await stage.send(wire, "never", tool="hasty")
        request_id = await stage.arrived(number)
        assert (await wire.answer()).said == "!upstream_timeout"
        await stage.rig.until(lambda: stage.cancelled() == [request_id])
        assert (await stage.answer(wire, "release", tool="hasty")).status == 200
        assert (await beside.answer()).said.startswith("held")
        await stage.rests()

    on_stage(era, scene)


@in_both_eras
def test_of_many_calls_with_other_deadlines_each_ends_at_its_own(on_stage, era: str) -> None:
    async def scene(stage: Stage) -> None:
        patient = [await stage.wire() for _ in range(3)]
        hasty = [await stage.wire() for _ in range(3)]
        for one, other in zip(patient, hasty, strict=True):
            await stage.arrived(await stage.send(one, "hold"))
            await stage.arrived(await stage.send(other, "never", tool="hasty"))
        assert [(await wire.answer()).said for wire in hasty] == ["!upstream_timeout"] * 3
        await stage.answer(hasty[0], "release")
        assert all([(await wire.answer()).said.startswith("held") for wire in patient])
        await stage.rig.until(lambda: len(stage.cancelled()) == 3)
        await stage.rests()

    on_stage(era, scene)


@in_both_eras
@first_or_again
@pytest.mark.parametrize(
    ("do", "arguments", "said"),
    [
        ("string_id", {}, "right"),
        ("twice", {}, "first"),
        ("ahead", {}, "right"),
        ("junk", {}, "after junk"),
        ("foreign_progress", {}, "done"),
        ("logs", {}, "done"),
        ("change", {"uri": "fake://r"}, "changed"),
        ("fault", {"code": -32001}, "!-32001"),
        ("raw", {"line": '{"jsonrpc":"2.0","id":ID,"result":[]}'}, "!upstream_invalid"),
        ("raw", {"line": '{"jsonrpc":"2.0","id":ID,"result":{"n":NaN}}'}, "!upstream_invalid"),
        ("raw", {"line": '{"jsonrpc":"2.0","id":ID,"result":{},"error":{"code":1}}'}, "!upstream_invalid"),
    ],
)  # fmt: skip
def test_what_else_a_program_says_costs_nobody_but_the_call_it_spoils(
    on_stage, era: str, before: int, do: str, arguments: Any, said: str
) -> None:
    async def scene(stage: Stage) -> None:
        beside = await stage.wire()
        wire = await stage.wire(before=before)
        held = await stage.send(beside, "hold")
        await stage.arrived(held)
        answer = await stage.answer(wire, do, **arguments)
        assert (answer.said, len(answer.messages)) == (said, 1)
        for _ in range(25):
            await stage.is_served(wire)
        if do != "ahead":
            await stage.answer(wire, "release")
            assert (await beside.answer()).said.startswith("held")
            await stage.rests()

    on_stage(era, scene)


@in_both_eras
def test_a_call_that_wants_progress_gets_what_there_is_before_its_answer(on_stage, era: str) -> None:
    async def scene(stage: Stage) -> None:
        wire = await stage.wire()
        answer = await stage.answer(wire, "progress", count=5, meta={"progressToken": "mine"})
        told = [message["params"] for message in answer.messages[:-1]]
        assert [one["progress"] for one in told] == list(range(5))
        assert {one["progressToken"] for one in told} == {"mine"}
        flood = await stage.answer(wire, "progress", count=2000, meta={"progressToken": "mine"})
        assert flood.said == "done"
        await stage.is_served(wire)
        await stage.rests()

    on_stage(era, scene)


@first_or_again
def test_a_question_in_mid_call_is_refused_where_nobody_can_be_asked(on_stage, before: int) -> None:
    async def scene(stage: Stage) -> None:
        wire = await stage.wire(before=before)
        answer = await stage.answer(wire, "ask", method="elicitation/create", params={"message": "?"})
        assert json.loads(answer.said)["error"]["code"] == -32601
        await stage.is_served(wire)
        await stage.rests()

    on_stage("legacy", scene)


@first_or_again
def test_a_modern_programs_question_reaches_the_caller_as_a_result(on_stage, before: int) -> None:
    async def scene(stage: Stage) -> None:
        wire = await stage.wire(before=before)
        able = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
        for _ in range(before):
            await stage.answer(wire, "echo", meta=able)
        asked = (await stage.answer(wire, "input_required", meta=able)).messages[-1]["result"]
        assert asked["resultType"] == "input_required"
        assert asked["inputRequests"]["q"]["params"]["message"] == "round 0"
        refused = await stage.answer(wire, "input_required")
        assert refused.said == "!upstream_invalid"
        await stage.is_served(wire)
        await stage.rests()

    on_stage("modern", scene)
