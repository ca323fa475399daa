"""What a thousand clients, sessions, streams and parked calls weigh in a running gateway; nothing of them stays.

Each kind is measured on a gateway of its own, which has had a few of the kind before. Memory is the growth of the
resident set while they are open, divided by their number: what the allocator rounds up and keeps is in it. They are
opened and ended twice (in a quick run once): what the second time adds is what would grow with time.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.client import Endpoint
from bench.crowd import Crowd
from bench.machine import Cores
from bench.processes import DidNotStart, Program
from bench.servers import LOAD, Gateway, free_ports, tool_named

COUNT = 1000
WARM = 32
TIMEOUT_S = 60.0
SETTLED_S = 30.0
AFTER_WARMING_S = 1.5
CALM_S = 0.75
LOOK_S = 0.25
ASIDE = frozenset({"journal_entries_dropped"})
_LEVEL = re.compile(r'^toolyard_in_use\{what="(\w+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class State:
    """A gateway at one moment: its resident set, its open descriptors, threads, processes, and what it says is open."""

    rss_mib: float
    descriptors: int
    threads: int
    processes: int
    in_use: dict[str, int]

    def counts(self) -> dict[str, int]:
        """Everything that must come back to what it was."""
        own = {"descriptors": self.descriptors, "threads": self.threads, "processes": self.processes}
        return {**own, **{name: count for name, count in self.in_use.items() if name not in ASIDE}}


@dataclass(frozen=True, slots=True)
class Scene:
    """A running gateway, a crowd of clients before it, and the names of the two tools behind it."""

    gateway: Program
    endpoint: Endpoint
    crowd: Crowd
    echo: str
    ask: str

    def state(self) -> State:
        memory = self.gateway.memory()
        return State(
            memory.rss_mib, self.gateway.descriptors(), self.gateway.threads(), memory.processes, _levels(self.endpoint)
        )


End = Callable[[], Awaitable[None]]
Open = Callable[[Scene, int], Awaitable[End]]


@dataclass(frozen=True, slots=True)
class Kind:
    """Something of which there may be many. `shown_as` is what the gateway counts them as; `open` opens so many and
    returns what ends them; `isolation` is the upstream's; `aim_kib` is what each may weigh."""

    name: str
    title: str
    shown_as: str
    open: Open
    isolation: str = "per-principal"
    aim_kib: float = 40


async def _clients(scene: Scene, count: int) -> End:
    """Clients that have connected and asked for nothing yet."""
    return _closing(await scene.crowd.each(scene.crowd.client, range(count)))


async def _clients_after_call(scene: Scene, count: int) -> End:
    """2026-07-28 clients that keep their connections, each after one call."""
    return _closing(
        await scene.crowd.each(lambda number: scene.crowd.client_after_call(number, scene.echo), range(count))
    )


async def _listening(scene: Scene, count: int) -> End:
    """2026-07-28 clients, each with an open `subscriptions/listen` stream."""
    return _closing(await scene.crowd.each(scene.crowd.listen, range(count)))


def _closing(opened: Sequence[asyncio.StreamWriter]) -> End:
    async def end() -> None:
        for writer in opened:
            writer.close()

    return end


async def _sessions(scene: Scene, count: int) -> End:
    """Sessions of 2025-11-25 clients, each after one call."""
    opened = await scene.crowd.each(lambda number: scene.crowd.session(number, scene.echo), range(count))

    async def end() -> None:
        await scene.crowd.each(scene.crowd.end_session, opened)

    return end


async def _streams(scene: Scene, count: int) -> End:
    """The same, each with its GET stream open."""
    opened = await scene.crowd.each(lambda number: scene.crowd.session(number, scene.echo), range(count))
    streams = await scene.crowd.each(scene.crowd.stream, opened)

    async def end() -> None:
        for stream in streams[::2]:  # every other client goes away, the rest are told of their session's end
            stream.close()
        await scene.crowd.each(scene.crowd.end_session, opened)
        for stream in streams[1::2]:
            stream.close()

    return end


async def _parked(scene: Scene, count: int) -> End:
    """Calls of 2026-07-28 clients that a 2025-11-25 upstream has asked something."""
    parked = await scene.crowd.each(lambda number: scene.crowd.park(number, scene.ask), range(count))

    async def end() -> None:
        await scene.crowd.each(scene.crowd.answer, parked)

    return end


KINDS = (
    Kind("clients", "idle clients that have asked for nothing yet", "connections", _clients, aim_kib=8),
    Kind("called", "idle 2026-07-28 clients, each after one call", "connections", _clients_after_call, aim_kib=8),
    Kind("listen", "2026-07-28 clients, each with an open `subscriptions/listen` stream", "connections", _listening,
         aim_kib=20),
    Kind("sessions", "2025-11-25 sessions, after one call", "sessions", _sessions),
    Kind("streams", "2025-11-25 sessions, each with its GET stream open", "sessions", _streams),
    Kind("own", "such sessions, each with its own session and GET stream to the upstream", "sessions", _streams,
         isolation="per-session"),
    Kind("parked", "parked calls: 2026-07-28 client, 2025-11-25 upstream that asks", "parked_calls", _parked),
)  # fmt: skip


