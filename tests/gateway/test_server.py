"""The server as a whole: listeners, TLS, the Unix socket, draining, probes and metrics."""

from __future__ import annotations

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.gateway.wire_rig import Client, Rig, echo, get, post, route, serving, talk, until, within
from tests.unit.net.certificates import Authority
from toolyard.gateway.call import Answer, Head
from toolyard.gateway.http_sink import HttpSink
from toolyard.gateway.metrics import Metrics
from toolyard.gateway.operations import operations_routes
from toolyard.gateway.routes import RouteTable
from toolyard.gateway.server import GatewayServer
from toolyard.kit.secret import Secret

MCP = route("/mcp", echo, "GET", "POST")


@asynccontextmanager
async def unix_client(server: GatewayServer, path: Path) -> AsyncIterator[Client]:
    await server.start_unix(path)
    client = Client(*await asyncio.open_unix_connection(str(path)))
    yield client
    client.close()
    await within(server.stop_now())


def test_the_unix_socket_is_private_and_its_callers_are_operators(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "gateway.sock"
        path.write_text("left over")
        server = GatewayServer(RouteTable([MCP, route("/secret", echo, auth="operator")]))
        async with unix_client(server, path) as client:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            strange = post(path=b"/secret", headers=b"Origin: http://evil.test\r\n").replace(b"localhost", b"gateway")
            reply = await client.ask(strange)
            assert (reply.status, reply.json()["operator"], reply.json()["client"]) == (200, True, "")
            assert (await client.ask(post(path=b"/secret").replace(b"Host: localhost", b"Host: a b"))).status == 400
        assert not path.exists()

    asyncio.run(main())


def test_an_operators_route_does_not_exist_for_anyone_else() -> None:
    async def main() -> None:
        async with serving(MCP, route("/secret", echo, auth="operator")) as rig, await rig.client() as client:
            assert (await client.ask(post(path=b"/secret"))).status == 404
            assert (await client.ask(post(path=b"/mcp"))).json()["operator"] is False

    asyncio.run(main())


def test_https_serves_the_same_and_its_own_origin_is_https(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    async def main() -> None:
        server = GatewayServer(RouteTable([MCP]))
        port = await server.start("127.0.0.1", 0, authority.server("localhost"))
        trusting = ssl.create_default_context(cafile=authority.ca_file)
        client = Client(*await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost"))
        own = b"Origin: https://localhost:%d\r\n" % port
        assert (await client.ask(post(b"x" * 100_000, b"/mcp", own))).json()["length"] == 100_000
        assert (await client.ask(post(path=b"/mcp", headers=own.replace(b"https", b"http")))).status == 403
        assert await client.at_end()
        client.close()
        await within(server.stop_now())

    asyncio.run(main())


# --- draining


async def slow(head: Head, body: bytes, sink: HttpSink) -> None:
    await asyncio.sleep(float(body))
    sink.finish(Answer(200, b"{}"))


def operations(rig_or_server: list[GatewayServer]) -> list[object]:
    return list(operations_routes(lambda: not rig_or_server[0].draining, Metrics(), metrics_for="anyone"))


def test_drain_drops_nothing_and_readiness_flips_at_once() -> None:
    async def main() -> None:
        servers: list[GatewayServer] = []
        async with serving(route("/slow", slow), *operations(servers), ticking=True) as rig:  # type: ignore[arg-type]
            servers.append(rig.server)
            clients = [await rig.client() for _ in range(100)]
            idle, probe = await rig.client(), await rig.client()
            assert (await probe.ask(get(b"/health/ready"))).status == 200
            for number, client in enumerate(clients):
                await client.send(post(b"%.3f" % (0.3 + number / 200), b"/slow"))
            await until(lambda: rig.server.running_count == 100)
            draining = asyncio.ensure_future(rig.server.drain(grace_s=0.2, limit_s=600.0))
            await until(lambda: rig.server.draining)
            assert (await probe.ask(get(b"/health/ready"))).status == 503
            assert await probe.at_end()
            async with await rig.client() as late:
                reply = await late.ask(get(b"/health/live"))
                assert (reply.status, reply.headers["connection"]) == (200, "close")
            replies = await within(asyncio.gather(*(client.reply() for client in clients)))
            assert {reply.status for reply in replies} == {200}
            assert {reply.headers["connection"] for reply in replies} == {"close"}
            assert await idle.at_end()
            await within(draining)
            assert (rig.server.connection_count, rig.server.running_count) == (0, 0)
            with pytest.raises(OSError):
                await rig.client()
            for client in clients:
                client.close()

    asyncio.run(main())


def test_drain_ends_streams_and_websockets_cleanly_and_calls_its_hooks() -> None:
    async def endless(head: Head, body: bytes, sink: HttpSink) -> None:
        sink.open()
        await asyncio.Event().wait()

    async def main() -> None:
        called: list[str] = []
        release = asyncio.Event()

        async def listening(head: Head, body: bytes, sink: HttpSink) -> None:
            sink.open()
            await release.wait()
            sink.finish(Answer(200, b'{"last":true}'))

        routes = [
            route("/events", endless, "GET", limit="stream"),
            route("/listen", listening),
            route("/ws", talk, "GET", websocket=True, limit="stream"),
        ]
        async with serving(*routes, ticking=True) as rig:
            rig.server.on_drain += [lambda: called.append("hook"), release.set]
            events, listen = await rig.client(), await rig.client()
            await events.ask(get(b"/events"))
            await listen.ask(post(path=b"/listen"))
            async with connect(f"ws://127.0.0.1:{rig.port}/ws") as socket:
                await within(socket.recv())
                draining = asyncio.ensure_future(rig.server.drain(grace_s=0.0, limit_s=20.0))
                with pytest.raises(ConnectionClosed) as closed:
                    await within(socket.recv())
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1001
            assert await events.chunk() == b""
            assert await events.at_end()
            assert await listen.chunk() == b'data: {"last":true}\n\n'
            assert await listen.chunk() == b""
            assert await listen.at_end()
            await within(draining)
            assert called == ["hook"]
            events.close()
            listen.close()

    asyncio.run(main())


def test_a_call_longer_than_the_drain_limit_is_answered_with_an_error() -> None:
    async def main() -> None:
        async with serving(route("/slow", slow), ticking=True) as rig, await rig.client() as client:
            await client.send(post(b"600", b"/slow"))
            await until(lambda: rig.server.running_count == 1)
            await within(rig.server.drain(grace_s=0.0, limit_s=0.2))
            reply = await client.reply()
            assert (reply.status, reply.code, reply.headers["connection"]) == (503, "shutting_down", "close")
            assert await client.at_end()
            assert rig.server.running_count == 0

    asyncio.run(main())


def test_a_handler_may_write_its_own_last_word_when_it_is_given_up() -> None:
    async def main() -> None:
        async def worded(head: Head, body: bytes, sink: HttpSink) -> None:
            try:
                await sink.send(b"{}")
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not sink.gone:
                    sink.finish(Answer(503, b'{"error":"aborted by shutdown"}'))
                raise

        async with serving(route("/worded", worded)) as rig, await rig.client() as client:
            await client.ask(post(path=b"/worded"))
            assert await client.chunk() == b"data: {}\n\n"
            await within(rig.server.stop_now())
            assert await client.chunk() == b'data: {"error":"aborted by shutdown"}\n\n'
            assert await client.chunk() == b""

    asyncio.run(main())


@pytest.mark.slow
def test_a_body_that_is_still_coming_at_the_stop_is_answered_too() -> None:
    async def main() -> None:
        async with serving(MCP) as rig, await rig.client() as client:
            await client.send(post(b"x" * 1000, b"/mcp")[:-10])
            await until(lambda: any(c._buffer for c in rig.server._service.connections))
            await within(rig.server.stop_now())
            assert (await client.reply()).status == 503

    asyncio.run(main())


def test_a_second_signal_stops_a_drain_at_once() -> None:
    async def main() -> None:
        async with serving(route("/slow", slow), ticking=True) as rig, await rig.client() as client:
            await client.send(post(b"600", b"/slow"))
            await until(lambda: rig.server.running_count == 1)
            draining = asyncio.ensure_future(rig.server.drain(grace_s=0.0, limit_s=600.0))
            await until(lambda: not rig.server.sockets())
            await within(rig.server.stop_now())
            assert (await client.reply()).status == 503
            await within(draining)

    asyncio.run(main())


def test_a_stubborn_handler_cannot_hold_the_stop() -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def stubborn(head: Head, body: bytes, sink: HttpSink) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        async with serving(route("/stubborn", stubborn), linger_s=0.1) as rig, await rig.client() as client:
            await client.send(post(path=b"/stubborn"))
            await until(lambda: rig.server.running_count == 1)
            await within(rig.server.stop_now())
            assert await client.at_end()
            release.set()
            await until(lambda: rig.server.running_count == 0)

    asyncio.run(main())


def test_a_server_that_was_never_started_stops() -> None:
    asyncio.run(GatewayServer(RouteTable([MCP])).stop_now())


# --- probes and metrics


async def status_of(rig: Rig, path: bytes, headers: bytes = b"") -> int:
    async with await rig.client() as client:
        return (await client.ask(get(path, headers))).status


def test_probes_say_up_or_down_and_nothing_more() -> None:
    async def main() -> None:
        state = {"ready": False}
        async with serving(*operations_routes(lambda: state["ready"], Metrics())) as rig, await rig.client() as client:
            for path, status in ((b"/health/live", 200), (b"/health/ready", 503), (b"/health", 503)):
                reply = await client.ask(get(path))
                assert (reply.status, set(reply.json())) == (status, {"status"})
            state["ready"] = True
            for path in (b"/health", b"/health/ready", b"/health/live", b"/api/v1/system/health"):
                reply = await client.ask(get(path))
                assert (reply.status, reply.json()) == (200, {"status": "ok"})

    asyncio.run(main())


def test_metrics_are_for_operators_unless_said_otherwise() -> None:
    async def main() -> None:
        token = Secret("t0ken")
        async with serving(*operations_routes(lambda: True, Metrics())) as rig:
            assert await status_of(rig, b"/metrics") == 404
        async with serving(*operations_routes(lambda: True, Metrics(), metrics_for="anyone")) as rig:
            assert await status_of(rig, b"/metrics") == 200
        tokens = operations_routes(lambda: True, Metrics(), metrics_for="token", metrics_token=token)
        async with serving(*tokens) as rig:
            assert await status_of(rig, b"/metrics") == 401
            assert await status_of(rig, b"/metrics", b"Authorization: Bearer t0keN\r\n") == 401
            assert await status_of(rig, b"/metrics", b"Authorization: Bearer \r\n") == 401
            assert await status_of(rig, b"/metrics", b"Authorization: Bearer t0ken\r\n") == 200
        async with serving(*operations_routes(lambda: True, Metrics(), metrics_for="token")) as rig:
            assert await status_of(rig, b"/metrics", b"Authorization: Bearer \r\n") == 401

    asyncio.run(main())


def test_metrics_count_what_happened() -> None:
    metrics = Metrics({"tools/call"})
    metrics.request("http", "tools/call", "ok", 0.002)
    metrics.request("http", "tools/call", "ok", 0.002)
    metrics.refused("rate_limited")
    metrics.wire_refused("body_too_large")
    metrics.upstream_up("docs", up=True)
    metrics.upstream_up("gone", up=True)
    metrics.upstream_removed("gone")
    metrics.watch("connections", lambda: 7)
    text = metrics.render().decode()
    assert 'toolyard_requests_total{method="tools/call",outcome="ok",transport="http"} 2.0' in text
    assert 'toolyard_request_seconds_count{method="tools/call"} 2.0' in text
    assert 'toolyard_refusals_total{reason="rate_limited"} 1.0' in text
    assert 'toolyard_wire_refusals_total{code="body_too_large"} 1.0' in text
    assert 'toolyard_upstream_up{upstream="docs"} 1.0' in text
    assert 'upstream="gone"' not in text
    assert 'toolyard_in_use{what="connections"} 7.0' in text


def test_no_caller_can_make_the_metrics_grow() -> None:
    metrics = Metrics({"tools/call"})
    for number in range(100_000):
        metrics.request(f"t{number}", f"m{number}", f"o{number}", 0.1)
        metrics.refused(f"r{number}")
    series = [line for line in metrics.render().decode().splitlines() if not line.startswith("#")]
    assert len(series) < 600
    assert any(
        'toolyard_requests_total{method="other",outcome="other",transport="other"} 100000.0' in one for one in series
    )


def test_refusals_on_the_wire_reach_the_metrics() -> None:
    async def main() -> None:
        metrics = Metrics()
        server = GatewayServer(RouteTable([MCP]), refused=metrics.wire_refused)
        port = await server.start("127.0.0.1", 0)
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        assert (await client.ask(b"BAD\r\n\r\n")).status == 400
        assert b'code="request_malformed"} 1.0' in metrics.render()
        client.close()
        await within(server.stop_now())

    asyncio.run(main())
