"""The pooled client against a scripted peer: keep-alive, faults, cancellation, limits (book UPF-01 to 04, 07, 12)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.unit.net import fake_peer
from tests.unit.net.fake_peer import PATIENCE_S, Exchange, FakePeer, Script, answer, response, silent
from toolyard.kit import faults
from toolyard.net.errors import (
    BadResponse,
    ConnectTimedOut,
    DeadlineExceeded,
    Incomplete,
    InvalidUrl,
    NetError,
    TooLarge,
    Unreachable,
    Unsendable,
)
from toolyard.net.guard import AddressPolicy
from toolyard.net.http import HttpClient
from toolyard.net.response import HttpResponse
from toolyard.net.tls import TlsPolicy

pytestmark = pytest.mark.usefixtures("both_loops")

LOOPBACK = AddressPolicy(allow_loopback=True)


@contextlib.asynccontextmanager
async def client_of(url: str, max_connections: int = 4, **options: object) -> AsyncIterator[HttpClient]:
    client = HttpClient(url, policy=LOOPBACK, tls=TlsPolicy(), max_connections=max_connections, **options)  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.aclose()


async def post(
    client: HttpClient, body: bytes = b"{}", within_s: float = PATIENCE_S, **options: object
) -> HttpResponse:
    deadline = asyncio.get_running_loop().time() + within_s
    return await client.request("POST", "/mcp", [("accept", "*/*")], body, deadline=deadline, **options)  # type: ignore[arg-type]


def run(script: Script, use: Callable[[FakePeer, HttpClient], Awaitable[None]], max_connections: int = 4) -> None:
    """Run `use` against a peer with `script`; afterwards no connection may be left."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S * 3), FakePeer(script) as peer:
            async with client_of(peer.url, max_connections) as client:
                await use(peer, client)
            assert client.status()["connections"] == 0
            await peer.all_gone()

    fake_peer.run(main())


def fails_with(
    error: type[NetError], script: Script, *, within_s: float = PATIENCE_S, max_bytes: int = 1000
) -> NetError:
    """One POST against `script` must end with `error`, and leave no connection open."""
    caught: list[NetError] = []

    async def use(peer: FakePeer, client: HttpClient) -> None:
        with pytest.raises(error) as info:
            await (await post(client, within_s=within_s)).read(max_bytes)
        caught.append(info.value)
        await peer.all_gone()
        assert client.status()["connections"] == 0

    run(script, use)
    return caught[0]


def test_an_answer_is_read_whole_with_its_status_and_headers() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        got = await post(client, b'{"a":1}')
        assert (got.status, await got.read(100)) == (201, b"hello")
        assert got.headers["x-one"] == "a, b"
        assert "set-cookie" not in got.headers
        [seen] = peer.requests
        assert (seen.method, seen.target, seen.body) == ("POST", "/mcp", b'{"a":1}')
        assert seen.headers == {
            "host": f"127.0.0.1:{peer.port}",
            "accept-encoding": "identity",
            "accept": "*/*",
            "content-length": "7",
        }

    run(answer(b"hello", 201, (("X-One", "a"), ("x-one", "b"), ("Set-Cookie", "k=v"))), use)


def test_a_connection_is_used_again() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        for _ in range(5):
            assert await (await post(client)).read(100) == b"{}"
        assert peer.connections_seen == 1
        assert client.status() == {
            "connections": 1,
            "idle": 1,
            "waiting": 0,
            "max_connections": 4,
            "requests": 5,
            "connections_opened": 1,
            "retries": 0,
        }

    run(answer(), use)


def test_a_chunked_body_comes_in_its_pieces_and_the_connection_is_used_again() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await exchange.send(b"6;ext=1\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n")

    async def use(peer: FakePeer, client: HttpClient) -> None:
        for _ in range(2):
            got = await post(client)
            assert b"".join([chunk async for chunk in got.chunks()]) == b"hello world"
            assert "x-trailer" not in got.headers
        assert peer.connections_seen == 1

    run(script, use)


def test_a_body_that_only_the_end_of_the_connection_ends_is_whole() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        exchange.close()

    async def use(peer: FakePeer, client: HttpClient) -> None:
        assert await (await post(client)).read(100) == b"all of it"

    run(script, use)


def test_interim_answers_are_skipped() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + response())

    async def use(peer: FakePeer, client: HttpClient) -> None:
        for _ in range(2):
            got = await post(client)
            assert (got.status, await got.read(100)) == (200, b"{}")
            assert "link" not in got.headers
        assert peer.connections_seen == 1

    run(script, use)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_by_its_status_ends_with_its_head(status: int) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 %d X\r\n\r\n" % status)

    async def use(peer: FakePeer, client: HttpClient) -> None:
        for _ in range(2):
            got = await post(client)
            assert (got.status, await got.read(0)) == (status, b"")
        assert peer.connections_seen == 1

    run(script, use)


