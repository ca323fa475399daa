"""The control plane's paths through the gateway's port: both bodies flow, nobody forges who they are, and a control
plane that is away is told apart from one that refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.fake_control import FakeControl, Handler, Request
from tests.gateway.wire_rig import HOST, Client, Rig, echo, get, post, route, serving, until, within
from toolyard.gateway import relay as relay_module
from toolyard.gateway.edge import EdgeSettings
from toolyard.gateway.relay import ADDRESS, Relay

MIB = 1024 * 1024


class Both:
    """A gateway with a relay, and the control plane behind it."""

    def __init__(self, rig: Rig, relay: Relay, control: FakeControl) -> None:
        self.rig = rig
        self.relay = relay
        self.control = control

    async def client(self) -> Client:
        return await self.rig.client()


@asynccontextmanager
async def relaying(directory: Path, handle: Handler, *, head_s: float = 20.0, **wire: Any) -> AsyncIterator[Both]:
    control = FakeControl(directory / "control.sock", handle)
    await control.start()
    relay = Relay(control.socket, scheme="https", body_bytes=wire.pop("most", 64 * MIB), head_s=head_s)
    own = [route("/api/v1/system/health", echo, "GET"), route("/mcp", echo, "POST")]
    try:
        async with serving(*own, *relay.routes(), **wire) as rig:
            yield Both(rig, relay, control)
    finally:
        if control.server is not None and control.server.is_serving():
            await control.stop()


async def mirror(request: Request) -> None:
    """Tells what arrived."""
    body = await request.body()
    seen = {"method": request.method, "target": request.target, "fields": request.fields, "body": body.decode()}
    await request.answer(json.dumps(seen).encode(), 201, ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("etag", '"1"'))


def run(work: Any) -> None:
    asyncio.run(work)


async def told(client: Client, data: bytes) -> dict[str, Any]:
    reply = await client.ask(data)
    assert reply.status == 201, reply
    told: dict[str, Any] = reply.json()
    return told


def test_a_request_and_its_answer_arrive_as_they_were_made(tmp_path: Path) -> None:
    async def work() -> None:
        async with relaying(tmp_path, mirror) as both, await both.client() as client:
            head = b"PATCH /api/v1/tools/a%20b?x=1&y=%2F HTTP/1.1\r\n" + HOST + b'If-Match: "1"\r\nCookie: s=1\r\n'
            seen = await told(client, head + b"Content-Length: 4\r\n\r\nbody")
            fields = dict(map(tuple, seen["fields"]))
            assert (seen["method"], seen["target"], seen["body"]) == ("PATCH", "/api/v1/tools/a%20b?x=1&y=%2F", "body")
            assert (fields["host"], fields["if-match"], fields["cookie"]) == ("localhost", '"1"', "s=1")
            reply = await client.ask(get(b"/ui/"))
            assert (reply.status, reply.raw_head.count(b"set-cookie: ")) == (201, 2)
            assert reply.headers["etag"] == '"1"'
            assert "cache-control" not in reply.headers
            assert reply.headers["x-content-type-options"] == "nosniff"

    run(work())


def test_who_asks_is_said_by_the_gateway_and_by_nobody_else(tmp_path: Path) -> None:
    forged = b"Toolyard-Client-Address: 10.0.0.1\r\ntoolyard-client-scheme: x\r\nTOOLYARD-ORGANIZATION: acme\r\n"
    forged += b"Toolyard-Operator: 1\r\n"
    forged += b"toolyard_client_address: 10.0.0.2\r\nConnection: toolyard-client-address, x-mine\r\nX-Mine: 1\r\n"
    forged += b"X-Forwarded-For: 10.0.0.3\r\nForwarded: for=10.0.0.4\r\nX-Real-IP: 10.0.0.5\r\nToolyard-CSRF: t\r\n"

    async def work() -> None:
        async with relaying(tmp_path, mirror) as both, await both.client() as client:
            seen = (await told(client, get(b"/api/v1/me", forged)))["fields"]
            assert [value for name, value in seen if name == ADDRESS] == ["127.0.0.1"]
            assert [value for name, value in seen if name == "toolyard-client-scheme"] == ["https"]
            names = {name for name, _ in seen}
            of_clients = {"toolyard-csrf", "toolyard-organization"}
            assert names == {"host", ADDRESS, "toolyard-client-scheme", "toolyard-request-id", *of_clients}

    run(work())


def test_only_what_came_through_the_operators_socket_is_the_operators(tmp_path: Path) -> None:
    async def work() -> None:
        async with relaying(tmp_path, mirror) as both:
            await both.rig.server.start_unix(tmp_path / "gateway.sock")
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "gateway.sock"))
            client = Client(reader, writer)
            headers = b"toolyard-client-address: 1.2.3.4\r\ntoolyard-organization: acme\r\n"
            fields = dict(map(tuple, (await told(client, get(b"/api/v1/me", headers)))["fields"]))
            assert ADDRESS not in fields
            assert (fields["toolyard-operator"], fields["toolyard-organization"]) == ("1", "acme")
            client.close()

    run(work())


def test_the_gateways_own_paths_and_internal_ones_are_not_relayed(tmp_path: Path) -> None:
    async def work() -> None:
        async with relaying(tmp_path, mirror) as both, await both.client() as client:
            assert (await client.ask(get(b"/api/v1/system/health"))).json()["path"] == "/api/v1/system/health"
            assert (await client.ask(post(path=b"/mcp"))).json()["path"] == "/mcp"
            for path in (b"/internal/v1/feed", b"/other", b"/apis"):
                assert (await client.ask(get(path))).status == 404
            for path in (b"/api/../internal/v1/feed", b"/api/%2e%2e/internal/v1/feed", b"/api/..%2finternal/v1/feed"):
                async with await both.client() as another:
                    assert (await another.ask(get(path))).status == 400

    run(work())


@pytest.mark.parametrize("headers", [b"Origin: https://evil.example\r\n", b"Host: evil.example\r\n"])
def test_strangers_pages_and_names_do_not_reach_the_control_plane(tmp_path: Path, headers: bytes) -> None:
    async def work() -> None:
        async with relaying(tmp_path, mirror) as both, await both.client() as client:
            host = b"" if headers.startswith(b"Host") else HOST
            reply = await client.ask(b"GET /api/v1/me HTTP/1.1\r\n" + host + headers + b"\r\n")
            assert reply.status in (403, 421)

    run(work())


def test_a_listed_origin_gets_the_gateways_cors_headers_and_not_the_control_planes(tmp_path: Path) -> None:
    async def wide_open(request: Request) -> None:
        await request.answer(b"{}", 200, ("access-control-allow-origin", "*"))

    async def work() -> None:
        edge = EdgeSettings(allowed_origins=("https://app.example",))
        async with relaying(tmp_path, wide_open, edge=edge) as both, await both.client() as client:
            reply = await client.ask(get(b"/api/v1/me", b"Origin: https://app.example\r\n"))
            assert reply.raw_head.lower().count(b"access-control-allow-origin") == 1
            assert reply.headers["access-control-allow-origin"] == "https://app.example"
            asked = b"OPTIONS /api/v1/me HTTP/1.1\r\n" + HOST + b"Origin: https://app.example\r\n\r\n"
            assert "PUT, PATCH" in (await client.ask(asked)).headers["access-control-allow-methods"]

    run(work())


def test_a_control_plane_that_is_away_is_a_503_to_try_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with relaying(tmp_path, mirror) as both, await both.client() as client:
            await both.control.stop()
            reply = await client.ask(post(b"{}", b"/api/v1/tools"))
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            assert reply.headers["content-type"] == "application/problem+json"
            problem = reply.json()
            assert (problem["type"], problem["status"], problem["code"]) == ("about:blank", 503, "control_unavailable")
            assert (await client.ask(get(b"/api/v1/system/health"))).status == 200

    run(work())


async def hang_up(request: Request) -> None:
    await request.body()
    request.writer.close()


async def nonsense(request: Request) -> None:
    await request.body()
    await request.say(b"what?\r\n\r\n")


@pytest.mark.parametrize("handle", [hang_up, nonsense])
def test_one_that_breaks_off_before_it_answers_is_not_to_be_tried_again_blindly(
    tmp_path: Path, handle: Handler
) -> None:
    async def work() -> None:
        async with relaying(tmp_path, handle) as both, await both.client() as client:
            reply = await client.ask(post(b"{}", b"/api/v1/tools"))
            assert (reply.status, reply.json()["code"], reply.headers.get("retry-after")) == (
                502,
                "control_broke_off",
                None,
            )

    run(work())


def test_one_that_does_not_answer_in_time_is_given_up(tmp_path: Path) -> None:
    async def work() -> None:
        gone = asyncio.Event()

        async def silent(request: Request) -> None:
            await request.body()
            await request.reader.read()
            gone.set()

        async with relaying(tmp_path, silent, head_s=0.05) as both, await both.client() as client:
            reply = await client.ask(post(b"{}", b"/api/v1/tools"))
            assert (reply.status, reply.json()["code"]) == (504, "control_timed_out")
            await within(gone.wait())

    run(work())


def test_an_answer_that_breaks_off_does_not_look_whole(tmp_path: Path) -> None:
    async def half(request: Request) -> None:
        await request.open(("content-type", "text/plain"))
        await request.chunk(b"half")
        request.writer.close()

    async def work() -> None:
        async with relaying(tmp_path, half) as both, await both.client() as client:
            await client.send(get(b"/api/v1/x"))
            assert b"half" in (rest := await client.rest())
            assert not rest.endswith(b"0\r\n\r\n")

    run(work())


def test_events_arrive_as_they_are_sent_and_end_whole_when_the_gateway_drains(tmp_path: Path) -> None:
    async def work() -> None:
        go_on, gone = asyncio.Event(), asyncio.Event()

        async def events(request: Request) -> None:
            await request.open(("content-type", "text/event-stream; charset=utf-8"))
            await request.chunk(b"data: 1\n\n")
            await go_on.wait()
            await request.chunk(b"data: 2\n\n")
            await request.reader.read()
            gone.set()

        async with relaying(tmp_path, events) as both, await both.client() as client:
            await client.send(get(b"/events"))
            raw = await within(client.reader.readuntil(b"\r\n\r\n"))
            assert b"content-type: text/event-stream; charset=utf-8" in raw
            assert await client.chunk() == b"data: 1\n\n"
            go_on.set()
            assert await client.chunk() == b"data: 2\n\n"
            both.relay.end_streams()
            assert await client.chunk() == b""
            await within(gone.wait())
            assert len(both.relay) == 0

    run(work())


def test_a_client_that_goes_away_ends_the_exchange(tmp_path: Path) -> None:
    async def work() -> None:
        begun, gone = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> None:
            await request.body()
            begun.set()
            await request.reader.read()
            gone.set()

        async with relaying(tmp_path, slow) as both:
            client = await both.client()
            await client.send(get(b"/api/v1/slow"))
            await within(begun.wait())
            client.close()
            await within(gone.wait())
            await until(lambda: len(both.relay) == 0)

    run(work())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_flows_through_and_is_held_nowhere(tmp_path: Path, chunked: bool) -> None:
    size = 24 * MIB

    async def work() -> None:
        go_on = asyncio.Event()

        async def count(request: Request) -> None:
            await go_on.wait()
            length = 0
            async for piece in request.pieces():
                length += len(piece)
            await request.answer(str(length).encode())

        async with relaying(tmp_path, count) as both, await both.client() as client:
            framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
            await client.send(b"PUT /api/v1/files/1 HTTP/1.1\r\n" + HOST + framing + b"\r\n\r\n")
            piece = bytes(MIB)
            framed = b"%x\r\n%s\r\n" % (MIB, piece) if chunked else piece

            async def send() -> None:
                for _ in range(size // MIB):
                    client.writer.write(framed)
                    await client.writer.drain()
                client.writer.write(b"0\r\n\r\n" if chunked else b"")

            sending = asyncio.create_task(send())
            connection = next(iter(both.rig.server._service.connections))
            await until(lambda: connection._incoming is not None and connection._incoming._paused)
            assert connection._incoming is not None
            assert connection._incoming._received < 8 * MIB
            assert not sending.done()
            go_on.set()
            assert (await client.reply()).body == str(size).encode()
            await within(sending)
            assert (await client.ask(get(b"/api/v1/system/health"))).status == 200

    run(work())


def test_a_large_answer_waits_for_a_slow_reader(tmp_path: Path) -> None:
    size = 48 * MIB

    async def work() -> None:
        sent = 0

        async def large(request: Request) -> None:
            nonlocal sent
            await request.say(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n" % size)
            for _ in range(size // MIB):
                await request.say(bytes(MIB))
                sent += MIB

        async with relaying(tmp_path, large) as both, await both.client() as client:
            await client.send(get(b"/api/v1/export"))
            await within(client.reader.readuntil(b"\r\n\r\n"))
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            connection = next(iter(both.rig.server._service.connections))
            await until(lambda: connection._out.backed_up)
            assert sent < size
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert len(await within(client.reader.readexactly(size))) == size

    run(work())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused(tmp_path: Path, chunked: bool) -> None:
    async def work() -> None:
        async with relaying(tmp_path, mirror, most=MIB) as both, await both.client() as client:
            framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (2 * MIB)
            await client.send(b"PUT /api/v1/files/1 HTTP/1.1\r\n" + HOST + framing + b"\r\n\r\n")
            if chunked:
                await client.send((b"%x\r\n%s\r\n" % (MIB, bytes(MIB))) * 2)
            reply = await client.reply()
            assert (reply.status, await client.at_end()) == (413, True)

    run(work())


def test_a_body_that_is_too_slow_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with relaying(tmp_path, mirror) as both, await both.client() as client:
            await client.send(b"PUT /api/v1/files/1 HTTP/1.1\r\n" + HOST + b"Content-Length: 99999\r\n\r\nbegin")
            await until(lambda: len(both.relay) == 1)
            both.rig.pass_time(6.0)
            reply = await client.reply()
            assert (reply.status, reply.json()["code"]) == (408, "request_timed_out")

    run(work())


def test_an_answer_before_the_end_of_the_body_arrives_and_closes(tmp_path: Path) -> None:
    async def early(request: Request) -> None:
        await request.answer(b"no", 403)

    async def work() -> None:
        async with relaying(tmp_path, early) as both, await both.client() as client:
            await client.send(b"PUT /api/v1/files/1 HTTP/1.1\r\n" + HOST + b"Content-Length: 99999\r\n\r\nbegin")
            reply = await client.reply()
            assert (reply.status, reply.headers["connection"], await client.at_end()) == (403, "close", True)

    run(work())


def test_expectations_heads_and_pipelines_hold(tmp_path: Path) -> None:
    async def work() -> None:
        async with relaying(tmp_path, mirror) as both, await both.client() as client:
            await client.send(
                b"PUT /api/v1/x HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
            )
            assert await within(client.reader.readuntil(b"\r\n\r\n")) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await told(client, b"ab"))["body"] == "ab"
            await client.send(b"HEAD /api/v1/x HTTP/1.1\r\n" + HOST + b"\r\n")
            raw = await within(client.reader.readuntil(b"\r\n\r\n"))
            assert b" 201 " in raw
            assert b"content-length: " in raw
            await client.send(post(b"1", b"/api/v1/x") + post(b"2", b"/api/v1/x") + get(b"/api/v1/x"))
            assert [(await client.reply()).json()["body"] for _ in range(3)] == ["1", "2", ""]

    run(work())


def test_an_answer_without_a_body_stays_one(tmp_path: Path) -> None:
    async def nothing(request: Request) -> None:
        await request.body()
        await request.say(b"HTTP/1.1 204 X\r\netag: 1\r\n\r\n")

    async def work() -> None:
        async with relaying(tmp_path, nothing) as both, await both.client() as client:
            for _ in range(2):
                reply = await client.ask(b"DELETE /api/v1/x HTTP/1.1\r\n" + HOST + b"\r\n")
                assert (reply.status, "content-length" in reply.headers) == (204, False)

    run(work())


def test_a_client_of_http_1_0_gets_the_body_to_the_end_of_the_connection(tmp_path: Path) -> None:
    async def chunks(request: Request) -> None:
        await request.open()
        await request.chunk(b"a")
        await request.chunk(b"b")
        await request.say(b"0\r\n\r\n")

    async def work() -> None:
        async with relaying(tmp_path, chunks) as both, await both.client() as client:
            await client.send(b"GET /api/v1/x HTTP/1.0\r\n" + HOST + b"\r\n")
            assert (await client.rest()).endswith(b"\r\n\r\nab")

    run(work())


def test_more_at_once_than_may_be_is_refused_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        go_on = asyncio.Event()

        async def slow(request: Request) -> None:
            await request.body()
            await go_on.wait()
            await request.answer(b"done")

        monkeypatch.setattr(relay_module, "MOST", 2)
        async with relaying(tmp_path, slow) as both:
            clients = [await both.client() for _ in range(2)]
            for client in clients:
                await client.send(get(b"/api/v1/slow"))
            await until(lambda: len(both.relay) == 2)
            async with await both.client() as another:
                reply = await another.ask(get(b"/api/v1/slow"))
                assert (reply.status, reply.json()["code"], reply.headers["retry-after"]) == (503, "control_busy", "1")
            go_on.set()
            assert [(await client.reply()).body for client in clients] == [b"done", b"done"]

    run(work())
