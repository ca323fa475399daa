"""WebSockets over the server: handshake, keys in the subprotocol list, messages, limits, pings, closing."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import struct
from collections.abc import Awaitable, Callable, Iterator

import pytest
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.gateway.wire_rig import HOST, Client, Log, Rig, get, parse_head, route, serving, talk, until, within
from toolyard.gateway import wire
from toolyard.gateway.call import Answer, ClientGone, Head, MessageSocket

Run = Callable[[Callable[[], Awaitable[None]]], None]
WS = route("/ws", talk, "GET", websocket=True)
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
KEY = "mcp_key_abc_secret"


@pytest.fixture(params=["asyncio", "uvloop"], name="run")
def running(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda work: runner.run(work())  # type: ignore[arg-type]


def connecting(rig: Rig, *subprotocols: str, **options: object) -> connect:
    url = f"ws://localhost:{rig.port}/ws"
    offered = [Subprotocol(one) for one in subprotocols] or None
    return connect(url, subprotocols=offered, host="127.0.0.1", max_size=None, **options)  # type: ignore[arg-type]


async def received(socket: ClientConnection) -> str | bytes:
    return await within(socket.recv())


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """One client frame."""
    mask = os.urandom(4)
    head = bytes([opcode | (0x80 if fin else 0)])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += bytes([0x80 | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", len(payload))
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


async def open_raw(rig: Rig) -> Client:
    client = await rig.client()
    await client.send(HANDSHAKE + b"\r\n")
    status, _ = parse_head(await within(client.reader.readuntil(b"\r\n\r\n")))
    assert status == 101
    await frame(client)
    return client


async def frame(client: Client) -> tuple[int, bytes]:
    """The next frame of the server, as opcode and payload."""
    first, second = await within(client.reader.readexactly(2))
    length = second & 0x7F
    if length >= 126:
        length = int.from_bytes(await within(client.reader.readexactly(2 if length == 126 else 8)), "big")
    return first & 0x0F, await within(client.reader.readexactly(length))


def test_messages_go_both_ways_whole(run: Run) -> None:
    async def main() -> None:
        async with serving(WS) as rig, connecting(rig) as socket:
            await received(socket)
            for message in ("{}", "é" * 1000, "x" * 300_000, ""):
                await socket.send(message)
                assert await received(socket) == message

    run(main)


def test_fragments_are_joined_and_control_frames_between_them_answered(run: Run) -> None:
    async def main() -> None:
        async with serving(WS) as rig, await open_raw(rig) as client:
            await client.send(
                masked(1, b"ab", fin=False) + masked(9, b"p") + masked(0, b"", fin=False) + masked(0, b"cd")
            )
            assert await frame(client) == (10, b"p")
            assert await frame(client) == (1, b"abcd")

    run(main)


def test_frames_sent_together_with_the_handshake_are_not_lost(run: Run) -> None:
    async def main() -> None:
        async with serving(WS) as rig, await rig.client() as client:
            await client.send(HANDSHAKE + b"\r\n" + masked(1, b"early"))
            await within(client.reader.readuntil(b"\r\n\r\n"))
            await frame(client)
            assert await frame(client) == (1, b"early")

    run(main)


def test_the_subprotocol_mcp_is_selected_when_it_is_offered_and_nothing_else_is(run: Run) -> None:
    async def main() -> None:
        async with serving(WS) as rig:
            async with connecting(rig, "other", "mcp") as socket:
                assert socket.subprotocol == "mcp"
            async with connecting(rig, "other") as socket:
                assert socket.subprotocol is None
            async with connecting(rig) as socket:
                assert socket.subprotocol is None

    run(main)


def test_a_key_in_the_subprotocol_list_becomes_the_authorization_and_is_never_echoed(run: Run) -> None:
    async def main() -> None:
        async with serving(WS) as rig:
            async with connecting(rig, "mcp", KEY) as socket:
                headers = json.loads(await received(socket))
                assert headers["authorization"] == f"Bearer {KEY}"
                assert headers["sec-websocket-protocol"] == "mcp"
                assert socket.response is not None
                assert KEY not in str(socket.response.headers)
            async with connecting(rig, KEY) as socket:
                assert json.loads(await received(socket))["authorization"] == f"Bearer {KEY}"
                assert socket.subprotocol is None

    run(main)


def test_an_authorization_header_wins_over_the_list_and_two_keys_are_no_key(run: Run) -> None:
    async def main() -> None:
        async with serving(WS) as rig:
            async with connecting(rig, "mcp", KEY, additional_headers={"Authorization": "Bearer other"}) as socket:
                assert json.loads(await received(socket))["authorization"] == "Bearer other"
            async with connecting(rig, "mcp", KEY, KEY + "2") as socket:
                headers = json.loads(await received(socket))
                assert "authorization" not in headers
                assert KEY not in str(headers)

    run(main)


def test_admit_sees_the_key_and_refuses_before_the_handshake(run: Run) -> None:
    def admit(head: Head) -> Answer | None:
        return None if head.headers.get("authorization") == f"Bearer {KEY}" else Answer(401, b"{}")

    async def main() -> None:
        async with serving(route("/ws", talk, "GET", websocket=True, admit=admit)) as rig:
            async with connecting(rig, "mcp", KEY) as socket:
                await received(socket)
            with pytest.raises(InvalidStatus) as refused:
                async with connecting(rig, "mcp"):
                    pass
            assert refused.value.response.status_code == 401

    run(main)


def test_keys_are_not_logged_even_when_everything_is(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(WS) as rig, await rig.client() as client:
            await client.send(HANDSHAKE + b"Sec-WebSocket-Protocol: mcp, " + KEY.encode() + b"\r\n\r\n")
            await within(client.reader.readuntil(b"\r\n\r\n"))
            await frame(client)

    with caplog.at_level(logging.DEBUG):
        run(main)
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        (HANDSHAKE.replace(b"Upgrade: WebSocket\r\n", b""), 426),
        (HANDSHAKE.replace(b"Upgrade: WebSocket", b"Upgrade: h2c"), 426),
        (HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"), 426),
        (HANDSHAKE.replace(b"Connection: keep-alive, Upgrade\r\n", b""), 426),
        (HANDSHAKE.replace(b"Version: 13", b"Version: 12"), 400),
        (HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), 400),
        (HANDSHAKE.replace(b"GET", b"POST"), 405),
        (HANDSHAKE + b"Origin: http://evil.test\r\n", 403),
        (HANDSHAKE.replace(HOST, b"Host: evil.test\r\n"), 421),
    ],
)
def test_a_handshake_that_is_not_right_is_refused(run: Run, changed: bytes, status: int) -> None:
    async def main() -> None:
        async with serving(WS) as rig, await rig.client() as client:
            reply = await client.ask(changed + b"\r\n")
            assert reply.status == status
            assert b"101" not in reply.raw_head

    run(main)


def test_a_message_at_the_limit_passes_and_one_above_closes_with_1009(run: Run) -> None:
    async def main() -> None:
        async with serving(WS, message_bytes=1000) as rig:
            for fragments in (["x" * 999], ["x" * 1000], ["x" * 500, "x" * 500]):
                async with connecting(rig) as socket:
                    await received(socket)
                    await socket.send(fragments)
                    assert await received(socket) == "".join(fragments)
            for fragments in (["x" * 1001], ["x" * 501, "x" * 500]):
                async with connecting(rig) as socket:
                    await received(socket)
                    await socket.send(fragments)
                    with pytest.raises(ConnectionClosed) as closed:
                        await received(socket)
                    assert closed.value.rcvd is not None
                    assert closed.value.rcvd.code == 1009

    run(main)


def test_binary_messages_close_with_1003(run: Run) -> None:
    async def main() -> None:
        async with serving(WS) as rig, connecting(rig) as socket:
            await received(socket)
            await socket.send(b"\x00")
            with pytest.raises(ConnectionClosed) as closed:
                await received(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1003

    run(main)


@pytest.mark.parametrize(
    "data", [b"\x81\x01a", b"\xf1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x09\x80\0\0\0\0", b"\x80\x80\0\0\0\0"]
)
def test_broken_frames_close_with_1002(run: Run, data: bytes) -> None:
    async def main() -> None:
        async with serving(WS) as rig, await open_raw(rig) as client:
            await client.send(data)
            opcode, payload = await frame(client)
            assert (opcode, payload[:2]) == (8, struct.pack("!H", 1002))
            client.close()
            await until(lambda: rig.server.running_count == 0)

    run(main)


def test_a_quiet_client_is_pinged_and_given_up_when_it_does_not_answer(run: Run) -> None:
    async def main() -> None:
        async with serving(WS) as rig, await open_raw(rig) as client:
            rig.pass_time(19.9)
            rig.pass_time(0.1)
            assert await frame(client) == (9, b"")
            await client.send(masked(10, b""))
            (connection,) = rig.server._service.connections
            await until(
                lambda: connection._socket is not None and connection._socket._heard_at == rig.clock.monotonic()
            )
            rig.pass_time(20.0)
            assert await frame(client) == (9, b"")
            rig.pass_time(19.9)
            assert rig.server.connection_count == 1
            rig.pass_time(0.2)
            await until(lambda: rig.server.connection_count == 0 and rig.server.running_count == 0)

    run(main)


def test_a_client_that_closes_ends_the_handler_cleanly(run: Run) -> None:
    async def main() -> None:
        async with serving(WS) as rig:
            async with connecting(rig) as socket:
                await received(socket)
            assert socket.close_code == 1000
            await until(lambda: rig.server.connection_count == 0 and rig.server.running_count == 0)

    run(main)


def test_a_client_that_vanishes_ends_the_handler_and_sending_says_so(run: Run) -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def waiting(head: Head, socket: MessageSocket) -> None:
            assert await socket.receive() is None
            with pytest.raises(ClientGone):
                await socket.send(b"{}")
            gone.set()

        async with serving(route("/ws", waiting, "GET", websocket=True)) as rig:
            client = await rig.client()
            await client.send(HANDSHAKE + b"\r\n")
            await within(client.reader.readuntil(b"\r\n\r\n"))
            client.writer.transport.abort()
            await within(gone.wait())

    run(main)


def test_a_handler_that_fails_closes_with_1011(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    monkeypatch.setattr(wire, "_log", log)

    async def broken(head: Head, socket: MessageSocket) -> None:
        raise RuntimeError("SEKRET")

    async def main() -> None:
        async with serving(route("/ws", broken, "GET", websocket=True)) as rig, connecting(rig) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await received(socket)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "")

    run(main)
    assert [event for event, _ in log.lines] == ["websocket failed"]


def test_a_client_that_never_answers_the_closing_handshake_is_given_up(run: Run) -> None:
    async def brief(head: Head, socket: MessageSocket) -> None:
        await socket.send(b"{}")

    async def main() -> None:
        async with serving(route("/ws", brief, "GET", websocket=True)) as rig, await open_raw(rig) as client:
            assert (await frame(client))[0] == 8
            rig.pass_time(20.0)
            await until(lambda: rig.server.connection_count == 0)

    run(main)


def test_a_client_that_floods_waits_until_its_messages_are_taken(run: Run) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def slow(head: Head, socket: MessageSocket) -> None:
            await socket.send(b"{}")
            await release.wait()
            count = 0
            while await socket.receive() is not None:
                count += 1
                if count == 40:
                    await socket.send(b"forty")

        async with serving(route("/ws", slow, "GET", websocket=True)) as rig, await open_raw(rig) as client:
            client.writer.write(masked(1, b"x" * 100_000) * 40)
            (connection,) = rig.server._service.connections
            await until(lambda: connection._socket is not None and connection._socket._reading_paused)
            assert connection._socket is not None
            assert connection._socket._queued_bytes < (1 << 20) + 600_000
            release.set()
            assert await frame(client) == (1, b"forty")

    run(main)


def test_a_client_that_never_reads_is_dropped(run: Run) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def flood(head: Head, socket: MessageSocket) -> None:
            try:
                while True:
                    await socket.send(b"x" * 100_000)
            except ClientGone:
                ended.set()

        async with serving(route("/ws", flood, "GET", websocket=True), ping_s=1e9) as rig:
            client = Client(*await asyncio.open_connection("127.0.0.1", rig.port, limit=65536))
            await client.send(HANDSHAKE + b"\r\n")
            (connection,) = rig.server._service.connections
            await until(lambda: connection._out.backed_up)
            assert connection._transport.get_write_buffer_size() < (1 << 20) + 200_000
            for _ in range(3):
                rig.pass_time(30.0)
                await asyncio.sleep(0.05)
            await within(ended.wait())
            client.close()

    run(main)


def test_a_plain_request_to_a_websocket_path_says_what_is_needed(run: Run) -> None:
    async def main() -> None:
        async with serving(WS) as rig, await rig.client() as client:
            reply = await client.ask(get(b"/ws"))
            assert (reply.status, reply.headers["upgrade"]) == (426, "websocket")

    run(main)
