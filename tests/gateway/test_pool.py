"""The pool of live upstreams: looked at in their turn, replaced without a cut call, and never in each other's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.gateway.fake_upstream import Fakes, FakeUpstream
from tests.gateway.virtual_time import LoopClock, run_virtually
from tests.unit.contract.making import observed, snap, upstream
from toolyard.contract.definitions import Observation
from toolyard.contract.snapshot import ToolRule
from toolyard.gateway.pool import CLOSE_LIMIT_S, MAX_BACKOFF_S, OBSERVE_LIMIT_S, REFRESH_S, Pool
from toolyard.gateway.upstream.errors import UpstreamUnreachable


class Scene:
    """A pool of fakes in virtual time, and all it has seen."""

    def __init__(self, fakes: Fakes, known: dict[str, Observation] | None = None) -> None:
        self.fakes = fakes
        self.seen: list[str] = []
        self.prepared: list[tuple[str, list[str]]] = []
        self.pool = Pool(
            lambda spec, era: fakes.make(spec, None, None, era),
            clock=LoopClock(),
            known=(known or {}).get,
            on_observation=lambda o: self.seen.append(o.upstream_id),
            prepare=self.prepare,
        )

    async def prepare(self, observation: Observation) -> None:
        self.prepared.append((observation.upstream_id, list(self.seen)))

    def states(self) -> dict[str, Any]:
        return {s["id"]: s["state"] for s in self.pool.status()}


def play(
    scene: Callable[[Scene], Awaitable[None]],
    *offers: Observation,
    prepare: Callable[[FakeUpstream], None] = lambda _made: None,
    known: dict[str, Observation] | None = None,
) -> None:
    async def run() -> None:
        made = Scene(Fakes(*offers, prepare=prepare), known)
        try:
            await scene(made)
        finally:
            await made.pool.aclose()

    run_virtually(run())


def all_dead(fake: FakeUpstream) -> None:
    fake.dead = True


def hung(fake: FakeUpstream) -> None:
    fake.gate.clear()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(50_000):
        while not condition():
            await asyncio.sleep(0.5)


def test_what_an_upstream_offers_is_prepared_before_it_is_in_force():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a"))
        await s.pool.tried(("a",), 5)
        assert (s.prepared, s.seen) == ([("a", [])], ["a"])

    play(scene, observed("a", "x"))


def test_every_upstream_of_a_snapshot_is_observed_and_then_ready():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a", "b"))
        assert s.states() == {"a": "pending", "b": "pending"}
        await s.pool.tried(("a", "b"), 5)
        assert s.states() == {"a": "ready", "b": "ready"}
        assert sorted(s.seen) == ["a", "b"]

    play(scene)


def test_the_era_that_was_seen_last_is_handed_to_the_driver():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a", "b"))
        assert sorted(map(str, s.fakes.hints)) == ["None", "legacy"]

    play(scene, known={"a": observed("a", era="legacy")})


def test_a_dead_upstream_is_failing_with_a_reason_and_the_others_are_ready():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a", "b"))
        s.fakes["a"].dead = True
        await s.pool.tried(("a", "b"), 5)
        assert s.states() == {"a": "failing", "b": "ready"}
        (told,) = [t for t in s.pool.status() if t["id"] == "a"]
        assert (told["error"], told["error_code"], told["failures"]) == ("a is dead", "upstream_unreachable", 1)
        assert s.pool.stale(("a", "b", "never heard of")) == ["a"]

    play(scene)


def test_an_upstream_that_lives_again_is_ready_and_its_failures_are_forgotten():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a"))
        s.fakes["a"].dead = True
        await until(lambda: s.fakes["a"].observed == 3)
        s.fakes["a"].dead = False
        await until(lambda: s.seen)
        (told,) = s.pool.status()
        assert (told["state"], told["error"], told["error_code"], told["failures"]) == ("ready", None, None, 0)

    play(scene)


def test_a_dead_upstream_is_tried_later_and_later_up_to_a_minute():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a"))
        await until(lambda: s.fakes["a"].observed == 12)
        at = s.fakes["a"].observed_at
        waits = [later - earlier for earlier, later in pairwise(at)]
        for number, wait_s in enumerate(waits, start=1):
            limit_s = min(MAX_BACKOFF_S, 2.0**number)
            assert limit_s / 2 <= wait_s <= limit_s + 0.01

    play(scene, prepare=all_dead)


def test_a_live_upstream_is_looked_at_every_five_minutes_or_so():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a"))
        await until(lambda: s.fakes["a"].observed == 5)
        at = s.fakes["a"].observed_at
        assert all(0.79 * REFRESH_S < b - a < 1.21 * REFRESH_S for a, b in pairwise(at))

    play(scene)


def test_an_upstream_that_never_answers_is_failing_after_its_limit():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a"))
        await s.pool.tried(("a",), 2 * OBSERVE_LIMIT_S)
        (told,) = s.pool.status()
        assert (told["state"], told["error_code"]) == ("failing", "upstream_timeout")

    play(scene, prepare=hung)


def test_waiting_for_a_first_look_ends_at_its_limit_and_at_once_for_nobody():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a"))
        before = asyncio.get_running_loop().time()
        await s.pool.tried(("nobody",), 5)
        assert asyncio.get_running_loop().time() == before
        await s.pool.tried(("a",), 5)
        assert asyncio.get_running_loop().time() == before + 5

    play(scene, prepare=hung)


def test_a_change_is_looked_at_at_once():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a"))
        await until(lambda: s.seen)
        before = asyncio.get_running_loop().time()
        s.pool.refresh("a")
        s.pool.refresh("never heard of")
        await until(lambda: s.fakes["a"].observed == 2)
        assert s.fakes["a"].observed_at[-1] == before

    play(scene)


def test_changes_announced_every_ten_milliseconds_are_looked_at_about_once_a_second_and_the_last_is_not_missed():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a"))
        await until(lambda: s.seen)
        for _ in range(1000):
            s.pool.refresh("a")
            await asyncio.sleep(0.01)
        last_change = asyncio.get_running_loop().time()
        s.pool.refresh("a")
        await asyncio.sleep(5)
        assert s.fakes["a"].observed <= 17
        assert s.fakes["a"].observed_at[-1] >= last_change
        told = s.fakes["a"].observed
        await asyncio.sleep(60)
        assert s.fakes["a"].observed == told

    play(scene)


def test_an_unchanged_upstream_keeps_its_connection_when_the_snapshot_changes():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a", "b"))
        kept = s.pool.get("a")
        s.pool.reconcile(snap("a", upstream("b", timeout_s=7), "c", revision=2))
        assert s.pool.get("a") is kept
        assert [f.spec.id for f in s.fakes.made].count("a") == 1
        assert s.pool.get("b").spec.timeout_s == 7

    play(scene)


@pytest.mark.parametrize("took", ["removed", "switched off", "replaced"])
def test_an_upstream_that_is_gone_is_closed_and_not_looked_at_again(took):
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a", "b"))
        await s.pool.tried(("a", "b"), 5)
        old = s.fakes["a"]
        rest = {"removed": (), "switched off": (upstream("a", enabled=False),), "replaced": (upstream("a", cwd="/"),)}[
            took
        ]
        s.pool.reconcile(snap("b", *rest, revision=2))
        await until(lambda: old.closed)
        seen = old.observed
        await asyncio.sleep(2 * REFRESH_S)
        assert (old.observed, old.closed) == (seen, 1)
        if took != "replaced":
            with pytest.raises(UpstreamUnreachable, match="not configured"):
                s.pool.get("a")

    play(scene)


def test_a_replaced_upstream_ends_what_is_in_flight_before_it_is_closed():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap(upstream("a", timeout_s=25)))
        await s.pool.tried(("a",), 5)
        entry, old = s.pool.entry("a"), s.fakes["a"]
        entry.in_flight = 2
        s.pool.reconcile(snap(upstream("a", timeout_s=26), revision=2))
        assert s.pool.get("a") is not old
        await asyncio.sleep(20)
        assert old.closed == 0
        entry.in_flight = 0
        await asyncio.sleep(1)
        assert old.closed == 1

    play(scene)


@pytest.mark.parametrize("tool_timeout_s", [None, 90.0])
def test_what_is_in_flight_on_a_replaced_upstream_has_as_long_as_a_call_may_take(tool_timeout_s):
    async def scene(s: Scene) -> None:
        limit_s = tool_timeout_s or 25.0
        spec = upstream("a", timeout_s=25, tools={"slow": ToolRule(timeout_s=tool_timeout_s)})
        s.pool.reconcile(snap(spec))
        await s.pool.tried(("a",), 5)
        s.pool.entry("a").in_flight = 1
        old = s.fakes["a"]
        s.pool.reconcile(snap(replace(spec, timeout_s=24), revision=2))
        await asyncio.sleep(limit_s - 1)
        assert old.closed == 0
        await asyncio.sleep(2)
        assert old.closed == 1

    play(scene)


def test_the_end_of_the_gateway_closes_upstreams_that_were_waiting_to_be_closed():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a", "b"))
        s.pool.entry("a").in_flight = 1
        old = s.fakes["a"]
        s.pool.reconcile(snap("b", revision=2))
        await asyncio.sleep(1)
        assert old.closed == 0
        await s.pool.aclose()
        assert (old.closed, s.fakes["b"].closed) == (1, 1)

    play(scene)


def test_the_end_of_the_gateway_lets_what_is_being_closed_come_to_its_end():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap("a"))
        await s.pool.tried(("a",), 5)
        old, begun, ended = s.fakes["a"], asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            begun.set()
            await asyncio.sleep(CLOSE_LIMIT_S / 2)
            ended.set()

        old.aclose = slow  # type: ignore[method-assign]
        s.pool.reconcile(snap(revision=2))
        await begun.wait()
        await s.pool.aclose()
        assert ended.is_set()

    play(scene, observed("a", "x"))


def test_an_upstream_that_cannot_be_closed_does_not_keep_the_others_open():
    async def scene(s: Scene) -> None:
        async def never() -> None:
            await asyncio.Event().wait()

        async def refuses() -> None:
            raise UpstreamUnreachable

        s.pool.reconcile(snap("a", "b", "c"))
        s.fakes["a"].aclose, s.fakes["b"].aclose = never, refuses  # type: ignore[method-assign]
        before = asyncio.get_running_loop().time()
        await s.pool.aclose()
        assert s.fakes["c"].closed == 1
        assert asyncio.get_running_loop().time() - before <= CLOSE_LIMIT_S

    play(scene)


def test_programs_are_started_a_few_at_a_time_and_everything_else_at_once():
    async def scene(s: Scene) -> None:
        programs = [upstream(f"p{n}", kind="mcp-stdio", command=("x",)) for n in range(20)]
        s.pool.reconcile(snap(*programs, *(f"h{n}" for n in range(20))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        at_once = [f.spec.id for f in s.fakes.made if f.observed]
        assert [i for i in at_once if i[0] == "h"] == [f"h{n}" for n in range(20)]
        assert 1 <= len([i for i in at_once if i[0] == "p"]) < 20

    play(scene, prepare=hung)


def test_what_answered_before_is_looked_at_before_what_never_did():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap(upstream("p", kind="mcp-stdio", command=("x",)), "new", "known"))
        assert [f.spec.id for f in s.fakes.made] == ["known", "new", "p"]

    play(scene, known={"known": observed("known"), "p": observed("p")})


def test_a_program_that_waits_for_its_turn_is_not_taken_for_one_that_does_not_answer():
    async def scene(s: Scene) -> None:
        s.pool.reconcile(snap(*(upstream(f"p{n}", kind="mcp-stdio", command=("x",)) for n in range(400))))
        await s.pool.tried([f"p{n}" for n in range(400)], 10_000)
        assert all(f.observed for f in s.fakes.made)

    play(scene, prepare=hung)


def test_four_hundred_dead_upstreams_do_not_come_before_a_live_one():
    async def scene(s: Scene) -> None:
        dead = [upstream(f"d{n}", kind="mcp-stdio" if n % 2 else "mcp-http") for n in range(400)]
        s.pool.reconcile(snap(*dead, "live"))
        await s.pool.tried(("live",), 5)
        assert s.seen == ["live"]
        assert len([f for f in s.fakes.made if f.spec.kind == "mcp-stdio" and f.observed]) <= 200
        await s.pool.tried([d.id for d in dead], 3600)
        assert s.pool.stale([d.id for d in dead]) == [d.id for d in dead]

    play(scene, prepare=lambda fake: setattr(fake, "dead", fake.spec.id != "live"))
