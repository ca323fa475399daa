"""Load that is sent by the clock: the share of what a gateway can do is given, not found."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.client import Endpoint
from bench.machine import Cores
from bench.measure import Loader, Raw, read_result, run
from bench.servers import LOAD

CONNECTIONS = 64


def paced_load(stem: Path, endpoint: Endpoint, rate: float, cores: Cores) -> Loader:
    """So many calls a second, with the headers, body and sessions that wrk was given before."""
    env = {f"BENCH_{name.upper()}": str(stem.with_suffix(f".{name}")) for name in ("headers", "body", "sessions")}

    def load(_concurrency: int, seconds: int) -> Raw:
        argv = [sys.executable, str(LOAD / "paced.py"), str(endpoint.port), endpoint.path, f"{rate:.1f}", str(seconds)]
        return read_result(run(cores.pinned(cores.load, argv), seconds, env))

    return load
