"""WebSocket channels against a real WebSocket server, and against peers that are none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.unit.net import fake_peer
from tests.unit.net.certificates import Authority
from tests.unit.net.fake_peer import PATIENCE_S, FakePeer, Script, answer, silent
from toolyard.net.errors import (
    BadResponse,
    DeadlineExceeded,
    EgressDenied,
    Incomplete,
    InvalidUrl,
    NetError,
    TlsRefused,
    TooLarge,
    Unreachable,
    Unsendable,
)
from toolyard.net.guard import AddressPolicy
from toolyard.net.tls import TlsPolicy
from toolyard.net.websocket import WebSocketChannel, connect_websocket

pytestmark = pytest.mark.usefixtures("both_loops")

LOOPBACK = AddressPolicy(allow_loopback=True)
VERIFY = TlsPolicy()


async def open_channel(url: str, *, within_s: float = PATIENCE_S, **options: object) -> WebSocketChannel:
    given: dict[str, object] = {"headers": [], "subprotocols": [], "policy": LOOPBACK, "tls": VERIFY}
    given |= {"deadline": asyncio.get_running_loop().time() + within_s, "max_message_bytes": 1000, **options}
    return await connect_websocket(url, **given)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def server_of(handler: Callable[[ServerConnection], Awaitable[None]], **options: object) -> AsyncIterator[str]:
    server: Server
    async with serve(handler, "127.0.0.1", 0, **options) as server:  # type: ignore[arg-type]
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws?x=1"


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def test_messages_travel_both_ways_as_text() -> None:
    async def main() -> None:
        kinds: list[type] = []

        async def handler(connection: ServerConnection) -> None:
            async for message in connection:
                kinds.append(type(message))
                await connection.send(message)

        async with server_of(handler) as url:
            channel = await open_channel(url)
            for message in (b"{}", "é".encode(), b"x" * 1000, b""):
                await channel.send(message)
                assert await channel.receive() == message
            assert kinds == [str] * 4
            await channel.aclose()

    fake_peer.run(main())


def test_a_message_is_sent_at_once_while_nothing_waits_to_be_written() -> None:
    async def main() -> None:
        reads = asyncio.Event()

        async def handler(connection: ServerConnection) -> None:
            await reads.wait()
            async for message in connection:
                await connection.send(str(len(message)))

        async with server_of(handler) as url:
            channel = await open_channel(url)
            sizes = [1, 2]
            assert all(channel.offer(b"x" * size) for size in sizes)
            while channel.has_room:
                sizes.append(900_000)
                assert channel.offer(b"x" * sizes[-1])
            assert not channel.offer(b"not taken")
            reads.set()
            await channel.send(b"waited")
            assert [await channel.receive() for _ in sizes] == [str(size).encode() for size in sizes]
            assert await channel.receive() == b"6"
            await channel.aclose()
            assert not channel.offer(b"too late")

    fake_peer.run(main())


def test_headers_and_subprotocols_are_offered_and_nothing_else() -> None:
    async def main() -> None:
        seen: list[dict[str, str]] = []

        async def handler(connection: ServerConnection) -> None:
            assert connection.request is not None
            seen.append({name.lower(): value for name, value in connection.request.headers.raw_items()})

        async with server_of(handler, subprotocols=["mcp"]) as url:
            channel = await open_channel(url, headers=[("Authorization", "Bearer x")], subprotocols=["other", "mcp"])
            assert channel.subprotocol == "mcp"
            assert await channel.receive() is None
            await channel.aclose()
        assert seen[0]["authorization"] == "Bearer x"
        assert seen[0]["sec-websocket-protocol"] == "other, mcp"
        assert not {"origin", "sec-websocket-extensions", "cookie", "user-agent"} & set(seen[0])

    fake_peer.run(main())


def test_a_proper_end_is_no_error() -> None:
    async def main() -> None:
        async def handler(connection: ServerConnection) -> None:
            await connection.close(1001)

        async with server_of(handler) as url:
            channel = await open_channel(url)
            assert await channel.receive() is None
            with pytest.raises(Incomplete):
                await channel.send(b"{}")
            await channel.aclose()

    fake_peer.run(main())


def test_an_improper_end_is_incomplete() -> None:
    async def main() -> None:
        async def handler(connection: ServerConnection) -> None:
            connection.transport.abort()

        async with server_of(handler) as url:
            channel = await open_channel(url)
            with pytest.raises(Incomplete):
                await channel.receive()
            await channel.aclose()

    fake_peer.run(main())


@pytest.mark.parametrize(("size", "fits"), [(999, True), (1000, True), (1001, False)])
def test_a_message_over_the_limit_ends_the_channel(size: int, fits: bool) -> None:
    async def main() -> None:
        async def handler(connection: ServerConnection) -> None:
            with contextlib.suppress(ConnectionClosed):
                await connection.send("x" * size)
                await connection.wait_closed()

        async with server_of(handler) as url:
            channel = await open_channel(url)
            if fits:
                assert len(await channel.receive() or b"") == size
            else:
                with pytest.raises(TooLarge):
                    await channel.receive()
            await channel.aclose()

    fake_peer.run(main())


def test_cancelling_a_receive_loses_no_message() -> None:
    async def main() -> None:
        async with server_of(echo) as url:
            channel = await open_channel(url)
            receiving = asyncio.create_task(channel.receive())
            await asyncio.sleep(0)
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
            await channel.send(b"1")
            assert await channel.receive() == b"1"
            await channel.aclose()

    fake_peer.run(main())


def fails_with(error: type[NetError], script: Script, *, within_s: float = PATIENCE_S) -> NetError:
    caught: list[NetError] = []

    async def main() -> None:
        async with FakePeer(script) as peer:
            with pytest.raises(error) as info:
                await open_channel(peer.url.replace("http", "ws"), within_s=within_s)
            caught.append(info.value)
            await peer.all_gone()
            assert len(peer.requests) == 1

    fake_peer.run(main())
    return caught[0]


async def closing(exchange: fake_peer.Exchange) -> None:
    exchange.close()


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_another_status_than_101_is_told(status: int) -> None:
    error = fails_with(BadResponse, answer(b"", status))
    assert error.context["http_status"] == status


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("location", ["http://169.254.169.254/", "ws://127.0.0.1:1/", "/elsewhere"])
def test_a_redirect_is_not_followed(status: int, location: str) -> None:
    error = fails_with(BadResponse, answer(b"", status, (("Location", location),)))
    assert "169.254" not in error.message


def test_a_handshake_with_a_wrong_key_is_refused() -> None:
    headers = (("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", "AAAA"))
    fails_with(BadResponse, answer(b"", 101, headers))


def test_a_handshake_that_breaks_off_is_incomplete() -> None:
    fails_with(Incomplete, closing)


def test_a_handshake_that_is_never_answered_ends_with_the_deadline() -> None:
    fails_with(DeadlineExceeded, silent, within_s=0.1)


def test_the_address_guard_holds_for_channels_too() -> None:
    async def main() -> None:
        async def inside(host: str, port: int) -> list[str]:
            return ["169.254.169.254"]

        async with FakePeer(answer()) as peer:
            with pytest.raises(EgressDenied):
                await open_channel(peer.url.replace("http", "ws"), policy=AddressPolicy())
            with pytest.raises(EgressDenied):
                await open_channel("ws://peer.test/", resolver=inside)
            assert peer.connections_seen == 0

    fake_peer.run(main())


def test_nobody_listening_is_unreachable() -> None:
    async def main() -> None:
        async with FakePeer(answer()) as peer:
            url = peer.url.replace("http", "ws")
        with pytest.raises(Unreachable):
            await open_channel(url)

    fake_peer.run(main())


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "ws://2130706433/", "ws://user@127.0.0.1/"])
def test_a_url_that_is_not_for_channels_is_refused(url: str) -> None:
    async def main() -> None:
        with pytest.raises(InvalidUrl):
            await open_channel(url)

    fake_peer.run(main())


@pytest.mark.parametrize(
    "options",
    [
        {"headers": [("x", "a\r\nevil: 1")]},
        {"headers": [("Host", "evil")]},
        {"headers": [("Sec-WebSocket-Key", "k")]},
        {"subprotocols": ["a b"]},
        {"subprotocols": ["a\r\nevil: 1"]},
    ],
)
def test_what_could_break_the_handshake_is_refused_before_anything_is_sent(options: dict[str, object]) -> None:
    async def main() -> None:
        async with FakePeer(answer()) as peer:
            with pytest.raises(Unsendable):
                await open_channel(peer.url.replace("http", "ws"), **options)
            assert peer.connections_seen == 0

    fake_peer.run(main())


def test_a_tls_channel_verifies_the_name_of_the_url(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    async def local(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def main() -> None:
        async with server_of(echo, ssl=authority.server("peer.test")) as url:
            tls = TlsPolicy(ca_file=authority.ca_file)
            good = url.replace("ws://127.0.0.1", "wss://peer.test")
            channel = await open_channel(good, tls=tls, resolver=local)
            await channel.send(b"1")
            assert await channel.receive() == b"1"
            await channel.aclose()
            with pytest.raises(TlsRefused):
                await open_channel(good.replace("peer.test", "other.test"), tls=tls, resolver=local)

    fake_peer.run(main())
