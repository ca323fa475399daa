"""What connections and listeners remember between requests changes no verdict and stays bounded."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.wire_rig import HOST, echo, get, post, route, serving
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.head_reader import HeadReader, RequestHead
from toolyard.gateway.refusals import WireRefusal

LINES = [
    b"Host: a",
    b"host: b",
    b"X: 1",
    b"x:2",
    b"X:  \t3 ",
    b"X_Y: 4",
    b"Content-Length: 2",
    b"Content-Length: 3",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: Upgrade",
    b"Upgrade: h2c",
    b"bad line",
    b" folded",
]
FIRSTS = [b"GET /a HTTP/1.1", b"POST /a HTTP/1.1", b"POST /a HTTP/1.0", b"GET /b HTTP/2.0", b"FROB /a HTTP/1.1", b"x"]


def outcome(reader: HeadReader, raw: bytes) -> RequestHead | str:
    try:
        return reader.read(raw)
    except WireRefusal as refusal:
        return refusal.code


@given(st.lists(st.tuples(st.sampled_from(FIRSTS), st.lists(st.sampled_from(LINES), max_size=6)), max_size=8))
def test_a_reader_with_a_past_reads_like_a_new_one(heads: list[tuple[bytes, list[bytes]]]) -> None:
    experienced = HeadReader(WireLimits())
    for first, lines in heads:
        raw = b"".join(line + b"\r\n" for line in (first, *lines)) + b"\r\n"
        assert outcome(experienced, raw) == outcome(HeadReader(WireLimits()), raw)


def test_a_reader_remembers_few_and_short_lines() -> None:
    reader = HeadReader(WireLimits())
    for number in range(1000):
        head = reader.read(b"GET / HTTP/1.1\r\nX-%d: a\r\nLong: %s\r\n\r\n" % (number, b"%d" % number * 300))
        assert head.headers["long"] == str(number) * 300
    assert len(reader._known) <= 32
    assert all(len(line) <= 200 for line in reader._known)


def test_what_passed_once_opens_no_door_for_anything_else() -> None:
    async def main() -> None:
        async with serving(route("/mcp", echo, "GET"), route("/secret", echo, "GET", auth="operator")) as rig:
            own = b"Origin: http://localhost:%d\r\n" % rig.port
            attempts = [
                (get(b"/mcp"), 200),
                (get(b"/mcp", own), 200),
                (get(b"/mcp", b"Origin: http://evil.test\r\n"), 403),
                (get(b"/mcp", b"Origin: null\r\n"), 403),
                (get(b"/mcp", own + own), 403),
                (get(b"/mcp").replace(HOST, b"Host: evil.test\r\n"), 421),
                (get(b"/mcp").replace(HOST, HOST + HOST), 400),
                (get(b"/mcp").replace(HOST, b""), 400),
                (get(b"/mcp").replace(b"GET", b"PUT"), 405),
                (get(b"/secret"), 404),
                (post(path=b"/mcp"), 405),
            ]
            for _ in range(2):
                for request, status in attempts:
                    async with await rig.client() as client:
                        assert (await client.ask(get(b"/mcp", own))).status == 200
                        assert (await client.ask(request)).status == status, request

    asyncio.run(main())


def test_refusals_are_not_remembered() -> None:
    async def main() -> None:
        async with serving(route("/mcp", echo, "GET")) as rig, await rig.client() as client:
            await client.ask(get(b"/nowhere"))
            (connection,) = rig.server._service.connections
            assert connection._listener.passed == {}
            await client.ask(get(b"/mcp"))
            assert len(connection._listener.passed) == 1

    asyncio.run(main())


def test_a_listener_remembers_a_bounded_number_of_ways_in() -> None:
    async def main() -> None:
        async with serving(route("/mcp/{server_code}", echo, "GET")) as rig, await rig.client() as client:
            for number in range(1500):
                reply = await client.ask(get(b"/mcp/s%d?q=%d" % (number, number)))
                assert (reply.json()["server"], reply.json()["query"]) == (f"s{number}", f"q={number}")
            await client.ask(get(b"/mcp/long?" + b"a" * 300))
            (connection,) = rig.server._service.connections
            assert len(connection._listener.passed) <= 1024
            assert all(len(str(key[1])) <= 256 for key in connection._listener.passed)

    asyncio.run(main())
