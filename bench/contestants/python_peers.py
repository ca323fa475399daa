"""The peers that are written in Python, each in its own environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.backing import Backing, Ground
from bench.client import Endpoint
from bench.contestants.standing import Contestant, Standing, awaited
from bench.installing import installed
from bench.processes import Program
from bench.servers import LOAD, free_ports

MEMOISED = "memoised"
STATEFUL = "stateful"
SHARED = "shared"
STREAMS = "streams"
MASTER_KEY = "sk-bench-0123456789abcdef"


def launch(
    contestant: Contestant,
    ground: Ground,
    home: Path,
    argv: list[str],
    env: Mapping[str, str] | None = None,
) -> Program:
    """The peer on the gateway's core, with the TLS context memoised if the contestant says so."""
    home.mkdir(exist_ok=True)
    own = {"PYTHONPATH": str(LOAD / "memoised") if MEMOISED in contestant.options else ""}
    trust = {"SSL_CERT_FILE": str(ground.authority), "NODE_EXTRA_CA_CERTS": str(ground.authority)}
    pinned = ground.cores.pinned(ground.cores.gateway, argv)
    return Program(contestant.title, pinned, home / "log", env={**trust, **own, **(env or {})}, cwd=home)


def servers(contestant: Contestant, ground: Ground, backing: Backing) -> dict[str, dict[str, Any]]:
    """The upstreams by name, in the form that clients' files gave to the world."""
    if backing.kind == "stdio":
        command, *arguments = ground.command(backing)
        return {"u0": {"command": command, "args": arguments}}
    return {f"u{n}": {"url": ground.address(backing, n, legacy=True)} for n in range(backing.upstreams)}


def start_fastmcp(contestant: Contestant, ground: Ground, backing: Backing, attempt: int) -> Standing:
    """Its proxy without sessions, answering with JSON or with streams: a client for each call, or one for all."""
    python = installed("fastmcp") / "bin" / "python"
    port = free_ports(1)[0]
    mode = SHARED if SHARED in contestant.options else "fresh"
    form = STREAMS if STREAMS in contestant.options else "json"
    behind = json.dumps(servers(contestant, ground, backing))
    argv = [str(python), str(LOAD / "fastmcp_proxy.py"), str(port), mode, form, behind]
    program = launch(contestant, ground, ground.work / contestant.home_of(ground, backing, attempt), argv)
    return awaited(program, Endpoint(port), contestant.speaks, "" if backing.upstreams == 1 else "u0_")


def start_litellm(contestant: Contestant, ground: Ground, backing: Backing, attempt: int) -> Standing:
    """Its proxy without a database, with the master key."""
    home = ground.work / contestant.home_of(ground, backing, attempt)
    home.mkdir()
    port = free_ports(1)[0]
    transport = "stdio" if backing.kind == "stdio" else "http"
    behind = {name: {**server, "transport": transport} for name, server in servers(contestant, ground, backing).items()}
    config = {"model_list": [], "general_settings": {"master_key": MASTER_KEY}, "mcp_servers": behind}
    (home / "litellm.yaml").write_text(json.dumps(config))
    litellm = installed("litellm") / "bin" / "litellm"
    argv = [str(litellm), "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(port), "--telemetry",
            "False"]  # fmt: skip
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_ENABLE_MCP_STDIO": "true"}
    program = launch(contestant, ground, home, argv, env)
    return awaited(program, Endpoint(port, MASTER_KEY, "/mcp/"), contestant.speaks, "u0-")


def start_mcp_proxy(contestant: Contestant, ground: Ground, backing: Backing, attempt: int) -> Standing:
    """One stdio server with all tools, served over Streamable HTTP."""
    port = free_ports(1)[0]
    how = [] if contestant.speaks == "sessions" else ["--stateless"]
    program_path = str(installed("mcp-proxy") / "bin" / "mcp-proxy")
    argv = [program_path, "--port", str(port), "--log-level", "ERROR", *how, "--", *ground.command(backing)]
    program = launch(contestant, ground, ground.work / contestant.home_of(ground, backing, attempt), argv)
    return awaited(program, Endpoint(port), contestant.speaks, "")


ONE_STDIO = "one stdio upstream with all tools"
FASTMCP = Contestant(
    "fastmcp", "FastMCP proxy", "peer", start_fastmcp, environment="fastmcp", remark="no key; a client for each call"
)
FASTMCP_SHARED = replace(
    FASTMCP, name="fastmcp-shared", title="FastMCP proxy, one shared client", options=frozenset({SHARED}),
    remark="no key", best=True,
)  # fmt: skip
FASTMCP_STREAMS = replace(
    FASTMCP, name="fastmcp-streams", title="FastMCP proxy, answering with streams",
    options=FASTMCP.options | {STREAMS},
)  # fmt: skip
FASTMCP_SHARED_STREAMS = replace(
    FASTMCP_SHARED, name="fastmcp-shared-streams", title="FastMCP proxy, one shared client, answering with streams",
    options=FASTMCP_SHARED.options | {STREAMS}, best=False,
    remark="no key; with several callers, some calls get no notifications",
)  # fmt: skip
LITELLM = Contestant(
    "litellm", "LiteLLM", "peer", start_litellm, environment="litellm", remark="master key, no database", best=True
)
MCP_PROXY = Contestant(
    "mcp-proxy", "mcp-proxy", "peer", start_mcp_proxy, "sessions", "mcp-proxy", f"no key; {ONE_STDIO}", best=True,
    cannot={"tls": "serves stdio upstreams only", "upstreams": "serves one upstream on a path"},
)  # fmt: skip
MCP_PROXY_STATELESS = replace(
    MCP_PROXY, name="mcp-proxy-stateless", title="mcp-proxy, stateless", speaks="stateless", best=False
)


def memoised(contestant: Contestant, *, best: bool) -> Contestant:
    """The same with TLS contexts kept, which some make anew for every call."""
    return replace(
        contestant, name=f"{contestant.name}-memoised", title=f"{contestant.title}, TLS context memoised",
        options=contestant.options | {MEMOISED}, best=best,
    )  # fmt: skip
