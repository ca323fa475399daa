"""Slow readers, slow upstreams, giant bodies and broken chunks cost only their owner (HTTP-03, HTTP-11, HTTP-12,
HTTP-13, UPF-04, UPF-07): while they go on, another client's calls are served, and when they end nothing is left."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.gateway.faults.cutting import HOW, Exchange, Stage, as_json_and_stream, on_stage
from tests.gateway.faults.raw_client import Wire, http_request
from tests.gateway.faults.shop import CHUNKED, HEAD, JSON_TYPE, How, Order, chunk, whole
from tests.gateway.rig import modern_request
from toolyard.gateway.framing import WireLimits

GIANT = 12 * 1024 * 1024
PIECE = 64 * 1024


async def begun(stage: Stage, wire: Wire, token: str) -> Order:
    """A call that the shop has and has not answered."""
    stage.shop.hold(token)
    await wire.send(stage.exchange.request(token, stage.session))
    await stage.shop.holds(token)
    return stage.shop.held.pop(token)


def giant(stage: Stage, order: Order) -> bytes:
    """A right answer of twelve megabytes."""
    body = order.body(order.token + "x" * GIANT)
    if not stage.exchange.progress:
        return whole(body)
    return (
        HEAD
        + b"content-type: text/event-stream\r\n"
        + CHUNKED
        + b"\r\n"
        + chunk(b"data: " + body + b"\n\n")
        + b"0\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("how", "position"),
    [
        ("reset", 300_000),
        *(pytest.param(how, n, marks=pytest.mark.slow) for how in HOW for n in (0, 1, 400_000, 5_000_000)),
    ],
)
def test_a_client_that_reads_a_giant_answer_slowly_and_goes_costs_nobody_else_anything(how: How, position: int) -> None:
    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(warm=True) for _ in range(3)]
        orders = [await begun(stage, wire, stage.token()) for wire in wires]
        async with stage.beside_a_call():
            for order in orders:
                order.send(giant(stage, order))
            for wire in wires:
                while len(wire.received) < position:
                    assert await wire.some(PIECE)
            async with asyncio.timeout(20):
                while any(order.till._transport.get_write_buffer_size() for order in orders):
                    await asyncio.sleep(0.001)
            wire = await stage.wire()
            assert [await stage.call(wire) for _ in range(20)] == ["right"] * 20
            wire.close()
            for wire in wires:
                await wire.cut(how)

    on_stage(scene)


@pytest.mark.slow
def test_a_giant_answer_reaches_a_slow_reader_whole() -> None:
    async def scene(stage: Stage) -> None:
        wire, token = await stage.wire(warm=True), stage.token()
        order = await begun(stage, wire, token)
        async with stage.beside_a_call():
            order.send(giant(stage, order))
            other = await stage.wire()
            for _ in range(50):
                await wire.some(PIECE)
                assert await stage.call(other) == "right"
            answer = await wire.answer()
            assert answer.said == token + "x" * GIANT
            assert await stage.call(wire) == "right"
            wire.close()
            other.close()

    on_stage(scene)


@as_json_and_stream
def test_an_answer_too_large_is_cut_and_costs_only_its_call(exchange: Exchange) -> None:
    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(warm=True) for _ in range(3)]
        orders = [await begun(stage, wire, stage.token()) for wire in wires]
        async with stage.beside_a_call():
            pouring = [asyncio.ensure_future(pour(stage, order)) for order in orders]
            for wire in wires:
                assert (await wire.answer()).said == "!upstream_too_large"
                assert await stage.call(wire) == "right"
                wire.close()
            await asyncio.gather(*pouring)
            assert all(order.gone for order in orders)

    on_stage(scene, exchange)


async def pour(stage: Stage, order: Order) -> None:
    """An answer without end, in chunks, until the gateway has had enough."""
    kind = b"content-type: text/event-stream\r\n" if stage.exchange.progress else JSON_TYPE
    order.send(HEAD + kind + CHUNKED + b"\r\n" + chunk(b'data: {"jsonrpc": "2.0", "x": "'))
    piece, sent = chunk(b"x" * PIECE), 0
    while not order.gone and sent < 100 * 1024 * 1024:
        order.send(piece)
        sent += PIECE
        while order.till._transport.get_write_buffer_size() > PIECE and not order.gone:
            await asyncio.sleep(0)


@as_json_and_stream
def test_upstreams_that_drip_hold_up_nobody_else(exchange: Exchange) -> None:
    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(warm=True) for _ in range(5)]
        tokens = [stage.token() for _ in wires]
        orders = [await begun(stage, wire, token) for wire, token in zip(wires, tokens, strict=True)]
        answers = [b"".join(stage.exchange.parts(order)) for order in orders]
        other = await stage.wire()
        async with stage.beside_a_call():
            for position in range(0, len(answers[0]), 4):
                for order, answer in zip(orders, answers, strict=True):
                    order.send(answer[position : position + 4])
                assert await stage.call(other) == "right"
            for wire, token in zip(wires, tokens, strict=True):
                assert (await wire.answer()).said == token
                wire.close()
        other.close()

    on_stage(scene, exchange)


def padded(stage: Stage, token: str, size: int, *, chunked: bool) -> bytes:
    """A call whose body has this size."""
    arguments = {"token": token, "pad": ""}
    headers, body = modern_request("tools/call", {"name": "sell", "arguments": arguments}, request_id=int(token[1:]))
    filled = body.replace(b'"pad": ""', b'"pad": "%s"' % (b"x" * (size - len(body))))
    return http_request({**headers, **stage.exchange.headers}, filled, chunked=chunked)


@pytest.mark.parametrize("chunked", [False, True], ids=("length", "chunks"))
def test_a_body_at_the_limit_is_served_and_one_byte_more_is_refused(*, chunked: bool) -> None:
    limit = WireLimits().body_bytes

    async def scene(stage: Stage) -> None:
        for size, status in ((limit, 200), (limit + 1, 413)):
            wire, token = await stage.wire(warm=True), stage.token()
            async with stage.beside_a_call():
                sending = asyncio.ensure_future(wire.send(padded(stage, token, size, chunked=chunked)))
                answer = await wire.answer()
                assert answer.status == status
                assert stage.shop.sold[token] == (status == 200)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                wire.close()

    on_stage(scene)


@pytest.mark.parametrize("how", HOW)
def test_uploads_that_drip_and_break_off_hold_up_nobody_else(how: How) -> None:
    async def scene(stage: Stage) -> None:
        wires, other = [await stage.wire(warm=True) for _ in range(8)], await stage.wire()
        request = padded(stage, stage.token(), 3_000_000, chunked=False)
        async with stage.beside_a_call():
            for position in range(0, 600, 20):
                for wire in wires:
                    await wire.send(request[position : position + 20])
                assert await stage.call(other) == "right"
            for number, wire in enumerate(wires):
                await wire.send(request[600 : 600 + number * 100_000])
                assert await wire.cut(how) == b""
        other.close()

    on_stage(scene)


BROKEN_CHUNKS = (
    b"zz\r\n",
    b"-1\r\n",
    b"0x5\r\n",
    b"5\nabcde\n",
    b"5\r\nabcdef\r\n",
    b"\r\n",
    b"fffffffff\r\n",
    b"5;" + b"a" * 300 + b"\r\n",
    b"0\r\nbad trailer\r\n\r\n",
)


def test_broken_chunks_of_a_client_are_refused_wherever_they_come_and_nothing_runs() -> None:
    """At the first chunk, and after the whole message in good chunks but for the last; never taken for an end."""

    async def scene(stage: Stage) -> None:
        for broken in BROKEN_CHUNKS:
            for good in (0, 1):
                wire, token = await stage.wire(warm=True), stage.token()
                request = replace(stage.exchange, chunked=True).request(token)
                head, _, body = request.partition(b"\r\n\r\n")
                async with stage.beside_a_call():
                    assert body.endswith(b"0\r\n\r\n")
                    await wire.send(head + b"\r\n\r\n" + (body[: -len(b"0\r\n\r\n")] if good else b"") + broken)
                    assert (await wire.answer()).status in (400, 413)
                    assert await wire.to_the_end() == b""
                    assert stage.shop.sold[token] == 0

    on_stage(scene)
