"""Background tasks have an owner that closes them."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from toolyard.kit.tasks import TaskOwner


def test_a_task_runs_and_is_forgotten_when_it_ends():
    async def scene() -> None:
        owner = TaskOwner("test")

        async def work() -> int:
            return 7

        assert await owner.start(work()) == 7
        await asyncio.sleep(0)
        assert len(owner) == 0

    asyncio.run(scene())


def test_a_task_that_fails_is_logged_and_the_others_go_on():
    async def scene() -> None:
        owner, done = TaskOwner("test"), asyncio.Event()

        async def fail() -> None:
            raise ValueError("broken")

        with capture_logs() as logs:
            owner.start(fail())
            owner.start(done.wait())
            await asyncio.sleep(0.001)
        assert [(line["event"], line["owner"]) for line in logs] == [("background_task_failed", "test")]
        assert len(owner) == 1
        await owner.aclose()

    asyncio.run(scene())


def test_closing_ends_everything_and_waits_until_it_has_cleaned_up():
    async def scene() -> None:
        owner = TaskOwner("test")
        cleaned: list[int] = []

        async def work(number: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                cleaned.append(number)

        for number in range(3):
            owner.start(work(number))
        await asyncio.sleep(0)
        with capture_logs() as logs:
            await owner.aclose()
        assert sorted(cleaned) == [0, 1, 2]
        assert logs == []
        assert len(owner) == 0
        await owner.aclose()

    asyncio.run(scene())


def test_what_fails_while_it_is_closed_does_not_stop_the_closing():
    async def scene() -> None:
        owner = TaskOwner("test")

        async def stubborn() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("at the end")

        owner.start(stubborn())
        other = owner.start(asyncio.Event().wait())
        await asyncio.sleep(0)
        with capture_logs() as logs:
            await owner.aclose()
        assert other.cancelled()
        assert len(logs) == 1

    asyncio.run(scene())


def test_settling_waits_for_the_tasks_own_end_and_no_longer_than_said():
    async def scene() -> None:
        owner = TaskOwner("test")
        go = asyncio.Event()
        waiting = owner.start(go.wait())
        await owner.settled(0)
        await owner.settled(0.001)
        assert not waiting.done()
        go.set()
        await owner.settled(20)
        assert waiting.done()
        await owner.settled(20)

    asyncio.run(scene())
