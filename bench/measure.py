"""One measurement: load for some seconds, with what the measured program, the load and the upstreams used meanwhile."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.calls import Request
from bench.client import initialize
from bench.machine import Cores, find_program
from bench.processes import Program, core_busy_s
from bench.servers import LOAD

RESULT = re.compile(r"^RESULT (.+)$", re.MULTILINE)
FIRST_BAD = re.compile(r"^FIRST_BAD (.+)$", re.MULTILINE)
MAX_SESSIONS = 64
PATIENCE_S = 60

Raw = Mapping[str, float | str]
Loader = Callable[[int, int], Raw]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one measurement gave. `calls` were served, `refused` came beside them. `core_busy` is the measured program's
    share of its core, `load_busy` that of the load generator and the upstreams of theirs; `others_busy` what everybody
    else took of one of the two cores, whichever is more: it makes a reading doubtful."""

    calls: int
    rps: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    mib_per_s: float
    bad: int
    refused: int = 0
    first_bad: str = ""
    cpu_s_per_1000: float | None = None
    core_busy: float | None = None
    load_busy: float | None = None
    others_busy: float | None = None
    rss_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers calls, and the program whose CPU and memory count."""

    name: str
    load: Loader
    program: Program


def measure(target: Target, concurrency: int, seconds: int, cores: Cores, upstream: Program) -> Reading:
    """Drive `target` for `seconds` and read what it, the load with the upstreams, and both cores used meanwhile."""
    program = target.program
    before = _used(program, upstream, cores)
    raw = target.load(concurrency, seconds)
    used = tuple(now - then for now, then in zip(_used(program, upstream, cores), before, strict=True))
    elapsed, cpu, load_cpu, gateway_core, load_core = used
    others = max(gateway_core - cpu, load_core - load_cpu, 0.0)
    calls, duration_s = int(raw["calls"]), float(raw["duration_us"]) / 1e6
    return Reading(
        calls=calls,
        rps=calls / duration_s if duration_s else 0.0,
        p50_ms=float(raw["p50_us"]) / 1000,
        p99_ms=float(raw["p99_us"]) / 1000,
        p999_ms=float(raw["p999_us"]) / 1000,
        max_ms=float(raw["max_us"]) / 1000,
        mib_per_s=float(raw["bytes"]) / 2**20 / duration_s if duration_s else 0.0,
        bad=int(raw["bad"]) + int(raw["errors"]) + (calls == 0),
        refused=int(raw.get("refused", 0)),
        first_bad=str(raw.get("first_bad", "")),
        cpu_s_per_1000=cpu / calls * 1000 if calls else None,
        core_busy=cpu / elapsed,
        load_busy=load_cpu / elapsed,
        others_busy=others / elapsed if cores.gateway is not None else None,
        rss_mib=program.memory().rss_mib,
    )


def _used(program: Program, upstream: Program, cores: Cores) -> tuple[float, float, float, float, float]:
    """Seconds so far: the clock; CPU of `program`; CPU of load and upstreams; work of the one core, of the other."""
    times = os.times()
    load_cpu = times.children_user + times.children_system + upstream.cpu_s() + program.echo_cpu_s()
    return time.perf_counter(), program.cpu_s(), load_cpu, core_busy_s(cores.gateway), core_busy_s(cores.load)


def http_load(
    stem: Path, request: Request, cores: Cores, *, sessions: bool, traced: bool = False, may_refuse: bool = False
) -> Loader:
    """Load through wrk. With `sessions`, legacy ones are opened as they are wanted, one for each connection up to 64.
    With `traced`, each request has a traceparent of its own; with `may_refuse`, refusals are no wrong answers."""
    files = {name: stem.with_suffix(f".{name}") for name in ("headers", "body", "sessions")}
    files["headers"].write_text("".join(f"{name}: {value}\n" for name, value in request.headers.items()))
    files["body"].write_text(request.body)
    opened: list[str] = []

    def load(concurrency: int, seconds: int) -> Raw:
        wanted = min(concurrency, MAX_SESSIONS) if sessions else 0
        opened.extend(initialize(request.endpoint) for _ in range(wanted - len(opened)))
        files["sessions"].write_text("\n".join(opened[:wanted]))
        env = {f"BENCH_{name.upper()}": str(path) for name, path in files.items()} | dict(request.checks)
        argv = [find_program("wrk") or "wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "--timeout",
                f"{PATIENCE_S}s", "-s", str(LOAD / "post.lua"), request.endpoint.url]  # fmt: skip
        env |= {"BENCH_TRACE": str(int(traced)), "BENCH_MAY_REFUSE": str(int(may_refuse))}
        return read_result(run(cores.pinned(cores.load, argv), seconds, env))

    return load


def run(argv: Sequence[str], seconds: float, env: Mapping[str, str]) -> str:
    """What a load generator printed. Raises RuntimeError when it failed."""
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=seconds + 120, env={**os.environ, **env}, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(argv[0]).name} ended with code {done.returncode}: {done.stderr[-1000:]}")
    return done.stdout


def read_result(output: str) -> Raw:
    """The RESULT line of a load generator."""
    found = RESULT.search(output)
    if not found:
        raise RuntimeError(f"the load generator gave no result: {output[-1000:]}")
    result: dict[str, float | str] = {name: float(value) for name, value in re.findall(r"(\w+)=(\S+)", found.group(1))}
    if bad := FIRST_BAD.search(output):
        result["first_bad"] = bad.group(1)
    return result
