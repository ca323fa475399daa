"""Cancellation, closing, and connections that went stale (book UPF-12)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest

from tests.unit.net import fake_peer
from tests.unit.net.client_rig import client_of, post, run
from tests.unit.net.fake_peer import PATIENCE_S, Exchange, FakePeer, Script, answer, response, silent
from toolyard.net.errors import (
    Incomplete,
    Unreachable,
)
from toolyard.net.http import HttpClient

pytestmark = pytest.mark.usefixtures("both_loops")


# Cancellation: the peer learns of it by the closed connection.


async def head_only(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await exchange.gone()


async def _request(client: HttpClient) -> None:
    await post(client)


async def _read(client: HttpClient) -> None:
    await (await post(client)).read(1000)


async def _stream(client: HttpClient) -> None:
    async for _ in (await post(client)).chunks():
        pass


@pytest.mark.parametrize(("script", "work"), [(silent, _request), (head_only, _read), (head_only, _stream)])
def test_cancelling_closes_the_connection_at_once(
    script: Script, work: Callable[[HttpClient], Awaitable[None]]
) -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        task = asyncio.ensure_future(work(client))
        await peer.seen(1)
        for _ in range(20):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.status()["connections"] == 0
        await peer.all_gone()

    run(script, use)


def test_leaving_the_with_block_of_an_unfinished_answer_closes_the_connection() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        with await post(client) as got:
            async for chunk in got.chunks():
                assert chunk == b"hello"
                break
        await peer.all_gone()

    run(head_only, use)


def test_abort_closes_the_connection_and_ends_a_reader() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        got = await post(client)
        reading = asyncio.create_task(got.read(1000))
        await asyncio.sleep(0)
        got.abort()
        with pytest.raises(Incomplete):
            await reading
        await peer.all_gone()

    run(head_only, use)


def test_closing_the_client_ends_everything_that_waits() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        running = asyncio.create_task(post(client))
        await peer.seen(1)
        waiting = asyncio.create_task(post(client))
        while not client.status()["waiting"]:
            await asyncio.sleep(0)
        await client.aclose()
        results = await asyncio.gather(running, waiting, return_exceptions=True)
        assert [type(result) for result in results] == [Unreachable, Unreachable]
        assert [result.sent for result in results if isinstance(result, Unreachable)] == [True, False]
        with pytest.raises(Unreachable):
            await post(client)

    run(silent, use, max_connections=1)


def test_an_idle_connection_that_the_peer_closed_is_not_used() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        await (await post(client)).read(100)
        peer.drop_all()
        await peer.all_gone()
        await (await post(client)).read(100)
        assert len(peer.requests) == 2
        assert client.status()["retries"] == 0

    run(answer(), use)


def test_an_idle_connection_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolyard.net.http.IDLE_LIMIT_S", 0.02)

    async def use(peer: FakePeer, client: HttpClient) -> None:
        for _ in range(2):
            await asyncio.gather(*(post(client) for _ in range(3)))
            await peer.all_gone()
            assert client.status()["connections"] == 0

    run(answer(), use)


def closes_instead_of_a_second_answer(how: str = "close") -> Script:
    """Answers the first request of the peer; the first connection's second one gets a closed connection."""

    async def script(exchange: Exchange) -> None:
        if exchange.connection == 1 and exchange.number == 2:
            getattr(exchange, how)()
        else:
            await exchange.send(response())

    return script


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_idempotent_request_on_a_connection_that_closed_under_it_is_sent_again_once(how: str) -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        await (await post(client)).read(100)
        got = await post(client, idempotent=True)
        assert await got.read(100) == b"{}"
        assert (len(peer.requests), peer.connections_seen, client.status()["retries"]) == (3, 2, 1)

    run(closes_instead_of_a_second_answer(how), use)