def test_connection_close_is_obeyed() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        await (await post(client)).read(100)
        await (await post(client)).read(100)
        assert peer.connections_seen == 2

    run(answer(headers=(("Connection", "close"),)), use)


def test_an_answer_nobody_read_still_gives_its_connection_back() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        for _ in range(3):
            assert (await post(client)).status == 202
        assert peer.connections_seen == 1

    run(answer(b"", 202), use)


def test_requests_beyond_the_limit_wait_their_turn_in_order() -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        async def one(number: int) -> None:
            await (await post(client, b"%d" % number)).read(100)

        await asyncio.gather(*(one(number) for number in range(30)))
        assert peer.connections_seen == 2
        assert [int(seen.body) for seen in peer.requests] == list(range(30))
        assert client.status()["waiting"] == 0

    run(answer(), use, max_connections=2)


def test_waiting_for_a_connection_ends_with_the_deadline_and_was_not_sent() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.gone()

    async def use(peer: FakePeer, client: HttpClient) -> None:
        holding = asyncio.create_task(post(client))
        await peer.seen(1)
        with pytest.raises(DeadlineExceeded) as info:
            await post(client, within_s=0.05)
        assert not info.value.sent
        assert client.status()["waiting"] == 0
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding

    run(script, use, max_connections=1)


def test_a_waiter_that_is_cancelled_takes_no_connection_with_it() -> None:
    release = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if exchange.request.body == b"first":
            await release.wait()
        await exchange.send(response())

    async def use(peer: FakePeer, client: HttpClient) -> None:
        first = asyncio.create_task(post(client, b"first"))
        await peer.seen(1)
        second, third = asyncio.create_task(post(client)), asyncio.create_task(post(client))
        while client.status()["waiting"] < 2:
            await asyncio.sleep(0)
        second.cancel()
        release.set()
        assert (await first).status == 200
        assert (await third).status == 200
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (await post(client)).status == 200
        assert peer.connections_seen == 1

    run(script, use, max_connections=1)


def test_the_slot_of_a_failed_connection_goes_to_the_next_in_line() -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.request.body == b"bad":
            exchange.reset()
        else:
            await exchange.send(response())

    async def use(peer: FakePeer, client: HttpClient) -> None:
        results = await asyncio.gather(
            *(post(client, b"bad" if number % 2 else b"good") for number in range(10)), return_exceptions=True
        )
        assert [isinstance(result, HttpResponse) for result in results] == [True, False] * 5
        assert all(isinstance(result, Incomplete) for result in results[1::2])

    run(script, use, max_connections=1)


# Faults


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


# Connections that went stale


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


# What may be sent


@pytest.mark.parametrize(
    "headers",
    [
        [("x", "a\r\nevil: 1")],
        [("x", "a\nb")],
        [("x", "a\rb")],
        [("x", "a\0b")],
        [("x", "caf\u00e9\u2028")],
        [("x y", "a")],
        [("", "a")],
        [("x\r\n", "a")],
        [("Host", "evil")],
        [("Content-Length", "3")],
        [("transfer-encoding", "chunked")],
        [("Connection", "close")],
        [("Expect", "100-continue")],
    ],
)
def test_a_header_that_could_break_the_request_is_refused_before_anything_is_sent(
    headers: list[tuple[str, str]],
) -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        for _ in range(2):
            with pytest.raises(Unsendable):
                await client.request("POST", "/", headers, b"{}", deadline=deadline)
        assert peer.connections_seen == 0

    run(answer(), use)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "no-slash"),
        ("GET", "/a b"),
        ("GET", "/a\r\nx: y"),
        ("GET", "/a#b"),
        ("GET", "/é"),
        ("G T", "/"),
        ("HEAD", "/"),
    ],
)
def test_a_request_line_that_could_break_the_request_is_refused(method: str, target: str) -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        with pytest.raises(Unsendable):
            await client.request(method, target, [], None, deadline=deadline)
        assert peer.connections_seen == 0

    run(answer(), use)


def test_redirects_cookies_proxies_and_netrc_are_not_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w") as file:
        file.write("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", netrc)

    async def use(peer: FakePeer, client: HttpClient) -> None:
        for _ in range(2):
            got = await post(client)
            assert (got.status, got.headers["location"]) == (302, "http://169.254.169.254/")
        assert not {"cookie", "authorization", "proxy-authorization"} & set(peer.requests[1].headers)
        assert len(peer.requests) == 2

    run(answer(b"", 302, (("Location", "http://169.254.169.254/"), ("Set-Cookie", "a=b"))), use)


def test_only_http_origins_make_a_client() -> None:
    with pytest.raises(InvalidUrl):
        HttpClient("ws://127.0.0.1", policy=LOOPBACK, tls=TlsPolicy(), max_connections=1)
