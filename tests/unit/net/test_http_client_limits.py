"""What the client takes from a peer at most, and how it makes a peer wait (book UPF-07)."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.unit.net.client_rig import fails_with, post, run
from tests.unit.net.fake_peer import Exchange, FakePeer, answer, response
from toolyard.net.errors import (
    BadResponse,
    TooLarge,
)
from toolyard.net.http import HttpClient

pytestmark = pytest.mark.usefixtures("both_loops")


def head_of(fields: int, total_bytes: int) -> bytes:
    """A head with exactly `fields` fields that count `total_bytes` (name, value and four more each)."""
    used = len("content-length") + 1 + 4
    each, more = divmod(total_bytes - used, fields - 1)
    lines = [b"x" * 5 + b": " + b"v" * (each - 9 + (more if number == 0 else 0)) for number in range(fields - 1)]
    return b"\r\n".join((b"HTTP/1.1 200 OK", b"content-length: 2", *lines)) + b"\r\n\r\n{}"


@pytest.mark.parametrize(("fields", "size"), [(99, 2_000), (100, 2_000), (10, 32 * 1024 - 1), (10, 32 * 1024)])
def test_a_head_at_the_limit_is_taken(fields: int, size: int) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(head_of(fields, size))

    async def use(peer: FakePeer, client: HttpClient) -> None:
        assert await (await post(client)).read(2) == b"{}"

    run(script, use)


@pytest.mark.parametrize(("fields", "size"), [(101, 2_000), (10, 32 * 1024 + 1)])
def test_a_head_over_the_limit_is_refused(fields: int, size: int) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(head_of(fields, size))
        await exchange.gone()

    fails_with(BadResponse, script)


@pytest.mark.parametrize(
    "opening",
    [
        b"HTTP/1.1 200 OK\r\nx: ",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
def test_a_line_without_end_is_cut_off(opening: bytes) -> None:
    """Also after a whole answer: what follows it makes the connection unusable."""
    sent = 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(opening)
        with contextlib.suppress(ConnectionError):
            while sent < 100_000_000:
                await exchange.send(b"a" * 65_536)
                sent += 65_536

    async def use(peer: FakePeer, client: HttpClient) -> None:
        with contextlib.suppress(BadResponse):
            assert await (await post(client)).read(10) == b"{}"
        await peer.all_gone()

    run(script, use)
    assert sent < 50_000_000


def test_an_endless_body_is_cut_at_the_limit() -> None:
    sent = 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(response(length=1 << 30, body=b""))
        while sent < 1 << 30:
            await exchange.send(b"a" * 65_536)
            sent += 65_536

    fails_with(TooLarge, script, max_bytes=1 << 20)
    assert sent < 100 << 20


@pytest.mark.parametrize(("size", "fits"), [(999, True), (1000, True), (1001, False)])
def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not(size: int, fits: bool) -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        got = await post(client)
        if fits:
            assert len(await got.read(1000)) == size
        else:
            with pytest.raises(TooLarge):
                await got.read(1000)

    run(answer(b"x" * size), use)


def test_a_reader_that_stops_makes_the_peer_wait() -> None:
    sent = 0
    total = 64 << 20

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(response(length=total, body=b""))
        while sent < total:
            await exchange.send(b"a" * 65_536)
            sent += 65_536

    async def use(peer: FakePeer, client: HttpClient) -> None:
        got = await post(client)
        before = -1
        while before != sent:
            before = sent
            for _ in range(50):
                await asyncio.sleep(0.001)
        assert sent < total // 2
        assert got._held < 2 << 20
        size = 0
        async for chunk in got.chunks():
            size += len(chunk)
        assert size == total
        assert (await post(client)).status == 200
        assert peer.connections_seen == 1

    run(script, use)