def test_a_post_that_the_socket_did_not_take_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolyard.net.connection.PEEK_AFTER_IDLE_S", 1000.0)

    async def use(peer: FakePeer, client: HttpClient) -> None:
        await (await post(client)).read(100)
        [idle] = client._idle
        assert idle.sock is not None
        idle.sock.shutdown(socket.SHUT_WR)
        assert await (await post(client)).read(100) == b"{}"
        assert (len(peer.requests), client.status()["retries"]) == (2, 1)

    run(answer(), use)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_post_that_may_have_run_is_never_sent_again(how: str) -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        await (await post(client)).read(100)
        with pytest.raises(Incomplete) as info:
            await post(client)
        assert info.value.sent
        assert not info.value.answered
        assert len(peer.requests) == 2

    run(closes_instead_of_a_second_answer(how), use)


def test_a_get_is_idempotent_by_itself() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        for _ in range(2):
            await (await client.request("GET", "/", [], None, deadline=deadline)).read(100)
        assert client.status()["retries"] == 1

    run(closes_instead_of_a_second_answer(), use)


def test_the_second_sending_is_the_last() -> None:
    async def script(exchange: Exchange) -> None:
        if len(peers[0].requests) == 1:
            await exchange.send(response())
        else:
            exchange.close()

    peers: list[FakePeer] = []

    async def use(peer: FakePeer, client: HttpClient) -> None:
        peers.append(peer)
        await (await post(client)).read(100)
        with pytest.raises(Incomplete):
            await post(client, idempotent=True)
        assert len(peer.requests) == 3

    run(script, use)


def test_a_request_on_a_new_connection_is_not_sent_again() -> None:
    async def script(exchange: Exchange) -> None:
        exchange.close()

    async def use(peer: FakePeer, client: HttpClient) -> None:
        with pytest.raises(Incomplete):
            await post(client, idempotent=True)
        assert len(peer.requests) == 1

    run(script, use)


def test_one_byte_of_answer_forbids_sending_again() -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.number == 2:
            await exchange.send(b"H")
            exchange.close()
        else:
            await exchange.send(response())

    async def use(peer: FakePeer, client: HttpClient) -> None:
        await (await post(client)).read(100)
        with pytest.raises(Incomplete) as info:
            await post(client, idempotent=True)
        assert info.value.answered
        assert len(peer.requests) == 2

    run(script, use)


def test_an_answer_that_nobody_asked_for_never_becomes_the_next_requests_answer() -> None:
    async def script(exchange: Exchange) -> None:
        poison = response(b"poison") if exchange.connection == 1 else b""
        await exchange.send(response(exchange.request.body) + poison)

    async def use(peer: FakePeer, client: HttpClient) -> None:
        for number in range(3):
            body = b"%d" % number
            assert await (await post(client, body)).read(100) == body
        assert peer.connections_seen == 2

    run(script, use)


def test_bytes_that_come_while_idle_close_the_connection() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(response(exchange.request.body))
        if exchange.connection == 1:
            await read_once.wait()
            await exchange.send(response(b"poison"))

    read_once = asyncio.Event()

    async def use(peer: FakePeer, client: HttpClient) -> None:
        await (await post(client, b"1")).read(100)
        read_once.set()
        await peer.all_gone()
        assert await (await post(client, b"2")).read(100) == b"2"

    run(script, use)


def test_an_answer_before_the_whole_request_was_written_ends_the_connection() -> None:
    async def main() -> None:
        async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response(b"no", 413))
            await writer.drain()
            with contextlib.suppress(ConnectionError):
                while await reader.read(65_536):
                    pass
            writer.close()
            done.set()

        done = asyncio.Event()
        server = await asyncio.start_server(early, "127.0.0.1", 0, limit=2**16)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with client_of(url) as client:
            got = await post(client, b"x" * (32 << 20))
            assert (got.status, await got.read(100)) == (413, b"no")
            assert client.status()["connections"] == 0
            async with asyncio.timeout(PATIENCE_S):
                await done.wait()
        server.close()
        await server.wait_closed()

    fake_peer.run(main())
