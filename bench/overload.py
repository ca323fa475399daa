"""A gateway that is asked for more than it can: `python -m bench.overload`. Ends with code 1 if an aim was missed.

Requests come by the clock (load/open_loop.py). Capacity is what wrk gets in a closed loop, measured before and after
each overload. Where other programs took much of the gateway's core, goodput is compared for each second that its
process ran. Aims are those of the attack book's chapter on overload.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.calls import Request
from bench.client import META, modern_headers
from bench.load.holding import Holding
from bench.machine import choose_cores, commit, describe, ensure_tools
from bench.measure import http_load
from bench.overload_stage import ECHO, TOOLYARD, WAIT, Caller, Run, Stage, Watch, staged

HERE = Path(__file__).resolve().parent
FACTORS = (2, 5, 10)
QUIET = 0.15
IDLE_CLIENTS, STREAMS = 5000, 200
IDLE_LIMITS = {"connections": 6000, "subscriptions": 300, "subscriptions_per_principal": 300}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with what it should be: at least, at most, or (without an aim) only told."""

    name: str
    measured: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        least, most = self.at_least, self.at_most
        return (least is None or self.measured >= least) and (most is None or self.measured <= most)

    def row(self) -> str:
        aim = "" if self.at_least is None else f"≥ {self.at_least:g}"
        aim = aim if self.at_most is None else f"≤ {self.at_most:g}"
        return f"| {self.name} | {self.measured:,.2f} | {aim} | {('yes' if self.met else 'no') if aim else ''} |"


@dataclass(frozen=True, slots=True)
class Capacity:
    """Calls that a closed loop got: each second, and for each second that the gateway's process ran."""

    rps: float
    per_cpu_s: float


def capacity_of(stage: Stage, seconds: int = 2) -> Capacity:
    """The best that 16 connections get."""
    params = {"name": ECHO, "arguments": {"message": "call @N@ of the bench"}, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, separators=(",", ":"))
    headers = modern_headers(stage.endpoint, "tools/call", ECHO)
    request = Request(stage.endpoint, headers, body.replace('"id":1', '"id":@N@'), {"BENCH_LEAST": "0"})
    load = http_load(stage.work / "closed", request, stage.cores, sessions=False)
    before = stage.gateway.cpu_s()
    raw = load(16, seconds)
    calls = float(raw["calls"]) - float(raw["bad"])
    return Capacity(calls / float(raw["duration_us"]) * 1e6, calls / (stage.gateway.cpu_s() - before))


def too_much(stage: Stage, seconds: float, runs: list[Run]) -> Iterator[Figure]:
    """OVL-01 and OVL-05: many times what can be served, and back."""
    capacity_of(stage)
    everybody = [Caller(key, connections=1) for key in stage.keys[:64]]
    normal = _windows(stage, capacity_of(stage).rps / 2, 5)
    for factor in FACTORS:
        before = capacity_of(stage)
        with Watch(stage.endpoint.port) as watch:
            run = stage.run(factor * before.rps, seconds, *everybody, tick_ms=4.0)
        after_ms = _windows(stage, before.rps / 2, 10) if factor == FACTORS[-1] else []
        after = capacity_of(stage)
        runs.append(run)
        yield from _under(factor, run, before, after, watch, stage.idle_mib)
        if after_ms:
            limit_ms = 2 * max(statistics.median(normal), 1.0)
            late = next((n for n in range(len(after_ms), 0, -1) if after_ms[n - 1] > limit_ms), 0)
            yield Figure(f"seconds after it until p99 is normal again (≤ {limit_ms:.1f} ms)", late, at_most=9)
    run = stage.run(10 * before.rps, seconds, *[Caller(k, connections=15) for k in stage.keys], pipelining=False)
    runs.append(run)
    yield Figure("10×, one request at a time on 1,500 connections: requests sent, share", _sent(run))
    yield Figure("… goodput for each CPU second, share of the peak", run.per_cpu_s / before.per_cpu_s)
    yield Figure("… refusals answered in ms, p99", run.answers("503").get("p99_ms", 0.0))


def _sent(run: Run) -> float:
    return float(1 - run.told["not_sent"] / run.told["offered"])


def _under(factor: int, run: Run, before: Capacity, after: Capacity, watch: Watch, idle_mib: float) -> Iterator[Figure]:
    aims = factor == FACTORS[-1]
    name = f"{factor}×"
    shed = run.answers("503")
    yield Figure(f"{name}: requests a second, on 64 connections", run.told["offered"] / run.seconds)
    yield Figure(f"{name}: … sent late by ms at most", run.told["late_ms"])
    quiet, least = run.others_busy <= QUIET, 0.8 if aims else None
    share = 2 * run.goodput / (before.rps + after.rps)
    yield Figure(f"{name}: goodput, share of the peak", share, at_least=least if quiet else None)
    own = 2 * run.per_cpu_s / (before.per_cpu_s + after.per_cpu_s)
    yield Figure(f"{name}: … for each CPU second", own, at_least=None if quiet else least)
    yield Figure(f"{name}: others took of the gateway's core, share", run.others_busy)
    yield Figure(f"{name}: refused", shed["count"])
    yield Figure(f"{name}: refusals answered in ms, p99", shed.get("p99_ms", 0.0), at_most=50 if aims else None)
    yield Figure(f"{name}: served in ms, p99", run.answers("200").get("p99_ms", 0.0))
    yield Figure(f"{name}: refused without Retry-After", run.told["no_retry_after"], at_most=0)
    yield Figure(f"{name}: neither served nor refused", run.unanswered, at_most=0)
    yield Figure(f"{name}: memory, MiB", run.rss_mib, at_most=2 * idle_mib + 256)
    yield Figure(f"{name}: probes and metrics that failed, of {watch.asked}", len(watch.failed), at_most=0)
    for path, worst_ms in watch.worst_ms.items():
        yield Figure(f"{name}: {path} in ms, the slowest", worst_ms)


