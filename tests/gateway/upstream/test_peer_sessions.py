"""Who gets which session, how many there are, and whom an upstream may ask (DESIGN §4; attack book STD-13, UPF-17)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import AskRefused, Suspended
from toolyard.gateway.upstream import sessions_pool
from toolyard.gateway.upstream.errors import UpstreamBusy, UpstreamInvalid, UpstreamTimedOut
from toolyard.gateway.upstream.mcp_stdio import StdioUpstream
from toolyard.kit.clock import ManualClock

from .at_once import StdioAtOnce
from .callers import Caller, RecordedEvents, said
from .leftovers import alive, eventually, run_clean

FAKE = str(Path(__file__).with_name("fake_stdio_server.py"))
ELICIT: Json = {"elicitation": {}}


class NoWait:
    """Chance that always decides for the shortest wait."""

    def uniform(self, low: float, high: float) -> float:
        return low


@pytest.fixture(autouse=True, params=["waited-for", "begun"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a request goes its way."""
    if request.param == "begun":
        monkeypatch.setitem(globals(), "StdioUpstream", StdioAtOnce)


class Rig:
    """One upstream on the fake server, with its clock, events and what it was sent."""

    def __init__(self, log: Path, *arguments: str, **more: Any) -> None:
        self.log = log
        self.clock = ManualClock()
        self.events = RecordedEvents()
        command = (sys.executable, "-S", "-E", FAKE, "--log", str(log), *arguments)
        self.spec = UpstreamSpec(id="fake", kind="mcp-stdio", command=command, **more)
        self.upstream = StdioUpstream(
            self.spec, events=self.events, clock=self.clock, rng=NoWait(),  # type: ignore[arg-type]
        )  # fmt: skip

    async def tool(self, caller: Caller, name: str, /, seconds: float = 20.0, **arguments: Any) -> Any:
        params = {"name": name, "arguments": arguments}
        return said(await self.upstream.request(caller.call(seconds), "tools/call", params))

    async def until(self, name: str, count: int = 1) -> None:
        """Wait until the upstream has received `count` calls of one tool."""
        while len([c for c in self.received("tools/call") if c["params"]["name"] == name]) < count:
            await asyncio.sleep(0.005)

    def received(self, method: str) -> list[Any]:
        if not self.log.exists():
            return []
        messages = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        return [message for message in messages if message.get("method") == method]


def drive(use: Callable[[Rig], Awaitable[None]], log: Path, *arguments: str, **more: Any) -> None:
    async def whole() -> None:
        rig = Rig(log, *arguments, **more)
        try:
            await use(rig)
        finally:
            await rig.upstream.aclose()

    run_clean(whole)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "received"


# -- who gets which ----------------------------------------------------------------------------------------------------


def test_callers_never_share_a_legacy_session_unless_the_upstream_is_stateless(log: Path) -> None:
    async def use(rig: Rig) -> None:
        a, b = Caller("key:a"), Caller("key:b")
        pids = [await rig.tool(caller, "pid") for caller in (a, b, a, b)]
        assert pids[0] == pids[2] != pids[1] == pids[3]
        shared = [await rig.tool(Caller(who, isolation=""), "pid") for who in ("key:c", "key:d")]
        assert shared[0] == shared[1] not in pids

    drive(use, log)


def test_a_modern_upstream_is_one_process_for_everybody(log: Path) -> None:
    async def use(rig: Rig) -> None:
        await rig.upstream.observe()
        b, c = Caller("key:b", era="modern", capabilities=ELICIT), Caller("key:c", capabilities={"roots": {}})
        assert len({await rig.tool(caller, "pid") for caller in (Caller("key:a"), b, c)}) == 1

    drive(use, log, "--era", "modern")


def test_the_gateway_lists_on_a_session_of_its_own_that_declares_everything(log: Path) -> None:
    async def use(rig: Rig) -> None:
        await rig.upstream.observe()
        await rig.tool(Caller("key:a"), "pid")
        await rig.upstream.observe()
        declared = [message["params"]["capabilities"] for message in rig.received("initialize")]
        assert declared == [{"elicitation": {"form": {}, "url": {}}, "roots": {}, "sampling": {}}, {}]

    drive(use, log)


def test_the_gateways_own_session_takes_no_place_that_a_caller_used_just_now(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_pool, "QUEUE_S", 0.2)

    async def use(rig: Rig) -> None:
        pid = await rig.tool(Caller("key:a"), "pid")
        with pytest.raises(UpstreamBusy):
            await rig.upstream.observe()
        assert await rig.tool(Caller("key:a"), "pid") == pid
        rig.clock.advance(61.0)
        assert (await rig.upstream.observe()).era == "legacy"
        assert await rig.tool(Caller("key:a"), "pid") != pid

    drive(use, log, max_processes=1)


