"""A client's connection is cut at every byte of an exchange: it costs that client its call, and nobody anything else
(HTTP-19). The everyday run takes every seventh byte, the whole run every byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.gateway.faults.cutting import (
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
from tests.gateway.faults.raw_client import judged, taken
from tests.gateway.faults.shop import How

Victim = Callable[[int], Awaitable[None]]


async def everywhere(stage: Stage, length: int, victim: Victim, step: int) -> None:
    """Cut at each `step`th position up to `length`, several connections at once, beside a call that must not notice."""
    for group in groups(range(0, length, step)):
        async with stage.beside_a_call():
            await asyncio.gather(*(victim(position) for position in group))


async def cut_requests(stage: Stage, how: How, *, warm: bool, step: int) -> None:
    """Every position within the request: it never runs, and nothing is answered."""

    async def victim(position: int) -> None:
        wire, token = await stage.wire(warm=warm), stage.token()
        await wire.send(stage.exchange.request(token, stage.session)[:position])
        await a_moment()
        assert await wire.cut(how) == b""
        assert stage.shop.sold[token] == 0

    await everywhere(stage, len(stage.exchange.request(stage.token(), stage.session)), victim, step)


async def cut_while_it_runs(stage: Stage, how: How, count: int) -> None:
    """The shop has the order: it learns that the caller went, unless the call outlives its connection."""

    async def victim(position: int) -> None:
        wire, token = await stage.wire(warm=position % 2 == 0), stage.token()
        stage.shop.hold(token)
        await wire.send(stage.exchange.request(token, stage.session))
        await stage.shop.holds(token)
        order = stage.shop.held[token]
        received = await asyncio.wait_for(wire.cut(how), 20)
        assert judged(received, stage.shop, token) == ["cut"]
        if stage.exchange.client == "modern":
            await stage.rig.until(lambda: order.gone)
        order.send(b"".join(stage.exchange.parts(order)))  # too late, or for a client that comes back
        stage.shop.held.pop(token)

    await everywhere(stage, count, victim, 1)


async def cut_answers(stage: Stage, how: How, *, warm: bool, step: int) -> None:
    """Every position within the answer: the client has a part of it, and it was made once."""
    parts = await sample(stage)

    async def victim(position: int) -> None:
        wire, token = await stage.wire(warm=warm), stage.token()
        stage.shop.hold(token, lambda order: order.send(stage.exchange.parts(order)[0]))
        await wire.send(stage.exchange.request(token, stage.session))
        await stage.shop.holds(token)
        order = stage.shop.held.pop(token)
        rest = stage.exchange.parts(order)[1]
        if position > parts[0]:
            order.send(rest)
        await wire.read(position)
        received = wire.received
        await wire.cut(how)
        assert len(received) == position
        outcome = judged(received, stage.shop, token)
        if stage.exchange.client == "modern":  # to a legacy client a late answer comes in another form
            assert outcome == ["cut" if position < sum(parts) else token]
        if position <= parts[0]:
            await stage.rig.until(lambda: order.gone or stage.exchange.client == "legacy")
            order.send(rest)

    await everywhere(stage, sum(parts) + 1, victim, step)


async def sample(stage: Stage) -> tuple[int, int]:
    """How long an answer is before its result, and from there on."""
    wire, token = await stage.wire(), stage.token()
    stage.shop.hold(token, lambda order: order.send(stage.exchange.parts(order)[0]))
    await wire.send(stage.exchange.request(token, stage.session))
    await stage.shop.holds(token)
    order = stage.shop.held.pop(token)
    if stage.exchange.progress:
        while b'"progress"' not in wire.received:
            await wire.some(65536)
    first = len(wire.received)
    order.send(stage.exchange.parts(order)[1])
    while taken(wire.received) is None:
        await wire.some(65536)
    total = len(wire.received)
    wire.close()
    return first, total - first


@on_both_loops
@as_json_and_stream
def test_a_client_that_goes_anywhere_costs_only_its_own_call(exchange: Exchange, *, plain: bool) -> None:
    async def scene(stage: Stage) -> None:
        for how in HOW:
            await cut_requests(stage, how, warm=True, step=7)
            await cut_while_it_runs(stage, how, 6)
            await cut_answers(stage, how, warm=True, step=7)

    on_stage(scene, exchange, plain=plain)


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
@in_every_form
def test_a_client_that_goes_at_any_byte_costs_only_its_own_call(exchange: Exchange, how: How) -> None:
    async def scene(stage: Stage) -> None:
        step = 5 if exchange in BETWEEN_ERAS else 1
        await cut_requests(stage, how, warm=True, step=step)
        await cut_requests(stage, how, warm=False, step=2 * step)
        await cut_while_it_runs(stage, how, 24)
        await cut_answers(stage, how, warm=True, step=step)
        await cut_answers(stage, how, warm=False, step=2 * step)

    on_stage(scene, exchange)
