"""Odd answers of an upstream on kept connections, through the whole gateway: what the caller gets is one stable thing,
and the next calls on that upstream, and those beside it, get their own answers (UPF-03, 05, 06, 09, 10)."""

from __future__ import annotations

from functools import partial

import pytest

from tests.gateway.faults.cutting import JSON_ANSWER, LEGACY, Exchange, Stage, a_moment, on_stage
from tests.gateway.faults.odd_answers import (
    CONTINUE,
    ENDING_CONNECTIONS,
    INCOMPLETE,
    INVALID,
    INVALID_ANSWERS,
    INVALID_RESULT_TYPES,
    LARGE_ANSWERS,
    OTHER_ANSWERS,
    RIGHT,
    RIGHT_ANSWERS,
    Odd,
)
from tests.gateway.faults.shop import HEAD, Order, head


async def answered(stage: Stage, name: str, odd: Odd, expected: str) -> None:
    """Calls that get this answer, one by itself and several at once beside one that must not notice: each ends with
    `expected`, and the next calls are right."""
    for count in (1, 4):
        wires = [await stage.wire(warm=True) for _ in range(count)]
        tokens = [stage.token() for _ in wires]
        async with stage.beside_a_call():
            for wire, token in zip(wires, tokens, strict=True):
                stage.shop.plans[token] = partial(say, odd)
                await wire.send(stage.exchange.request(token, stage.session))
            for wire, token in zip(wires, tokens, strict=True):
                assert (name, (await wire.answer()).said) == (name, token if expected == RIGHT else expected)
                assert stage.shop.sold[token] == 1
                assert [await stage.call(wire) for _ in range(2)] == [RIGHT] * 2, name
            for wire in wires:
                wire.close()


def say(odd: Odd, order: Order) -> None:
    order.send(odd(order))


in_both_eras = pytest.mark.parametrize(
    "exchange", [JSON_ANSWER, pytest.param(LEGACY, marks=pytest.mark.slow)], ids=lambda exchange: exchange.name
)


@in_both_eras
def test_an_odd_answer_that_is_right_is_delivered_and_nothing_that_follows_it(exchange: Exchange) -> None:
    """Twice, so that heads were seen before; the connection is kept if nothing speaks against it."""

    async def scene(stage: Stage) -> None:
        for name, odd in [*RIGHT_ANSWERS.items()] * 2:
            await stage.others_are_served()
            connections = set(stage.shop.tills)
            await answered(stage, name, odd, RIGHT)
            assert (name, connections <= stage.shop.tills) == (name, name not in ENDING_CONNECTIONS)

    on_stage(scene, exchange)


@in_both_eras
def test_an_answer_that_is_not_valid_is_an_error_of_its_call(exchange: Exchange) -> None:
    async def scene(stage: Stage) -> None:
        for name, odd in INVALID_ANSWERS.items():
            await answered(stage, name, odd, INVALID)

    on_stage(scene, exchange)


def test_a_result_of_a_type_that_was_not_negotiated_is_an_error_of_its_call() -> None:
    async def scene(stage: Stage) -> None:
        for name, odd in INVALID_RESULT_TYPES.items():
            await answered(stage, name, odd, INVALID)

    on_stage(scene)


def test_a_large_answer_is_judged_like_a_small_one() -> None:
    async def scene(stage: Stage) -> None:
        for name, (odd, expected) in LARGE_ANSWERS.items():
            await answered(stage, name, odd, expected)

    on_stage(scene)


def test_an_answer_within_the_body_of_an_answer_is_not_an_answer() -> None:
    """It comes in a segment of its own, and its head was seen before."""

    async def scene(stage: Stage) -> None:
        wire = await stage.wire(warm=True)
        for interim, expected in ((CONTINUE, RIGHT), (HEAD, INVALID), (head(1000), INCOMPLETE)):
            token = stage.token()
            stage.shop.hold(token)
            await wire.send(stage.exchange.request(token))
            await stage.shop.holds(token)
            order = stage.shop.held.pop(token)
            order.send(interim)
            await a_moment()
            order.send(order.plain()[1])
            await a_moment()
            order.cut("fin")
            assert (await wire.answer()).said == (token if expected == RIGHT else expected)
            assert await stage.call(wire) == RIGHT
        wire.close()

    on_stage(scene)


@in_both_eras
def test_every_other_answer_has_its_own_reason(exchange: Exchange) -> None:
    async def scene(stage: Stage) -> None:
        for name, (odd, expected) in OTHER_ANSWERS.items():
            await answered(stage, name, odd, expected)

    on_stage(scene, exchange)
