"""Half an hour of everything, and whether anything stays: `python -m bench.soak [--minutes M]`.

Traffic pauses again and again; when everything has ended, the gateway is looked at: open descriptors (but for
connections that it keeps to its upstreams), threads, processes and what it counts itself may not be more in all of the
last third of the looks than in any of the first, and memory may not grow from the second third to the last. Ends with
code 1 if something grew or an answer was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import shutil
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench import capacity
from bench.capacity import State
from bench.client import Endpoint
from bench.crowd import Crowd
from bench.machine import Cores, choose_cores, commit, describe, ensure_tools
from bench.overload_stage import TOOLYARD
from bench.processes import Program
from bench.servers import LOAD, Gateway, Ports, echo_command, free_ports, start_upstream, tool_named
from bench.soak_acts import ACTS, LIMIT_S, Act, Refused, Scene

HERE = Path(__file__).resolve().parent
ACTORS = 12
LOOKS = 20
SETTLED_S = 20.0
TIMEOUT_S = 60.0
GROWTH_MIB = 2.0
Played = Counter[str]


async def soak(program: Program, scene: Scene, seconds: float) -> tuple[list[State], Played, list[str]]:
    """Traffic with pauses: what the gateway was like in each, what was played, what went wrong."""
    end = time.monotonic() + seconds
    looks: list[State] = []
    played, wrong = Played(), list[str]()
    await _act(scene, min(5.0, seconds / 10), played, wrong)
    while True:
        state = await _settled(program, scene)
        looks.append(state)
        print(
            f"{len(looks):3}  RSS {state.rss_mib:6.1f} MiB  {state.counts()}  {sum(played.values()):,} acts", flush=True
        )
        if time.monotonic() >= end:
            return looks, played, wrong
        await _act(scene, min(seconds / LOOKS, max(0.5, end - time.monotonic())), played, wrong)


async def _act(scene: Scene, seconds: float, played: Played, wrong: list[str]) -> None:
    """Let everybody act for so long, and end what they began."""
    end = time.monotonic() + seconds

    async def actor() -> None:
        acts, weights = list(ACTS), list(ACTS.values())
        while time.monotonic() < end:
            act = scene.dice.choices(acts, weights)[0]
            if (failure := await _failure(act, scene, played)) is not None:
                wrong.append(failure)
            played[act.__name__] += 1

    await asyncio.gather(*(actor() for _ in range(ACTORS)))


async def _failure(act: Act, scene: Scene, played: Played) -> str | None:
    try:
        async with asyncio.timeout(LIMIT_S):
            await act(scene)
    except Refused:
        played["refused"] += 1
    except (OSError, EOFError, ValueError, KeyError) as error:
        return f"{act.__name__}: {type(error).__name__}: {error}"
    return None


async def _settled(program: Program, scene: Scene) -> State:
    """The gateway's state once nothing ends any more."""
    gateway = capacity.Scene(program, scene.endpoint, Crowd(scene.endpoint), "", "")

    def look() -> State:
        state = gateway.state()
        return replace(state, descriptors=state.descriptors - kept_connections(program.pid, scene.upstream_ports))

    before, end = look(), time.monotonic() + SETTLED_S
    while True:
        await asyncio.sleep(1.0)
        state = look()
        if state.counts() == before.counts() or time.monotonic() > end:
            return state
        before = state


def kept_connections(pid: int, ports: frozenset[int]) -> int:
    """Connections of a process to these ports of loopback: what it keeps to its upstreams for the next call."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) in ports:
            inodes.add(f"socket:[{fields[9]}]")
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            links.append(str(entry.readlink()))
    return sum(link in inodes for link in links)


def grown(looks: list[State]) -> dict[str, int]:
    """What there is more of at the end: the least of the last third above the most of the first."""
    third = max(1, len(looks) // 3)
    first, last = [look.counts() for look in looks[:third]], [look.counts() for look in looks[-third:]]
    more = {name: min(c[name] for c in last) - max(c[name] for c in first) for name in last[0]}
    return {name: count for name, count in more.items() if count > 0}


def growth_mib(looks: list[State]) -> float:
    """How much more memory there was in the last third of the looks than in the one before: medians."""
    third = max(1, len(looks) // 3)
    last, before = looks[-third:], looks[-2 * third : -third] or looks[:1]
    return statistics.median(s.rss_mib for s in last) - statistics.median(s.rss_mib for s in before)


@contextmanager
def staged(toolyard: Path, work: Path, cores: Cores) -> Iterator[tuple[Program, Scene]]:
    """A gateway before upstreams of both eras, a program, and one that is slow."""
    with ExitStack() as stack:
        ports = Ports(*free_ports(2))
        stack.callback(start_upstream(work, ports, cores).stop)
        slow_port = free_ports(1)[0]
        core = "" if cores.load is None else str(cores.load)
        argv = [sys.executable, str(LOAD / "slow.py"), str(slow_port), core]
        stack.callback(Program("slow", argv, work / "slow.log").stop)
        gateway = Gateway(toolyard, work / "gateway", cores)
        command, *arguments = echo_command(cores)
        upstreams: dict[str, Any] = {
            "web": {"url": Endpoint(ports.modern).url},
            "old": {"url": Endpoint(ports.legacy).url},
            "pipe": {"command": command, "args": arguments},
            "slow": {"url": Endpoint(slow_port).url},
        }
        limits = {"subscriptions_per_principal": 100}
        servers = {"default": {"tools": ["*"], "names": "prefixed"}}
        gateway.config.write_text(json.dumps({"limits": limits, "upstreams": upstreams, "servers": servers}))
        endpoint = gateway.endpoint(gateway.create_key())
        program = gateway.start()
        stack.callback(program.stop)
        wanted = (("web", "echo"), ("old", "echo"), ("pipe", "echo"), ("slow", "wait"))
        program.wait_until(lambda: all(tool_named(endpoint, *parts) for parts in wanted), timeout_s=TIMEOUT_S)
        web, old, pipe, slow = (tool_named(endpoint, *parts) for parts in wanted)
        yield program, Scene(endpoint, web, old, pipe, slow, frozenset((ports.modern, ports.legacy, slow_port)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--toolyard", type=Path, default=TOOLYARD, help="the command to measure")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the results")
    options = parser.parse_args()
    ensure_tools()
    cores = choose_cores()
    work = HERE / ".work" / f"{os.getpid()}-soak"
    work.mkdir(parents=True)
    try:
        with staged(options.toolyard, work, cores) as (program, scene):
            looks, played, wrong = asyncio.run(soak(program, scene, options.minutes * 60))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    more, growth = grown(looks), growth_mib(looks)
    results = {
        "machine": describe(cores), "commit": commit(), "minutes": options.minutes, "played": dict(played),
        "wrong": wrong[:50], "grown": more, "growth_mib": growth, "looks": [asdict(look) for look in looks],
    }  # fmt: skip
    options.results.mkdir(exist_ok=True)
    file = options.results / f"{dt.datetime.now(dt.UTC):%Y-%m-%d}-{results['commit']}-soak.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{dict(played)}\nwrong: {len(wrong)} {wrong[:3]}")
    print(f"more at the end: {more}\nmemory grew by {growth:.2f} MiB\n{file}")
    return 1 if wrong or more or growth > GROWTH_MIB else 0


if __name__ == "__main__":
    sys.exit(main())
