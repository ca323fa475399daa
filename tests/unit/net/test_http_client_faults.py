"""The pooled client against faulty peers (book UPF-01 to 04)."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.unit.net import fake_peer
from tests.unit.net.client_rig import client_of, fails_with, post, run
from tests.unit.net.fake_peer import Exchange, FakePeer, answer, response
from toolyard.kit import faults
from toolyard.net.errors import (
    BadResponse,
    ConnectTimedOut,
    DeadlineExceeded,
    Incomplete,
    Unreachable,
)
from toolyard.net.http import HttpClient

pytestmark = pytest.mark.usefixtures("both_loops")


def test_a_refused_connection_is_unreachable_and_was_not_sent() -> None:
    async def main() -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            async with client_of(f"http://127.0.0.1:{sock.getsockname()[1]}") as client:
                with pytest.raises(Unreachable) as info:
                    await post(client)
                assert not info.value.sent
                assert client.status()["connections"] == 0

    fake_peer.run(main())


def test_a_peer_that_accepts_no_connection_times_out() -> None:
    async def main() -> None:
        with socket.socket() as sock, socket.socket() as filler:
            sock.bind(("127.0.0.1", 0))
            sock.listen(0)
            filler.connect(sock.getsockname())
            fillers = [socket.socket() for _ in range(8)]
            for one in fillers:
                one.setblocking(False)
                one.connect_ex(sock.getsockname())
            url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            try:
                async with client_of(url, connect_timeout_s=0.2) as client:
                    with pytest.raises(ConnectTimedOut):
                        await post(client)
                    with pytest.raises(DeadlineExceeded):
                        await post(client, within_s=0.05)
                    assert client.status()["connections"] == 0
            finally:
                for one in fillers:
                    one.close()

    fake_peer.run(main())


def test_a_name_that_does_not_exist_is_unreachable() -> None:
    async def nothing(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    async def main() -> None:
        async with client_of("http://nowhere.test", resolver=nothing) as client:
            with pytest.raises(Unreachable) as info:
                await post(client)
        assert "nowhere" not in info.value.message

    fake_peer.run(main())


def test_a_resolver_that_hangs_times_out() -> None:
    async def hanging(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async def main() -> None:
        async with client_of("http://slow.test", resolver=hanging, connect_timeout_s=0.05) as client:
            with pytest.raises(ConnectTimedOut):
                await post(client)
            assert client.status()["connections"] == 0

    fake_peer.run(main())


@pytest.mark.parametrize("point", ["net.resolve", "net.connect"])
def test_the_fault_points_of_dialling_end_as_unreachable(point: str) -> None:
    async def local(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def main() -> None:
        async with FakePeer(answer()) as peer, client_of(f"http://peer.test:{peer.port}", resolver=local) as client:
            with faults.armed(point, OSError("armed")), pytest.raises(Unreachable):
                await post(client)
            assert client.status()["connections"] == 0
            assert (await post(client)).status == 200

    fake_peer.run(main())


def test_a_peer_that_never_answers_ends_with_the_deadline_and_may_have_run() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.gone()

    assert fails_with(DeadlineExceeded, script, within_s=0.1).sent


def test_a_deadline_in_the_past_sends_nothing() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        with pytest.raises(DeadlineExceeded) as info:
            await post(client, within_s=-1)
        assert not info.value.sent
        assert peer.connections_seen == 0

    run(answer(), use)


def test_the_deadline_of_a_finished_exchange_does_not_touch_the_next() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(response(length=4, body=b"ok"))
        if exchange.number == 2:
            await long_after.wait()
        await exchange.send(b"ok")

    long_after = asyncio.Event()

    async def use(peer: FakePeer, client: HttpClient) -> None:
        first = await post(client, within_s=0.2)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 0.2
        assert await first.read(10) == b"okok"
        second = await post(client)
        while loop.time() < deadline + 0.05:
            await asyncio.sleep(0.01)
        long_after.set()
        assert await second.read(10) == b"okok"
        assert peer.connections_seen == 1

    run(script, use)


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_answer_that_breaks_off_is_incomplete(beginning: bytes, how: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(beginning)
        getattr(exchange, how)()

    error = fails_with(Incomplete, script)
    assert error.sent


def test_headers_and_then_nothing_end_with_the_deadline() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(response(length=10, body=b"half"))
        await exchange.gone()

    fails_with(DeadlineExceeded, script, within_s=0.1)


def test_a_reset_does_not_count_as_the_end_of_a_body_without_length() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await exchange.send(b"part")
        exchange.reset()

    fails_with(Incomplete, script)


def test_a_body_that_drips_ends_with_the_total_deadline() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(response(length=1_000_000, body=b""))
        while True:
            await exchange.send(b": ping\n\n")
            await asyncio.sleep(0.01)

    fails_with(DeadlineExceeded, script, within_s=0.2, max_bytes=10_000_000)


@pytest.mark.parametrize(
    "answer_bytes",
    [
        b"not http at all\r\n\r\n",
        b"<html>hello</html>",
        response(headers=(("content-encoding", "gzip"),)),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + response(),
        b"HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
def test_an_answer_that_is_not_understood_is_refused(answer_bytes: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(answer_bytes)
        await exchange.gone()

    assert fails_with(BadResponse, script).sent


def test_what_came_before_the_stream_broke_off_is_given_out_first() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        exchange.close()

    async def use(peer: FakePeer, client: HttpClient) -> None:
        got = await post(client)
        await peer.all_gone()
        chunks: list[bytes] = []

        async def collect() -> None:
            async for chunk in got.chunks():
                chunks.append(chunk)

        with pytest.raises(Incomplete):
            await collect()
        assert chunks == [b"hello"]

    run(script, use)
