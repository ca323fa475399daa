"""What catalogs and lists cost, in ms: `python -m bench.catalog`. The best of several goes of each.

What blocks the event loop of a gateway for longer than 5 ms is marked; what a thread does is not, but the loop's
longest wait meanwhile is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import msgspec
import uvloop

from bench.machine import choose_cores
from bench.micro import pin
from toolyard.contract.definitions import Json, Observation
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec
from toolyard.gateway.catalog import CatalogHolder
from toolyard.gateway.lists import Lists
from toolyard.policy.authorize import Allow
from toolyard.protocol import jsonrpc
from toolyard.protocol.convert import definition_for, to_client
from toolyard.protocol.revisions import MODERN
from toolyard.protocol.strict_json import decode, encode

GOES = 9
TOO_LONG_MS = 5.0
MANY = 2000
Act = Callable[[], object]
Step = tuple[str, Callable[[], Act]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.catalog", description=__doc__)
    parser.add_argument("--tools", type=int, default=10_000)
    parser.add_argument("--upstreams", type=int, default=100)
    options = parser.parse_args()
    pin(choose_cores().gateway)
    sys.setswitchinterval(0.001)  # as `toolyard.platform.run_loop` has it
    world = World(options.tools // options.upstreams, options.upstreams)
    print(f"{options.tools} tools of {options.upstreams} upstreams\n\n| on the loop | ms |\n|---|---|")
    for name, step in world.steps():
        cost = cost_ms(step)
        print(f"| {name} | {cost:.3f}{' (!)' if cost > TOO_LONG_MS else ''} |", flush=True)
    gc.freeze()  # as a gateway does when it has looked at its upstreams
    print("\n| in a thread | ms | the loop's longest wait, ms |\n|---|---|---|")
    for name, act in world.thread_steps():
        waited, cost = uvloop.run(beside(act))
        print(f"| {name} | {cost:.1f} | {waited:.1f} |", flush=True)


def cost_ms(ready: Callable[[], Act]) -> float:
    """CPU ms of what is made `ready`, the best of some."""
    best = float("inf")
    for _ in range(GOES):
        act = ready()
        began = time.process_time()
        act()
        best = min(best, time.process_time() - began)
    return best * 1e3


async def beside(step: Callable[[], object]) -> tuple[float, float]:
    """How long the loop had to wait at most while a thread was at `step`, and how long that took, in ms."""
    longest = 0.0
    began = time.perf_counter()
    work = asyncio.create_task(asyncio.to_thread(step))
    while not work.done():
        asked = time.perf_counter()
        await asyncio.sleep(0.0005)
        longest = max(longest, time.perf_counter() - asked - 0.0005)
    return longest * 1e3, (time.perf_counter() - began) * 1e3


class World:
    """A catalog in force, and what may happen to it."""

    def __init__(self, each: int, upstreams: int) -> None:
        self.each = each
        specs = {spec.id: spec for spec in (UpstreamSpec(f"up{n:03d}", "mcp-http") for n in range(upstreams))}
        self.snapshot = Snapshot(1, "bench", specs, {"default": ServerSpec("default")}, {})
        self.seen = {upstream_id: observation(upstream_id, each) for upstream_id in specs}
        self.holder = CatalogHolder(self.snapshot, self.seen, {})
        self.holder.observe(observation("up000", each - 1))
        self.numbers = itertools.count(10_000)
        self.snapshots = itertools.cycle([("*", "!up999"), ("*",)])

    def steps(self) -> Iterator[Step]:
        """What the loop does, each with what makes it ready."""
        yield "a catalog from nothing (at the start only)", lambda: partial(CatalogHolder, self.snapshot, self.seen, {})
        yield "one upstream offers something else", lambda: partial(self.holder.observe, self._other(self.each))
        yield "one upstream offers the same again", lambda: partial(self.holder.observe, self._same())
        yield "a snapshot that says the same of servers", lambda: partial(self.holder.offer, self._snapshot())
        yield f"one upstream offers {MANY} others, prepared", self._prepared_observation
        yield "another choice of tools, prepared", self._prepared_snapshot
        for revision in (MODERN, "2025-11-25", "2024-11-05"):
            yield f"first page of a list, {revision}", partial(self._page, revision, again=False)
            yield f"the same page again, {revision}", partial(self._page, revision, again=True)
        yield from _of_definitions()
        yield from _of_bodies()
        yield "all garbage collected, this catalog not frozen", lambda: gc.collect

    def thread_steps(self) -> Iterator[tuple[str, Act]]:
        """What a thread does meanwhile."""
        other = self._other(MANY)
        yield f"{MANY} definitions of an upstream prepared", lambda: self.holder.prepare(observation=other)
        chosen = self._chosen()
        yield "another choice of tools prepared", lambda: self.holder.prepare(snapshot=chosen)

    def _other(self, count: int) -> Observation:
        return observation("up001", count, f"new{next(self.numbers)}")

    def _same(self) -> Observation:
        return replace(self.seen["up002"], observed_at=float(next(self.numbers)))

    def _snapshot(self) -> Snapshot:
        return replace(self.snapshot, revision=self.holder.current.snapshot.revision + 1)

    def _chosen(self) -> Snapshot:
        servers = {"default": ServerSpec("default", tools=next(self.snapshots))}
        return replace(self._snapshot(), servers=servers)

    def _prepared_observation(self) -> Act:
        other = self._other(MANY)
        self.holder.prepare(observation=other)
        return partial(self.holder.observe, other)

    def _prepared_snapshot(self) -> Act:
        chosen = self._chosen()
        self.holder.prepare(snapshot=chosen)
        return partial(self.holder.offer, chosen)

    def _page(self, revision: str, *, again: bool) -> Act:
        """One list and its whole message."""
        lists = Lists(b"k" * 32, definition_for)

        def answer() -> bytes:
            page = lists.page(self.holder.current.servers["default"], Allow(), "tools/list", {}, revision, "key:1")
            return encode(jsonrpc.result(1, to_client(revision, "tools/list", page)))

        if again:
            answer()
        return answer


def _of_definitions() -> Iterator[Step]:
    """What is done with the definitions of one upstream when it is looked at."""
    page = {"tools": list(observation("up", MANY).tools)}
    body = encode(jsonrpc.result(1, page))
    yield f"{MANY} definitions, {len(body) >> 10} KiB, decoded", lambda: lambda: decode(body)
    yield f"{MANY} definitions measured", lambda: lambda: encode(page)
    yield f"{MANY} definitions digested", lambda: observation("up", MANY).digest
    yield f"{MANY} definitions for the journal", lambda: partial(msgspec.json.encode, observation("up", MANY))


def _of_bodies() -> Iterator[Step]:
    """Bodies as large as they may be: many elements, one long text, and text with escapes."""
    row = {"id": 7, "name": "row 7", "price": 1.75, "tags": ["a", "b"], "active": True, "note": None}
    shapes: dict[str, object] = {"18,000 rows": [row] * 18_000, "one text": "some words " * 380_000}
    bodies = {name: encode(value) for name, value in shapes.items()}
    bodies["texts with escapes"] = json.dumps(["\u00e9\u4e00" * 4] * 75_000).encode()
    for name, body in bodies.items():
        yield f"strict decode of {len(body) >> 10} KiB, {name}", partial(partial, decode, body)


def observation(upstream_id: str, count: int, word: str = "tool") -> Observation:
    """What an upstream offers, decoded from bytes as it comes."""
    tools = tuple(msgspec.json.decode(msgspec.json.encode([_tool(f"{word}{number:04d}") for number in range(count)])))
    offered = {"tools": {"listChanged": True}}
    return Observation(
        upstream_id, "modern", MODERN, {"name": upstream_id}, offered, None, tools, (), (), (), observed_at=0.0
    )


def _tool(name: str) -> Json:
    properties = {
        "message": {"type": "string", "description": "What to say"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    }
    schema = {"type": "object", "properties": properties, "required": ["message"]}
    about = "Does a thing with what it is given, as it is told"
    return {"name": name, "description": about, "inputSchema": schema, "annotations": {"readOnlyHint": True}}


if __name__ == "__main__":
    main()
