"""Records on their way to the control plane: in batches, again where they did not arrive, bounded and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.fake_control import FakeControl
from toolyard.gateway import outbox as module
from toolyard.gateway.outbox import Outbox


@asynccontextmanager
async def sending(directory: Path) -> AsyncIterator[tuple[Outbox, FakeControl]]:
    control = FakeControl(directory / "control.sock")
    await control.start()
    outbox = Outbox(control.socket, "gw", batch_s=0.0)
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox, control
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await control.stop()


def run(work: Any) -> None:
    asyncio.run(work)


def test_records_arrive_in_their_order(tmp_path: Path) -> None:
    async def work() -> None:
        async with sending(tmp_path) as (outbox, control):
            for number in range(1200):
                outbox.put({"kind": "x", "n": number})
            await control.until(lambda: len(control.records) == 1200)
            assert [record["n"] for record in control.records] == list(range(1200))
            assert outbox.dropped == 0

    run(work())


@pytest.mark.parametrize("status", [503, 507])
def test_what_cannot_be_kept_now_is_sent_again(tmp_path: Path, status: int) -> None:
    async def work() -> None:
        async with sending(tmp_path) as (outbox, control):
            control.records_status = status
            outbox.put({"kind": "x"})
            await control.until(lambda: control.records)
            control.records_status = 204
            await control.until(lambda: len(control.records) >= 2)
            assert outbox.dropped == 0

    run(work())


def test_what_waits_while_the_control_plane_is_away_arrives_when_it_is_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with sending(tmp_path) as (outbox, control):
            await control.stop()
            outbox.put({"kind": "x"})
            await asyncio.sleep(0)
            await control.start()
            await control.until(lambda: control.records)

    run(work())


def test_what_is_not_wanted_is_dropped_and_counted_and_stops_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with sending(tmp_path) as (outbox, control):
            control.records_status = 422
            outbox.put({"kind": "x"})
            await control.until(lambda: control.records)
            control.records_status = 204
            outbox.put({"kind": "y"})
            await control.until(lambda: control.records[-1]["kind"] == "y")
            assert outbox.dropped == 1

    run(work())


def test_the_queue_is_bounded_and_what_cannot_be_sent_is_counted(tmp_path: Path) -> None:
    async def work() -> None:
        outbox = Outbox(tmp_path / "control.sock", "gw")
        outbox.put({"kind": "\ud800"})
        for _ in range(module.MAX_WAITING + 3):
            outbox.put({"kind": "x"})
        assert (len(outbox), outbox.dropped) == (module.MAX_WAITING, 4)

    run(work())