def capacity(toolyard: Path, work: Path, cores: Cores, rounds: int = 2) -> dict[str, Any]:
    """Every kind in its turn, opened and ended `rounds` times, as the results are stored."""
    found = [asyncio.run(_measure(kind, toolyard, work, cores, rounds)) for kind in KINDS]
    return {"count": COUNT, "rounds": rounds, "kinds": found}


async def _measure(kind: Kind, toolyard: Path, work: Path, cores: Cores, wanted: int) -> dict[str, Any]:
    async with _scene(toolyard, work / f"capacity-{kind.name}", cores, kind.isolation) as scene:
        end = await kind.open(scene, WARM)
        await end()
        await asyncio.sleep(AFTER_WARMING_S)  # the upstream closes what is idle
        idle = await _settled(scene, kind, 0)
        rounds = []
        for _ in range(wanted):
            end = await kind.open(scene, COUNT)
            full = await _settled(scene, kind, COUNT)
            await end()
            rounds.append((full, await _settled(scene, kind, 0, idle)))
    return _summary(kind, idle, rounds)


def _summary(kind: Kind, idle: State, rounds: Sequence[tuple[State, State]]) -> dict[str, Any]:
    (full, ended), (full_again, ended_again) = rounds[0], rounds[-1]
    found = {
        "name": kind.name,
        "title": kind.title,
        "aim_kib": kind.aim_kib,
        "kib_each": (full.rss_mib - idle.rss_mib) * 1024 / COUNT,
        "second_round_mib": full_again.rss_mib - full.rss_mib,
        "left": {name: count - idle.counts()[name] for name, count in ended_again.counts().items()},
        "idle": asdict(idle),
        "full": asdict(full),
        "ended": asdict(ended),
        "ended_again": asdict(ended_again),
    }
    print(f"{kind.name:11} {COUNT}: {found['kib_each']:.1f} KiB each, RSS {idle.rss_mib:.0f} MiB idle, "
          f"{full.rss_mib:.0f} full, {ended.rss_mib:.0f} ended; again {full_again.rss_mib:.0f}, "
          f"{ended_again.rss_mib:.0f}; left: {found['left']}", flush=True)  # fmt: skip
    return found


async def _settled(scene: Scene, kind: Kind, count: int, idle: State | None = None) -> State:
    """The state once `count` are open and, with `idle`, once everything is as it was then; or what is so after a while,
    which is then in the results."""
    end = time.monotonic() + SETTLED_S
    before, calm = scene.state(), 0
    while True:
        await asyncio.sleep(LOOK_S)
        state = scene.state()
        others = scene.crowd.connections + 1 if kind.shown_as == "connections" else 0  # one asks for the levels
        is_so = state.in_use.get(kind.shown_as) == count + others and (idle is None or _is_back(state, idle))
        calm = calm + 1 if is_so and state.counts() == before.counts() else 0
        if calm * LOOK_S >= CALM_S or time.monotonic() > end:
            return state
        before = state


def _is_back(state: State, idle: State) -> bool:
    return all(count <= idle.counts()[name] for name, count in state.counts().items())


@asynccontextmanager
async def _scene(toolyard: Path, work: Path, cores: Cores, isolation: str) -> AsyncIterator[Scene]:
    """A gateway with room for so many, before an upstream that asks."""
    work.mkdir(parents=True)
    with _asking(work, cores) as port:
        gateway = Gateway(toolyard, work / "gateway", cores)
        gateway.config.write_text(json.dumps(_configuration(port, isolation), indent=1))
        endpoint = gateway.endpoint(gateway.create_key())
        program = gateway.start()
        crowd = Crowd(endpoint)
        try:
            program.wait_until(lambda: bool(tool_named(endpoint, "shop", "ask")), timeout_s=TIMEOUT_S)
            names = [tool_named(endpoint, "shop", tool) for tool in ("echo", "ask")]
            yield Scene(program, endpoint, crowd, *names)
        finally:
            crowd.close()
            program.stop()


@contextmanager
def _asking(work: Path, cores: Cores) -> Iterator[int]:
    """The upstream that asks; its port."""
    port = free_ports(1)[0]
    core = "" if cores.load is None else str(cores.load)
    upstream = Program("upstream", [sys.executable, str(LOAD / "asking.py"), str(port), core], work / "upstream.log")
    try:
        yield port
    finally:
        upstream.stop()


def _configuration(port: int, isolation: str) -> dict[str, Any]:
    """Room for `COUNT` of each, and for what must go on beside them."""
    room = COUNT + WARM
    return {
        "sessions": {"max": room, "per_principal": room},
        "limits": {
            "parked": room,
            "parked_per_principal": room,
            "subscriptions": room,
            "subscriptions_per_principal": room,
        },
        "upstreams": {"shop": {"url": Endpoint(port).url, "max_connections": 2 * room, "isolation": isolation}},
        "servers": {"default": {"tools": ["*"], "names": "prefixed"}},
    }


def _levels(endpoint: Endpoint) -> dict[str, int]:
    """What the gateway says is open: `toolyard_in_use`, on a connection that is closed again. The reading itself is not
    counted: it is one connection, one handler and its task each time."""
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=endpoint.timeout_s)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    if response.status != 200:
        raise DidNotStart(f"/metrics answered {response.status}: {text[:200]}")
    return {name: int(float(count)) for name, count in _LEVEL.findall(text)}
