"""What stands before a gateway that is asked too much: its upstreams, its callers, and who looks at it meanwhile."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.client import META, Endpoint, modern_headers
from bench.machine import Cores
from bench.processes import Program, core_busy_s
from bench.servers import LOAD, Gateway, Ports, free_ports, start_upstream, tool_named
from toolyard.gateway.feed.keys import KeyStore

TOOLYARD = Path(sys.executable).parent / "toolyard"
START_TIMEOUT_S = 60.0
ECHO, WAIT = "web__echo", "slow__wait"


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller of a plan: an API key, what it calls, its part of the rate, and its connections."""

    key: str
    tool: str = ECHO
    arguments: dict[str, Any] = field(default_factory=lambda: {"message": "call 1 of the bench"})
    group: str = "all"
    weight: int = 1
    connections: int = 64


@dataclass(frozen=True, slots=True)
class Run:
    """What one open loop gave, with what the gateway used meanwhile."""

    rate: float
    seconds: float
    told: dict[str, Any]
    cpu_s: float
    others_busy: float
    rss_mib: float

    def answers(self, status: str, group: str = "all") -> dict[str, float]:
        """The figures of the answers of one status."""
        found: dict[str, float] = self.told["answers"].get(group, {}).get(status, {"count": 0.0})
        return found

    @property
    def goodput(self) -> float:
        """Calls that were served, each second."""
        return float(sum(self.told["good_by_caller"])) / self.seconds

    @property
    def per_cpu_s(self) -> float:
        """Calls that were served, for each second that the gateway's process ran."""
        return float(sum(self.told["good_by_caller"])) / self.cpu_s if self.cpu_s else 0.0

    @property
    def unanswered(self) -> int:
        """Requests that got neither service nor refusal."""
        return int(self.told["lost"] + self.told["unanswered"])


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway with a fast and a slow upstream, and `keys` of a hundred principals."""

    work: Path
    cores: Cores
    gateway: Program
    endpoint: Endpoint
    keys: Sequence[str]
    idle_mib: float

    def run(self, rate: float, seconds: float, *callers: Caller, pipelining: bool = True, tick_ms: float = 2.0) -> Run:
        """Send by the clock and wait for what comes."""
        plan = self.work / f"plan-{threading.get_ident()}-{time.monotonic_ns()}.json"
        listed = [
            {"bytes": self._request(c), "group": c.group, "weight": c.weight, "connections": c.connections}
            for c in callers
        ]
        given = {"port": self.endpoint.port, "seconds": seconds, "rate": rate, "core": self.cores.load}
        plan.write_text(json.dumps({**given, "tick_ms": tick_ms, "pipelining": pipelining, "callers": listed}))
        before = self._used()
        argv = [sys.executable, str(LOAD / "open_loop.py"), str(plan)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 120, check=False)
        if done.returncode:
            raise RuntimeError(f"the load ended with code {done.returncode}: {done.stderr[-1000:]}")
        elapsed, cpu_s, core_s = (now - then for now, then in zip(self._used(), before, strict=True))
        others = max(0.0, core_s - cpu_s) / elapsed if self.cores.gateway is not None else 0.0
        return Run(rate, seconds, json.loads(done.stdout), cpu_s, others, self.gateway.memory().rss_mib)

    def _used(self) -> tuple[float, float, float]:
        return time.perf_counter(), self.gateway.cpu_s(), core_busy_s(self.cores.gateway)

    def _request(self, caller: Caller) -> str:
        params = {"name": caller.tool, "arguments": caller.arguments, "_meta": META}
        body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}, separators=(",", ":"))
        endpoint = Endpoint(self.endpoint.port, caller.key)
        lines = [f"{name}: {value}" for name, value in modern_headers(endpoint, "tools/call", caller.tool).items()]
        lines = [f"POST {endpoint.path} HTTP/1.1", f"Host: 127.0.0.1:{endpoint.port}", *lines]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


@contextmanager
def staged(toolyard: Path, work: Path, cores: Cores, limits: dict[str, Any] | None = None) -> Iterator[Stage]:
    """Upstreams and a gateway before them with default limits, but for `limits`; all ended with the block."""
    with ExitStack() as stack:
        ports = Ports(*free_ports(2))
        stack.callback(start_upstream(work, ports, cores).stop)
        slow_port = free_ports(1)[0]
        core = "" if cores.load is None else str(cores.load)
        argv = [sys.executable, str(LOAD / "slow.py"), str(slow_port), core]
        stack.callback(Program("slow", argv, work / "slow.log").stop)
        gateway = Gateway(toolyard, work / "gateway", cores)
        upstreams = {"web": {"url": Endpoint(ports.modern).url}, "slow": {"url": Endpoint(slow_port).url}}
        servers = {"default": {"tools": ["*"], "names": "prefixed"}}
        gateway.config.write_text(json.dumps({"limits": limits or {}, "upstreams": upstreams, "servers": servers}))
        store = KeyStore(gateway.home / "data")
        keys = [store.create("default", f"caller {number}", now=time.time())[0] for number in range(100)]
        endpoint = gateway.endpoint(keys[0])
        program = gateway.start()
        stack.callback(program.stop)
        program.wait_until(
            lambda: bool(tool_named(endpoint, "web", "echo") and tool_named(endpoint, "slow", "wait")),
            timeout_s=START_TIMEOUT_S,
        )
        yield Stage(work, cores, program, endpoint, keys, program.memory().rss_mib)


class Watch:
    """Asks for readiness and metrics on connections of their own all the while; how long that took at most."""

    def __init__(self, port: int) -> None:
        self.worst_ms: dict[str, float] = {}
        self.failed: list[str] = []
        self.asked = 0
        self._port = port
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)

    def _look(self) -> None:
        while not self._end.wait(0.2):
            for path in ("/health/ready", "/metrics"):
                began = time.perf_counter()
                if (wrong := self._ask(path)) is not None:
                    self.failed.append(f"{path}: {wrong}")
                took_ms = (time.perf_counter() - began) * 1000
                self.worst_ms[path] = max(self.worst_ms.get(path, 0.0), took_ms)
                self.asked += 1

    def _ask(self, path: str) -> str | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            return None if response.status == 200 else str(response.status)
        except OSError as error:
            return type(error).__name__
        finally:
            connection.close()
