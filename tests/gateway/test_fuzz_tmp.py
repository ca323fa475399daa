"""Whatever clients send and whatever changes meanwhile: a gateway with shortcuts (plans, calls without a task) answers
and does what one does that carries every call by coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.express_rig import Front, fronted
from tests.gateway.faults.odd_answers import (
    INVALID_ANSWERS,
    INVALID_RESULT_TYPES,
    QUESTION,
    RIGHT_ANSWERS,
    Odd,
    reply,
)
from tests.gateway.faults.raw_client import Wire
from tests.gateway.faults.shop import Order
from toolyard.contract.snapshot import RateLimit, ServerSpec, ToolRule

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
ELICITS = {CAPABILITIES: {"elicitation": {"form": {}}}}
WORDS: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"message": {"id": "text"}},
    {"message": {"id": 1.0}},
    {"message": {"id": True}},
    {"message": {"extra": [1]}},
    {"message": {"jsonrpc": "1.0"}},
    {"message": {"method": "tools/list"}},
    {"message": {"params": []}},
    {"meta": ELICITS},
    {"meta": {"progressToken": "p"}},
    {"meta": {"progressToken": True}},
    {"meta": {"io.modelcontextprotocol/logLevel": "debug"}},
    {"meta": {"traceparent": "00-1-1-01"}},
    {"meta": {"com.example/n": 1}},
    {"meta": {"com.example/n": 1.0}},
    {"meta": {"com.example/n": True}},
    {"meta": {"com.example/long": "x" * 5000}},
    {"meta": {"toolyard/handle": "h"}},
    {"meta": {CAPABILITIES: None}},
    {"meta": {"io.modelcontextprotocol/protocolVersion": "2025-11-25"}},
    {"params": {"extra": 1}},
    {"params": {"name": "look"}},
    {"params": {"name": "nothing"}},
    {"params": {"arguments": {"token": "é\u2028", "n": 1e300, "m": 2**63, "o": -0.0}}},
    {"params": {"arguments": {"token": "t", "n": [1, 1.0, True, None, {}]}}},
    {"params": {"arguments": []}},
    {"params": {"inputResponses": {}}},
    {"params": {"requestState": "made up"}},
    {"headers": {"mcp-name": "look"}},
    {"headers": {"mcp-name": None}},
    {"headers": {"mcp-method": "tools/list"}},
    {"headers": {"mcp-protocol-version": "2025-11-25"}},
    {"headers": {"accept": "application/json"}},
    {"headers": {"accept": "text/html"}},
    {"headers": {"authorization": "Bearer wrong"}},
    {"headers": {"traceparent": "00-2-2-01"}},
    {"headers": {"toolyard-handle": "other"}},
    {"headers": {"X-Other": "1"}},
    {"body": b'{"jsonrpc":"2.0","id":1,"id":1,"method":"tools/call","params":{}}'},
    {"body": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"n":1e999}}}'},
    {"body": b"[]"},
    {"body": b"\xff"},
]
QUESTIONS: dict[str, Odd] = {
    "a question": reply(b'"result": {"resultType": "input_required", "inputRequests": %s}' % QUESTION),
    "a state": reply(b'"result": {"resultType": "input_required", "requestState": "s"}'),
    "an error": reply(b'"error": {"code": -32602, "message": "no", "data": {"a": 1}}'),
    "a tool's error": reply(b'"result": {"content": [], "isError": true}'),
    "metadata that is none": reply(b'"result": {"content": [], "_meta": "text"}'),
    "a public scope": reply(b'"result": {"content": [], "cacheScope": "public", "ttlMs": 5, "_meta": {"a": null}}'),
}
ODD = {**RIGHT_ANSWERS, **INVALID_ANSWERS, **INVALID_RESULT_TYPES, **QUESTIONS}
CALLS = st.fixed_dictionaries(
    {
        "tool": st.sampled_from(["sell", "sell", "look", "hasty"]),
        "key": st.sampled_from([0, 0, 1]),
        "words": st.sampled_from(WORDS),
        "odd": st.one_of(st.none(), st.none(), st.sampled_from(sorted(ODD))),
    }
)


@dataclass
class World:
    """What may change, alike in both gateways."""

    server: ServerSpec = ServerSpec("default", names="plain")  # noqa: RUF009  (frozen)
    rules: tuple[tuple[str, ToolRule], ...] = ()
    disabled: frozenset[int] = frozenset()

    def put(self, front: Front) -> None:
        now = front.gateway.holder.current.snapshot
        ids = [key.split("_")[2] for key in front.keys]
        keys = {i: replace(now.keys[i], disabled=n in self.disabled) for n, i in enumerate(ids)}
        shop = replace(now.upstreams["shop"], tools=dict(self.rules))
        changes = {"servers": {"default": self.server}, "keys": keys, "upstreams": {"shop": shop}}
        front.gateway.offer(replace(now, revision=now.revision + 1, digest=str(now.revision), **changes))


LIMITED = ServerSpec("default", names="plain", per_key=RateLimit(1e-6, 3.0), per_server=RateLimit(1e-6, 4.0))
CHANGES: dict[str, Callable[[World], Any]] = {
    "nothing": lambda world: None,
    "back": lambda world: world.__init__(),  # type: ignore[misc]  # as new
    "few calls": lambda world: setattr(world, "server", LIMITED),
    "server off": lambda world: setattr(world, "server", replace(world.server, enabled=False)),
    "other names": lambda world: setattr(world, "server", replace(world.server, names="prefixed")),
    "fewer tools": lambda world: setattr(world, "server", replace(world.server, tools=("shop/look",))),
    "tool off": lambda world: setattr(world, "rules", (("sell", ToolRule(enabled=False)),)),
    "key off": lambda world: setattr(world, "disabled", frozenset({0})),
}
STEPS = st.one_of(
    st.tuples(st.integers(0, 1), st.lists(CALLS, min_size=1, max_size=3), st.booleans()),
    st.tuples(st.integers(0, 1), st.lists(CALLS, min_size=1, max_size=3), st.booleans()),
    st.sampled_from([*CHANGES, "restart"]),
)


class Pair:
    """The two gateways; the first has shortcuts."""

    def __init__(self, runner: asyncio.Runner, *fronts: Front) -> None:
        self.runner = runner
        self.fronts = fronts

    async def play(self, steps: list[Any]) -> None:
        found = await asyncio.gather(*(played(front, steps) for front in self.fronts))
        for fast, slow in zip(*found, strict=True):
            assert fast == slow


async def played(front: Front, steps: list[Any]) -> list[Any]:
    """What comes of the steps: answers, what the shop was sent, how calls were counted."""
    world = World()
    world.put(front)
    front.gateway.rate_limit._buckets.clear()
    front.gateway._authenticate._wrong.clear()
    front.gateway.record.totals.clear()
    front.shop.came.clear()
    wires = [await front.wire() for _ in range(2)]
    said: list[Any] = []
    for step in steps:
        if step == "restart":
            front.gateway.pool.restart("shop")
        elif isinstance(step, str):
            CHANGES[step](world)
            world.put(front)
        else:
            said += await called(front, wires, *step)
    await front.rests()
    for wire in wires:
        wire.close()
    return [*said, *front.shop.came, front.totals()]


async def called(front: Front, wires: list[Wire], which: int, calls: list[Any], pieces: bool) -> list[Any]:
    """Several calls on one connection, one behind the other without waiting; `pieces`: each in two pieces."""
    wire, requests = wires[which], []
    for number, call in enumerate(calls):
        odd, token = call["odd"], f"t{number}"
        if odd is not None:
            front.shop.plans[token] = lambda order, odd=odd: say(odd, order)
        requests.append(front.request(token, call["tool"], key=call["key"], **call["words"]))
    said: list[Any] = []
    for request in requests if pieces else [b"".join(requests)]:
        for piece in (request[:90], request[90:]) if pieces else (request,):
            await wire.send(piece)
            await asyncio.sleep(0)
    for _ in calls:
        answer = await wire.answer()
        for message in answer.messages:
            message.get("result", {}).pop("requestState", None)
            message.get("error", {}).get("data", {}).pop("retry_after_s", None)
        said.append(answer)
    front.shop.plans.clear()
    return said


def say(odd: str, order: Order) -> None:
    order.send(ODD[odd](order))


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stack = AsyncExitStack()

        async def begin() -> Pair:
            fast, slow = [await stack.enter_async_context(fronted()) for _ in range(2)]
            slow.without_shortcuts()
            return Pair(runner, fast, slow)

        yield runner.run(begin())
        runner.run(stack.aclose())


@settings(max_examples=3000, derandomize=False)
@given(st.lists(STEPS, min_size=2, max_size=8))
def test_shortcuts_change_nothing(pair: Pair, steps: list[Any]) -> None:
    pair.runner.run(pair.play([(0, [{"tool": "sell", "key": 0, "words": {}, "odd": None}] * 2, False), *steps]))


def test_the_shortcuts_were_taken(pair: Pair) -> None:
    assert pair.fronts[0].trips > 30
    assert pair.fronts[1].trips == 0
