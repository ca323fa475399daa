"""What stands behind every gateway that is compared: the upstreams, said once and understood by each in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.machine import Cores
from bench.processes import Program
from bench.servers import Ports, echo_command, start_upstream
from bench.tls import make_certificate

FIRST_TOOLS = 4
Kind = Literal["http", "stdio", "tls"]


@dataclass(frozen=True, slots=True)
class Backing:
    """So many upstreams of one kind with so many tools each. `echo` is always the first tool of all."""

    name: str
    kind: Kind = "http"
    upstreams: int = 1
    tools_each: int = FIRST_TOOLS

    @property
    def tools(self) -> int:
        """All tools of all upstreams."""
        return self.upstreams * self.tools_each


PLAIN = Backing("plain")
LISTED = Backing("20 upstreams of 50 tools", upstreams=20, tools_each=50)
ONE = Backing("1 upstream of 10 tools", tools_each=10)
TEN = Backing("10 upstreams of 100 tools", upstreams=10, tools_each=100)
HUNDRED = Backing("100 upstreams of 100 tools", upstreams=100, tools_each=100)
STDIO = Backing("stdio", kind="stdio")
TLS = Backing("TLS", kind="tls")


@dataclass(frozen=True, slots=True)
class Ground:
    """What all stand on: the folder for everything they write, the cores, and the upstream that answers."""

    work: Path
    cores: Cores
    ports: Ports
    upstream: Program
    authority: Path

    def address(self, backing: Backing, number: int = 0, *, legacy: bool = False) -> str:
        """The URL of one upstream, in the revision its gateway is to speak to it."""
        tools = backing.tools_each
        if backing.kind == "tls":
            port = self.ports.legacy_tls if legacy else self.ports.modern_tls
            return f"https://127.0.0.1:{port}/u{number}x{tools}/mcp"
        port = self.ports.legacy if legacy else self.ports.modern
        return f"http://127.0.0.1:{port}/u{number}x{tools}/mcp"

    def whole(self, backing: Backing, *, legacy: bool = False) -> str:
        """The URL of an upstream that has all tools of the backing: for those that only pass bytes on."""
        return self.address(Backing(backing.name, backing.kind, tools_each=backing.tools), legacy=legacy)

    def command(self, backing: Backing) -> Sequence[str]:
        """The program of a stdio upstream with all tools of the backing, which puts itself on the load's core."""
        return [*echo_command(self.cores), str(backing.tools)]


def make_ground(work: Path, cores: Cores, ports: Ports) -> Ground:
    """Start the upstream; the caller ends it."""
    authority = make_certificate(work)
    return Ground(work, cores, ports, start_upstream(work, ports, cores), authority)
