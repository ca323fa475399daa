"""Raw HTTP attacks through a socket: the right refusal, nothing behind it reached, the next client served.

Sections 2 and 4 of the attack book, on asyncio's loop and on uvloop.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.wire_rig import JSON, Client, Rig, echo, get, post, route, serving, talk, until, within
from tests.security.raw import BOOK, FURTHER, Attack
from toolyard.gateway.call import Answer, Head
from toolyard.gateway.edge import EdgeSettings
from toolyard.gateway.framing import ChunkedBody, WireLimits, find_head
from toolyard.gateway.head_reader import HeadReader
from toolyard.gateway.http_sink import HttpSink
from toolyard.gateway.operations import Metrics, operations_routes
from toolyard.gateway.refusals import WireRefusal
from toolyard.gateway.routes import Route

ALLOWED = EdgeSettings(allowed_hosts=("h",))


@pytest.fixture(params=["asyncio", "uvloop"], name="runner")
def running(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner


async def first_status(client: Client) -> int | None:
    """The status of the first answer; None when the server closes without one."""
    try:
        line = await within(client.reader.readuntil(b"\r\n"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return int(line.split()[1])


async def fire(attack: Attack, reached: list[str]) -> None:
    async def target(head: Head, body: bytes, sink: HttpSink) -> None:
        reached.append(head.path)
        sink.finish(Answer(200, b"{}"))

    routes = [route(path, target, "GET", "POST") for path in ("/mcp", "/admin", "/mcp/{server_code}")]
    async with serving(*routes, edge=ALLOWED) as rig, await rig.client() as client, await rig.client() as good:
        await until(lambda: rig.server.connection_count == 2)
        await client.send(attack.sent)
        if attack.waits_s:
            await taken_in(rig, good)
            rig.pass_time(attack.waits_s)
        status = await first_status(client)
        assert status in (attack.statuses or (None,))
        rest = await client.rest() if attack.closes else b""
        assert len(re.findall(rb"HTTP/1\.1 [0-9]", rest)) == (1 if status == 100 else 0)
        reached_by_attack = list(reached)
        async with await rig.client() as later:
            assert (await later.ask(post(path=b"/mcp"))).status == 200
        if not attack.reaches:
            assert reached_by_attack == []


async def taken_in(rig: Rig, good: Client) -> None:
    """Wait until the server has read what was sent before: a later request of another connection is answered."""
    assert (await good.ask(get(b"/nowhere"))).status == 404
    assert (await good.ask(get(b"/nowhere"))).status == 404


@pytest.mark.parametrize("attack", BOOK, ids=lambda attack: attack.name)
def test_an_attack_of_the_book_is_refused_and_reaches_nothing(runner: asyncio.Runner, attack: Attack) -> None:
    runner.run(fire(attack, []))


@pytest.mark.parametrize("attack", FURTHER, ids=lambda attack: attack.name)
def test_a_further_attack_is_refused_and_reaches_nothing(runner: asyncio.Runner, attack: Attack) -> None:
    runner.run(fire(attack, []))


def test_the_book_has_thirty_seven_attacks() -> None:
    assert len(BOOK) == 37


@pytest.mark.parametrize(
    "attack", [one for one in BOOK + FURTHER if one.closes and 0 < len(one.sent) < 500], ids=lambda a: a.name
)
def test_an_attack_sent_byte_by_byte_fares_no_better(attack: Attack) -> None:
    async def main() -> None:
        reached: list[str] = []

        async def target(head: Head, body: bytes, sink: HttpSink) -> None:
            reached.append(head.path)
            sink.finish(Answer(200, b"{}"))

        async with serving(route("/mcp", target, "GET", "POST"), route("/admin", target), edge=ALLOWED) as rig:
            client, good = await rig.client(), await rig.client()
            for position in range(len(attack.sent)):
                await client.send(attack.sent[position : position + 1])
                await asyncio.sleep(0)
            if attack.waits_s:
                await taken_in(rig, good)
                rig.pass_time(attack.waits_s)
            assert await first_status(client) in (attack.statuses or (None,))
            assert reached == []
            client.close()
            good.close()

    asyncio.run(main())


def test_a_body_hidden_behind_a_refused_head_is_never_read_as_a_request(runner: asyncio.Runner) -> None:
    async def main() -> None:
        smuggled = post(b"{}", b"/mcp")
        for attack in (one for one in BOOK + FURTHER if one.closes and one.sent and not one.waits_s):
            reached: list[str] = []

            async def target(head: Head, body: bytes, sink: HttpSink, reached: list[str] = reached) -> None:
                reached.append(head.path)
                sink.finish(Answer(200, b"{}"))

            async with serving(route("/mcp", target, "GET", "POST"), edge=ALLOWED) as rig, await rig.client() as client:
                await client.send(attack.sent + smuggled)
                await client.rest()
                assert reached == [], attack.name

    runner.run(main())


# --- Host and Origin on every route


def every_route() -> list[Route]:
    return [
        route("/mcp", echo, "GET", "POST", "DELETE"),
        route("/mcp/{server_code}", echo, "GET", "POST", "DELETE"),
        route("/sse/{server_code}", echo, "GET", limit="stream"),
        route("/ws/mcp/{server_code}", talk, "GET", websocket=True),
        *operations_routes(lambda: True, Metrics(), metrics_for="anyone"),
    ]


def plain_request(one: Route, method: str, headers: bytes) -> bytes:
    path = one.pattern.replace("{server_code}", "alpha").encode()
    if one.websocket:
        headers += b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        headers += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    body = b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" if method == "POST" else b"\r\n"
    return b"%s %s HTTP/1.1\r\n" % (method.encode(), path) + headers + body


FOREIGN = [
    (b"Host: evil.test\r\n", 421),
    (b"Host: localhost.evil.test:1\r\n", 421),
    (b"Host: localhost\r\nOrigin: http://evil.test\r\n", 403),
    (b"Host: localhost\r\nOrigin: null\r\n", 403),
    (b"Host: localhost\r\nOrigin: http://127.0.0.1.evil.test\r\n", 403),
    (b"Host: localhost\r\nOrigin: http://localhost:1\r\n", 403),
    (b"Host: localhost\r\nOrigin: https://good.test.evil\r\n", 403),
    (b"Host: localhost\r\nOrigin: http://good@evil\r\n", 403),
    (b"Host: localhost\r\nOrigin: https://good.test\r\nOrigin: https://good.test\r\n", 403),
]


@pytest.mark.parametrize(("headers", "status"), FOREIGN)
def test_a_foreign_host_or_origin_is_refused_on_every_route_and_method(headers: bytes, status: int) -> None:
    async def main() -> None:
        listed = EdgeSettings(allowed_origins=("https://good.test",))
        async with serving(*every_route(), edge=listed) as rig:
            for one in every_route():
                for method in (*one.methods, "OPTIONS"):
                    async with await rig.client() as client:
                        await client.send(plain_request(one, method, headers))
                        assert await first_status(client) == status, (one.pattern, method)
                        assert b"access-control" not in await client.rest()

    asyncio.run(main())


def test_the_same_routes_serve_a_client_that_names_us() -> None:
    async def main() -> None:
        async with serving(*every_route()) as rig:
            for one in every_route():
                for method in one.methods:
                    async with await rig.client() as client:
                        await client.send(plain_request(one, method, b"Host: localhost:%d\r\n" % rig.port))
                        assert await first_status(client) == (101 if one.websocket else 200), (one.pattern, method)

    asyncio.run(main())


def test_a_preflight_from_an_unlisted_origin_gets_nothing() -> None:
    async def main() -> None:
        preflight = b"OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\n"
        preflight += b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Private-Network: true\r\n\r\n"
        async with serving() as rig, await rig.client() as client:
            reply = await client.ask(preflight)
            assert reply.status == 403
            assert not [name for name in reply.headers if name.startswith("access-control")]

    asyncio.run(main())


def test_a_cross_site_form_post_is_refused_twice_over() -> None:
    async def main() -> None:
        form = post(b"{}", b"/mcp").replace(JSON, b"Content-Type: text/plain\r\n")
        crossing = form.replace(b"Content-Type", b"Origin: http://evil.test\r\nContent-Type")
        async with serving(route("/mcp", echo, json_only=True)) as rig:
            async with await rig.client() as client:
                assert (await client.ask(form)).status == 415
            async with await rig.client() as client:
                assert (await client.ask(crossing)).status == 403

    asyncio.run(main())


# --- properties


SAMPLES = [attack.sent[:3000] for attack in BOOK + FURTHER] + [post(), get()]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A known request with a few bytes changed, taken out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 6))):
        position = draw(st.integers(0, len(data)))
        piece = draw(
            st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b":", b" ", b"0", b"chunked", b"\xff", b";"])
        )
        data[position : position + draw(st.integers(0, 3))] = piece
    return bytes(data)


@settings(max_examples=500, deadline=None)
@given(mutated())
def test_whatever_comes_a_head_is_read_or_refused(data: bytes) -> None:
    limits = WireLimits()
    buffer = bytearray(data)
    try:
        end = find_head(buffer, 0, limits) if buffer else -1
        if end > 0:
            head = HeadReader(limits).read(bytes(buffer[:end]))
            assert head.length is None or 0 <= head.length < 10**18
            assert not any("_" in name or name != name.lower() for name in head.headers)
    except WireRefusal:
        pass


PIECES = [b"5\r\nabcde\r\n", b"0\r\n\r\n", b"1;x=y\r\na\r\n", b"0\r\nX: y\r\n\r\n", b"A\r\n", b"\r\n", b"z", b"GET /"]


def decode(data: bytes, cuts: list[int]) -> tuple[str, bytes]:
    """The body with what is left behind it, or the refusal, when `data` comes in pieces."""
    body, buffer = ChunkedBody(1000), bytearray()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        buffer += data[start:end]
        try:
            whole = body.feed(buffer)
        except WireRefusal:
            return "refused", b""
        if whole is not None:
            return "whole", whole + b"|" + bytes(buffer) + data[end:]
    return "waiting", b""


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map(b"".join),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_a_chunked_body_means_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    assert decode(data, cuts) == decode(data, []) == decode(data, list(range(len(data))))


def test_mutated_requests_through_a_socket_raise_nothing_anywhere() -> None:
    async def main() -> None:
        raised: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        async with serving(edge=ALLOWED) as rig:
            for sample in SAMPLES:
                for position in range(0, min(len(sample), 400), 23):
                    async with await rig.client() as client:
                        await client.send(sample[:position] + b"\r\n\0:" + sample[position + 1 :] + b"\r\n\r\n")
            async with await rig.client() as client:
                assert (await client.ask(post())).status == 200
        assert raised == []

    asyncio.run(main())
