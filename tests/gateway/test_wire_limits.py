"""Every wire limit at one below, at, and one above."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.wire_rig import (
    HOST,
    JSON,
    STANDARD,
    Reply,
    Rig,
    echo,
    get,
    post,
    replies,
    route,
    serving,
    until,
    within,
)
from toolyard.gateway.call import Answer, Head
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.http_sink import HttpSink

CHUNKED = b"POST /mcp/alpha HTTP/1.1\r\n" + HOST + JSON + b"Transfer-Encoding: chunked\r\n\r\n"


def statuses(requests: list[bytes], **limits: float) -> list[int]:
    async def run() -> list[Reply]:
        async with serving(**limits) as rig:
            return await replies(rig, requests)

    return [reply.status for reply in asyncio.run(run())]


def around(limit: int) -> tuple[int, int, int]:
    return limit - 1, limit, limit + 1


def chunked(body: bytes) -> bytes:
    return CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def padded_get(head_bytes: int, name: bytes = b"X") -> bytes:
    """A GET whose whole head has this size."""
    empty = b"GET /mcp HTTP/1.1\r\n" + HOST + name + b": \r\n\r\n"
    return empty.replace(b": \r\n\r\n", b": " + b"a" * (head_bytes - len(empty)) + b"\r\n\r\n")


def test_the_defaults_are_those_of_the_book() -> None:
    limits = WireLimits()
    assert (limits.body_bytes, limits.head_bytes, limits.fields, limits.field_bytes) == (
        4 << 20,
        32 << 10,
        100,
        8 << 10,
    )
    assert (limits.head_s, limits.body_s, limits.body_rate_after_s, limits.body_bytes_per_s) == (10, 30, 5, 1024)
    assert (limits.idle_s, limits.connections, limits.target_bytes) == (75, 10_000, 8 << 10)
    assert (limits.write_bytes, limits.write_stall_s, limits.message_bytes) == (1 << 20, 30, 4 << 20)


def test_a_body_with_a_length() -> None:
    requests = [post(b"x" * size) for size in around(1000)]
    assert statuses(requests, body_bytes=1000) == [200, 200, 413]


def test_a_body_of_the_default_limit() -> None:
    assert statuses([post(b"x" * size) for size in around(4 << 20)]) == [200, 200, 413]


def test_a_chunked_body() -> None:
    assert statuses([chunked(b"x" * size) for size in around(1000)], body_bytes=1000) == [200, 200, 413]


def test_a_chunked_body_in_several_chunks() -> None:
    requests = [
        CHUNKED + b"1f4\r\n" + b"a" * 500 + b"\r\n%x\r\n" % n + b"b" * n + b"\r\n0\r\n\r\n" for n in around(500)
    ]
    assert statuses(requests, body_bytes=1000) == [200, 200, 413]


def test_the_whole_head() -> None:
    assert statuses([padded_get(size) for size in around(500)], head_bytes=500) == [200, 200, 431]


def test_the_whole_head_of_the_default_limit() -> None:
    def head(size: int) -> bytes:
        start = b"GET /mcp HTTP/1.1\r\n" + HOST + b"".join(b"X%d: %s\r\n" % (n, b"a" * 8000) for n in range(4))
        return start + b"Y: " + b"a" * (size - len(start) - 7) + b"\r\n\r\n"

    assert [len(head(size)) for size in around(32 << 10)] == list(around(32 << 10))
    assert statuses([head(size) for size in around(32 << 10)]) == [200, 200, 431]


def test_one_field() -> None:
    def request(size: int) -> bytes:
        return b"GET /mcp HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (size - 3) + b"\r\n\r\n"

    assert statuses([request(size) for size in around(300)], field_bytes=300) == [200, 200, 431]
    assert statuses([request(size) for size in around(8 << 10)]) == [200, 200, 431]


def test_the_number_of_fields() -> None:
    def request(count: int) -> bytes:
        return b"GET /mcp HTTP/1.1\r\n" + HOST + b"".join(b"X%d: a\r\n" % n for n in range(count - 1)) + b"\r\n"

    assert statuses([request(count) for count in around(100)]) == [200, 200, 431]


def test_the_target() -> None:
    requests = [b"GET /mcp?" + b"a" * (size - 5) + b" HTTP/1.1\r\n" + HOST + b"\r\n" for size in around(8 << 10)]
    assert statuses(requests) == [200, 200, 414]


def test_a_target_larger_than_a_whole_head_is_called_too_long() -> None:
    assert statuses([b"GET /" + b"a" * 40_000]) == [414]


async def send_and_wait(rig: Rig, request: bytes, seconds: float) -> int | None:
    """The status that arrives once `seconds` have passed after an incomplete request; None when nothing has."""
    async with await rig.client() as client:
        await until(lambda: rig.server.connection_count == 1)
        await client.send(request)
        await client_was_read(rig, len(request))
        rig.pass_time(seconds)
        client.writer.write(b"\r\n\r\n" if request.startswith(b"GET") else b"x" * 100_000)
        status = (await client.reply()).status
    await until(lambda: rig.server.connection_count == 0)
    return status


async def client_was_read(rig: Rig, sent: int) -> None:
    """Wait until the server has taken in what was sent."""
    (connection,) = rig.server._service.connections
    await until(lambda: len(connection._buffer) + 1000 >= sent and bool(connection._buffer))


@pytest.mark.parametrize(("seconds", "status"), [(9.99, 200), (10.0, 408), (10.01, 408)])
def test_the_time_for_a_head(seconds: float, status: int) -> None:
    async def run() -> int | None:
        async with serving() as rig:
            return await send_and_wait(rig, b"GET /mcp HTTP/1.1\r\nHost: localhost", seconds)

    assert asyncio.run(run()) == status


@pytest.mark.parametrize(("seconds", "status"), [(29.99, 200), (30.0, 408), (30.01, 408)])
def test_the_time_for_a_body(seconds: float, status: int) -> None:
    async def run() -> int | None:
        async with serving() as rig:
            return await send_and_wait(rig, post(b"x" * 100_000)[:-20_000], seconds)

    assert asyncio.run(run()) == status


@pytest.mark.parametrize(("received", "status"), [(10_239, 408), (10_240, 200), (10_241, 200)])
def test_the_rate_of_a_body(received: int, status: int) -> None:
    async def run() -> int | None:
        async with serving() as rig:
            request = post(b"x" * 100_000)
            return await send_and_wait(rig, request[: len(request) - 100_000 + received], 10.0)

    assert asyncio.run(run()) == status


def test_a_slow_body_is_not_judged_in_its_first_seconds() -> None:
    async def run() -> int | None:
        async with serving() as rig:
            return await send_and_wait(rig, post(b"x" * 100_000)[:-99_990], 5.0)

    assert asyncio.run(run()) == 200


def test_the_rate_counts_for_chunked_bodies_too() -> None:
    async def run(received: int) -> int:
        async with serving() as rig, await rig.client() as client:
            await client.send(CHUNKED + b"ffff\r\n" + b"x" * received)
            await until(
                lambda: any(c._chunks and c._chunks.received == received for c in rig.server._service.connections)
            )
            rig.pass_time(10.0)
            client.writer.write(b"x" * (0xFFFF - received) + b"\r\n0\r\n\r\n")
            return (await client.reply()).status

    assert [asyncio.run(run(size)) for size in around(10_240)] == [408, 200, 200]


@pytest.mark.parametrize(("seconds", "closed"), [(74.99, False), (75.0, True), (75.01, True)])
def test_an_idle_connection(seconds: float, closed: bool) -> None:
    async def run() -> bool:
        async with serving() as rig, await rig.client() as client:
            await client.ask(post())
            rig.pass_time(seconds)
            await client.send(post())
            return (await client.rest() == b"") if closed else (await client.reply()).status != 200

    assert asyncio.run(run()) is closed


def test_a_connection_that_never_says_anything_is_closed_without_a_word() -> None:
    async def run() -> bytes:
        async with serving() as rig, await rig.client() as client:
            await until(lambda: rig.server.connection_count == 1)
            rig.pass_time(10.0)
            return await client.rest()

    assert asyncio.run(run()) == b""


def test_the_number_of_connections() -> None:
    async def run() -> None:
        async with serving(connections=3) as rig:
            clients = [await rig.client() for _ in range(20)]
            refused = await clients[19].rest()
            assert b" 503 " in refused
            assert b"retry-after: 1" in refused
            above = await clients[3].ask(post())
            assert (above.status, above.code, above.headers["retry-after"]) == (503, "too_many_connections", "1")
            assert [(await client.ask(post())).status for client in clients[:3]] == [200, 200, 200]
            for client in clients:
                client.close()
            assert rig.refused == ["too_many_connections"] * 2

    asyncio.run(run())


def test_above_the_number_of_connections_probes_are_answered_and_whoever_says_nothing_leaves_soon() -> None:
    async def run() -> None:
        probe = route("/health", echo, "GET", limit="probe")
        async with serving(*STANDARD, probe, connections=2) as rig:
            for _ in range(2):
                await rig.client()
            silent, asking = await rig.client(), await rig.client()
            assert (await asking.ask(get(b"/health"))).status == 200
            rig.pass_time(1.5)
            assert await silent.at_end()
            assert (await asking.ask(get(b"/health"))).status == 200

    asyncio.run(run())


def test_what_is_pipelined_behind_a_running_call_waits_unread_beyond_its_limit() -> None:
    async def run() -> None:
        release = asyncio.Event()

        async def slow(head: Head, body: bytes, sink: HttpSink) -> None:
            await release.wait()
            sink.finish(Answer(200, b"%d" % len(body)))

        async with serving(route("/slow", slow), pipelined_bytes=1000) as rig, await rig.client() as client:
            one = post(b"x" * 500, b"/slow")
            client.writer.write(one * 2000)
            await until(lambda: any(connection._reading_paused for connection in rig.server._service.connections))
            held = max(len(connection._buffer) for connection in rig.server._service.connections)
            assert held <= 1000 + 256 * 1024
            release.set()
            for _ in range(2000):
                assert (await client.reply()).body == b"500"

    asyncio.run(run())


def test_a_thousand_slow_headers_are_all_cut_off_together() -> None:
    async def run() -> None:
        async with serving() as rig:
            clients = [await rig.client() for _ in range(200)]
            for client in clients:
                await client.send(b"POST /mcp HTTP/1.1\r\nX: ")
            await until(lambda: rig.server.connection_count == 200)
            await until(lambda: all(connection._buffer for connection in rig.server._service.connections))
            rig.pass_time(9.0)
            for client in clients:
                await client.send(b"a")
            await until(lambda: all(len(c._buffer) == 24 for c in rig.server._service.connections))
            rig.pass_time(1.0)
            answers = await within(asyncio.gather(*(client.rest() for client in clients)))
            assert all(b" 408 " in answer for answer in answers)
            for client in clients:
                client.close()
            await until(lambda: rig.server.connection_count == 0)

    asyncio.run(run())


@pytest.mark.parametrize(("extension", "status"), [(230, 200), (253, 200), (254, 400), (200_000, 400)])
def test_a_chunk_extension_is_bounded(extension: int, status: int) -> None:
    line = b"2;" + b"a" * (extension - 1)
    assert statuses([CHUNKED + line + b"\r\n{}\r\n0\r\n\r\n"]) == [status]


@pytest.mark.parametrize(
    ("size", "status"), [(8 * 1024 - 6, 200), (8 * 1024 - 5, 200), (8 * 1024 - 4, 431), (300_000, 431)]
)
def test_trailers_are_bounded(size: int, status: int) -> None:
    assert statuses([CHUNKED + b"2\r\n{}\r\n0\r\nX: " + b"a" * size + b"\r\n\r\n"]) == [status]


def test_framing_may_not_cost_much_more_than_the_data() -> None:
    ten_thousand = CHUNKED + b"1\r\na\r\n" * 10_000 + b"0\r\n\r\n"
    endless = CHUNKED + b"1\r\na\r\n" * 40_000 + b"0\r\n\r\n"
    assert statuses([ten_thousand, endless]) == [200, 413]
