"""One connection: reading, answering, streaming, refusing, losing the client. On asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network
from typing import TypeVar

import pytest
import uvloop

from tests.gateway.wire_rig import (
    HOST,
    JSON,
    STANDARD,
    Client,
    Log,
    Rig,
    echo,
    get,
    parse_head,
    post,
    route,
    serving,
    until,
    within,
)
from toolyard.gateway import wire
from toolyard.gateway.call import Answer, ClientGone, Head
from toolyard.gateway.edge import EdgeSettings
from toolyard.gateway.errors import RateLimited
from toolyard.gateway.http_sink import HttpSink

T = TypeVar("T")
Run = Callable[[Callable[[], Awaitable[T]]], T]


@pytest.fixture(params=["asyncio", "uvloop"], name="run")
def running(request: pytest.FixtureRequest) -> Iterator[Run[T]]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda work: runner.run(work())  # type: ignore[arg-type]


async def only_reply(request: bytes, **options: object) -> tuple[int, object]:
    async with serving(**options) as rig, await rig.client() as client:  # type: ignore[arg-type]
        reply = await client.ask(request)
        return reply.status, reply.json() if reply.body else None


# --- reading


def test_a_request_cut_anywhere_reads_the_same(run: Run[None]) -> None:
    async def main() -> None:
        request = post(b'{"a":"b"}', headers=b"X-One: 1\r\n")
        async with serving() as rig, await rig.client() as client:
            whole = (await client.ask(request)).body
            for cut in range(1, len(request)):
                await client.send(request[:cut])
                await asyncio.sleep(0)
                assert (await client.ask(request[cut:])).body == whole

    run(main)


def test_a_chunked_request_sent_byte_by_byte_is_read_whole(run: Run[None]) -> None:
    async def main() -> None:
        head = b"POST /mcp/alpha HTTP/1.1\r\n" + HOST + JSON + b"Transfer-Encoding: Chunked\r\n\r\n"
        body = b'3;a="b"\r\nabc\r\n0A ;x\r\n0123456789\r\n000\r\nTrailer: x\r\nOther: y\r\n\r\n'
        async with serving() as rig, await rig.client() as client:
            for position in range(len(head + body)):
                await client.send((head + body)[position : position + 1])
            assert (await client.reply()).json()["body"] == "abc0123456789"
            assert (await client.ask(head + body)).json()["length"] == 13

    run(main)


def test_a_thousand_pipelined_requests_are_answered_in_order(run: Run[None]) -> None:
    async def main() -> None:
        async with serving() as rig, await rig.client() as client, await rig.client() as other:
            client.writer.write(b"".join(post(b"%d" % number) for number in range(1000)))
            assert (await other.ask(post())).status == 200
            for number in range(1000):
                assert (await client.reply()).json()["body"] == str(number)

    run(main)


def test_a_client_that_pipelines_refused_requests_does_not_hold_up_others(run: Run[None]) -> None:
    async def main() -> None:
        async with serving() as rig, await rig.client() as greedy, await rig.client() as other:
            await other.ask(post())
            greedy.writer.write(get(b"/nowhere") * 5000)
            await until(lambda: bool(greedy.reader._buffer))  # type: ignore[attr-defined]
            assert (await other.ask(post())).status == 200
            assert greedy.reader._buffer.count(b" 404 ") < 2500  # type: ignore[attr-defined]
            for _ in range(5000):
                assert (await greedy.reply()).status == 404

    run(main)


def test_empty_lines_before_a_request_are_forgiven(run: Run[None]) -> None:
    async def main() -> None:
        assert (await only_reply(b"\r\n\r\n" + post()))[0] == 200

    run(main)


def test_header_names_are_lower_case_and_values_trimmed_and_repetition_is_told(run: Run[None]) -> None:
    async def main() -> None:
        _, seen = await only_reply(post(headers=b"X-Thing: \t a b \t\r\nAccept: x\r\nACCEPT: y\r\nX-High: \xe9\r\n"))
        assert isinstance(seen, dict)
        assert seen["headers"]["x-thing"] == "a b"
        assert seen["headers"]["accept"] == "x, y"
        assert seen["headers"]["x-high"] == "é"
        assert seen["repeated"] == ["accept"]

    run(main)


def test_names_with_an_underscore_never_stand_for_the_hyphen_form(run: Run[None]) -> None:
    async def main() -> None:
        _, seen = await only_reply(post(headers=b"Mcp_Method: tools/call\r\nX_Forwarded_For: 1.2.3.4\r\n"))
        assert isinstance(seen, dict)
        assert not [name for name in seen["headers"] if "method" in name or "forwarded" in name]

    run(main)


def test_forwarded_headers_of_strangers_are_ignored(run: Run[None]) -> None:
    async def main() -> None:
        forged = b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil\r\nForwarded: for=1.2.3.4\r\n"
        _, seen = await only_reply(post(headers=forged))
        assert isinstance(seen, dict)
        assert seen["client"] == "127.0.0.1"
        trusting = EdgeSettings(trusted_proxies=(ip_network("127.0.0.0/8"),))
        _, seen = await only_reply(post(headers=forged), edge=trusting)
        assert isinstance(seen, dict)
        assert seen["client"] == "1.2.3.4"

    run(main)


@pytest.mark.parametrize(
    "value",
    [b"", b"text/plain", b"application/json; charset=utf-16", b"multipart/form-data; boundary=x", b"application/jsonx",
     b"application/json; charset=utf-8; charset=utf-16", b"application/json, text/plain", b"application/json; x=y"],
)  # fmt: skip
def test_a_json_route_takes_nothing_but_json(run: Run[None], value: bytes) -> None:
    async def main() -> None:
        request = b"POST /json HTTP/1.1\r\n" + HOST + b"Content-Type: " + value + b"\r\nContent-Length: 2\r\n\r\n{}"
        async with serving(route("/json", echo, json_only=True)) as rig, await rig.client() as client:
            reply = await client.ask(request)
            assert (reply.status, reply.code) == (415, "media_type_unsupported")

    run(main)


@pytest.mark.parametrize(
    "value",
    [
        b"application/json",
        b"Application/JSON ; Charset=UTF-8",
        b'application/json;charset="utf-8"',
        b"application/json;",
    ],
)
def test_a_json_route_takes_json_however_it_is_spelt(run: Run[None], value: bytes) -> None:
    async def main() -> None:
        request = b"POST /json HTTP/1.1\r\n" + HOST + b"Content-Type: " + value + b"\r\nContent-Length: 2\r\n\r\n{}"
        assert (await only_reply_on(route("/json", echo, json_only=True), request)) == 200

    run(main)


async def only_reply_on(one: object, request: bytes) -> int:
    async with serving(one) as rig, await rig.client() as client:  # type: ignore[arg-type]
        return (await client.ask(request)).status


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"gzip, gzip", b"identity, gzip", b"unknown", b"deflate"])
def test_compressed_bodies_are_refused(run: Run[None], coding: bytes) -> None:
    async def main() -> None:
        assert (await only_reply(post(headers=b"Content-Encoding: " + coding + b"\r\n")))[0] == 415

    run(main)


def test_an_http_1_0_client_gets_an_answer_and_the_end(run: Run[None]) -> None:
    async def main() -> None:
        async with serving() as rig, await rig.client() as client:
            reply = await client.ask(post().replace(b"HTTP/1.1", b"HTTP/1.0"))
            assert reply.status == 200
            assert reply.headers["connection"] == "close"
            assert await client.at_end()

    run(main)


def test_connection_close_is_honoured(run: Run[None]) -> None:
    async def main() -> None:
        async with serving() as rig, await rig.client() as client:
            assert (await client.ask(post(headers=b"Connection: keep-alive, Close\r\n"))).headers[
                "connection"
            ] == "close"
            assert await client.at_end()

    run(main)


# --- expectations and early refusals


def test_100_continue_is_sent_once_the_head_is_admitted(run: Run[None]) -> None:
    async def main() -> None:
        async with serving() as rig, await rig.client() as client:
            request = post(b"hello", headers=b"Expect: 100-Continue\r\n")
            await client.send(request[:-5])
            assert await within(client.reader.readuntil(b"\r\n\r\n")) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await client.ask(b"hello")).json()["length"] == 5

    run(main)


def test_other_expectations_are_refused(run: Run[None]) -> None:
    async def main() -> None:
        assert (await only_reply(post(headers=b"Expect: 200-ok\r\n")))[0] == 417

    run(main)


def refusing(head: Head) -> Answer | None:
    return Answer(401, b"{}") if "authorization" not in head.headers else None


def test_admit_refuses_before_100_continue_and_before_the_body(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(route("/mcp", echo, admit=refusing)) as rig, await rig.client() as client:
            await client.send(post(b"x" * 9, b"/mcp", b"Expect: 100-continue\r\n")[:-9])
            reply = await client.reply()
            assert (reply.status, reply.headers["connection"]) == (401, "close")
            assert await client.at_end()

    run(main)


def test_admit_refuses_a_long_body_at_once_and_closes(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(route("/mcp", echo, admit=refusing)) as rig, await rig.client() as client:
            await client.send(post(b"x" * 3_000_000, b"/mcp")[:100_000])
            assert (await client.reply()).status == 401
            assert await client.at_end()

    run(main)


def test_a_refused_small_request_does_not_cost_the_connection(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(route("/mcp", echo, admit=refusing)) as rig, await rig.client() as client:
            assert (await client.ask(post(b"{}", b"/mcp"))).status == 401
            assert (await client.ask(post(b"{}", b"/nowhere"))).status == 404
            reply = await client.ask(get(b"/mcp"))
            assert (reply.status, reply.headers["allow"]) == (405, "POST")
            assert (await client.ask(post(b"{}", b"/mcp", b"Authorization: x\r\n"))).status == 200
            assert rig.refused == ["not_found", "method_not_allowed"]

    run(main)


def test_a_body_announced_too_large_is_refused_without_reading_it(run: Run[None]) -> None:
    async def main() -> None:
        async with serving() as rig, await rig.client() as client:
            reply = await client.ask(b"POST /mcp HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 10737418240\r\n\r\n")
            assert reply.status == 413
            assert await client.at_end()

    run(main)


def test_an_endless_chunked_body_is_refused_at_the_limit(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(body_bytes=100_000) as rig, await rig.client() as client:
            await client.send(b"POST /mcp HTTP/1.1\r\n" + HOST + JSON + b"Transfer-Encoding: chunked\r\n\r\n")
            sent = 0
            while b" 413 " not in client.reader._buffer and sent < 10_000_000:  # type: ignore[attr-defined]
                await client.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                sent += 4096
                await asyncio.sleep(0)
            assert (await client.reply()).status == 413
            assert sent < 2_000_000

    run(main)


def test_a_refused_client_that_goes_on_sending_is_cut_off(run: Run[None]) -> None:
    async def main() -> None:
        async with serving() as rig, await rig.client() as client:
            assert (await client.ask(b"BAD\r\n\r\n")).status == 400
            await client.send(b"x" * 100_000)
            rig.pass_time(1.0)
            await until(lambda: rig.server.connection_count == 0)

    run(main)


# --- answering


def test_every_answer_carries_the_safety_headers_and_no_server_name(run: Run[None]) -> None:
    async def main() -> None:
        async with serving() as rig:
            for request in (post(), b"BAD\r\n\r\n", get(b"/nowhere"), get(b"/mcp", b"Origin: http://evil.test\r\n")):
                async with await rig.client() as client:
                    headers = (await client.ask(request)).headers
                    assert headers["x-content-type-options"] == "nosniff"
                    assert headers["cache-control"] == "no-store"
                    assert headers["date"].endswith("GMT")
                    assert not {"server", "x-powered-by", "access-control-allow-origin"} & set(headers)

    run(main)


def test_head_gets_the_headers_of_get_without_the_body(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(route("/x", echo, "GET", "HEAD"), *STANDARD) as rig, await rig.client() as client:
            await client.send(b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\n")
            _, headers = parse_head(await within(client.reader.readuntil(b"\r\n\r\n")))
            assert int(headers["content-length"]) > 0
            assert (await client.ask(get(b"/mcp"))).status == 200

    run(main)


@pytest.fixture(name="log")
def logged(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(wire, "_log", log)
    return log


def test_a_handler_that_fails_gives_500_and_a_log_line_and_keeps_the_connection(run: Run[None], log: Log) -> None:
    async def broken(head: Head, body: bytes, sink: HttpSink) -> None:
        raise RuntimeError("SEKRET detail")

    async def main() -> None:
        async with serving(route("/broken", broken)) as rig, await rig.client() as client:
            for _ in range(2):
                reply = await client.ask(post(path=b"/broken"))
                assert (reply.status, reply.code) == (500, "internal_error")
                assert b"SEKRET" not in reply.body
                assert log.lines[-1] == (
                    "request failed",
                    {"request_id": reply.headers["x-request-id"], "path": "/broken"},
                )

    run(main)
    assert len(log.lines) == 2


def test_an_error_of_ours_that_nobody_translated_keeps_its_status(run: Run[None]) -> None:
    async def limited(head: Head, body: bytes, sink: HttpSink) -> None:
        raise RateLimited(1.0)

    async def main() -> None:
        async with serving(route("/limited", limited)) as rig, await rig.client() as client:
            reply = await client.ask(post(path=b"/limited"))
            assert (reply.status, reply.code) == (429, "rate_limited")

    run(main)


def test_a_handler_that_forgets_to_answer_gives_500(run: Run[None]) -> None:
    async def silent(head: Head, body: bytes, sink: HttpSink) -> None:
        return None

    async def main() -> None:
        async with serving(route("/silent", silent)) as rig, await rig.client() as client:
            assert (await client.ask(post(path=b"/silent"))).status == 500

    run(main)


@pytest.mark.parametrize("header", [("x-a", "b\r\nx-evil: 1"), ("x a", "b"), ("x-a", "b\0"), ("x\r\ny", "")])
def test_a_header_that_would_split_the_answer_is_not_sent(run: Run[None], header: tuple[str, str], log: Log) -> None:
    async def splitting(head: Head, body: bytes, sink: HttpSink) -> None:
        sink.finish(Answer(200, b"{}", headers=(header,)))

    async def main() -> None:
        async with serving(route("/split", splitting)) as rig, await rig.client() as client:
            reply = await client.ask(post(path=b"/split"))
            assert reply.status == 500
            assert "x-evil" not in reply.headers
            assert len(log.lines) == 1

    run(main)


def test_answers_without_a_body(run: Run[None]) -> None:
    async def accepted(head: Head, body: bytes, sink: HttpSink) -> None:
        sink.finish(Answer(int(body)))

    async def main() -> None:
        async with serving(route("/status", accepted)) as rig, await rig.client() as client:
            reply = await client.ask(post(b"202", b"/status"))
            assert (reply.status, reply.headers["content-length"], reply.body) == (202, "0", b"")
            assert "content-length" not in (await client.ask(post(b"204", b"/status"))).headers
            assert (await client.ask(post(b"202", b"/status"))).status == 202

    run(main)


def test_a_large_answer_reaches_a_slow_reader_whole_and_in_bounded_memory(run: Run[None]) -> None:
    size = 16 * 1024 * 1024

    async def large(head: Head, body: bytes, sink: HttpSink) -> None:
        sink.finish(Answer(200, b"x" * size))

    async def main() -> None:
        async with serving(route("/large", large), route("/mcp", echo)) as rig:
            client = Client(*await asyncio.open_connection("127.0.0.1", rig.port, limit=65536))
            await client.send(post(path=b"/large") + post(path=b"/mcp"))
            await until(lambda: any(c._out.backed_up for c in rig.server._service.connections))
            (connection,) = rig.server._service.connections
            assert connection._transport.get_write_buffer_size() <= (1 << 20) + (1 << 18)
            reply = await client.reply()
            assert reply.body == b"x" * size
            assert (await client.reply()).status == 200
            client.close()

    run(main)


def test_a_reader_that_stops_is_aborted_after_the_write_timeout(run: Run[None]) -> None:
    async def large(head: Head, body: bytes, sink: HttpSink) -> None:
        sink.finish(Answer(200, b"x" * (16 << 20)))

    async def main() -> None:
        async with serving(route("/large", large)) as rig:
            client = Client(*await asyncio.open_connection("127.0.0.1", rig.port, limit=65536))
            await client.send(post(path=b"/large"))
            await stalled(rig)
            rig.pass_time(29.0)
            assert rig.server.connection_count == 1
            rig.pass_time(1.0)
            await until(lambda: rig.server.connection_count == 0)
            client.close()

    run(main)


async def stalled(rig: Rig) -> None:
    """Wait until the peer's window and ours are full: nothing leaves any more."""
    await until(lambda: any(c._out.backed_up for c in rig.server._service.connections))
    (connection,) = rig.server._service.connections
    left, same = -1, 0
    while same < 50:
        now_left = connection._out._written - connection._transport.get_write_buffer_size()
        same = same + 1 if now_left == left else 0
        left = now_left
        await asyncio.sleep(0.001)
    rig.server.tick()


