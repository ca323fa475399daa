"""What stops while calls are in flight: the gateway at once or after them, and their upstream. Every caller gets an
end, the upstream learns of what is given up, and nothing is left."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.faults.cutting import JSON_ANSWER, LEGACY, STREAM, TO_LEGACY, Exchange, Stage, on_stage
from tests.gateway.faults.raw_client import Wire
from tests.gateway.faults.shop import Order

in_some_forms = pytest.mark.parametrize(
    "exchange", [JSON_ANSWER, STREAM, LEGACY, TO_LEGACY], ids=lambda exchange: exchange.name
)
COUNT = 5


async def in_flight(stage: Stage) -> list[tuple[Wire, str, Order]]:
    """Some calls that the shop has."""
    wires = [await stage.wire(warm=True) for _ in range(COUNT)]
    tokens = [stage.token() for _ in wires]
    for wire, token in zip(wires, tokens, strict=True):
        stage.shop.hold(token)
        await wire.send(stage.exchange.request(token, stage.session))
    await stage.shop.holds(*tokens)
    return [(wire, token, stage.shop.held[token]) for wire, token in zip(wires, tokens, strict=True)]


@in_some_forms
def test_a_gateway_that_goes_down_lets_calls_in_flight_end_well(exchange: Exchange) -> None:
    async def scene(stage: Stage) -> None:
        calls = await in_flight(stage)
        going = asyncio.ensure_future(stage.rig.server.drain(0.0, 15.0))
        await asyncio.sleep(0.01)
        for wire, token, _ in calls:
            stage.release(token)
            assert (await wire.answer()).said == token
            assert await wire.some(1) == b""
            assert stage.shop.sold[token] == 1
        await asyncio.wait_for(going, 20)
        assert (stage.rig.server.connection_count, stage.rig.server.running_count) == (0, 0)

    on_stage(scene, exchange)


@in_some_forms
def test_a_gateway_that_stops_at_once_answers_every_call_and_tells_the_upstream(exchange: Exchange) -> None:
    async def scene(stage: Stage) -> None:
        calls = await in_flight(stage)
        stopping = asyncio.ensure_future(stage.rig.server.stop_now())
        for wire, _, _ in calls:
            assert (await wire.answer()).said == "!shutting_down"
            assert await wire.some(1) == b""
        await asyncio.wait_for(stopping, 20)
        assert stage.rig.gateway.pool.entry("shop").in_flight == 0
        for _, _, order in calls:
            await stage.rig.until(lambda order=order: order.gone)  # type: ignore[misc]
        assert (stage.rig.server.connection_count, stage.rig.server.running_count) == (0, 0)

    on_stage(scene, exchange)


@in_some_forms
def test_an_upstream_that_is_stopped_at_once_ends_its_calls_with_an_error(exchange: Exchange) -> None:
    async def scene(stage: Stage) -> None:
        calls = await in_flight(stage)
        stage.rig.gateway.pool.stop("shop", at_once=True)
        for wire, token, _ in calls:
            answer = await wire.answer()
            assert (answer.said, answer.may_have_run) == ("!upstream_incomplete", True)
            assert stage.shop.sold[token] == 1
            assert await stage.call(wire) == "!upstream_stopped"
        await stage.rig.until(lambda: not stage.shop.tills)
        stage.rig.gateway.pool.start("shop")
        await stage.rig.ready("shop")
        for wire, _, _ in calls:
            assert await stage.call(wire) == "right"
            wire.close()

    on_stage(scene, exchange)


@in_some_forms
def test_an_upstream_that_is_restarted_in_order_lets_its_calls_end_well(exchange: Exchange) -> None:
    async def scene(stage: Stage) -> None:
        calls = await in_flight(stage)
        stage.rig.gateway.pool.restart("shop")
        others = [await stage.wire() for _ in range(3)]
        for wire in others:
            assert await stage.call(wire) == "right"
        for wire, token, _ in calls:
            stage.release(token)
            assert (await wire.answer()).said == token
            assert await stage.call(wire) == "right"
        assert set(stage.shop.sold.values()) == {1}

    on_stage(scene, exchange)
