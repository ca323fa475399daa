"""Limits hold over all workers together, and people see the workers as one gateway."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from tests.gateway.fake_upstream import Fakes
from tests.gateway.rig import OPEN, Reply, demo, modern_request, rpc, snapshot
from tests.gateway.test_workers_upstreams import kept_by, stdio, until
from tests.gateway.workers_rig import WorkerRig, play, start_worker
from tests.unit.contract.making import observed
from toolyard.contract.snapshot import RateLimit
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.events import StreamLimits
from toolyard.gateway.interceptors.rate_limit import Bucket
from toolyard.gateway.operator import OperatorRoutes
from toolyard.gateway.sessions import SessionLimits

HELLO = rpc("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}})
ADD: dict[str, Any] = {"name": "add", "arguments": {"a": 1, "b": 1}}


def reason(reply: Reply) -> str:
    return str(reply.error["data"]["reason"])


def sessions_of(rigs: tuple[WorkerRig, ...]) -> int:
    return sum(len(rig.gateway.sessions) for rig in rigs)


async def hold(rig: WorkerRig, session: str) -> Any:
    """Keep a session in use by its stream."""
    stream = await rig.open("GET", "/mcp", {"accept": "text/event-stream", "mcp-session-id": session})
    assert stream.status == 200
    return stream


def test_a_principal_has_so_many_sessions_at_all_workers_together_and_its_oldest_unused_one_makes_room() -> None:
    async def scene(*rigs: WorkerRig) -> None:
        sessions = [await rigs[n % 3].initialize() for n in range(4)]
        fifth = await rigs[2].initialize()
        assert sessions_of(rigs) == 4
        alive = [(await rigs[0].legacy(rpc("ping"), session)).status for session in (*sessions, fifth)]
        assert sorted(alive) == [200, 200, 200, 200, 404]
        assert alive[4] == 200

    play(scene, 3, bounds=Bounds(sessions=SessionLimits(total=100, per_principal=4)))


def test_sessions_in_use_at_other_workers_leave_no_room() -> None:
    async def scene(*rigs: WorkerRig) -> None:
        streams = []
        sessions = []
        for rig in rigs:
            sessions.append(await rig.initialize())
            streams.append(await hold(rig, sessions[-1]))
        kept = [s for rig in rigs for s in rig.gateway.sessions._sessions.values()]
        await until(lambda: all(session.listeners for session in kept))
        for rig in rigs:
            refused = await rig.legacy(HELLO)
            assert (refused.status, reason(refused)) == (503, "too_many_sessions")
        assert (await rigs[2].http("DELETE", "/mcp", {"mcp-session-id": sessions[0]})).status == 204
        await until(lambda: rigs[0].crew.places.free("session") == 1)
        await rigs[1].initialize()
        for stream in streams:
            stream.close()

    play(scene, 3, bounds=Bounds(sessions=SessionLimits(total=3, per_principal=3)))


def test_what_a_worker_had_is_free_again_when_it_ends_and_is_counted_again_by_a_new_worker_0() -> None:
    bounds = Bounds(sessions=SessionLimits(total=2, per_principal=2))

    async def scene(first: WorkerRig, second: WorkerRig, third: WorkerRig) -> None:
        held = await hold(third, await third.initialize())
        session = await second.initialize()
        kept = await hold(second, session)
        await until(lambda: all(s.listeners for r in (second, third) for s in r.gateway.sessions._sessions.values()))
        assert (await first.legacy(HELLO)).status == 503
        directory, snap = first.crew.peers.path.parent.parent, first.gateway.holder.current.snapshot
        await third.crew.aclose()
        await until(lambda: first.crew.places.free("session") == 1)
        await first.crew.aclose()
        fresh = await start_worker(0, 3, directory, snap, Fakes().make, bounds)
        try:
            await until(lambda: fresh.crew.places.free("session") == 1)
            own = await hold(fresh, await fresh.initialize())
            await until(lambda: all(s.listeners for s in fresh.gateway.sessions._sessions.values()))
            await until(lambda: second.crew.peers.peer(0).owner == fresh.crew.me.owner)
            assert (await second.legacy(HELLO)).status == 503
            own.close()
        finally:
            await fresh.aclose()
        held.close()
        kept.close()

    play(scene, 3, bounds=bounds)


def test_a_place_that_is_given_while_its_client_goes_is_given_back() -> None:
    bounds = Bounds(sessions=SessionLimits(total=2, per_principal=2))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        tally = first.crew.places._tally
        assert tally is not None
        add = tally.add
        for rig in (first, second, second):
            taking = asyncio.ensure_future(rig.crew.places.take("session", "key:a"))

            def add_and_go(*place: Any, taking: asyncio.Future[bool] = taking) -> None:
                add(*place)
                taking.cancel()

            with patch.object(tally, "add", add_and_go), pytest.raises(asyncio.CancelledError):
                await taking
            await until(lambda: first.crew.places.free("session") == 2)

    play(scene, 2, bounds=bounds)


def test_the_place_of_a_session_that_ended_for_a_client_that_goes_is_free() -> None:
    bounds = Bounds(sessions=SessionLimits(total=1, per_principal=1))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        await second.initialize()
        (session,) = second.gateway.sessions._sessions.values()
        end_unused = second.gateway.sessions.end_unused
        for rig in (first, second):
            taking = asyncio.ensure_future(rig.crew.places.take("session", session.principal_id))

            def end_and_go(principal_id: str, taking: asyncio.Future[bool] = taking) -> bool:
                ended = end_unused(principal_id)
                taking.cancel()
                return ended

            with patch.object(second.gateway.sessions, "end_unused", end_and_go):
                with pytest.raises(asyncio.CancelledError):
                    await taking
                await until(lambda: first.crew.places.free("session") == 1)
            await second.initialize()

    play(scene, 2, bounds=bounds)


def test_listen_streams_are_counted_at_all_workers_together() -> None:
    async def scene(*rigs: WorkerRig) -> None:
        headers, body = modern_request("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        streams = [await rig.open("POST", "/mcp", headers, body) for rig in rigs[:2]]
        for stream in streams:
            assert (await stream.message())["method"] == "notifications/subscriptions/acknowledged"
        refused = await rigs[2].http("POST", "/mcp", headers, body)
        assert reason(refused) == "overloaded"
        streams[0].close()
        await until(lambda: rigs[0].crew.places.free("listen") == 1)
        again = await rigs[2].open("POST", "/mcp", headers, body)
        assert (await again.message())["method"] == "notifications/subscriptions/acknowledged"
        for stream in (*streams, again):
            stream.close()

    play(scene, 3, bounds=Bounds(streams=StreamLimits(total=2, per_principal=2)))


def test_a_token_bucket_is_one_for_all_workers() -> None:
    limited = replace(OPEN, per_key=RateLimit(per_minute=0.001, burst=5))
    name = kept_by(0, 3)

    async def scene(*rigs: WorkerRig) -> None:
        replies = [await rigs[n % 3].modern("tools/call", ADD) for n in range(9)]
        refused = [reply for reply in replies if "error" in reply.message]
        assert [reason(reply) for reply in refused] == ["rate_limited"] * 4
        assert all("retry-after" in reply.headers for reply in refused)

    play(scene, 3, snapshot(stdio(name), servers=(limited,)), make=Fakes(observed(name, "add")).make)


def test_calls_of_a_large_limit_are_taken_of_worker_0_in_lots() -> None:
    limited = replace(
        OPEN, per_key=RateLimit(per_minute=60_000, burst=2000), per_server=RateLimit(per_minute=60_000, burst=2000)
    )

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        asked = []
        serve = first.crew._services["take_call"]

        async def counted(talk: Any, content: Any) -> Any:
            asked.append(content[-1])
            return await serve(talk, content)

        first.crew._services["take_call"] = counted
        replies = [await second.modern("tools/call", ADD) for _ in range(20)]
        assert not any("error" in reply.message for reply in replies)
        assert asked == [10, 10] * 2

    play(scene, 2, snapshot(demo(), servers=(limited,)))


def test_a_lot_is_no_more_than_a_bucket_has() -> None:
    bucket, limit = Bucket(25.0, 0.0), RateLimit(per_minute=0.0, burst=25)
    lots = [bucket.take_lot(limit, 0.0, 10) for _ in range(8)]
    assert [size for _, size in lots] == [10, 10, 1, 1, 1, 1, 1, 0]
    assert [wait_s > 0 for wait_s, _ in lots] == [False] * 7 + [True]


def test_while_worker_0_is_away_each_worker_counts_its_own() -> None:
    limited = replace(OPEN, per_key=RateLimit(per_minute=0.001, burst=2))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        await first.crew.aclose()
        await until(lambda: second.crew.peers.peer(0).link is None)
        replies = [await second.modern("tools/call", ADD) for _ in range(3)]
        assert ["error" in reply.message for reply in replies] == [False, False, True]
        assert (await second.legacy(HELLO)).status == 200

    play(scene, 2, snapshot(demo(), servers=(limited,)))


def test_metrics_read_at_any_worker_are_those_of_all() -> None:
    name = kept_by(1, 3)

    async def scene(*rigs: WorkerRig) -> None:
        for n in range(6):
            await rigs[n % 3].modern("tools/call", ADD)
        await rigs[1].initialize()
        for rig in rigs:
            text = (await rig.http("GET", "/metrics")).body.decode()
            lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
            assert lines['toolyard_requests_total{method="tools/call",outcome="ok",transport="http"}'] == "6.0"
            assert lines['toolyard_request_seconds_count{method="tools/call"}'] == "6.0"
            assert lines[f'toolyard_upstream_up{{upstream="{name}"}}'] == "1.0"

    play(scene, 3, snapshot(stdio(name), servers=(OPEN,)), make=Fakes(observed(name, "add")).make)


def test_the_operator_sees_one_gateway_with_all_its_workers() -> None:
    name = kept_by(1, 3)

    class Shown:
        def finish(self, answer: Any) -> None:
            self.value = json.loads(answer.body)

    async def asked(operator: OperatorRoutes, what: str) -> Any:
        sink: Any = Shown()
        await getattr(operator, what)(None, b"", sink)
        return sink.value

    async def scene(*rigs: WorkerRig) -> None:
        for n in range(6):
            await rigs[n % 3].modern("tools/call", ADD)
        await rigs[2].initialize()
        operator = rigs[0].gateway.operator
        status = await asked(operator, "status")
        assert (status["calls"], status["sessions"]) == ({"ok": 6}, 1)
        assert status["upstreams"] == {"ready": 1}
        assert [(w["index"], w["state"], w["calls"]) for w in status["workers"]] == [
            (0, "ready", 2), (1, "ready", 2), (2, "ready", 2)
        ]  # fmt: skip
        (upstream,) = await asked(operator, "upstreams")
        assert (upstream["id"], upstream["state"]) == (name, "ready")
        await rigs[2].crew.aclose()
        await until(lambda: rigs[0].crew.peers.peer(2).link is None)
        assert [w["state"] for w in (await asked(operator, "status"))["workers"]] == ["ready", "ready", "away"]

    play(scene, 3, snapshot(stdio(name), servers=(OPEN,)), make=Fakes(observed(name, "add")).make)
