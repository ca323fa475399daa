"""However the bytes of an exchange are cut into segments, it is the same exchange: two segments split at every byte,
one byte at a time, both ways, and several requests sent at once (HTTP-18)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.gateway.faults.cutting import (
    ALL,
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
from tests.gateway.faults.raw_client import judged
from tests.gateway.faults.shop import How, Order

MODERN = tuple(exchange for exchange in ALL if exchange.client == "modern")
MOST = 5


async def split_requests(stage: Stage, step: int) -> None:
    """The client's request in two segments."""

    async def victim(position: int) -> None:
        wire, token = await stage.wire(warm=position % 2 == 0), stage.token()
        request = stage.exchange.request(token, stage.session)
        await wire.send(request[:position])
        await a_moment()
        await wire.send(request[position:])
        assert (await wire.answer()).said == token
        assert stage.shop.sold[token] == 1
        wire.close()

    for group in groups(range(1, len(stage.exchange.request(stage.token(), stage.session)), step)):
        async with stage.beside_a_call():
            await asyncio.gather(*(victim(position) for position in group))


async def split_answers(stage: Stage, step: int) -> None:
    """The shop's answer in two segments; its connection is kept."""
    wires = [await stage.wire(warm=True) for _ in range(6)]
    connections, length, position = stage.shop.connections, 1000, 0
    while position < length:
        tokens = [stage.token() for _ in wires]
        async with stage.beside_a_call():
            for wire, token in zip(wires, tokens, strict=True):
                stage.shop.hold(token)
                await wire.send(stage.exchange.request(token, stage.session))
            await stage.shop.holds(*tokens)
            orders = [stage.shop.held.pop(token) for token in tokens]
            answers = [b"".join(stage.exchange.parts(order)) for order in orders]
            length = len(answers[0])
            for number, (order, answer) in enumerate(zip(orders, answers, strict=True)):
                order.send(answer[: position + number * step])
            await a_moment()
            for number, (order, answer) in enumerate(zip(orders, answers, strict=True)):
                order.send(answer[position + number * step :])
            assert [(await wire.answer()).said for wire in wires] == tokens
        position += len(wires) * step
    assert stage.shop.connections == connections
    for wire in wires:
        wire.close()


async def one_byte_at_a_time(stage: Stage) -> None:
    """Both ways at once: the client's request, what the shop reads, what it answers, what the client reads."""
    wire, token = await stage.wire(warm=True), stage.token()
    async with stage.beside_a_call():
        stage.shop.hold(token)
        stage.shop.bytes_at_once = 1
        for byte in stage.exchange.request(token, stage.session):
            await wire.send(bytes([byte]))
            await asyncio.sleep(0)
        await stage.shop.holds(token)
        stage.shop.bytes_at_once = 65536
        order = stage.shop.held.pop(token)
        sending = asyncio.ensure_future(drip(order, b"".join(stage.exchange.parts(order))))
        while judged(wire.received, stage.shop, token) != [token]:
            assert await wire.some(1)
        await sending
    wire.close()


async def drip(order: Order, answer: bytes) -> None:
    for byte in answer:
        order.send(bytes([byte]))
        await asyncio.sleep(0)


async def pipelined(stage: Stage, count: int, pieces: Callable[[bytes], list[bytes]]) -> None:
    """So many requests at once, sent in `pieces`: answered in order, each by its own answer."""
    wire, tokens = await stage.wire(warm=True), [stage.token() for _ in range(count)]
    for piece in pieces(b"".join(stage.exchange.request(token, stage.session) for token in tokens)):
        await wire.send(piece)
        await a_moment()
    assert [(await wire.answer()).said for _ in tokens] == tokens
    assert all(stage.shop.sold[token] == 1 for token in tokens)
    wire.close()


