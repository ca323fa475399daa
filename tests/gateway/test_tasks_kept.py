"""What is kept of a task: to whom it is there, for how long, and what is left of it after the end of its process."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.gateway.rig import LIMIT_S, Rig, a_key, bearer, modern_request
from tests.gateway.virtual_time import run_virtually
from tests.gateway.workshop import (
    ABLE,
    ANN,
    CALL,
    NAME,
    TASKS,
    Workshop,
    ask_for,
    created,
    in_workshop,
    until,
)
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, TaskRule
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.call import Call
from toolyard.gateway.journal import Journal
from toolyard.gateway.tasks.following import keep_looking
from toolyard.gateway.tasks.record import TaskRecord
from toolyard.gateway.tasks.tasks import TaskLimits
from toolyard.gateway.upstream.errors import UpstreamUnreachable
from toolyard.kit import faults
from toolyard.kit.clock import ManualClock

LOCKED = ServerSpec("default", names="plain")
OTHER = ServerSpec("other", names="plain", access="open")


async def eventually(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not happened():
            await asyncio.sleep(0.01)


def same_refusal(replies: list[Json]) -> Json:
    """What all these errors say; they must not differ in anything."""
    assert all(reply == replies[0] for reply in replies), replies
    return replies[0]


def test_nobody_but_its_caller_on_its_server_has_a_task_and_the_owner_is_undisturbed() -> None:
    (mine, my_record), (theirs, their_record) = a_key(), a_key()

    async def scene(rig: Rig, shop: Workshop) -> None:
        task_id = await created(rig, headers=bearer(mine))
        (key,) = (await until(rig, task_id, "input_required", headers=bearer(mine)))["inputRequests"]
        for method in ("get", "update", "cancel"):
            body = {"inputResponses": {key: ANN}}
            refused = [
                (await ask_for(rig, method, task_id, params=body, headers=bearer(theirs))).error,
                (await ask_for(rig, method, task_id, params=body, path="/mcp/other")).error,
                *[
                    (await ask_for(rig, method, forged, params=body, headers=bearer(mine))).error
                    for forged in (task_id[:-1], task_id + "A", "t.AAAA", "r.AAAA", "", "x" * 3000, "r." + "A" * 80)
                ],
            ]
            error = same_refusal(refused)
            assert (error["code"], error["data"]["reason"]) == (-32602, "task_unknown")
        still = (await ask_for(rig, "get", task_id, headers=bearer(mine))).result
        assert list(still["inputRequests"]) == [key]
        await ask_for(rig, "update", task_id, params={"inputResponses": {key: ANN}}, headers=bearer(mine))
        assert (await until(rig, task_id, headers=bearer(mine)))["status"] == "completed"
        assert shop.begun == 1

    in_workshop(scene, Workshop([NAME]), servers=(LOCKED, OTHER), keys=(my_record, their_record))


def test_a_finished_task_is_kept_for_its_time_and_then_unknown() -> None:
    clock = ManualClock()

    async def scene(rig: Rig, _shop: Workshop) -> None:
        task_id = await created(rig)
        done = await until(rig, task_id)
        clock.advance(done["ttlMs"] / 1000 - 1)
        assert (await ask_for(rig, "get", task_id)).result["status"] == "completed"
        clock.advance(2)
        expired = await ask_for(rig, "get", task_id)
        never_was = await ask_for(rig, "get", "t.never")
        assert (expired.status, expired.error) == (400, never_was.error)
        rig.gateway.sweep()
        rig.journal.flush()

    in_workshop(scene, clock=clock)


def test_what_has_expired_is_removed_from_the_journal(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "journal.sqlite"

    async def scene(rig: Rig, _shop: Workshop) -> None:
        await until(rig, await created(rig))
        clock.advance(2 * 3600.0 + 1)
        rig.gateway.sweep()
        rig.journal.flush()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("select count(*) from tasks").fetchone() == (0,)

    journal = Journal(path)
    in_workshop(scene, clock=clock, journal=journal)
    journal.close()


@pytest.mark.slow
def test_a_task_that_takes_longer_than_it_may_is_given_up_and_says_so() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        failed = await until(rig, await created(rig))
        assert (failed["status"], failed["error"]["data"]["reason"]) == ("failed", "upstream_timeout")
        assert (shop.given_up, shop.built) == (1, [])

    in_workshop(scene, bounds=Bounds(tasks=TaskLimits(ttl_s=1.5)))


def test_the_task_is_on_disk_before_the_caller_and_the_upstream_hear_of_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    known: list[int] = []

    class Looking(Workshop):
        async def answer(self, call, method, params):  # type: ignore[no-untyped-def]
            with closing(sqlite3.connect(path)) as connection:
                known.append(connection.execute("select count(*) from tasks").fetchone()[0])
            return await super().answer(call, method, params)

    async def scene(rig: Rig, _shop: Workshop) -> None:
        assert (await until(rig, await created(rig)))["status"] == "completed"
        assert known == [1]

    journal = Journal(path)
    in_workshop(scene, Looking(), journal=journal)
    journal.close()


@pytest.mark.parametrize("rule", [TaskRule(after_s=0.0), TaskRule(after_s=0.1)])
def test_a_call_that_cannot_be_kept_is_carried_out_as_any_other_and_once(rule: TaskRule) -> None:
    tried = threading.Event()

    def fail() -> None:
        tried.set()
        raise OSError("the disk is full")

    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        with faults.armed("journal.perform", fail):
            calling = asyncio.ensure_future(rig.modern("tools/call", CALL, capabilities=TASKS))
            await shop.told.wait()
            await eventually(tried.is_set)
            shop.goes_on.set()
            assert (await calling).result["resultType"] == "complete"
        assert (shop.begun, len(shop.built)) == (1, 1)

    in_workshop(scene, rule=rule)


def test_a_call_that_cannot_be_kept_asks_as_any_other() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        with faults.armed("journal.perform", OSError("the disk is full")):
            asked = (await rig.modern("tools/call", CALL, capabilities=ABLE)).result
        (key,) = asked["inputRequests"]
        retry = {**CALL, "inputResponses": {key: ANN}, "requestState": asked["requestState"]}
        with faults.armed("journal.perform", OSError("the disk is full")):
            assert (await rig.modern("tools/call", retry, capabilities=ABLE)).result["resultType"] == "complete"
        assert (shop.begun, shop.built) == (1, [[[ANN]]])

    in_workshop(scene, Workshop([NAME]))


def test_a_result_that_cannot_be_kept_is_told_while_the_process_lives() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        task_id = await created(rig)
        await shop.told.wait()
        with faults.armed("journal.perform", OSError("the disk is full")):
            shop.goes_on.set()
            assert (await until(rig, task_id))["status"] == "completed"
        assert (await ask_for(rig, "get", task_id)).result["status"] == "completed"

    in_workshop(scene)


def test_more_tasks_than_may_be_are_refused_before_anything_is_done() -> None:
    (mine, my_record), (theirs, their_record) = a_key(), a_key()

    async def scene(rig: Rig, shop: Workshop) -> None:
        for _ in range(2):
            await until(rig, await created(rig, headers=bearer(mine)), headers=bearer(mine))
        full = await rig.modern("tools/call", CALL, capabilities=TASKS, headers=bearer(mine))
        assert (full.status, full.error["data"]["reason"]) == (503, "too_many_tasks")
        assert shop.begun == 2
        await until(rig, await created(rig, headers=bearer(theirs)), headers=bearer(theirs))
        all_full = await rig.modern("tools/call", CALL, capabilities=TASKS, headers=bearer(theirs))
        assert all_full.error["data"]["reason"] == "too_many_tasks"
        plain = await rig.modern("tools/call", CALL, headers=bearer(mine))
        assert plain.result["resultType"] == "complete"

    limits = TaskLimits(total=3, per_principal=2)
    in_workshop(scene, servers=(LOCKED,), keys=(my_record, their_record), bounds=Bounds(tasks=limits))


def test_more_running_tasks_than_may_be_are_refused_or_waited_for() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        task_id = await created(rig)
        calling = asyncio.ensure_future(rig.modern("tools/call", CALL, capabilities=TASKS))
        await eventually(lambda: shop.begun == 2)
        await asyncio.sleep(0.3)  # longer than the rule says; were it shorter, the result would be the same
        shop.goes_on.set()
        assert (await calling).result["resultType"] == "complete"
        assert (await until(rig, task_id))["status"] == "completed"

    in_workshop(scene, rule=TaskRule(after_s=0.1), bounds=Bounds(tasks=TaskLimits(running=1)))


def test_tasks_leave_a_quarter_of_an_http_upstreams_connections_to_other_calls() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        for _ in range(3):
            await created(rig)
        full = await rig.modern("tools/call", CALL, capabilities=TASKS)
        assert full.error["data"]["reason"] == "too_many_tasks"
        await eventually(lambda: shop.begun == 3)

    in_workshop(scene, spec={"kind": "mcp-http", "max_connections": 4})


def test_a_task_of_a_key_that_is_not_valid_any_more_is_given_up() -> None:
    key, record = a_key()

    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        await created(rig, headers=bearer(key))
        await shop.told.wait()
        rig.gateway.tasks.sweep(lambda _principal: False)
        await eventually(lambda: shop.given_up == 1 and len(rig.gateway.tasks) == 0)

    in_workshop(scene, servers=(LOCKED,), keys=(record,))


def test_a_client_that_goes_away_before_its_time_has_no_task_and_the_call_is_given_up() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        headers, body = modern_request("tools/call", CALL, capabilities=TASKS)
        writer = await rig.send("POST", "/mcp", headers, body)
        await shop.told.wait()
        writer.close()
        await eventually(lambda: shop.given_up == 1)
        assert len(rig.gateway.tasks) == 0

    in_workshop(scene, rule=TaskRule(after_s=10.0))


# -- the end of the process --------------------------------------------------------------------------------------------


def replayed(path: Path, *scenes: Callable[[Rig, Workshop], Awaitable[None]]) -> None:
    """Play scenes one after the other, each with a gateway of its own on the same journal."""
    for scene in scenes:
        journal = Journal(path)
        in_workshop(scene, Workshop([NAME]), journal=journal)
        journal.close()


def test_results_are_there_after_a_restart(tmp_path: Path) -> None:
    kept: list[Json] = []

    async def before(rig: Rig, _shop: Workshop) -> None:
        task_id = await created(rig)
        (key,) = (await until(rig, task_id, "input_required"))["inputRequests"]
        await ask_for(rig, "update", task_id, params={"inputResponses": {key: ANN}})
        kept.append(await until(rig, task_id))

    async def after(rig: Rig, shop: Workshop) -> None:
        assert (await ask_for(rig, "get", kept[0]["taskId"])).result == kept[0]
        for method in ("update", "cancel"):
            assert (await ask_for(rig, method, kept[0]["taskId"], params={"inputResponses": {}})).status == 200
        assert (await ask_for(rig, "get", kept[0]["taskId"])).result == kept[0]
        assert shop.begun == 0

    replayed(tmp_path / "journal.sqlite", before, after)


def test_a_gateway_that_stops_gives_its_tasks_up_and_they_say_so_afterwards(tmp_path: Path) -> None:
    ids: list[str] = []

    async def before(rig: Rig, _shop: Workshop) -> None:
        ids.append(await created(rig))
        await until(rig, ids[0], "input_required")

    async def after(rig: Rig, shop: Workshop) -> None:
        task = (await ask_for(rig, "get", ids[0])).result
        assert (task["status"], task["error"]["data"]["reason"]) == ("failed", "task_given_up")
        assert "inputRequests" not in task
        assert shop.begun == 0

    replayed(tmp_path / "journal.sqlite", before, after)


def test_a_task_whose_process_ended_in_the_middle_says_that_nobody_knows_what_came_of_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    ids: list[str] = []

    async def before(rig: Rig, _shop: Workshop) -> None:
        ids.append(await created(rig))
        await until(rig, ids[0], "input_required")
        rig.journal.flush()
        with closing(sqlite3.connect(path)) as connection:  # as it is after a kill -9 at this moment
            connection.execute("create table at_the_kill as select * from tasks")
            connection.commit()

    async def after(rig: Rig, shop: Workshop) -> None:
        task = (await ask_for(rig, "get", ids[0])).result
        assert (task["status"], task["error"]["data"]["reason"]) == ("failed", "call_lost")
        assert "not known" in task["statusMessage"]
        await ask_for(rig, "update", ids[0], params={"inputResponses": {}})
        await ask_for(rig, "cancel", ids[0])
        assert (await ask_for(rig, "get", ids[0])).result == task
        assert shop.begun == 0

    replayed(path, before)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("delete from tasks")
        connection.execute("insert into tasks select * from at_the_kill")
        connection.commit()
    replayed(path, after)


# -- notifications -----------------------------------------------------------------------------------------------------


def test_a_listener_is_told_how_its_tasks_stand_and_of_every_change() -> None:
    async def scene(rig: Rig, _shop: Workshop) -> None:
        task_id = await created(rig)
        wanted = {"notifications": {"taskIds": [task_id, "t.not-mine", task_id]}}
        headers, body = modern_request("subscriptions/listen", wanted, capabilities=ABLE, request_id="sub")
        stream = await rig.open("POST", "/mcp", headers, body)
        acknowledged = await stream.message()
        assert acknowledged["params"]["notifications"] == {"taskIds": [task_id]}
        told = (await stream.message())["params"]
        while told["status"] != "input_required":
            told = (await stream.message())["params"]
        assert told["_meta"]["io.modelcontextprotocol/subscriptionId"] == "sub"
        (key,) = told["inputRequests"]
        await ask_for(rig, "update", task_id, params={"inputResponses": {key: ANN}})
        message = await stream.message()
        while message["params"]["status"] != "completed":
            message = await stream.message()
        assert message["method"] == "notifications/tasks"
        shown = {k: v for k, v in message["params"].items() if k != "_meta"}
        got = (await ask_for(rig, "get", task_id)).result
        assert shown == {k: v for k, v in got.items() if k not in ("_meta", "resultType")}
        stream.close()

    in_workshop(scene, Workshop([NAME]))


def test_a_listener_that_declared_no_tasks_is_refused() -> None:
    async def scene(rig: Rig, _shop: Workshop) -> None:
        reply = await rig.modern("subscriptions/listen", {"notifications": {"taskIds": ["t.x"]}})
        assert (reply.status, reply.error["code"]) == (400, -32021)
        for wrong in ("t.x", [1], ["t"] * 1001):
            answered = await rig.modern(
                "subscriptions/listen", {"notifications": {"taskIds": wrong}}, capabilities=TASKS
            )
            assert answered.error["code"] == -32602

    in_workshop(scene)


def test_a_listener_that_goes_while_its_tasks_are_looked_up_leaves_nothing_behind() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        tasks = rig.gateway.tasks
        shop.goes_on.clear()
        ids = [await created(rig) for _ in range(2)]
        looked: list[Call] = []
        find = tasks._find

        async def find_two(call: Call, task_id: str) -> TaskRecord:
            looked.append(call)
            if len(looked) == 3:
                await asyncio.Event().wait()
            return await find(call, task_id)

        tasks._find = find_two  # type: ignore[method-assign]
        await ask_for(rig, "get", ids[0])
        following = asyncio.ensure_future(tasks.follow(looked[0], ids, lambda _task: None))
        await eventually(lambda: len(looked) == 3)
        assert len(tasks._followers) == 1
        following.cancel()
        await asyncio.wait({following})
        assert len(tasks._followers) == 0

    in_workshop(scene)


def test_a_followed_task_of_an_upstream_that_is_away_for_a_while_is_told_of_when_it_is_back() -> None:
    seen: Json = {"taskId": "t", "status": "working", "pollIntervalMs": 10**400}
    done: Json = {**seen, "status": "completed"}
    answers = [UpstreamUnreachable(), UpstreamUnreachable(), seen, done]
    told: list[Json] = []

    async def look(_task_id: str) -> Json:
        answer = answers.pop(0)
        if isinstance(answer, UpstreamUnreachable):
            raise answer
        return answer

    run_virtually(keep_looking("t", look, told.append, seen))
    assert told == [done]
    assert answers == []
