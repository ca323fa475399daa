"""The loop's lag: what is told when something keeps the loop busy."""

from __future__ import annotations

import asyncio
import time

from tests.gateway.rig import OPEN, Rig, demo, play, snapshot
from tests.gateway.virtual_time import VirtualLoop, run_virtually
from toolyard.gateway.lag import EVERY_S, WINDOW_S, LoopLag
from toolyard.gateway.metrics import Metrics


def busy(seconds: float) -> None:
    """Keep the virtual loop from its work."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._now_s += seconds


def test_work_that_holds_the_loop_shows_as_lag_until_the_loop_has_time_again() -> None:
    async def scene() -> None:
        lag = LoopLag(asyncio.get_running_loop().time)
        lag.start()
        await asyncio.sleep(EVERY_S * 1.5)
        busy(EVERY_S + 0.3)
        await asyncio.sleep(0.001)
        assert round(lag.last_s, 3) == 0.325
        await asyncio.sleep(2 * EVERY_S)
        assert round(lag.last_s, 3) == 0.0
        assert round(lag.worst_s(), 3) == 0.325
        lag.stop()

    run_virtually(scene())


def test_the_worst_lag_is_shown_for_a_whole_window_and_then_forgotten() -> None:
    async def scene() -> None:
        lag = LoopLag(asyncio.get_running_loop().time)
        lag.start()
        await asyncio.sleep(EVERY_S * 1.5)
        busy(EVERY_S + 0.3)
        await asyncio.sleep(WINDOW_S)
        assert round(lag.worst_s(), 3) == 0.325
        await asyncio.sleep(2 * WINDOW_S)
        assert round(lag.worst_s(), 3) == 0.0
        lag.stop()

    run_virtually(scene())


def test_what_holds_the_loop_while_a_process_starts_is_no_lag() -> None:
    async def scene() -> None:
        lag = LoopLag(asyncio.get_running_loop().time)
        lag.start()
        busy(0.5)
        await asyncio.sleep(5 * EVERY_S)
        assert round(lag.worst_s(), 3) == 0.0
        lag.stop()

    run_virtually(scene())


def test_a_gateway_tells_its_lag_in_the_metrics() -> None:
    async def scene(rig: Rig) -> None:
        def seen() -> bool:
            time.sleep(EVERY_S + 0.1)
            return rig.gateway.lag.worst_s() > 0.05

        await rig.until(seen)
        text = (await rig.http("GET", "/metrics")).body.decode()
        (shown,) = [line for line in text.splitlines() if line.startswith("toolyard_loop_lag_seconds ")]
        assert float(shown.split()[1]) > 0.05

    play(scene, snapshot(demo(), servers=(OPEN,)))


def test_of_several_processes_the_one_that_lags_most_is_told() -> None:
    one, other = Metrics(), Metrics()
    one.watch_lag(lambda: 0.25)
    other.watch_lag(lambda: 0.5)

    async def others() -> list[list[list[object]]]:
        return [other.families()]

    one.others = others
    assert b"toolyard_loop_lag_seconds 0.5" in asyncio.run(one.render_all())