def test_a_session_declares_exactly_the_callers_capabilities_as_far_as_they_can_be_bridged(log: Path) -> None:
    async def use(rig: Rig) -> None:
        wide: Json = {"elicitation": {"url": {}}, "roots": {"listChanged": True}, "experimental": {"x": {}}}
        assert await rig.tool(Caller(capabilities=wide), "declared_capabilities") == wide
        assert await rig.tool(Caller(capabilities=ELICIT), "declared_capabilities") == ELICIT
        bridged: Json = {"elicitation": {"url": {}}, "roots": {}}
        assert await rig.tool(Caller(era="modern", capabilities=wide), "declared_capabilities") == bridged

    drive(use, log)


def test_many_first_calls_at_once_start_one_process(log: Path) -> None:
    async def use(rig: Rig) -> None:
        pids = await asyncio.gather(*(rig.tool(Caller(), "pid") for _ in range(20)))
        assert len(set(pids)) == 1
        assert len(rig.received("initialize")) == 1

    drive(use, log)


def test_a_caller_that_gives_up_during_the_start_does_not_spoil_it_for_the_others(log: Path) -> None:
    async def use(rig: Rig) -> None:
        with pytest.raises(UpstreamTimedOut) as caught:
            await rig.tool(Caller(), "pid", seconds=0.001)
        assert not caught.value.may_have_run
        assert await rig.tool(Caller(), "echo", n=1) == {"n": 1}
        assert len(rig.received("initialize")) == 1

    drive(use, log)


# -- how many ----------------------------------------------------------------------------------------------------------


def test_the_session_that_idled_longest_makes_room(log: Path) -> None:
    async def use(rig: Rig) -> None:
        pids = []
        for who in ("key:a", "key:b"):
            pids.append(await rig.tool(Caller(who), "pid"))
            rig.clock.advance(1.0)
        await rig.tool(Caller("key:a"), "echo")
        rig.clock.advance(1.0)
        await rig.tool(Caller("key:c"), "echo")
        eventually(lambda: not alive(pids[1]), "the oldest ends")
        assert await rig.tool(Caller("key:a"), "pid") == pids[0]
        assert len(rig.upstream.status()["sessions"]) == 2

    drive(use, log, max_processes=2)


def test_who_has_most_sessions_makes_room_and_drives_nobody_else_out(log: Path) -> None:
    async def use(rig: Rig) -> None:
        kept = await rig.tool(Caller("key:b"), "pid")
        for handle in range(6):
            rig.clock.advance(1.0)
            await rig.tool(Caller("key:a", isolation=f"key:a handle {handle}"), "pid")
        assert await rig.tool(Caller("key:b"), "pid") == kept
        assert len(rig.upstream.status()["sessions"]) == 3

    drive(use, log, max_processes=3)


def test_when_all_are_busy_a_new_caller_is_refused_and_nothing_has_run(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_pool, "QUEUE_S", 0.2)

    async def use(rig: Rig) -> None:
        running = asyncio.ensure_future(rig.tool(Caller("key:a"), "hold"))
        await rig.until("hold")
        with pytest.raises(UpstreamBusy) as caught:
            await rig.tool(Caller("key:b"), "echo")
        assert not caught.value.may_have_run
        await rig.tool(Caller("key:a"), "release")
        await running
        assert await rig.tool(Caller("key:b"), "echo", n=1) == {"n": 1}

    drive(use, log, max_processes=1)


def test_a_caller_waits_for_a_place_that_comes_free_in_time(log: Path) -> None:
    async def use(rig: Rig) -> None:
        running = asyncio.ensure_future(rig.tool(Caller("key:a"), "hold"))
        await rig.until("hold")
        others = [asyncio.ensure_future(rig.tool(Caller(f"key:{n}"), "echo", n=n)) for n in range(3)]
        await asyncio.sleep(0)
        await rig.tool(Caller("key:a"), "release")
        await running
        assert await asyncio.gather(*others) == [{"n": n} for n in range(3)]
        assert len(rig.upstream.status()["sessions"]) == 1

    drive(use, log, max_processes=1)


def test_a_session_that_nobody_used_for_ten_minutes_ends(log: Path) -> None:
    async def use(rig: Rig) -> None:
        pid = await rig.tool(Caller(), "pid")
        rig.clock.advance(599.0)
        rig.upstream._pool.sweep()
        assert alive(pid)
        rig.clock.advance(1.0)
        rig.upstream._pool.sweep()
        assert rig.upstream.status()["sessions"] == []
        assert await rig.tool(Caller(), "pid") != pid
        assert rig.upstream.status()["restarts"] == 0

    drive(use, log)


