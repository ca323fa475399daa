"""How long a start takes until the first call is answered, what it weighs, and what 400 dead upstreams change."""

from __future__ import annotations

import json
import socket
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.client import Endpoint, WrongAnswer, modern_request
from bench.machine import Cores
from bench.processes import Memory, Program
from bench.servers import Gateway, Ports, free_ports, start_upstream, tool_named

DEAD = 400
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds to the first answered call; CPU seconds and memory of the process tree just after it."""

    seconds: float
    cpu_s: float
    memory: Memory


def demonstration_starts(toolyard: Path, work: Path, cores: Cores, repeats: int) -> dict[str, object]:
    """Starts with nothing configured: the key is the one the program prints, the call goes to a built-in tool."""
    tool, arguments = _demonstration_tool(toolyard, work / "demo-look", cores)
    starts = []
    for number in range(repeats):
        gateway = Gateway(toolyard, work / f"demo-{number}", cores)
        starts.append(_timed(gateway, None, tool, arguments))
    return {"tool": tool, **_summary(starts)}


def dead_upstream_starts(toolyard: Path, work: Path, cores: Cores, repeats: int) -> dict[str, object]:
    """Starts with one live upstream, alone and after 400 that are dead in four ways, taken in turn."""
    ports = Ports(*free_ports(2))
    (upstream_work := work / "dead-upstream").mkdir()
    upstream = start_upstream(upstream_work, ports, cores)
    starts: dict[str, list[Start]] = {"alone": [], "among": []}
    try:
        with _silent_port() as silent:
            for number in range(repeats):
                for name, dead in (("alone", {}), ("among", dead_upstreams(silent))):
                    gateway = Gateway(toolyard, work / f"{name}-{number}", cores)
                    _configure(gateway, {**dead, "web": {"url": Endpoint(ports.modern).url}})
                    starts[name].append(_timed(gateway, gateway.create_key(), None, {"message": "hello"}))
    finally:
        upstream.stop()
    return {"dead": DEAD, **{name: _summary(found) for name, found in starts.items()}}


def dead_upstreams(silent_port: int) -> dict[str, dict[str, Any]]:
    """400 upstreams: a closed port, a port that never answers, a missing command, and one that ends at once."""
    closed_port = free_ports(1)[0]
    kinds: list[dict[str, Any]] = [
        {"url": f"http://127.0.0.1:{closed_port}/mcp"},
        {"url": f"http://127.0.0.1:{silent_port}/mcp"},
        {"command": "/nonexistent/mcp-server", "args": []},
        {"command": "false", "args": []},
    ]
    return {f"dead{number:03d}": kinds[number % len(kinds)] for number in range(DEAD)}


def _configure(gateway: Gateway, upstreams: dict[str, dict[str, Any]]) -> None:
    servers = {"default": {"tools": ["*"], "names": "prefixed"}}
    gateway.config.write_text(json.dumps({"upstreams": upstreams, "servers": servers}, indent=1))


def _demonstration_tool(toolyard: Path, home: Path, cores: Cores) -> tuple[str, dict[str, Any]]:
    """The first listed tool of a fresh start, and arguments that its schema accepts."""
    gateway = Gateway(toolyard, home, cores)
    program = gateway.start()
    try:
        program.wait_until(lambda: bool(_listed(gateway)), timeout_s=TIMEOUT_S)
        tool = _listed(gateway)[0]
    finally:
        program.stop()
    return tool["name"], _example(tool["inputSchema"])


def _listed(gateway: Gateway) -> list[dict[str, Any]]:
    key = gateway.printed_key()
    if key is None:
        raise WrongAnswer("no key was printed yet")
    tools: list[dict[str, Any]] = modern_request(gateway.endpoint(key), "tools/list", {})["tools"]
    return tools


def _example(schema: dict[str, Any]) -> dict[str, Any]:
    samples: dict[str, Any] = {"string": "hello", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    properties = schema.get("properties", {})
    chosen = {}
    for name in schema.get("required", []):
        rule = properties.get(name, {})
        chosen[name] = rule["enum"][0] if "enum" in rule else samples[rule.get("type", "string")]
    return chosen


def _timed(gateway: Gateway, key: str | None, tool: str | None, arguments: dict[str, Any]) -> Start:
    """Start and call until an answer comes. Without `key`, the one that is printed; without `tool`, the live echo."""
    program: Program = gateway.start()
    try:
        seconds = program.wait_until(
            lambda: _called(gateway, key or gateway.printed_key(), tool, arguments), timeout_s=TIMEOUT_S
        )
        return Start(seconds, program.cpu_s(), program.memory())
    finally:
        program.stop()


def _called(gateway: Gateway, key: str | None, tool: str | None, arguments: dict[str, Any]) -> bool:
    if key is None:
        return False
    endpoint = gateway.endpoint(key)
    name = tool or tool_named(endpoint, "web", "echo")
    result = modern_request(endpoint, "tools/call", {"name": name, "arguments": arguments})
    if result.get("isError"):
        raise WrongAnswer(f"the first call failed: {result}")
    return True


def _summary(starts: list[Start]) -> dict[str, object]:
    seconds = [start.seconds for start in starts]
    return {
        "repeats": len(starts),
        "median_s": statistics.median(seconds),
        "lowest_s": min(seconds),
        "highest_s": max(seconds),
        "cpu_s": statistics.median(start.cpu_s for start in starts),
        "rss_mib": statistics.median(start.memory.rss_mib for start in starts),
        "pss_mib": statistics.median(start.memory.pss_mib for start in starts),
        "processes": max(start.memory.processes for start in starts),
    }


@contextmanager
def _silent_port() -> Iterator[int]:
    """A port of loopback where connections are accepted by the kernel and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as silent:
        yield silent.getsockname()[1]
