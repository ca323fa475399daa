"""Faulty HTTP upstreams: the caller gets one clear error in time, and nobody else notices (UPF-01 to UPF-13)."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.gateway.upstream.fake_http_upstream import Json, Legacy, Modern, Reply, Request, error, result, text, tool
from tests.gateway.upstream.http_rig import Caller, rig, run
from toolyard.contract.snapshot import UpstreamLimits
from toolyard.gateway.upstream.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from toolyard.gateway.upstream.http_retry_after import retry_after_s
from toolyard.kit import faults
from toolyard.kit.clock import ManualClock
from toolyard.kit.secret import Secret

Fault = Callable[[Request, Reply], Awaitable[None]]
ERAS = ["modern", "legacy"]


def server(era: str, fault: Fault, **more: Any) -> Modern | Legacy:
    """A server whose tool calls end in `fault`, but for those of the tool `good`."""

    async def call(request: Request, reply: Reply) -> None:
        if request.params["name"] == "good":
            await reply.json(result(request, text("good")))
        else:
            await fault(request, reply)

    kind = Modern if era == "modern" else Legacy
    return kind(handlers={"tools/call": call}, **more)


def era_of(era: str) -> Json:
    return {"era": era, "revision": "2026-07-28" if era == "modern" else "2025-11-25"}


def failing(era: str, fault: Fault, expected: type[UpstreamError], *, seconds: float = 20.0) -> UpstreamError:
    """The error of one call that meets `fault`, while calls beside and after it go well."""
    caught: list[UpstreamError] = []

    async def work() -> None:
        secret = (("Authorization", Secret("Bearer SEKRET-UP-1")),)
        async with rig(server(era, fault), headers=secret) as r:
            await r.upstream.observe()
            beside = asyncio.ensure_future(r.echo(name="good", **era_of(era)))
            with pytest.raises(UpstreamError) as raised:
                await r.echo(seconds=seconds, **era_of(era))
            assert (await beside)["content"][0]["text"] == "good"
            assert (await r.echo(name="good", **era_of(era)))["content"][0]["text"] == "good"
            caught.append(raised.value)
            for leak in ("SEKRET", "127.0.0.1", str(r.fake.port)):
                assert leak not in raised.value.message + str(raised.value.context)

    run(work)
    assert type(caught[0]) is expected
    return caught[0]


# UPF-01: cannot be reached, and the breaker


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_an_upstream_that_refuses_is_unreachable_and_the_breaker_spares_later_callers():
    async def work() -> None:
        clock = ManualClock()
        async with rig(Modern(), url=f"http://127.0.0.1:{free_port()}/mcp", clock=clock) as r:
            for _ in range(5):
                with pytest.raises(UpstreamUnreachable) as caught:
                    await r.echo()
                assert caught.value.may_have_run is False
                assert "'fake'" in caught.value.message
                assert "127.0.0.1" not in caught.value.message
            assert r.upstream.status()["breaker"] == "open"
            with faults.recording() as points, pytest.raises(UpstreamUnreachable):
                await r.echo()
            assert "net.connect" not in points
            clock.advance(5.0)
            with faults.recording() as points, pytest.raises(UpstreamUnreachable):
                await r.echo()
            assert "net.connect" in points
            assert r.upstream.status()["breaker"] == "open"

    run(work)


def test_the_breaker_lets_one_probe_through_and_closes_when_it_connects():
    async def work() -> None:
        clock = ManualClock()
        async with rig(Modern(), clock=clock, era_hint="modern") as r:
            with faults.armed("net.connect", OSError("refused"), times=5):
                for _ in range(5):
                    with pytest.raises(UpstreamUnreachable):
                        await r.echo()
            assert r.upstream.status()["breaker"] == "open"
            clock.advance(5.0)
            assert (await r.echo())["content"][0]["text"] == "echo"
            assert r.upstream.status()["breaker"] == "closed"

    run(work)


def test_failures_far_apart_do_not_open_the_breaker():
    async def work() -> None:
        clock = ManualClock()
        async with rig(Modern(), clock=clock, era_hint="modern") as r:
            with faults.armed("net.connect", OSError("refused"), times=8):
                for _ in range(8):
                    clock.advance(3.0)
                    with pytest.raises(UpstreamUnreachable):
                        await r.echo()
            assert r.upstream.status()["breaker"] == "closed"

    run(work)


def test_a_name_that_cannot_be_resolved_is_unreachable():
    async def work() -> None:
        with faults.armed("net.resolve", OSError("NXDOMAIN")):
            async with rig(Modern(), url="http://nowhere.invalid/mcp") as r:
                with pytest.raises(UpstreamUnreachable) as caught:
                    await r.echo()
                assert "nowhere" not in caught.value.message

    run(work)


# UPF-02 to 04: silence, broken answers, drips


async def _silent(request: Request, reply: Reply) -> None:
    await request.gone.wait()


async def _head_only(request: Request, reply: Reply) -> None:
    await reply.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n")
    await request.gone.wait()


async def _drip(request: Request, reply: Reply) -> None:
    await reply.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{")
    while not request.gone.is_set():
        await reply.raw(b" ")
        await asyncio.sleep(0.05)


async def _comments(request: Request, reply: Reply) -> None:
    await reply.stream()
    while not request.gone.is_set():
        await reply.chunk(b": still there\n\n")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("fault", [_silent, _head_only, _drip, _comments])
def test_an_upstream_that_never_finishes_is_cut_at_the_total_deadline(era: str, fault: Fault):
    assert failing(era, fault, UpstreamTimedOut, seconds=0.5).may_have_run


async def _half(request: Request, reply: Reply) -> None:
    await reply.raw(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"jsonrpc"')
    reply.close()


async def _reset(request: Request, reply: Reply) -> None:
    await reply.raw(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"jsonrpc"')
    reply.writer.transport.abort()


async def _half_stream(request: Request, reply: Reply) -> None:
    await reply.stream()
    await reply.chunk(b'data: {"jsonrpc": "2.0", "id": 1, "resu')
    reply.close()


async def _hang_up(request: Request, reply: Reply) -> None:
    reply.close()


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("fault", [_half, _reset, _half_stream, _hang_up])
def test_an_answer_that_breaks_off_is_incomplete(era: str, fault: Fault):
    assert failing(era, fault, UpstreamIncomplete).may_have_run


# UPF-05, 06: answers that are none


def body(make: Callable[[Request], Any], content_type: str = "application/json") -> Fault:
    async def fault(request: Request, reply: Reply) -> None:
        made = make(request)
        await reply.whole(200, made if isinstance(made, bytes) else json.dumps(made).encode(), content_type)

    return fault


NONSENSE = {
    "garbage": body(lambda _: b"\x00\xff garbage"),
    "html": body(lambda _: b"<html>", "text/html"),
    "html called json": body(lambda _: b"<html>"),
    "empty": body(lambda _: b""),
    "array": body(lambda q: [result(q, text("x"))]),
    "two objects": body(lambda q: json.dumps(result(q, text("x"))).encode() * 2),
    "wrong id": body(lambda q: result(q, text("x")) | {"id": 987654}),
    "id as text": body(lambda q: result(q, text("x")) | {"id": str(q.message["id"])}),
    "id null": body(lambda q: result(q, text("x")) | {"id": None}),
    "both": body(lambda q: result(q, text("x")) | error(q, -1)),
    "neither": body(lambda q: {"jsonrpc": "2.0", "id": q.message["id"]}),
    "a request": body(lambda q: {"jsonrpc": "2.0", "id": q.message["id"], "method": "ping"}),
    "result no object": body(lambda q: {"jsonrpc": "2.0", "id": q.message["id"], "result": [1]}),
    "duplicate members": body(lambda q: b'{"jsonrpc":"2.0","id":1,"id":2,"result":{}}'),
    "204": body(lambda q: b""),
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", NONSENSE)
def test_an_answer_that_is_not_mcp_is_invalid_and_never_delivered(era: str, name: str):
    failing(era, NONSENSE[name], UpstreamInvalid)


async def _accepted(request: Request, reply: Reply) -> None:
    await reply.whole(202)


async def _packed(request: Request, reply: Reply) -> None:
    await reply.json(result(request, text("x")), content_encoding="gzip")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("fault", [_accepted, _packed])
def test_a_request_that_is_merely_accepted_or_answered_in_an_encoding_nobody_asked_for_is_invalid(
    era: str, fault: Fault
):
    failing(era, fault, UpstreamInvalid)


@pytest.mark.parametrize("era", ERAS)
def test_a_reply_for_another_request_on_a_stream_is_dropped_and_the_right_one_delivered(era: str):
    async def mixed(request: Request, reply: Reply) -> None:
        await reply.stream()
        for other in (request.message["id"] + 1, str(request.message["id"]), "x"):
            await reply.event(result(request, text("wrong")) | {"id": other})
        await reply.event(result(request, text("right")))
        await reply.end()

    async def work() -> None:
        async with rig(server(era, mixed)) as r:
            results = await asyncio.gather(*(r.echo(**era_of(era)) for _ in range(3)))
            assert [final["content"][0]["text"] for final in results] == ["right"] * 3
            assert r.upstream.status()["strays"] == 9

    run(work)


# UPF-07: too much


@pytest.mark.parametrize("era", ERAS)
def test_an_answer_larger_than_allowed_is_cut(era: str):
    async def endless(request: Request, reply: Reply) -> None:
        await reply.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n")
        while not request.gone.is_set() and not reply.writer.is_closing():
            await reply.raw(b" " * 65_536)

    failing(era, endless, UpstreamTooLarge)


def test_an_answer_at_the_limit_passes_and_one_byte_more_does_not():
    def sized(size: int) -> Fault:
        async def fault(request: Request, reply: Reply) -> None:
            empty = len(json.dumps(result(request, text(""))).encode())
            await reply.json(result(request, text("x" * (size - empty))))

        return fault

    async def work() -> None:
        limits = UpstreamLimits(response_bytes=50_000)
        async with rig(server("modern", sized(50_000)), era_hint="modern", limits=limits) as r:
            await r.echo()
        async with rig(server("modern", sized(50_001)), era_hint="modern", limits=limits) as r:
            with pytest.raises(UpstreamTooLarge):
                await r.echo()

    run(work)


@pytest.mark.parametrize("era", ERAS)
def test_an_event_without_end_is_cut(era: str):
    async def endless(request: Request, reply: Reply) -> None:
        await reply.stream()
        while not request.gone.is_set() and not reply.writer.is_closing():
            await reply.chunk(b"data: " + b"x" * 65_536)

    failing(era, endless, UpstreamTooLarge)


# UPF-08: floods


@pytest.mark.parametrize("era", ERAS)
def test_a_flood_of_notifications_is_limited_and_counted_and_the_result_arrives(era: str):
    async def flood(request: Request, reply: Reply) -> None:
        token = request.params["_meta"]["progressToken"]
        await reply.stream()
        for start in range(0, 10_000, 500):
            block = b"".join(
                b"data: "
                + json.dumps(
                    {
                        "jsonrpc": "2.0",
                        "method": "notifications/progress",
                        "params": {"progressToken": token, "progress": number},
                    }
                ).encode()
                + b"\n\n"
                for number in range(start, start + 500)
            )
            await reply.chunk(block)
        await reply.event(result(request, text("done")))
        await reply.end()

    async def work() -> None:
        async with rig(server(era, flood), clock=ManualClock()) as r:
            caller = Caller()
            final = await r.echo(caller, wants_progress=True, **era_of(era))
            assert final["content"][0]["text"] == "done"
            assert len(caller.told) == 200
            assert r.upstream.status()["notifications_dropped"] == 9_800

    run(work)


# UPF-09: odd streams


@pytest.mark.parametrize("era", ERAS)
def test_odd_but_legal_event_streams_are_understood_and_the_first_final_wins(era: str):
    async def odd(request: Request, reply: Reply) -> None:
        final = json.dumps(result(request, text("first"))).encode()
        second = json.dumps(result(request, text("second"))).encode()
        await reply.stream()
        await reply.chunk(b"\xef\xbb\xbf: hello\r\rretry: 999999999\rid: a\0b\revent: message\r\r")
        await reply.chunk(b"data: " + final[:10])
        await reply.chunk(final[10:] + b"\r\rdata: " + second + b"\r\r")
        await reply.end()

    async def work() -> None:
        async with rig(server(era, odd)) as r:
            assert (await r.echo(**era_of(era)))["content"][0]["text"] == "first"

    run(work)


def test_a_stream_that_goes_on_for_ever_after_the_result_costs_only_its_connection():
    async def goes_on(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.event(result(request, text("done")))
        while not request.gone.is_set():
            await reply.chunk(b": more\n\n")
            await asyncio.sleep(0.01)

    async def work() -> None:
        async with rig(server("modern", goes_on), era_hint="modern") as r:
            assert (await r.echo())["content"][0]["text"] == "done"
            async with asyncio.timeout(20):
                await r.fake.of("tools/call")[0].gone.wait()

    run(work)


# UPF-10: statuses


def status(code: int, **headers: str) -> Fault:
    async def fault(request: Request, reply: Reply) -> None:
        await reply.whole(code, b"<h1>SEKRET-ENV-1 at 127.0.0.1</h1>", "text/html", **headers)

    return fault


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (301, UpstreamInvalid),
        (302, UpstreamInvalid),
        (401, UpstreamRefused),
        (403, UpstreamRefused),
        (410, UpstreamError),
        (429, UpstreamBusy),
        (500, UpstreamError),
        (502, UpstreamError),
        (503, UpstreamBusy),
    ],
)
def test_http_statuses_become_errors_that_say_what_is_wrong(era: str, code: int, expected: type[UpstreamError]):
    failure = failing(era, status(code, location="http://127.0.0.1/x", retry_after="1000000000"), expected)
    assert failure.context["http_status"] == code
    if expected is UpstreamBusy:
        assert failure.context["retry_after_s"] == 60.0


def test_a_redirect_is_not_followed():
    async def work() -> None:
        async with rig(server("modern", status(302, location="/elsewhere")), era_hint="modern") as r:
            with pytest.raises(UpstreamInvalid):
                await r.echo()
            assert {request.target for request in r.fake.requests} == {"/mcp"}

    run(work)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 1.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "60"}, 60.0),
        ({"retry-after": "61"}, 60.0),
        ({"retry-after": "9" * 400}, 60.0),
        ({"retry-after": "-5"}, 1.0),
        ({"retry-after": "soon"}, 1.0),
        ({"retry-after": "Fri, 20 Nov 2026 00:00:30 GMT", "date": "Fri, 20 Nov 2026 00:00:00 GMT"}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2099 00:00:30 GMT", "date": "Fri, 20 Nov 2026 00:00:00 GMT"}, 60.0),
        ({"retry-after": "Fri, 20 Nov 2020 00:00:30 GMT", "date": "Fri, 20 Nov 2026 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 20 Nov 2026 00:00:30 GMT"}, 1.0),
    ],
)
def test_retry_after_is_honoured_up_to_a_minute_by_the_answers_own_clock(headers: dict[str, str], seconds: float):
    assert retry_after_s(headers) == seconds


# UPF-12: the kept connection is closed at the instant of reuse


@pytest.mark.parametrize(("name", "runs"), [("plain", False), ("look", True)])
def test_on_a_connection_closed_at_the_instant_of_reuse_only_what_is_safe_is_sent_again(name: str, *, runs: bool):
    seen: list[str] = []

    async def close_first(request: Request, reply: Reply) -> None:
        seen.append(request.params["name"])
        if len(seen) == 1:
            reply.close()
        else:
            await reply.json(result(request, text("ok")))

    async def work() -> None:
        tools = [tool("plain"), tool("look", annotations={"readOnlyHint": True})]
        async with rig(server("modern", close_first, tools=tools)) as r:
            await r.upstream.observe()
            if runs:
                assert (await r.echo(name=name))["content"][0]["text"] == "ok"
                assert seen == [name, name]
            else:
                with pytest.raises(UpstreamIncomplete):
                    await r.echo(name=name)
                assert seen == [name]

    run(work)