# --- streams


async def counting(head: Head, body: bytes, sink: HttpSink) -> None:
    sink.headers.append(("mcp-session-id", "s1"))
    await sink.send(b'{"n":1}', event_id="e1", retry_ms=500)
    await sink.event("endpoint", b"/messages")
    sink.finish(Answer(200, b'{"n":2}'))


def test_a_stream_is_chunked_and_ends_with_the_answer(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(route("/count", counting), *STANDARD) as rig, await rig.client() as client:
            reply = await client.ask(post(path=b"/count"))
            assert reply.headers["content-type"] == "text/event-stream"
            assert (reply.headers["x-accel-buffering"], reply.headers["cache-control"]) == ("no", "no-store")
            assert reply.headers["mcp-session-id"] == "s1"
            assert await client.chunk() == b'id: e1\nretry: 500\ndata: {"n":1}\n\n'
            assert await client.chunk() == b"event: endpoint\ndata: /messages\n\n"
            assert await client.chunk() == b'data: {"n":2}\n\n'
            assert await client.chunk() == b""
            assert (await client.ask(post())).status == 200

    run(main)


def test_a_stream_to_an_http_1_0_client_ends_with_the_connection(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(route("/count", counting)) as rig, await rig.client() as client:
            reply = await client.ask(post(path=b"/count").replace(b"HTTP/1.1", b"HTTP/1.0"))
            assert "transfer-encoding" not in reply.headers
            assert (await client.rest()).endswith(b'data: {"n":2}\n\n')

    run(main)


def test_a_stream_can_be_opened_empty_kept_alive_and_closed_without_an_answer(run: Run[None]) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def quiet(head: Head, body: bytes, sink: HttpSink) -> None:
            sink.open()
            await release.wait()
            sink.close_stream()

        async with serving(route("/quiet", quiet, "GET"), *STANDARD) as rig, await rig.client() as client:
            assert (await client.ask(get(b"/quiet"))).status == 200
            rig.server.tick()
            rig.pass_time(14.9)
            rig.pass_time(0.1)
            assert await client.chunk() == b": keep-alive\n\n"
            rig.pass_time(14.9)
            rig.pass_time(15.0)
            assert await client.chunk() == b": keep-alive\n\n"
            release.set()
            assert await client.chunk() == b""
            assert (await client.ask(post())).status == 200

    run(main)


def test_a_stream_whose_handler_fails_is_ended(run: Run[None], log: Log) -> None:
    async def failing(head: Head, body: bytes, sink: HttpSink) -> None:
        await sink.send(b"{}")
        raise RuntimeError

    async def main() -> None:
        async with serving(route("/failing", failing), *STANDARD) as rig, await rig.client() as client:
            await client.ask(post(path=b"/failing"))
            assert await client.chunk() == b"data: {}\n\n"
            assert await client.chunk() == b""
            assert (await client.ask(post())).status == 200
            assert len(log.lines) == 1

    run(main)


def test_a_stream_waits_for_a_slow_reader(run: Run[None]) -> None:
    async def main() -> None:
        sent = 0

        async def flood(head: Head, body: bytes, sink: HttpSink) -> None:
            nonlocal sent
            for _ in range(400):
                await sink.send(b"x" * 100_000)
                sent += 1
            sink.finish(Answer(200, b"done"))

        async with serving(route("/flood", flood)) as rig:
            client = Client(*await asyncio.open_connection("127.0.0.1", rig.port, limit=65536))
            await client.send(post(path=b"/flood"))
            await stalled(rig)
            (connection,) = rig.server._service.connections
            assert sent < 400
            assert connection._transport.get_write_buffer_size() < (1 << 20) + 200_000
            await client.reply()
            received = 0
            while chunk := await client.chunk():
                received += len(chunk)
            assert (received, sent) == (400 * 100_008 + 12, 400)
            client.close()

    run(main)


def test_a_stream_reader_that_stops_costs_the_client_its_connection_and_the_handler_its_client(run: Run[None]) -> None:
    async def main() -> None:
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def flood(head: Head, body: bytes, sink: HttpSink) -> None:
            sink.outlive_client()
            try:
                while True:
                    await sink.send(b"x" * 100_000)
            except ClientGone:
                ended.set_result("gone")

        async with serving(route("/flood", flood)) as rig:
            client = Client(*await asyncio.open_connection("127.0.0.1", rig.port, limit=65536))
            await client.send(post(path=b"/flood"))
            await stalled(rig)
            rig.pass_time(30.0)
            assert await within(ended) == "gone"
            client.close()

    run(main)


# --- losing the client


def test_a_client_that_goes_away_cancels_its_call(run: Run[None]) -> None:
    async def main() -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def slow(head: Head, body: bytes, sink: HttpSink) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async with serving(route("/slow", slow)) as rig:
            client = await rig.client()
            await client.send(post(path=b"/slow"))
            await within(started.wait())
            client.close()
            await within(cancelled.wait())
            await until(lambda: rig.server.running_count == 0 and rig.server.connection_count == 0)

    run(main)


def test_an_exchange_that_outlives_its_client_goes_on_and_learns_it_when_it_sends(run: Run[None]) -> None:
    async def main() -> None:
        started, gone, end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        learnt: list[bool] = []

        async def patient(head: Head, body: bytes, sink: HttpSink) -> None:
            sink.outlive_client()
            sink.open()
            started.set()
            await gone.wait()
            try:
                await sink.send(b"{}")
            except ClientGone:
                learnt.append(sink.gone)
            sink.finish(Answer(200, b"{}"))
            end.set()

        async with serving(route("/patient", patient)) as rig:
            client = await rig.client()
            await client.send(post(path=b"/patient"))
            await within(started.wait())
            client.close()
            await until(lambda: rig.server.connection_count == 0)
            assert rig.server.running_count == 1
            gone.set()
            await within(end.wait())
            assert learnt == [True]
            await until(lambda: rig.server.running_count == 0)

    run(main)


def test_nothing_is_left_after_many_aborted_streams(run: Run[None]) -> None:
    async def main() -> None:
        async def endless(head: Head, body: bytes, sink: HttpSink) -> None:
            sink.open()
            await asyncio.Event().wait()

        async with serving(route("/endless", endless, "GET")) as rig:
            for _ in range(300):
                client = await rig.client()
                await client.ask(get(b"/endless"))
                client.writer.transport.abort()
            await until(lambda: rig.server.running_count == 0 and rig.server.connection_count == 0)

    run(main)


# --- CORS


LISTED = EdgeSettings(allowed_origins=("https://app.example.com",))


def test_a_listed_origin_gets_cors_headers_without_credentials(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(edge=LISTED) as rig, await rig.client() as client:
            preflight = b"OPTIONS /mcp HTTP/1.1\r\n" + HOST + b"Origin: https://app.example.com\r\n"
            reply = await client.ask(preflight + b"Access-Control-Request-Method: POST\r\n\r\n")
            assert reply.status == 204
            assert reply.headers["access-control-allow-origin"] == "https://app.example.com"
            assert "access-control-allow-credentials" not in reply.headers
            reply = await client.ask(post(headers=b"Origin: https://app.example.com\r\n"))
            assert (reply.status, reply.headers["vary"]) == (200, "origin")
            assert reply.headers["access-control-allow-origin"] == "https://app.example.com"

    run(main)


def test_our_own_pages_may_use_us_without_cors_headers(run: Run[None]) -> None:
    async def main() -> None:
        async with serving() as rig, await rig.client() as client:
            reply = await client.ask(post(headers=b"Origin: http://localhost:%d\r\n" % rig.port))
            assert reply.status == 200
            assert "access-control-allow-origin" not in reply.headers
            reply = await client.ask(b"OPTIONS /mcp HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (reply.status, reply.headers["allow"]) == (405, "GET, POST")

    run(main)
