"""The rows of the comparison: each the same calls to the gateway, to nginx in its place, and to the upstream itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import Endpoint
from bench.machine import Cores
from bench.measure import Target, http_load, pipe_load
from bench.processes import Memory, Program
from bench.servers import Gateway, Ports, echo_command, free_ports, start_proxy, start_upstream, tool_named

START_TIMEOUT_S = 60.0
LEVELS = (1, 16, 64)


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of call: the client's era, which upstream of the gateway answers, and which of its tools."""

    name: str
    title: str
    upstream: str
    tool: str = "echo"
    legacy: bool = False
    levels: Sequence[int] = LEVELS


ROWS = (
    Row("modern", "2026-07-28 client, Streamable HTTP upstream of 2026-07-28", "web"),
    Row("legacy", "2025-11-25 client with sessions, Streamable HTTP upstream of 2025-11-25", "old", legacy=True),
    Row("stdio", "2026-07-28 client, stdio upstream (nginx: HTTP upstream; direct: on its pipes)", "pipe"),
    Row("modern-10k", "as modern, with an answer of 10 KiB", "web", tool="page", levels=(16,)),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs while rows are measured. `gateway` is None when only nginx is to be tried."""

    work: Path
    cores: Cores
    ports: Ports
    key: str
    upstream: Program
    proxy: Program
    gateway: Program | None
    endpoint: Endpoint | None
    idle: Memory | None

    def targets(self, row: Row) -> list[Target]:
        """The targets of `row`, each ready to be driven with the very same bytes."""
        exposed = tool_named(self.endpoint, row.upstream, row.tool) if self.endpoint else f"{row.upstream}__{row.tool}"
        direct, proxied = self.ports.modern, self.ports.modern_proxy
        if row.legacy:
            direct, proxied = self.ports.legacy, self.ports.legacy_proxy
        found = [self._http("nginx", Endpoint(proxied, self.key), exposed, row, self.proxy)]
        if row.upstream == "pipe":
            found.append(Target("direct", pipe_load(echo_command(self.cores), row.tool, self.cores), None))
        else:
            found.append(self._http("direct", Endpoint(direct, self.key), exposed, row, None))
        if self.endpoint:
            found.append(self._http("gateway", self.endpoint, exposed, row, self.gateway))
        return found

    def _http(self, name: str, endpoint: Endpoint, exposed: str, row: Row, program: Program | None) -> Target:
        return Target(name, http_load(self.work, endpoint, exposed, self.cores, legacy=row.legacy), program)


@contextmanager
def staged(work: Path, cores: Cores, toolyard: Path | None) -> Iterator[Stage]:
    """Upstream, proxy and (with `toolyard`) a gateway in front of all three upstreams; all ended with the block."""
    ports = Ports(*free_ports(4))
    with ExitStack() as stack:
        upstream = start_upstream(work, ports, cores)
        stack.callback(upstream.stop)
        gateway = Gateway(toolyard, work / "gateway", cores) if toolyard else None
        key = "no-gateway"
        if gateway:
            gateway.config.write_text(configuration(ports, cores))
            key = gateway.create_key()
        proxy = start_proxy(work, ports, cores, key)
        stack.callback(proxy.stop)
        if gateway is None:
            yield Stage(work, cores, ports, key, upstream, proxy, None, None, None)
            return
        program = gateway.start()
        stack.callback(program.stop)
        endpoint = gateway.endpoint(key)
        program.wait_until(lambda: _all_listed(endpoint), timeout_s=START_TIMEOUT_S)
        yield Stage(work, cores, ports, key, upstream, proxy, program, endpoint, program.memory())


def configuration(ports: Ports, cores: Cores) -> str:
    """The gateway's file. JSON is YAML, and loopback upstreams in the operator's file are allowed."""
    command, *arguments = echo_command(cores)
    upstreams = {
        "web": {"url": Endpoint(ports.modern).url},
        "old": {"url": Endpoint(ports.legacy).url},
        "pipe": {"command": command, "args": arguments},
    }
    return json.dumps({"upstreams": upstreams, "servers": {"default": {"tools": ["*"], "names": "prefixed"}}}, indent=1)


def _all_listed(endpoint: Endpoint) -> bool:
    return all(tool_named(endpoint, row.upstream, row.tool) for row in ROWS)


def toolyard_beside_python() -> Path:
    """The `toolyard` command of the environment that runs the bench."""
    return Path(sys.executable).parent / "toolyard"
