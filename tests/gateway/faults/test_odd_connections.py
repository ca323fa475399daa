"""Kept upstream connections that end, fall silent or speak unasked, and answers that come too late: each costs at most
the call that was on the connection, and nobody gets what was not for him (UPF-02, UPF-03, UPF-04, UPF-06, UPF-12)."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.gateway.faults.cutting import (
    HASTY_S,
    JSON_ANSWER,
    LEGACY,
    STREAM,
    Exchange,
    Stage,
    a_moment,
    on_stage,
)
from tests.gateway.faults.odd_answers import (
    ENDINGS,
    INCOMPLETE,
    INVALID,
    POISON,
    RIGHT,
    SILENCES,
    TIMEOUT,
    UNREACHABLE,
    Odd,
)
from tests.gateway.faults.shop import How, Order, whole
from tests.gateway.rig import rpc


def say(odd: Odd, order: Order) -> None:
    order.send(odd(order))


def test_a_connection_that_ends_costs_at_most_the_call_on_it() -> None:
    async def scene(stage: Stage) -> None:
        for name, (odd, how, expected) in ENDINGS.items():
            wires = [await stage.wire(warm=True) for _ in range(4)]
            tokens = [stage.token() for _ in wires]
            async with stage.beside_a_call():
                for wire, token in zip(wires, tokens, strict=True):
                    stage.shop.hold(token, partial(say, odd))
                    await wire.send(stage.exchange.request(token))
                await stage.shop.holds(*tokens)
                await a_moment()
                for wire, token in zip(wires, tokens, strict=True):
                    stage.shop.held.pop(token).cut(how)
                    assert (name, (await wire.answer()).said) == (name, token if expected == RIGHT else expected)
                    assert stage.shop.sold[token] == 1
                    assert await stage.call(wire) == RIGHT
                    wire.close()

    on_stage(scene)


def test_an_upstream_that_falls_silent_is_given_up_in_time_and_what_comes_later_is_for_nobody() -> None:
    async def scene(stage: Stage) -> None:
        names = [*SILENCES]
        wires = [await stage.wire(warm=True, tool="hasty") for _ in names]
        tokens = [stage.token() for _ in names]
        async with stage.beside_a_call():
            for wire, token, name in zip(wires, tokens, names, strict=True):
                stage.shop.hold(token, partial(say, SILENCES[name]))
                await wire.send(stage.exchange.with_tool("hasty").request(token))
            for wire, token, name in zip(wires, tokens, names, strict=True):
                answer = await wire.answer()
                assert (name, answer.said) == (name, TIMEOUT)
                order = stage.shop.held.pop(token, None)
                if order is not None:
                    assert answer.may_have_run
                    order.send(POISON)
                assert await stage.call(wire) == RIGHT
                assert await stage.call(wire, "hasty") in (RIGHT, TIMEOUT)
            for wire in wires:
                wire.close()

    on_stage(scene)


def answer_after(stage: Stage, seconds: float, order: Order) -> None:
    answer = b"".join(stage.exchange.parts(order))
    asyncio.get_running_loop().call_later(seconds, order.send, answer)


@pytest.mark.parametrize(
    "exchange",
    [JSON_ANSWER, *(pytest.param(other, marks=pytest.mark.slow) for other in (STREAM, LEGACY))],
    ids=lambda exchange: exchange.name,
)
def test_an_answer_that_comes_as_its_call_is_given_up_is_never_that_of_the_next(exchange: Exchange) -> None:
    """The answers come around the deadline: some in time, some not, and each call that follows gets its own."""

    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(warm=True, tool="hasty") for _ in range(6)]
        for _ in range(2):
            tokens = [stage.token() for _ in wires]
            async with stage.beside_a_call():
                for number, (wire, token) in enumerate(zip(wires, tokens, strict=True)):
                    stage.shop.plans[token] = partial(answer_after, stage, HASTY_S - 0.01 + 0.003 * number)
                    await wire.send(stage.exchange.with_tool("hasty").request(token, stage.session))
                for wire, token in zip(wires, tokens, strict=True):
                    assert (await wire.answer()).said in (token, TIMEOUT)
                    assert {await stage.call(wire, "hasty") for _ in range(2)} <= {RIGHT, TIMEOUT}
        for wire in wires:
            wire.close()

    on_stage(scene, exchange)


def test_a_legacy_client_that_cancels_its_call_is_told_nothing_of_the_late_answer() -> None:
    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(warm=True) for _ in range(6)]
        tokens = [stage.token() for _ in wires]
        async with stage.beside_a_call():
            for wire, token in zip(wires, tokens, strict=True):
                stage.shop.hold(token)
                await wire.send(stage.exchange.request(token, stage.session))
            await stage.shop.holds(*tokens)
            for token in tokens:
                cancel = rpc("notifications/cancelled", {"requestId": int(token[1:])})
                del cancel["id"]
                assert (await stage.rig.legacy(cancel, stage.session)).status == 202
            for wire, token in zip(wires, tokens, strict=True):
                assert (await wire.answer()).said == "!499"
                stage.release(token)
                assert await stage.call(wire) == RIGHT
                wire.close()
            await stage.rig.until(lambda: len(stage.shop.told) >= len(tokens))
        cancelled = [note for note in stage.shop.told if note.get("method") == "notifications/cancelled"]
        assert len(cancelled) == len(tokens)

    on_stage(scene, LEGACY)


@pytest.mark.parametrize("moments", range(4))
def test_what_an_upstream_says_unasked_is_nobodys_answer(moments: int) -> None:
    """On its idle connections, and as the first thing on a new one: at the instant of reuse, or a little before."""

    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(warm=True) for _ in range(4)]
        for _ in range(5):
            async with stage.beside_a_call():
                busy = {order.till for order in stage.shop.held.values()}
                idle = stage.shop.tills - busy
                for till in idle:
                    till.send(whole(POISON))
                for _ in range(moments):
                    await asyncio.sleep(0)
                assert {await stage.call(wire) for wire in wires} <= {RIGHT, INVALID, INCOMPLETE}
                assert [await stage.call(wire) for wire in wires] == [RIGHT] * 4
                assert not idle & stage.shop.tills
            await stage.shop.hang_up()
            async with stage.beside_a_call():
                stage.shop.greeting = whole(POISON)
                assert set(await asyncio.gather(*map(stage.call, wires))) <= {RIGHT, INVALID, UNREACHABLE}
                assert [await stage.call(wire) for wire in wires] == [RIGHT] * 4
        for wire in wires:
            wire.close()

    on_stage(scene)


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_connections_that_close_at_the_instant_of_reuse_run_nothing_twice(how: How) -> None:
    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(warm=True) for _ in range(6)]
        for moments in [*range(6)] * 3:
            await asyncio.gather(*map(stage.call, wires))
            for till in list(stage.shop.tills):
                till.cut(how)
            for _ in range(moments):
                await asyncio.sleep(0)
            tokens = [stage.token() for _ in wires]
            for wire, token in zip(wires, tokens, strict=True):
                await wire.send(stage.exchange.request(token))
            for wire, token in zip(wires, tokens, strict=True):
                answer = await wire.answer()
                assert answer.said in (token, INCOMPLETE)
                assert stage.shop.sold[token] == (1 if answer.said == token else 0)
                assert await stage.call(wire) == RIGHT
            await stage.settled()
        for wire in wires:
            wire.close()

    on_stage(scene)
