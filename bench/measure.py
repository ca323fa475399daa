"""One measurement: load from wrk (or on a child's pipes) for some seconds, with what the measured program used."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.client import LEGACY, META, MODERN, Endpoint, initialize, legacy_headers, modern_headers
from bench.machine import Cores, find_program
from bench.processes import Program, core_busy_s
from bench.servers import LOAD

RESULT = re.compile(r"^RESULT (.+)$", re.MULTILINE)
FIRST_BAD = re.compile(r"^FIRST_BAD (.+)$", re.MULTILINE)
MAX_SESSIONS = 32

Loader = Callable[[int, int], dict[str, float | str]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one measurement gave. `core_busy` is the measured program's share of its core; `others_busy` what everybody
    else took of that core or of the load's, whichever is more: it makes a reading doubtful."""

    calls: int
    rps: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    bad: int
    first_bad: str = ""
    cpu_s_per_1000: float | None = None
    core_busy: float | None = None
    others_busy: float | None = None
    rss_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers the calls of a row. `program` is whose CPU and memory count (None: nobody's)."""

    name: str
    load: Loader
    program: Program | None


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
        max_ms=float(raw["max_us"]) / 1000,
        bad=int(raw["bad"]) + int(raw["errors"]) + (calls == 0),
        first_bad=str(raw.get("first_bad", "")),
        cpu_s_per_1000=cpu / calls * 1000 if program and calls else None,
        core_busy=cpu / duration_s if program and duration_s else None,
        others_busy=others / elapsed if cores.gateway is not None else None,
        rss_mib=program.memory().rss_mib if program else None,
    )


def _used(program: Program | None, upstream: Program, cores: Cores) -> tuple[float, float, float, float, float]:
    """Seconds so far: the clock; CPU of `program`; CPU of load and upstreams; work of the one core, of the other."""
    times = os.times()
    load_cpu = times.children_user + times.children_system + upstream.cpu_s() + (program.echo_cpu_s() if program else 0)
    cpu = program.cpu_s() if program else 0.0
    return time.perf_counter(), cpu, load_cpu, core_busy_s(cores.gateway), core_busy_s(cores.load)


def http_load(work: Path, endpoint: Endpoint, tool: str, cores: Cores, *, legacy: bool) -> Loader:
    """Load of tools/call through wrk, in the modern or the legacy era; legacy sessions are opened beforehand."""
    stem = work / f"load-{endpoint.port}-{tool}"
    headers = legacy_headers(endpoint) if legacy else modern_headers(endpoint, "tools/call", tool)
    assert headers["MCP-Protocol-Version"] == (LEGACY if legacy else MODERN)
    (header_file := stem.with_suffix(".headers")).write_text("".join(f"{k}: {v}\n" for k, v in headers.items()))
    (body_file := stem.with_suffix(".body")).write_text(_body(tool, legacy=legacy))
    sessions = [initialize(endpoint) for _ in range(MAX_SESSIONS)] if legacy else []
    session_file = stem.with_suffix(".sessions")

    def load(concurrency: int, seconds: int) -> dict[str, float | str]:
        session_file.write_text("\n".join(sessions[:concurrency]))
        paths = {"BENCH_HEADERS": header_file, "BENCH_BODY": body_file, "BENCH_SESSIONS": session_file}
        argv = [find_program("wrk") or "wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "--timeout", "20s",
                "-s", str(LOAD / "post.lua"), endpoint.url]  # fmt: skip
        output = _run(cores.pinned(cores.load, argv), seconds, {key: str(path) for key, path in paths.items()})
        return _wrk_result(output)

    return load


def pipe_load(command: Sequence[str], tool: str, cores: Cores) -> Loader:
    """Load of tools/call written straight to the pipes of a stdio server."""

    def load(concurrency: int, seconds: int) -> dict[str, float | str]:
        argv = [sys.executable, str(LOAD / "pipe.py"), str(concurrency), str(seconds), tool, *command]
        result: dict[str, float | str] = json.loads(_run(cores.pinned(cores.load, argv), seconds, {}))
        return result

    return load


def _body(tool: str, *, legacy: bool) -> str:
    params: dict[str, object] = {"name": tool, "arguments": {"message": "call @N@ of the bench"}}
    if not legacy:
        params["_meta"] = META
    message = {"jsonrpc": "2.0", "id": "@N@", "method": "tools/call", "params": params}
    return json.dumps(message, separators=(",", ":")).replace('"id":"@N@"', '"id":@N@')


def _run(argv: Sequence[str], seconds: int, env: dict[str, str]) -> str:
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=seconds + 60, env={**os.environ, **env}, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{argv} ended with code {done.returncode}: {done.stderr[-1000:]}")
    return done.stdout


def _wrk_result(output: str) -> dict[str, float | str]:
    found = RESULT.search(output)
    if not found:
        raise RuntimeError(f"wrk gave no result: {output[-1000:]}")
    result: dict[str, float | str] = {name: float(value) for name, value in re.findall(r"(\w+)=(\S+)", found.group(1))}
    if bad := FIRST_BAD.search(output):
        result["first_bad"] = bad.group(1)
    return result