async def pipelined_and_cut(stage: Stage, count: int, how: How, step: int) -> None:
    """The connection is cut after some bytes of so many requests: what was not sent whole never runs, and what is
    answered is answered in order."""
    whole = len(stage.exchange.request(stage.token(), stage.session))

    async def victim(position: int) -> None:
        wire, tokens = await stage.wire(warm=position % 2 == 0), [stage.token() for _ in range(count)]
        requests = b"".join(stage.exchange.request(token, stage.session) for token in tokens)
        await wire.send(requests[:position])
        for _ in range(position % 5):
            await a_moment()
        received = await wire.cut(how)
        outcomes = judged(received, stage.shop, *tokens)
        assert all(outcome in (token, "cut") for outcome, token in zip(outcomes, tokens, strict=True))
        for number, token in enumerate(tokens):
            assert stage.shop.sold[token] == 0 or position >= (number + 1) * whole

    for group in groups(range(0, count * whole + 1, step)):
        async with stage.beside_a_call():
            await asyncio.gather(*(victim(position) for position in group))


async def pipelined_and_read_in_part(stage: Stage, count: int, how: How, step: int) -> None:
    """The client goes when it has read some bytes of the answers."""
    wire, tokens = await stage.wire(), [stage.token() for _ in range(count)]
    await wire.send(b"".join(stage.exchange.request(token, stage.session) for token in tokens))
    while "cut" in judged(wire.received, stage.shop, *tokens):
        await wire.some(65536)
    length = len(wire.received)
    wire.close()

    async def victim(position: int) -> None:
        wire, tokens = await stage.wire(), [stage.token() for _ in range(count)]
        await wire.send(b"".join(stage.exchange.request(token, stage.session) for token in tokens))
        await wire.read(position)
        received = wire.received
        await wire.cut(how)
        outcomes = judged(received, stage.shop, *tokens)
        answered = count - outcomes.count("cut")
        assert outcomes[:answered] == tokens[:answered]

    for group in groups(range(0, length, step)):
        async with stage.beside_a_call():
            await asyncio.gather(*(victim(position) for position in group))


def at_once(data: bytes) -> list[bytes]:
    return [data]


def in_pieces(size: int) -> Callable[[bytes], list[bytes]]:
    return lambda data: [data[a:b] for a, b in pairwise([*range(0, len(data), size), len(data)])]


@on_both_loops
@as_json_and_stream
def test_an_exchange_split_anywhere_is_the_same_exchange(exchange: Exchange, *, plain: bool) -> None:
    async def scene(stage: Stage) -> None:
        await split_requests(stage, 7)
        await split_answers(stage, 7)
        await one_byte_at_a_time(stage)

    on_stage(scene, exchange, plain=plain)


@on_both_loops
@as_json_and_stream
def test_requests_sent_at_once_are_answered_in_order_and_cut_anywhere(exchange: Exchange, *, plain: bool) -> None:
    async def scene(stage: Stage) -> None:
        for count in (2, MOST):
            await pipelined(stage, count, at_once)
            await pipelined(stage, count, in_pieces(100))
            await pipelined_and_cut(stage, count, "fin", 47)
            await pipelined_and_cut(stage, count, "reset", 47)

    on_stage(scene, exchange, plain=plain)


@pytest.mark.slow
@in_every_form
def test_an_exchange_split_at_any_byte_is_the_same_exchange(exchange: Exchange) -> None:
    async def scene(stage: Stage) -> None:
        await split_requests(stage, 1)
        await split_answers(stage, 1)
        for _ in range(5):
            await one_byte_at_a_time(stage)

    on_stage(scene, exchange)


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("exchange", MODERN, ids=lambda exchange: exchange.name)
def test_requests_sent_at_once_and_cut_at_any_byte_run_at_most_once(exchange: Exchange, how: How) -> None:
    async def scene(stage: Stage) -> None:
        for count in range(2, MOST + 1):
            for size in (7, 400):
                await pipelined(stage, count, in_pieces(size))
            await pipelined_and_cut(stage, count, how, 1 if count == 2 else 29)
            await pipelined_and_read_in_part(stage, count, how, 3 if count == 2 else 29)

    on_stage(scene, exchange)
