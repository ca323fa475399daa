"""The pooled client against a well-behaved peer: answers, the pool, what may be sent (book SSRF-56)."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.net.client_rig import LOOPBACK, post, run
from tests.unit.net.fake_peer import PATIENCE_S, Exchange, FakePeer, answer, response
from toolyard.net.errors import (
    DeadlineExceeded,
    Incomplete,
    InvalidUrl,
    Unsendable,
)
from toolyard.net.http import HttpClient
from toolyard.net.response import HttpResponse
from toolyard.net.tls import TlsPolicy

pytestmark = pytest.mark.usefixtures("both_loops")


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


@pytest.mark.parametrize("limit", [1, 2])
def test_requests_beyond_the_limit_wait_their_turn(limit: int) -> None:
    async def use(peer: FakePeer, client: HttpClient) -> None:
        async def one(number: int) -> None:
            await (await post(client, b"%d" % number)).read(100)

        await asyncio.gather(*(one(number) for number in range(30)))
        came = [int(seen.body) for seen in peer.requests]
        assert peer.connections_seen == limit
        assert sorted(came) == list(range(30))
        if limit == 1:  # what travels on two connections may overtake
            assert came == sorted(came)
        assert client.status()["waiting"] == 0

    run(answer(), use, max_connections=limit)


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
