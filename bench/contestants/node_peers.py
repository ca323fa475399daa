"""The peers that are written for Node.js."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

from bench.backing import Backing, Ground
from bench.client import Endpoint
from bench.contestants.python_peers import ONE_STDIO, launch, servers
from bench.contestants.standing import Contestant, Standing, awaited
from bench.installing import installed, node
from bench.servers import free_ports


def start_mcp_hub(contestant: Contestant, ground: Ground, backing: Backing, attempt: int) -> Standing:
    """Its REST interface, which is faster than its MCP one (HTTP+SSE only)."""
    home = ground.work / contestant.home_of(ground, backing, attempt)
    home.mkdir()
    port = free_ports(1)[0]
    (home / "servers.json").write_text(json.dumps({"mcpServers": servers(contestant, ground, backing)}))
    script = installed("mcp-hub") / "node_modules/mcp-hub/dist/cli.js"
    argv = [node(), str(script), "--port", str(port), "--config", "servers.json"]
    env = {"XDG_STATE_HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    program = launch(contestant, ground, home, argv, env)
    return awaited(program, Endpoint(port, path="/api/servers/tools"), contestant.speaks, "u0")


def start_supergateway(contestant: Contestant, ground: Ground, backing: Backing, attempt: int) -> Standing:
    """One stdio server with all tools, served over Streamable HTTP."""
    port = free_ports(1)[0]
    script = installed("supergateway") / "node_modules/supergateway/dist/index.js"
    how = ["--stateful"] if contestant.speaks == "sessions" else []
    argv = [node(), str(script), "--stdio", shlex.join(ground.command(backing)), "--outputTransport", "streamableHttp",
            "--logLevel", "none", "--port", str(port), *how]  # fmt: skip
    program = launch(contestant, ground, ground.work / contestant.home_of(ground, backing, attempt), argv)
    return awaited(program, Endpoint(port), contestant.speaks, "")


MCP_HUB = Contestant(
    "mcp-hub", "mcp-hub, REST call", "peer", start_mcp_hub, "rest", "mcp-hub", "no key; not MCP but its own REST",
    best=True, cannot={"progress": "its REST call passes no notifications on"},
)  # fmt: skip
SUPERGATEWAY = Contestant(
    "supergateway", "supergateway, stateful", "peer", start_supergateway, "sessions", "supergateway",
    f"no key; {ONE_STDIO}", best=True,
    cannot={"tls": "serves stdio upstreams only", "upstreams": "serves one upstream"},
)  # fmt: skip
SUPERGATEWAY_STATELESS = replace(
    SUPERGATEWAY, name="supergateway-stateless", title="supergateway", speaks="stateless", best=False,
    remark=f"{SUPERGATEWAY.remark}; a process for each call",
)  # fmt: skip
