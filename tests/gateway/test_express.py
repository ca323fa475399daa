"""Calls in the same words as one before: each goes as it would have gone without that, takes and leaves the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.gateway.express_rig import HASTY_S, NARROW, Front, in_front
from tests.gateway.faults.odd_answers import (
    QUESTION,
    also,
    and_the_end,
    event,
    in_events,
    its_own,
    reply,
    status,
)
from tests.gateway.faults.shop import Order
from tests.gateway.wire_rig import Log
from toolyard.gateway import express
from toolyard.gateway.call import Underway

ELICITS = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
LOGS = {"io.modelcontextprotocol/logLevel": "debug"}
MESSAGE = b'{"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": "d"}}'


def test_the_third_call_in_the_same_words_goes_by_a_plan_and_gets_its_own_answer() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire()
        for number in range(5):
            answer = await front.answer(wire, f"t{number}", message={"id": f"id {number}"})
            assert (answer.said, answer.messages[0]["id"]) == (f"t{number}", f"id {number}")
            assert front.trips == max(0, number - 1)
        headers, messages = zip(*front.shop.came, strict=True)
        assert all(one == headers[0] for one in headers)
        assert [one["params"].pop("arguments") for one in messages] == [{"token": f"t{n}"} for n in range(5)]
        assert all(one == messages[0] for one in messages)
        assert (front.totals(), any(front.left().values())) == ({"ok": 5}, False)

    in_front(scene)


OTHER_WORDS: dict[str, dict[str, Any]] = {
    "another member of the message": {"message": {"extra": 1}},
    "another parameter": {"params": {"extra": 1}},
    "no arguments": {"params": {"arguments": None, "token": "t"}},
    "another member of _meta": {"meta": {"com.example/a": 1}},
    "a member of _meta less": {"meta": {"io.modelcontextprotocol/clientInfo": None}},
    "a progress token": {"meta": {"progressToken": 1}},
    "a number that is written otherwise": {"meta": {"com.example/a": 1.0}},
    "answers": {"params": {"inputResponses": {}}},
    "another tool in the body": {"params": {"name": "look"}},
    "another method in the body": {"message": {"method": "tools/list"}},
    "no version": {"message": {"jsonrpc": None}},
    "another version": {"message": {"jsonrpc": 2.0}},
    "no id": {"message": {"id": None}},
    "an id that is true": {"message": {"id": True}},
    "an id that is a fraction": {"message": {"id": 1.0}},
    "an id that is too large": {"message": {"id": 2**53}},
    "a result beside the method": {"message": {"result": {}}},
    "arguments that are a list": {"params": {"arguments": ["token"]}},
    "a list": {"body": b"[]"},
    "text": {"body": b'"jsonrpc id method params"'},
    "nothing": {"body": b"null"},
    "parameters that are text": {"message": {"params": "arguments name _meta"}},
    "a member twice": {"body": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","id":1,"params":{}}'},
    "no JSON": {"body": b"{"},
}


@pytest.mark.parametrize("name", OTHER_WORDS)
def test_a_call_in_other_words_goes_by_no_plan(name: str) -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire(planned=True)
        trips, before = front.trips, len(front.shop.came)
        found = await front.answer(wire, **OTHER_WORDS[name]) if name != "no id" else None
        if found is None:
            await wire.send(front.request(**OTHER_WORDS[name]))
            assert b" 202 " in await wire.some(65536)
            wire.received = b""
        fresh = await front.wire()
        front.without_shortcuts()
        if found is not None:
            assert found == await front.answer(fresh, **OTHER_WORDS[name])
            half = (len(front.shop.came) - before) // 2
            assert front.shop.came[before : before + half] == front.shop.came[before + half :]
        assert front.trips == trips
        assert await front.said(wire) == "t"

    in_front(scene)


def test_blanks_escapes_and_the_order_of_members_are_not_words() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire(planned=True)
        message = json.loads(front.request('é\n"').partition(b"\r\n\r\n")[2])
        turned = dict(reversed(message.items())) | {"params": dict(reversed(message["params"].items()))}
        for body in (json.dumps(turned, indent=3).encode(), json.dumps(turned, ensure_ascii=False).encode()):
            trips = front.trips
            assert await front.said(wire, body=body) == 'é\n"'
            assert front.trips == trips + 1
        assert front.shop.came[-1] == front.shop.came[-2]

    in_front(scene)


def swapped(front: Front, **changes: Any) -> None:
    now = front.gateway.holder.current.snapshot
    front.gateway.offer(replace(now, revision=now.revision + 1, digest=f"{now.revision}", **changes))


def keys_anew(front: Front) -> None:
    """The first key proves right anew, as another object."""
    keys = front.gateway.holder.current.snapshot.keys
    swapped(front, keys={key_id: replace(record, name="other") for key_id, record in keys.items()})


def tools_anew(front: Front) -> None:
    upstream: Any = front.gateway.pool.entry("shop").upstream
    upstream._driver.tools.learn([{"name": "sell", "inputSchema": {"type": "object"}}])


CHANGES: dict[str, Callable[[Front], None]] = {
    "the catalog": swapped,
    "the key": keys_anew,
    "the upstream": lambda front: front.gateway.pool.restart("shop"),
    "what is known of its tools": tools_anew,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_plan_ends_with_what_it_was_made_from_and_another_is_made(name: str) -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire(planned=True)
        trips = front.trips
        CHANGES[name](front)
        said = []
        while front.trips == trips:
            said.append(await front.said(wire))
        assert len(said) > 1
        assert set(said) == {"t"}

    in_front(scene)


def test_plans_of_several_keys_and_tools_on_one_connection_are_kept_apart() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire()
        for _ in range(4):
            for tool in ("sell", "look"):
                for key in (0, 1):
                    assert await front.said(wire, tool, tool, key=key) == tool
                    assert front.shop.came[-1][1]["params"]["name"] == tool
        assert front.trips == 8
        assert (await front.answer(wire, "t", "look", headers={"mcp-name": "sell"})).status == 400

    in_front(scene)


def test_much_that_a_caller_says_of_itself_is_never_said_of_another_call() -> None:
    """What is too long to be kept is not mixed up with what was kept before."""

    async def scene(front: Front) -> None:
        long: Any = {"meta": {"com.example/long": "x" * 5000, **ELICITS}}
        wire = await front.wire()
        assert await front.said(wire, **long) == "t"
        assert await front.said(wire) == "t"
        for tool in ("look", "look", "look"):
            assert await front.said(wire, "t", tool, **long) == "t"
            assert "com.example/long" in front.shop.came[-1][1]["params"]["_meta"]
            assert await front.said(wire, "t", tool) == "t"
            assert "com.example/long" not in front.shop.came[-1][1]["params"]["_meta"]

    in_front(scene)


def test_arguments_that_travel_in_headers_are_compared_every_time() -> None:
    async def scene(front: Front) -> None:
        upstream: Any = front.gateway.pool.entry("shop").upstream
        upstream._driver.tools.learn([])  # as before the first look, when what is offered is known from the last run
        region = {"type": "string", "x-mcp-header": "Region"}
        seen: Any = front.gateway.holder.observation("shop")
        tool = {"name": "sell", "inputSchema": {"type": "object", "properties": {"region": region}}}
        front.gateway.holder.observe(replace(seen, tools=(tool,)))
        wire = await front.wire()
        for name, status_code in (("a", 200), ("a", 200), ("b", 400), ("a", 200)):
            arguments = {"token": "t", "region": name}
            answer = await front.answer(wire, params={"arguments": arguments}, headers={"mcp-param-region": "a"})
            assert answer.status == status_code

    in_front(scene)


def with_member(member: bytes) -> Callable[[Order], bytes]:
    """A plain result that has this member too."""
    return reply(b'"result": {"content": [{"type": "text", "text": "y"}], %s}' % member)


NOT_PLAIN: dict[str, tuple[Callable[[Order], bytes], dict[str, Any]]] = {
    "an error": (reply(b'"error": {"code": -32000, "message": "no"}'), {}),
    "an error status": (status(b"500 No"), {}),
    "busy": (status(b"429 No", b"retry-after: 3"), {}),
    "a stream": (and_the_end(in_events(event(MESSAGE), its_own)), {}),
    "a stream with messages": (and_the_end(in_events(event(MESSAGE), its_own)), {"meta": LOGS}),
    "a question": (reply(b'"result": {"resultType": "input_required", "inputRequests": %s}' % QUESTION), {}),
    "a question that may be asked": (
        reply(b'"result": {"resultType": "input_required", "inputRequests": %s}' % QUESTION),
        {"meta": ELICITS},
    ),
    "another id": (lambda order: order.plain()[1].replace(b'"id": ', b'"id": 1'), {}),
    "another type": (lambda order: order.plain()[1].replace(b"application/json", b"text/html"), {}),
    "no JSON": (lambda order: order.plain()[1].replace(b"{", b"[", 1), {}),
    "the last answer": (also(b"connection: close"), {}),
    "a tool's error": (reply(b'"result": {"content": [{"type": "text", "text": "no"}], "isError": true}'), {}),
    "a public cache scope": (with_member(b'"cacheScope": "public"'), {}),
    "metadata": (with_member(b'"_meta": {"com.example/a": 1}'), {}),
    "metadata that is none": (with_member(b'"_meta": [1]'), {}),
    "metadata that is empty": (with_member(b'"_meta": {}'), {}),
    "no content": (reply(b'"result": {"a": 1.50}'), {}),
    "much": (lambda order: also()(order)[:-2] + b" " * 300_000 + b"}}", {}),
}


@pytest.mark.parametrize("accept", ["application/json, text/event-stream", "application/json"])
def test_whatever_the_upstream_answers_the_caller_gets_what_it_would_have_got(accept: str) -> None:
    """Each answer thrice, so that the last ones come with a head that was seen before."""

    async def scene(front: Front) -> None:
        fast: list[Any] = []
        slow: list[Any] = []
        trips = 0
        for answers in (fast, slow):
            for name, (odd, words) in NOT_PLAIN.items():
                wire = await front.wire()
                changes = {**words, "headers": {"accept": accept}}
                for _ in range(3):
                    if answers is fast:
                        await front.plan(wire, **changes)
                        trips += 2
                    front.shop.plans["t"] = lambda order, odd=odd: order.send(odd(order))
                    answer = await front.answer(wire, **changes)
                    for message in answer.messages:
                        message.get("result", {}).pop("requestState", None)
                    answers.append((name, answer))
                await front.rests()
            if answers is fast:
                assert front.trips == trips
                counted = front.totals()
                front.without_shortcuts()
        assert fast == slow
        others = {outcome: count for outcome, count in front.totals().items() if outcome != "ok"}
        assert others == {outcome: 2 * count for outcome, count in counted.items() if outcome != "ok"}

    in_front(scene)


def test_an_answer_that_cannot_be_written_is_an_error_and_costs_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(front: Front) -> None:
        log = Log()
        monkeypatch.setattr(express, "_log", log)
        wire, other = await front.wire(planned=True), await front.wire(planned=True)
        modern: Any = front.gateway.modern
        write, connections = modern.finish_again, set(front.shop.tills)

        def fail(*_: Any) -> None:
            raise ValueError

        modern.finish_again = fail
        answer = await front.answer(wire)
        modern.finish_again = write
        assert (answer.status, len(log.lines)) == (500, 1)
        assert [await front.said(one) for one in (wire, other)] == ["t", "t"]
        assert connections == front.shop.tills
        await front.rests()

    in_front(scene)


def test_a_call_beyond_the_places_waits_and_is_refused_like_any_other() -> None:
    async def scene(front: Front) -> None:
        wires = [await front.wire(planned=True) for _ in range(5)]
        await front.warm(*wires[:3])
        for number, wire in enumerate(wires[:3]):
            await front.under_way(wire, f"h{number}")
        trips = front.trips
        assert [await front.said(wire) for wire in wires[3:]] == ["!overloaded"] * 2
        assert front.trips == trips
        for number, wire in enumerate(wires[:3]):
            front.release(f"h{number}")
            assert (await wire.answer()).said == f"h{number}"
        assert [await front.said(wire) for wire in wires] == ["t"] * 5
        await front.rests()
        assert front.totals()["refused"] == 2

    in_front(scene, bounds=NARROW)


def test_a_call_whose_client_goes_is_ended_at_the_upstream_and_counted_once() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire(planned=True)
        await front.under_way(wire, "h")
        wire.close()
        await front.rig.until(lambda: front.shop.held["h"].gone)
        await front.rests()
        assert front.totals() == {"ok": 3, "cancelled": 1}
        front.release("h")
        assert await front.said(await front.wire()) == "t"

    in_front(scene)


def test_a_call_whose_client_goes_while_its_stream_runs_is_ended_too() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire()
        await front.plan(wire, meta=LOGS)
        front.shop.hold("h", lambda order: order.send(in_events(event(MESSAGE))(order)))
        await wire.send(front.request("h", meta=LOGS))
        assert b"text/event-stream" in await wire.some(65536)
        assert front.trips == 2
        wire.close()
        await front.rig.until(lambda: front.shop.held["h"].gone)
        await front.rests()
        assert front.totals() == {"ok": 3, "cancelled": 1}

    in_front(scene)


def test_a_call_that_takes_too_long_ends_in_time() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire()
        loop_time = front.gateway.modern._loop_time
        await front.plan(wire, "hasty")
        front.shop.hold("h")
        began = loop_time.now()
        assert await front.said(wire, "h", "hasty") == "!upstream_timeout"
        assert (front.trips, loop_time.now() - began >= HASTY_S * 0.9) == (2, True)
        await front.rig.until(lambda: front.shop.held["h"].gone)
        await front.rests()
        assert front.totals() == {"ok": 3, "timed_out": 1}

    in_front(scene)


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_call_whose_upstream_hangs_up_is_sent_again_only_if_that_does_no_harm(how: Any) -> None:
    async def scene(front: Front) -> None:
        for tool, said, count in (("sell", "!upstream_incomplete", 1), ("look", "h look", 2)):
            wire = await front.wire()
            await front.plan(wire, tool)
            token = f"h {tool}"
            front.shop.plans[token] = lambda order: order.cut(how)
            assert await front.said(wire, token, tool) == said
            assert front.shop.sold[token] == count
            await front.rests()
        assert front.trips == 4

    in_front(scene)


def test_a_call_under_way_is_answered_when_the_gateway_stops() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire(planned=True)
        await front.under_way(wire, "h")
        await front.rig.server.stop_now()
        assert (await wire.answer()).said == "!shutting_down"
        assert front.left()["places"] == 0

    in_front(scene)


def test_a_call_under_way_ends_before_the_gateway_drains_or_its_upstream_is_closed() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire(planned=True)
        await front.under_way(wire, "h")
        front.gateway.pool.stop("shop")
        assert await front.said(await front.wire()) == "!upstream_stopped"
        front.release("h")
        assert (await wire.answer()).said == "h"
        await front.gateway.pool.closed("shop")
        assert await front.said(wire) == "!upstream_stopped"

    in_front(scene)


def test_who_waits_for_the_end_of_a_call_by_a_plan_ends_it_by_giving_up() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire(planned=True)
        await front.under_way(wire, "h")
        (connection,) = [one for one in front.rig.server._service.connections if one._underway is not None]
        waiting = asyncio.ensure_future(cast(Underway, connection._underway).ended())
        await asyncio.sleep(0)
        waiting.cancel()
        assert (await wire.answer()).said == "!shutting_down"
        await front.rests()
        assert front.totals() == {"ok": 3, "cancelled": 1}

    in_front(scene)


def test_every_call_is_counted_at_its_upstream() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire()
        for _ in range(6):
            assert await front.said(wire) == "t"
        assert (front.gateway.pool.status_of("shop") or {})["calls"] == 6
        assert front.trips == 4

    in_front(scene)


def test_a_begin_that_fails_gives_back_what_the_call_had_taken() -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire()
        dispatch: Any = front.gateway.modern._rides.dispatch
        begin = dispatch.begin

        def fail(_call: Any) -> None:
            raise ValueError

        dispatch.begin = fail
        assert (await front.answer(wire)).status == 500
        dispatch.begin = begin
        assert await front.said(wire) == "t"
        await front.rests()
        assert front.totals() == {"error": 1, "ok": 1}

    in_front(scene)