def _windows(stage: Stage, rate: float, count: int) -> list[float]:
    """p99 in ms of so many windows of a second at a bearable rate."""
    runs = [stage.run(rate, 1.0, Caller(stage.keys[0])) for _ in range(count)]
    return [run.answers("200").get("p99_ms", 0.0) for run in runs]


def slow_upstream(stage: Stage, seconds: float, runs: list[Run]) -> Iterator[Figure]:
    """OVL-02: 1,000 calls to a slow upstream, and what calls to another one notice."""
    rate = round(capacity_of(stage).rps * 0.3 / 200) * 200
    fast = Caller(stage.keys[0], group="fast", weight=max(1, rate // 200))
    slow = Caller(stage.keys[1], WAIT, {"seconds": 5}, "slow", 1, 1000)
    without, beside = [], []
    for _ in range(3):
        without.append(stage.run(rate, 5, fast).answers("200", "fast")["p99_ms"])
        run = stage.run(rate + 200, 5, fast, slow)
        runs.append(run)
        beside.append(run.answers("200", "fast")["p99_ms"])
    refused = run.answers("503", "slow")
    yield Figure("calls to a slow upstream that were refused", refused["count"], at_least=900)
    yield Figure("… refused in ms, p50", refused.get("p50_ms", 0.0), at_most=50)
    yield Figure("… refused in ms, p99", refused.get("p99_ms", 0.0), at_most=300)
    yield Figure("p99 of another upstream's calls beside them, times without", min(beside) / min(without), at_most=1.5)


def unfair(stage: Stage, seconds: float, runs: list[Run]) -> Iterator[Figure]:
    """OVL-03: a hundred callers, one of them with fifty times the others' rate, at twice the capacity."""
    callers = [Caller(key, connections=4) for key in stage.keys[:99]]
    greedy = Caller(stage.keys[99], group="greedy", weight=50, connections=64)
    run = stage.run(2 * capacity_of(stage).rps, max(seconds, 8), *callers, greedy)
    runs.append(run)
    others = run.told["good_by_caller"][:99]
    yield Figure("goodput of 99 equal callers beside a greedy one, most/least", max(others) / max(1, min(others)),
                 at_most=1.25)  # fmt: skip
    yield Figure(
        "the greedy one's goodput, times the others'", run.told["good_by_caller"][99] / statistics.mean(others)
    )


def crowded(stage: Stage, seconds: float, runs: list[Run]) -> Iterator[Figure]:
    """OVL-04: thousands of clients that hold a connection and do nothing."""
    rate = capacity_of(stage).rps * 0.3
    alone = stage.run(rate, 3, Caller(stage.keys[0]))
    base = stage.gateway.memory().rss_mib
    with Holding(stage.endpoint.port) as holding:
        holding.connections(IDLE_CLIENTS)
        idle = stage.gateway.memory().rss_mib
        holding.streams(STREAMS, stage.endpoint)
        full = stage.gateway.memory().rss_mib
        run = stage.run(rate, 3, Caller(stage.keys[0]))
    runs.append(run)
    yield Figure(f"KiB of each of {IDLE_CLIENTS:,} idle clients", (idle - base) * 1024 / IDLE_CLIENTS, at_most=40)
    yield Figure(f"KiB of each of {STREAMS} listen streams", (full - idle) * 1024 / STREAMS, at_most=40)
    yield Figure("calls beside them that failed", run.told["offered"] - run.answers("200")["count"], at_most=0)
    yield Figure("p99 in ms beside them", run.answers("200")["p99_ms"])
    yield Figure("p99 in ms before", alone.answers("200")["p99_ms"])


Scene = Callable[[Stage, float, list[Run]], Iterator[Figure]]
SCENES: dict[str, tuple[Scene, dict[str, Any]]] = {
    "too-much": (too_much, {}),
    "slow-upstream": (slow_upstream, {}),
    "unfair": (unfair, {"in_flight_per_server": 256, "in_flight_per_upstream": 128}),
    "crowded": (crowded, IDLE_LIMITS),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="seconds of each overload (10)")
    parser.add_argument("--scenes", default=",".join(SCENES), help=f"by comma: {', '.join(SCENES)}")
    parser.add_argument("--toolyard", type=Path, default=TOOLYARD, help="the command to measure")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the results")
    options = parser.parse_args()
    _allow_descriptors()
    ensure_tools()
    cores = choose_cores()
    results: dict[str, Any] = {"machine": describe(cores), "commit": commit(), "scenes": {}}
    missed = False
    for name in options.scenes.split(","):
        scene, limits = SCENES[name]
        work = HERE / ".work" / f"{os.getpid()}-{name}"
        work.mkdir(parents=True)
        runs: list[Run] = []
        try:
            with staged(options.toolyard, work, cores, limits) as stage:
                figures = list(_shown(name, scene(stage, options.seconds, runs)))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        missed = missed or not all(figure.met for figure in figures)
        results["scenes"][name] = {"figures": [asdict(f) for f in figures], "runs": [asdict(run) for run in runs]}
    options.results.mkdir(exist_ok=True)
    file = options.results / f"{dt.datetime.now(dt.UTC):%Y-%m-%d}-{results['commit']}-overload.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(file)
    return 1 if missed else 0


def _shown(name: str, figures: Iterator[Figure]) -> Iterator[Figure]:
    print(f"\n| {name} | measured | aim | met |\n|---|---|---|---|")
    for figure in figures:
        print(figure.row(), flush=True)
        yield figure


def _allow_descriptors() -> None:
    """As many as this user may have, for the gateway too."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main())
