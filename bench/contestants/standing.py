"""A contestant, and what stands once it has been started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.backing import Backing, Ground
from bench.client import (
    LEGACY,
    Endpoint,
    WrongAnswer,
    initialize,
    legacy_headers,
    modern_request,
    result_in,
)
from bench.processes import Memory, Program

START_TIMEOUT_S = 120.0
Speaks = Literal["modern", "stateless", "sessions", "rest"]
Family = Literal["limit", "toolyard", "peer"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A started gateway: how it is called, in which way of speaking, and what its start took."""

    program: Program
    endpoint: Endpoint
    speaks: Speaks
    prefix: str
    start_s: float
    idle: Memory

    def tool(self, name: str) -> str:
        """The name under which a tool of the first upstream is called."""
        return f"{self.prefix}{name}"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One line of the comparison. `start` starts it before a backing and waits for its first answer. `environment`
    names what has to be installed for it; `remark` what the reader has to know; `cannot` gives the reason for each kind
    of backing or call that it has no way to do; `best` marks a peer's best mode, which goes into the core matrix."""

    name: str
    title: str
    family: Family
    start: Callable[[Contestant, Ground, Backing, int], Standing]
    speaks: Speaks = "stateless"
    environment: str = ""
    remark: str = ""
    options: frozenset[str] = frozenset()
    cannot: Mapping[str, str] = field(default_factory=dict)
    best: bool = False

    def home_of(self, ground: Ground, backing: Backing, attempt: int) -> str:
        """A name for the files of one start that no other start has."""
        return f"{self.name}-{backing.kind}-{backing.upstreams}x{backing.tools_each}-{attempt}"


def awaited(program: Program, endpoint: Endpoint, speaks: Speaks, prefix: str) -> Standing:
    """Wait until the first call is answered. Raises DidNotStart, and then nothing is left of it."""
    try:
        start_s = program.wait_until(lambda: answers(endpoint, speaks, prefix), timeout_s=START_TIMEOUT_S, pause_s=0.02)
    except BaseException:
        program.stop()
        raise
    return Standing(program, endpoint, speaks, prefix, start_s, program.memory())


def answers(endpoint: Endpoint, speaks: Speaks, prefix: str) -> bool:
    """Whether one call of echo comes back. Raises WrongAnswer, an OSError."""
    text = "call 1 of the bench"
    if speaks == "rest":
        message = {"server_name": prefix, "tool": "echo", "arguments": {"message": text}}
        result: object = result_in_rest(*endpoint.post(message, endpoint.headers()))
    else:
        params = {"name": f"{prefix}echo", "arguments": {"message": text}}
        result = request(endpoint, speaks, "tools/call", params)
    if text not in str(result):
        raise WrongAnswer(f"{text!r} was expected: {result}")
    return True


def request(endpoint: Endpoint, speaks: Speaks, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of one MCP request in the contestant's way of speaking. Raises WrongAnswer."""
    if speaks == "modern":
        return modern_request(endpoint, method, params)
    session = initialize(endpoint) if speaks == "sessions" else None
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = legacy_headers(endpoint, session) | {"MCP-Protocol-Version": LEGACY}
    return result_in(*endpoint.post(message, headers))


def result_in_rest(status: int, _headers: Mapping[str, str], body: bytes) -> str:
    """The body of a plain HTTP answer. Raises WrongAnswer."""
    if status != 200:
        raise WrongAnswer(f"HTTP {status}: {body[:300]!r}")
    return body.decode()
