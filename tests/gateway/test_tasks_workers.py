"""Tasks over several workers: any of them takes a request about a task, and one works on it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.fake_upstream import Fakes, FakeUpstream
from tests.gateway.rig import demo, modern_request, snapshot
from tests.gateway.workers_rig import WorkerRig, play
from tests.gateway.workshop import ABLE, ALWAYS, ANN, BOB, CALL, NAME, OPEN, TASKS, Workshop, ask_for, created, until
from tests.unit.contract.making import observed
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.tasks.tasks import TaskLimits


def in_workers(scene: Any, shop: Workshop, **kwargs: Any) -> None:
    """Play a scene with three workers in front of a workshop."""

    def prepare(fake: FakeUpstream) -> None:
        fake.pushes, fake.answer = shop.pushes, shop.answer

    snap = snapshot(demo("shop", tasks=ALWAYS), servers=(OPEN,))
    play(scene, 3, snap, make=Fakes(observed("shop", "build"), prepare=prepare).make, **kwargs)


@pytest.mark.parametrize("pushes", [True, False])
def test_a_task_begun_at_one_worker_is_asked_for_and_answered_at_the_others(pushes: bool) -> None:
    shop = Workshop([NAME, NAME], pushes=pushes)

    async def scene(first: WorkerRig, second: WorkerRig, third: WorkerRig) -> None:
        task_id = await created(first)
        one, other = (await until(second, task_id, "input_required"))["inputRequests"]
        await ask_for(third, "update", task_id, params={"inputResponses": {one: ANN}})
        for rig in (first, second, third):
            assert list((await ask_for(rig, "get", task_id)).result["inputRequests"]) == [other]
        await ask_for(second, "update", task_id, params={"inputResponses": {other: BOB}})
        done = await until(third, task_id)
        assert done["status"] == "completed"
        for rig in (first, second, third):
            assert (await ask_for(rig, "get", task_id)).result == done
        assert shop.built == [[[ANN, BOB]]]
        assert shop.begun == 1

    in_workers(scene, shop)


def test_a_task_is_cancelled_through_another_worker() -> None:
    shop = Workshop()
    shop.goes_on.clear()

    async def scene(first: WorkerRig, second: WorkerRig, third: WorkerRig) -> None:
        task_id = await created(first)
        await shop.told.wait()
        assert (await ask_for(second, "cancel", task_id)).status == 200
        assert (await until(third, task_id))["status"] == "cancelled"
        assert shop.built == []

    in_workers(scene, shop)


@pytest.mark.slow
def test_a_listener_at_another_worker_hears_how_the_task_ends() -> None:
    shop = Workshop()
    shop.goes_on.clear()

    async def scene(first: WorkerRig, second: WorkerRig, _third: WorkerRig) -> None:
        task_id = await created(first)
        wanted = {"notifications": {"taskIds": [task_id]}}
        headers, body = modern_request("subscriptions/listen", wanted, capabilities=ABLE)
        stream = await second.open("POST", "/mcp", headers, body)
        assert (await stream.message())["params"]["notifications"] == {"taskIds": [task_id]}
        assert (await stream.message())["params"]["status"] == "working"
        shop.goes_on.set()
        assert (await stream.message())["params"]["status"] == "completed"
        stream.close()

    in_workers(scene, shop)


def test_the_limits_hold_over_all_workers() -> None:
    async def scene(first: WorkerRig, second: WorkerRig, third: WorkerRig) -> None:
        for rig in (first, second):
            await until(rig, await created(rig))
        full = await third.modern("tools/call", CALL, capabilities=TASKS)
        assert full.error["data"]["reason"] == "too_many_tasks"

    in_workers(scene, Workshop(), bounds=Bounds(tasks=TaskLimits(per_principal=2)))


def test_what_became_of_the_tasks_of_a_worker_that_stopped_is_told_by_the_others() -> None:
    shop = Workshop()
    shop.goes_on.clear()

    async def scene(first: WorkerRig, second: WorkerRig, third: WorkerRig) -> None:
        task_id = await created(first)
        await shop.told.wait()
        await first.gateway.tasks.aclose()
        for rig in (second, third):
            task = (await ask_for(rig, "get", task_id)).result
            assert (task["status"], task["error"]["data"]["reason"]) == ("failed", "task_given_up")

    in_workers(scene, shop)
