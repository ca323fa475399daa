"""ContextForge: registered upstreams in its database, one virtual server of all their tools, a JWT."""

from __future__ import annotations

import http.client
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.backing import Backing, Ground
from bench.client import Endpoint, WrongAnswer
from bench.contestants.python_peers import STATEFUL, launch
from bench.contestants.standing import START_TIMEOUT_S, Contestant, Standing, awaited
from bench.installing import installed
from bench.processes import Program
from bench.servers import free_ports

SECRET = "bench-secret-key-that-is-long-enough-0123456789abcdef"
PASSWORD = "Bench-0123456789-Pass"
REGISTER_TIMEOUT_S = 60.0
CANNOT = {
    "stdio": "has no stdio upstreams of its own",
    "progress": "passes no notifications on, not even with JSON_RESPONSE_ENABLED=false",
}


def start_contextforge(contestant: Contestant, ground: Ground, backing: Backing, attempt: int) -> Standing:
    """Register everything in a first run; what is timed is a second one on the same database."""
    home = ground.work / contestant.home_of(ground, backing, attempt)
    home.mkdir()
    port = free_ports(1)[0]
    first = _run(contestant, ground, home, port)
    try:
        token = _token(home)
        first.wait_until(lambda: bool(_ask(port, token, "GET", "/health")), timeout_s=START_TIMEOUT_S)
        server = _register(port, token, ground, backing)
    finally:
        first.stop()
    program = _run(contestant, ground, home, port)
    return awaited(program, Endpoint(port, token, f"/servers/{server}/mcp/"), contestant.speaks, "u0-")


def environment(contestant: Contestant, home: Path) -> dict[str, str]:
    """Its settings: the rate limit off, loopback upstreams allowed, the secrets it wants, the rest as it comes."""
    return {
        "DATABASE_URL": f"sqlite:///{home}/mcp.db",
        "JWT_SECRET_KEY": SECRET,
        "AUTH_ENCRYPTION_SECRET": SECRET[::-1],
        "BASIC_AUTH_PASSWORD": PASSWORD,
        "PLATFORM_ADMIN_PASSWORD": PASSWORD,
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
        "RATE_LIMITING_ENABLED": "false",
        "TOOL_RATE_LIMIT": "1000000",
        "LOG_LEVEL": "ERROR",
        "USE_STATEFUL_SESSIONS": "true" if STATEFUL in contestant.options else "false",
    }


def _run(contestant: Contestant, ground: Ground, home: Path, port: int) -> Program:
    program = str(installed("contextforge") / "bin" / "mcpgateway")
    argv = [program, "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    return launch(contestant, ground, home, argv, environment(contestant, home))


def _token(home: Path) -> str:
    python = str(installed("contextforge") / "bin" / "python")
    argv = [python, "-m", "mcpgateway.utils.create_jwt_token", "--username", "admin@example.com", "--exp", "10080",
            "--secret", SECRET, "--admin"]  # fmt: skip
    env = {"PATH": "/usr/bin:/bin", "JWT_SECRET_KEY": SECRET, "DATABASE_URL": f"sqlite:///{home}/mcp.db"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, cwd=home)
    words = [line for line in done.stdout.split() if line.startswith("eyJ")]
    if not words:
        raise WrongAnswer(f"create_jwt_token gave none: {(done.stdout + done.stderr)[-300:]}")
    return words[-1]


def _register(port: int, token: str, ground: Ground, backing: Backing) -> str:
    """All upstreams, and a virtual server of all their tools; its id."""
    authority = {"ca_certificate": ground.authority.read_text()} if backing.kind == "tls" else {}
    for number in range(backing.upstreams):
        upstream = {"name": f"u{number}", "url": ground.address(backing, number, legacy=True), **authority}
        _ask(port, token, "POST", "/gateways", {**upstream, "transport": "STREAMABLEHTTP"})
    tools = _ask(port, token, "GET", "/tools?limit=0")
    if len(tools) != backing.tools:
        raise WrongAnswer(f"{len(tools)} tools are registered instead of {backing.tools}")
    server = {"name": "bench", "description": "bench", "associated_tools": [tool["id"] for tool in tools]}
    return str(_ask(port, token, "POST", "/servers", {"server": server})["id"])


def _ask(port: int, token: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REGISTER_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status >= 300:
        raise WrongAnswer(f"{method} {path} was answered with {response.status}: {content[:300]!r}")
    return json.loads(content)


CONTEXTFORGE = Contestant(
    "contextforge", "ContextForge", "peer", start_contextforge, environment="contextforge", remark="JWT", cannot=CANNOT
)
CONTEXTFORGE_STATEFUL = replace(
    CONTEXTFORGE, name="contextforge-stateful", title="ContextForge, stateful sessions", speaks="sessions",
    options=frozenset({STATEFUL}), best=True,
)  # fmt: skip
