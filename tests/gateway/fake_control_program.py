"""A control process for tests: serves its socket, and says in answers who it is.

`/api/die` makes it end with 3, `/api/publish` makes it publish a server `team`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.gateway.fake_control import FakeControl, Request
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec
from toolyard.kit.parent import watch_parent

TEAM = Snapshot(
    7,
    "",
    {"theirs": UpstreamSpec("theirs", "native", command=("demo",))},
    {"team": ServerSpec("team", names="plain")},
    {},
)


async def beat(control: FakeControl) -> None:
    while True:
        await asyncio.sleep(1.0)
        await control.beat()


async def serve(orders: dict[str, object]) -> None:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    watch_parent(int(str(orders["parent_fd"])), lambda: loop.call_soon_threadsafe(told.set))
    data_dir = Path(str(orders["data_dir"]))

    async def answer(request: Request) -> None:
        await request.body()
        if request.target == "/api/die":
            os._exit(3)
        if request.target == "/api/publish":
            await control.publish(TEAM)
        said = {"pid": os.getpid(), "orders": orders, "data_dir": os.environ.get("TOOLYARD_DATA_DIR")}
        await request.answer(json.dumps(said).encode())

    control = FakeControl(data_dir / "control.sock", answer)
    await control.start()
    beating = asyncio.create_task(beat(control))
    await told.wait()
    beating.cancel()
    await control.stop()
    (data_dir / "ended").write_text(str(os.getpid()))


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
