"""A call to a program on standard input and output is cut at every byte: by its client, by the program's end, by its
closing its output; and the program's answers are cut into pieces anywhere. Many calls share the program meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.gateway.faults.cutting import BOUNDS, HOW, a_moment, groups
from tests.gateway.faults.raw_client import Wire, http_request, judged
from tests.gateway.faults.shop import How, Json
from tests.gateway.rig import Rig, modern_request, running, snapshot
from tests.gateway.upstream.leftovers import open_descriptors
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec
from toolyard.kit.clock import ManualClock

PROGRAM = Path(__file__).with_name("counting_program.py")
OTHER = ServerSpec("other", tools=("other/*",), access="open", names="plain")
SHOP = ServerSpec("default", tools=("shop/*",), access="open", names="plain")
ANSWER = (
    b'{"jsonrpc": "2.0", "id":        1, "result": {"resultType": "complete", "content": '
    b'[{"type": "text", "text": "t100001"}]}}\n'
)
LONG_S = 400.0
LIMIT_S = 20.0


class Programs:
    """A gateway before two such programs. `sold` is what the first has done."""

    def __init__(self, rig: Rig, clock: ManualClock, ledger: Path) -> None:
        self.rig = rig
        self._clock = clock
        self._ledger = ledger
        self._numbers = itertools.count(100_001)
        self._base: dict[str, int] = {}

    @property
    def sold(self) -> Counter[str]:
        return Counter(self._ledger.read_text().split())

    def token(self) -> str:
        return f"t{next(self._numbers):06d}"

    def request(self, token: str, server: str = "default", **arguments: Any) -> bytes:
        params: Json = {"name": "sell", "arguments": {"token": token, **arguments}}
        headers, body = modern_request("tools/call", params, request_id=int(token[1:]))
        return http_request(headers, body).replace(b"/mcp ", b"/mcp/%s " % server.encode(), 1)

    async def wire(self) -> Wire:
        return await Wire.opened(self.rig.port)

    async def call(self, server: str = "default", **arguments: Any) -> None:
        """One call by itself, which is right."""
        wire, token = await self.wire(), self.token()
        await wire.send(self.request(token, server, **arguments))
        assert (await wire.answer()).said == token
        wire.close()

    async def has(self, *tokens: str) -> None:
        """Until the program has these calls."""
        await self.rig.until(lambda: set(tokens) <= set(self.sold))

    def pass_time(self) -> None:
        """So much that a program that ended may be started again."""
        self._clock.advance(LONG_S)

    def _state(self) -> dict[str, int]:
        status = self.rig.gateway.pool.status_of("shop") or {}
        return {
            "client connections": self.rig.server.connection_count,
            "handlers": self.rig.server.running_count,
            "calls in flight": self.rig.gateway.pool.entry("shop").in_flight,
            "programs": len(status["sessions"]),
            "tasks": len(asyncio.all_tasks()),
            "descriptors": open_descriptors(),
        }

    async def settled(self, *, measure: bool = False, but: str = "") -> None:
        """Until there is no more than there was at the beginning, `but` of one thing."""
        give_up_at = asyncio.get_running_loop().time() + LIMIT_S
        wanted = self._base or {"client connections": 0, "handlers": 0, "calls in flight": 0, "programs": 1}
        while any((state := self._state())[what] != count for what, count in wanted.items() if what != but):
            assert asyncio.get_running_loop().time() < give_up_at, {
                w: (state[w], n) for w, n in wanted.items() if state[w] != n
            }
            await asyncio.sleep(0.001)
        if measure:
            self._base = state


def played(scene: Callable[[Programs], Awaitable[None]], folder: Path) -> None:
    async def run() -> None:
        upstreams = [
            UpstreamSpec(name, "mcp-stdio", command=(sys.executable, "-E", "-S", str(PROGRAM), str(folder / name)))
            for name in ("shop", "other")
        ]
        clock = ManualClock()
        async with running(snapshot(*upstreams, servers=(SHOP, OTHER)), bounds=BOUNDS, clock=clock) as rig:
            programs = Programs(rig, clock, folder / "shop")
            for server in ("default", "other"):
                await programs.call(server)
            await programs.settled(measure=True)
            await scene(programs)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def cut_by_clients(programs: Programs, how: How, step: int) -> None:
    """At every position of the request, and while the program has it; what it answers late is nobody's."""
    length = len(programs.request(programs.token(), hold=True))

    async def victim(position: int) -> None:
        wire, token = await programs.wire(), programs.token()
        await wire.send(programs.request(token, hold=True)[:position])
        if position == length:
            await programs.has(token)
        await a_moment()
        assert judged(await wire.cut(how), programs, token) == ["cut"]
        assert programs.sold[token] == (position == length)
        if position == length:
            await programs.rig.until(lambda: programs.sold["cancelled"] > cancelled)
            await asyncio.gather(programs.call(release=token), *(programs.call() for _ in range(3)))

    for group in groups(range(1, length, step)):
        cancelled = programs.sold["cancelled"]
        await asyncio.gather(*(victim(position) for position in (*group, length)))
        await programs.settled()


async def answers_in_pieces(programs: Programs, step: int) -> None:
    """Every answer in two pieces, at any byte, with several calls in flight."""
    for group in groups(range(0, len(ANSWER), step)):
        await asyncio.gather(*(programs.call(split=position) for position in group), programs.call())
    await programs.settled()


async def cut_by_the_program(programs: Programs, how: str, step: int) -> None:
    """The program ends after so many bytes of an answer: all its calls end with an error that says that they may have
    run, the other program's are right, and the next call gets a new program."""
    for position in range(0, len(ANSWER) + 1, step):
        wires = [await programs.wire() for _ in range(3)]
        tokens = [programs.token() for _ in wires]
        for wire, token in zip(wires[:2], tokens, strict=False):
            await wire.send(programs.request(token, hold=True))
        await programs.has(*tokens[:2])
        await wires[2].send(programs.request(tokens[2], cut=position, how=how))
        await programs.call("other")
        answers = [await wire.answer() for wire in wires]
        assert [answer.said for answer in answers[:2]] == ["!upstream_exited"] * 2
        assert answers[2].said in ([tokens[2]] if position == len(ANSWER) else ["!upstream_exited"])
        assert all(answer.may_have_run for answer in answers if answer.said.startswith("!"))
        assert [programs.sold[token] for token in tokens] == [1, 1, 1]
        for wire in wires:
            wire.close()
        programs.pass_time()
        await programs.call()
        programs.pass_time()
        await programs.settled(but="tasks")
    await programs.settled()  # what looks again at what the program offers has waited its time, too


def test_a_program_that_answers_in_pieces_answers(tmp_path: Path) -> None:
    async def scene(programs: Programs) -> None:
        await answers_in_pieces(programs, 7)
        for how in HOW:
            await cut_by_clients(programs, how, 49)

    played(scene, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_a_client_of_a_program_that_goes_at_any_byte_costs_only_its_own_call(how: How, tmp_path: Path) -> None:
    async def scene(programs: Programs) -> None:
        await answers_in_pieces(programs, 1)
        await cut_by_clients(programs, how, 1)

    played(scene, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["exits", "closes its output"])
def test_a_program_that_ends_within_an_answer_costs_only_its_own_calls(how: str, tmp_path: Path) -> None:
    async def scene(programs: Programs) -> None:
        await cut_by_the_program(programs, how, 4)

    played(scene, tmp_path)
