"""An upstream's connection is cut at every byte of an exchange: its call ends with `upstream_incomplete` or is right,
it ran at most once, and no other call notices (UPF-03, UPF-12). The everyday run takes every seventh byte."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.gateway.faults.cutting import (
    ALL,
    BETWEEN_ERAS,
    HOW,
    Exchange,
    Stage,
    a_moment,
    as_json_and_stream,
    groups,
    in_every_form,
    on_both_loops,
    on_stage,
)
from tests.gateway.faults.shop import How, Order, Till

MODERN = tuple(exchange for exchange in ALL if exchange.client == "modern")


async def cut_answers(stage: Stage, how: How, *, warm: bool, step: int) -> None:
    """Every position within the shop's answer, several at once; each client goes on with its connection."""
    lengths = await sample(stage)
    for group in groups(range(0, lengths[1], step)):
        if not warm:
            await stage.shop.hang_up()
        async with stage.beside_a_call():
            await asyncio.gather(*(victim(stage, how, position, lengths[0], warm=warm) for position in group))


async def victim(stage: Stage, how: How, position: int, whole_at: int, *, warm: bool) -> None:
    """A call whose answer breaks off at a position; its result is whole from `whole_at` on."""
    wire, token = await stage.wire(warm=warm), stage.token()
    stage.shop.hold(token)
    await wire.send(stage.exchange.request(token, stage.session))
    await stage.shop.holds(token)
    order = stage.shop.held.pop(token)
    order.send(b"".join(stage.exchange.parts(order))[:position])
    if how == "reset":
        await a_moment()  # a reset may overtake what was sent before it
    order.cut(how)
    answer = await wire.answer()
    assert answer.said == ("!upstream_incomplete" if position < whole_at else token)
    assert position >= whole_at or answer.may_have_run
    assert stage.shop.sold[token] == 1
    assert await stage.call(wire) == "right"
    wire.close()


async def sample(stage: Stage) -> tuple[int, int]:
    """From which position on an answer's result is whole, and its length."""
    lengths: list[int] = []

    def measure(order: Order) -> None:
        parts = b"".join(stage.exchange.parts(order))
        lengths.append(len(parts) - (len(b"\r\n0\r\n\r\n") if stage.exchange.progress else 0))
        lengths.append(len(parts))
        order.send(parts)

    token = stage.token()
    stage.shop.plans[token] = measure
    wire = await stage.wire()
    await wire.send(stage.exchange.request(token, stage.session))
    assert (await wire.answer()).said == token
    wire.close()
    return lengths[0], lengths[1]


async def cut_requests(stage: Stage, how: How, step: int) -> None:
    """Every position within what the gateway sends: the order did not come in, so it did not run."""
    wire = await stage.wire(warm=True)
    for position in range(1, await length_of_request(stage), step):
        async with stage.beside_a_call():
            token = stage.token()
            stage.shop.cut_next = (position, how)
            await wire.send(stage.exchange.request(token, stage.session))
            assert (await wire.answer()).said == "!upstream_incomplete"
            assert stage.shop.sold[token] == 0
            assert stage.shop.cut_next is None
    wire.close()


async def length_of_request(stage: Stage) -> int:
    """The bytes of one order as the gateway sends it."""
    lengths: list[int] = []
    take = Till._take

    def measured(till: Till) -> object:
        lengths.append(len(till._read))
        return take(till)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Till, "_take", measured)
        await stage.others_are_served()
    return max(lengths)


@on_both_loops
@as_json_and_stream
def test_an_upstream_that_breaks_off_anywhere_costs_only_its_own_call(exchange: Exchange, *, plain: bool) -> None:
    async def scene(stage: Stage) -> None:
        for how in HOW:
            await cut_answers(stage, how, warm=True, step=7)
            await cut_requests(stage, how, step=21)

    on_stage(scene, exchange, plain=plain)


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
@in_every_form
def test_an_upstream_that_breaks_off_at_any_byte_costs_only_its_own_call(exchange: Exchange, how: How) -> None:
    async def scene(stage: Stage) -> None:
        step = 5 if exchange in BETWEEN_ERAS else 1
        await cut_answers(stage, how, warm=True, step=step)
        await cut_answers(stage, how, warm=False, step=2 * step)
        await cut_requests(stage, how, step=step)

    on_stage(scene, exchange)


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("exchange", MODERN, ids=lambda exchange: exchange.name)
def test_a_call_that_only_reads_is_repeated_wherever_its_answer_breaks_off(exchange: Exchange, how: How) -> None:
    async def scene(stage: Stage) -> None:
        whole_at, length = await sample(stage)
        wire = await stage.wire(warm=True)
        for position in range(0, length, 3):
            async with stage.beside_a_call():
                token = stage.token()
                stage.shop.plans[token] = partial(break_off, stage, position, how)
                await wire.send(stage.exchange.with_tool("look").request(token, stage.session))
                assert (await wire.answer()).said == token
                assert stage.shop.sold[token] == 2 or (position >= whole_at and stage.shop.sold[token] == 1)
        wire.close()

    on_stage(scene, exchange)


@pytest.mark.parametrize("position", [0, 5, 100])
@pytest.mark.parametrize("tool", ["sell", "look"])
def test_nothing_is_sent_more_than_twice_to_an_upstream_that_always_breaks_off(tool: str, position: int) -> None:
    async def scene(stage: Stage) -> None:
        wire, token = await stage.wire(warm=True), stage.token()

        def always(order: Order) -> None:
            stage.shop.plans[token] = always
            break_off(stage, position, "fin", order)

        stage.shop.plans[token] = always
        async with stage.beside_a_call():
            await wire.send(stage.exchange.with_tool(tool).request(token))
            answer = await wire.answer()
            assert (answer.said, answer.may_have_run) == ("!upstream_incomplete", True)
            assert stage.shop.sold[token] == (2 if tool == "look" else 1)
            wire.close()

    on_stage(scene)


def break_off(stage: Stage, position: int, how: How, order: Order) -> None:
    order.send(b"".join(stage.exchange.parts(order))[:position])
    order.cut(how)
