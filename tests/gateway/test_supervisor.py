"""The supervisor by itself: what it does when the system does not do what it wants."""

from __future__ import annotations

import asyncio
import errno
from types import SimpleNamespace
from typing import Any

import pytest

from tests.gateway.rig import LIMIT_S
from toolyard import supervisor


def test_a_worker_that_the_system_has_no_room_for_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        begun = asyncio.Event()
        tries: list[str] = []

        class Started:
            def __init__(self, *_orders: Any) -> None:
                tries.append("tried")
                if len(tries) < 3:
                    raise BlockingIOError(errno.EAGAIN, "no room")

            async def watch(self) -> int:
                begun.set()
                await asyncio.Event().wait()
                return 0

        monkeypatch.setattr(supervisor, "Child", Started)
        monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.001)
        process: Any = SimpleNamespace(
            environ={}, loaded=SimpleNamespace(settings=SimpleNamespace(gateway=SimpleNamespace(data_dir="x")))
        )
        keeping = asyncio.ensure_future(supervisor.Supervisor(process, 1, 1, None)._keep(0))
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait({keeping, asyncio.ensure_future(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert begun.is_set()
        keeping.cancel()
        await asyncio.wait({keeping})

    asyncio.run(scene())
