"""The control process beside the gateway: kept alive, ended with it, and never left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toolyard.control_child import ControlChild, ControlOrders
from toolyard.net.errors import NetError
from toolyard.net.unix_http import begin_exchange

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "tests.gateway.fake_control_program"
PATIENCE_S = 60.0


def orders(directory: Path, module: str = PROGRAM) -> ControlOrders:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    return ControlOrders(directory / "toolyard.yaml", directory, environ, "json", module)


async def said(directory: Path, path: str = "/api/me") -> dict[str, Any]:
    """What the control process answers, as soon as it does."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                with await begin_exchange(directory / "control.sock", "GET", path, [("host", "control")]) as exchange:
                    answer: dict[str, Any] = json.loads(await exchange.read(65536))
                    return answer
            except NetError:
                if path == "/api/die" and (directory / "control.sock").exists():
                    return {}
                await asyncio.sleep(0.02)


def test_it_gets_its_orders_is_started_again_when_it_ends_and_ends_gently(tmp_path: Path) -> None:
    async def work() -> None:
        child = ControlChild(orders(tmp_path))
        child.start()
        try:
            first = await said(tmp_path)
            told = first["orders"]
            assert (told["config"], told["data_dir"]) == (str(tmp_path / "toolyard.yaml"), str(tmp_path))
            assert (told["log_format"], first["data_dir"], first["pid"]) == ("json", str(tmp_path), child.pid)
            await said(tmp_path, "/api/die")
            second = await said(tmp_path)
            assert second["pid"] == child.pid != first["pid"]
        finally:
            await child.aclose()
        assert (tmp_path / "ended").read_text() == str(second["pid"])
        assert child.pid is None

    asyncio.run(work())


def test_a_program_that_cannot_run_is_tried_again_and_given_up_at_the_end(tmp_path: Path) -> None:
    async def work() -> None:
        child = ControlChild(orders(tmp_path, "tests.gateway.there_is_no_such_module"))
        child.start()
        pids = set()
        async with asyncio.timeout(PATIENCE_S):
            while len(pids - {None}) < 2:
                pids.add(child.pid)
                await asyncio.sleep(0.01)
        await child.aclose()

    asyncio.run(work())


@pytest.mark.slow
def test_it_ends_by_itself_when_the_gateway_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from tests.gateway.test_control_child import orders, said\nfrom toolyard.control_child import ControlChild\n"
        "async def work():\n    where = Path(sys.argv[1])\n    child = ControlChild(orders(where))\n    child.start()\n"
        "    await said(where)\n    print(child.pid, flush=True)\n    await asyncio.Event().wait()\n"
        "asyncio.run(work())\n"
    )
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, env=environ, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = next(int(line) for line in parent.stdout if line.strip().isdigit())
        parent.send_signal(signal.SIGKILL)

    async def work() -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not (tmp_path / "ended").exists():
                await asyncio.sleep(0.02)

    asyncio.run(work())
    assert (tmp_path / "ended").read_text() == str(pid)