# -- whom an upstream may ask ------------------------------------------------------------------------------------------


async def accept(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
    return {key: {"action": "accept", "content": {"state": state}} for key in requests}


def test_a_legacy_upstreams_question_goes_to_the_caller_and_its_answer_back(log: Path) -> None:
    async def use(rig: Rig) -> None:
        caller = Caller(capabilities=ELICIT, answer=accept)
        question = {"message": "?", "requestedSchema": {}}
        answer = await rig.tool(caller, "ask", method="elicitation/create", params=question)
        assert answer == {"result": {"action": "accept", "content": {"state": None}}}
        assert caller.asked == [({"ask": {"method": "elicitation/create", "params": question}}, None)]

    drive(use, log)


@pytest.mark.parametrize(
    ("meta", "kept"), [({"progressToken": 7}, {}), ({"progressToken": 7, "x/y": 1}, {"_meta": {"x/y": 1}})]
)
def test_a_question_invites_to_no_progress_since_it_could_not_be_passed_on(log: Path, meta: Json, kept: Json) -> None:
    async def use(rig: Rig) -> None:
        caller = Caller(capabilities=ELICIT, answer=accept)
        await rig.tool(caller, "ask", method="elicitation/create", params={"message": "?", "_meta": meta})
        assert caller.asked[0][0]["ask"]["params"] == {"message": "?", **kept}

    drive(use, log)


def test_calls_of_a_session_that_may_ask_run_one_after_the_other(log: Path) -> None:
    async def use(rig: Rig) -> None:
        caller = Caller(capabilities=ELICIT, answer=accept)
        await rig.tool(caller, "echo")
        first = asyncio.ensure_future(rig.tool(caller, "never", seconds=0.5))
        await rig.until("never")
        second = asyncio.ensure_future(rig.tool(caller, "echo", n=2))
        with pytest.raises(UpstreamBusy) as caught:
            await rig.tool(caller, "echo", seconds=0.1)
        assert not caught.value.may_have_run
        assert len(rig.received("tools/call")) == 2
        with pytest.raises(UpstreamTimedOut):
            await first
        assert await second == {"n": 2}

    drive(use, log)


@pytest.mark.slow
def test_a_question_right_after_the_handshake_goes_to_the_call_that_opened_the_session(log: Path) -> None:
    roots: Json = {"roots": [{"uri": "file:///home"}]}

    async def answer(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        return dict.fromkeys(requests, roots)

    async def use(rig: Rig) -> None:
        await rig.upstream.observe()
        caller = Caller(capabilities={"roots": {}}, answer=answer)
        first = asyncio.ensure_future(rig.tool(caller, "never", seconds=1.0))
        with pytest.raises(UpstreamTimedOut):
            await first
        assert await rig.tool(caller, "answered_at_start") == [{"result": roots}]
        assert caller.asked == [({"ask": {"method": "roots/list"}}, None)]

    drive(use, log, "--ask-at-start")


def test_the_gateways_own_session_has_no_roots(log: Path) -> None:
    async def use(rig: Rig) -> None:
        await rig.upstream.observe()
        await rig.upstream.observe()
        answers = [m for line in log.read_text().splitlines() if (m := json.loads(line)).get("id") == "at-start"]
        assert [m["result"] for m in answers] == [{"roots": []}]

    drive(use, log, "--ask-at-start")


@pytest.mark.parametrize(
    ("method", "declared"),
    [
        ("elicitation/create", {"sampling": {}}),
        ("sampling/createMessage", {"elicitation": {}}),
        ("roots/list", {"elicitation": {}}),
        ("elicitation/create", {}),
        ("no/such", {"elicitation": {}}),
        ("tools/call", {"elicitation": {}}),
    ],
)
def test_what_the_caller_did_not_declare_is_refused(log: Path, method: str, declared: Json) -> None:
    async def use(rig: Rig) -> None:
        answer = await rig.tool(Caller(capabilities=declared), "ask", method=method)
        assert answer["error"]["code"] == -32601

    drive(use, log)


def test_a_modern_caller_is_asked_through_its_call_which_is_held_meanwhile(log: Path) -> None:
    async def use(rig: Rig) -> None:
        caller = Caller(era="modern", capabilities=ELICIT, answer=accept)
        answer = await rig.tool(caller, "ask", method="elicitation/create")
        assert answer["result"]["action"] == "accept"

    drive(use, log)


def test_while_a_person_thinks_other_clients_work_and_are_asked_on_the_same_session(log: Path) -> None:
    answered = asyncio.Event()

    async def think(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        await answered.wait()
        return {key: {"action": "accept", "content": {"who": "thinker"}} for key in requests}

    async def decline(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        return {key: {"action": "decline"} for key in requests}

    async def use(rig: Rig) -> None:
        thinker = Caller(era="modern", capabilities=ELICIT, answer=think)
        quick = Caller(era="modern", capabilities=ELICIT, answer=decline)
        waiting = asyncio.ensure_future(rig.tool(thinker, "ask", method="elicitation/create"))
        assert await rig.tool(quick, "echo", n=1) == {"n": 1}
        other = await rig.tool(quick, "ask", method="elicitation/create", ask_id="s-2")
        assert other["result"] == {"action": "decline"}
        assert len(thinker.asked) == 1
        holding = asyncio.ensure_future(rig.tool(quick, "hold"))
        await rig.until("hold")
        answered.set()
        assert not waiting.done()
        holding.cancel()
        assert (await waiting)["result"]["content"] == {"who": "thinker"}
        assert len(rig.received("initialize")) == 1

    drive(use, log)


def test_an_answer_reaches_an_upstream_that_does_one_thing_at_a_time(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolyard.gateway.upstream.turns.PATIENCE_S", 0.05)
    answered = asyncio.Event()

    async def think(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        await answered.wait()
        return await accept(requests, state)

    async def use(rig: Rig) -> None:
        thinker = Caller(era="modern", capabilities=ELICIT, answer=think)
        quick = Caller(era="modern", capabilities=ELICIT, answer=accept)
        waiting = asyncio.ensure_future(rig.tool(thinker, "ask", method="elicitation/create"))
        await rig.until("ask")
        holding = asyncio.ensure_future(rig.tool(quick, "hold"))
        await rig.until("hold")
        answered.set()
        assert (await waiting)["result"]["action"] == "accept"
        assert not holding.done()
        holding.cancel()

    drive(use, log)


def test_a_modern_upstream_may_not_push_requests(log: Path) -> None:
    async def use(rig: Rig) -> None:
        answer = await rig.tool(Caller(capabilities=ELICIT), "ask", method="elicitation/create")
        assert answer["error"]["code"] == -32601

    drive(use, log, "--era", "modern")


def test_a_ping_is_answered(log: Path) -> None:
    async def use(rig: Rig) -> None:
        assert await rig.tool(Caller(), "ask", method="ping") == {"result": {}}

    drive(use, log)


def test_a_caller_that_refuses_is_an_error_for_the_upstream_and_no_end_of_the_call(log: Path) -> None:
    async def refuse(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        raise AskRefused

    async def use(rig: Rig) -> None:
        answer = await rig.tool(Caller(capabilities=ELICIT, answer=refuse), "ask", method="elicitation/create")
        assert answer["error"]["code"] == -32603

    drive(use, log)


def test_a_question_ends_with_the_call_it_belongs_to(log: Path) -> None:
    ended = asyncio.Event()

    async def think(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return {}

    async def use(rig: Rig) -> None:
        with pytest.raises(UpstreamTimedOut):
            await rig.tool(Caller(capabilities=ELICIT, answer=think), "ask", seconds=0.5, method="elicitation/create")
        await ended.wait()

    drive(use, log)


# -- rounds of a modern upstream ---------------------------------------------------------------------------------------


def test_a_modern_upstreams_questions_are_asked_round_by_round_with_its_state(log: Path) -> None:
    async def use(rig: Rig) -> None:
        caller = Caller(capabilities=ELICIT, answer=accept)
        assert await rig.tool(caller, "input_required", rounds=3) == [
            3,
            {"q": {"action": "accept", "content": {"state": "state-3"}}},
        ]
        assert [state for _, state in caller.asked] == ["state-1", "state-2", "state-3"]

    drive(use, log, "--era", "modern")


def test_a_modern_callers_retry_brings_answers_and_state_up(log: Path) -> None:
    async def suspend(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        raise Suspended(requests, state)

    async def use(rig: Rig) -> None:
        caller = Caller(era="modern", capabilities=ELICIT, answer=suspend)
        with pytest.raises(Suspended) as caught:
            await rig.tool(caller, "input_required")
        assert caught.value.state == "state-1"
        caller.more = {"input_responses": {"q": {"action": "decline"}}, "upstream_state": "state-1"}
        assert await rig.tool(caller, "input_required") == [1, {"q": {"action": "decline"}}]

    drive(use, log, "--era", "modern")


def test_an_upstream_that_asks_for_ever_is_stopped_after_ten_rounds(log: Path) -> None:
    async def use(rig: Rig) -> None:
        caller = Caller(capabilities=ELICIT, answer=accept)
        with pytest.raises(UpstreamInvalid, match="more than 10 times"):
            await rig.tool(caller, "input_required", rounds=1000)
        assert len(rig.received("tools/call")) == 11

    drive(use, log, "--era", "modern")


def test_a_question_the_caller_did_not_declare_is_an_invalid_answer(log: Path) -> None:
    async def use(rig: Rig) -> None:
        with pytest.raises(UpstreamInvalid, match="did not offer"):
            await rig.tool(Caller(era="modern", capabilities={"roots": {}}), "input_required")

    drive(use, log, "--era", "modern")


# -- changes -----------------------------------------------------------------------------------------------------------


def test_changes_of_a_legacy_upstream_are_told_with_the_owner_of_the_session(log: Path) -> None:
    async def use(rig: Rig) -> None:
        caller = Caller("key:a")
        await rig.upstream.watch(caller.call(), "fake://r")
        await rig.tool(caller, "change", uri="fake://r")
        assert rig.events.changed == [("fake", "tools")]
        assert rig.events.updated == [("fake", "key:a", {"uri": "fake://r"})]
        await rig.upstream.watch(caller.call(), "fake://r")
        await rig.upstream.unwatch(caller.call(), "fake://r")
        assert len(rig.received("resources/unsubscribe")) == 0
        await rig.upstream.unwatch(caller.call(), "fake://r")
        assert [m["params"]["uri"] for m in rig.received("resources/subscribe")] == ["fake://r"]
        assert [m["params"]["uri"] for m in rig.received("resources/unsubscribe")] == ["fake://r"]

    drive(use, log)


def test_a_watched_session_that_dies_is_opened_again_and_subscribes_again(log: Path) -> None:
    async def use(rig: Rig) -> None:
        caller = Caller("key:a")
        await rig.upstream.watch(caller.call(), "fake://r")
        rig.clock.advance(3600.0)
        rig.upstream._pool.sweep()
        with pytest.raises(Exception, match="ended"):
            await rig.tool(caller, "die")
        while len(rig.received("resources/subscribe")) < 2:
            await asyncio.sleep(0.01)
        assert len(rig.received("initialize")) == 2

    drive(use, log)


def test_a_modern_upstream_is_listened_to_with_the_union_of_what_is_watched(log: Path) -> None:
    async def use(rig: Rig) -> None:
        a, b = Caller("key:a", era="modern"), Caller("key:b", era="modern")
        await rig.upstream.watch(a.call(), "fake://1")
        await rig.upstream.watch(b.call(), "fake://2")
        await rig.upstream.watch(b.call(), "fake://1")
        latest = (await rig.tool(a, "listening"))[-1]
        assert latest[1] == {"toolsListChanged": True, "resourceSubscriptions": ["fake://1", "fake://2"]}
        await rig.tool(a, "change", uri="fake://1")
        assert rig.events.updated == [("fake", None, {"uri": "fake://1"})]
        await rig.upstream.unwatch(a.call(), "fake://1")
        await rig.upstream.unwatch(b.call(), "fake://1")
        listens = await rig.tool(a, "listening")
        assert listens[-1][1]["resourceSubscriptions"] == ["fake://2"]
        replaced = {listen[0] for listen in listens[:-1]}
        while {c["params"]["requestId"] for c in rig.received("notifications/cancelled")} != replaced:
            await asyncio.sleep(0.01)

    drive(use, log, "--era", "modern")


def test_the_log_level_of_a_legacy_session_is_the_lowest_asked_for(log: Path) -> None:
    async def use(rig: Rig) -> None:
        for level in ("error", "error", "info", "warning"):
            await rig.tool(Caller(log_level=level), "echo")
        assert [m["params"]["level"] for m in rig.received("logging/setLevel")] == ["error", "info"]

    drive(use, log)


def test_a_level_that_one_client_chose_takes_nothing_from_one_that_chose_none(log: Path) -> None:
    async def use(rig: Rig) -> None:
        await rig.tool(Caller(log_level="debug", log_level_chosen=False), "echo")
        assert rig.received("logging/setLevel") == []
        await rig.tool(Caller(log_level="error"), "echo")
        await rig.tool(Caller(log_level="debug", log_level_chosen=False), "echo")
        assert [m["params"]["level"] for m in rig.received("logging/setLevel")] == ["error", "debug"]

    drive(use, log)
