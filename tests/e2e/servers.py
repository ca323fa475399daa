"""The five real servers of the tour: how each is started, and the workspace they look at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peers.environments import environment, node
from tests.peers.processes import free_port, listening

COMMIT = "First commit of the tour"
NOTE = "A note that only the filesystem server knows."
SERVERS = ("clock", "git", "files", "memory", "everything")


def make_workspace(folder: Path) -> Path:
    """A folder with a note and a git repository of one commit."""
    folder.mkdir(parents=True)
    (folder / "note.txt").write_text(NOTE, encoding="utf-8")
    repository = folder / "repository"
    repository.mkdir()
    (repository / "readme").write_text("Read me.", encoding="utf-8")
    identity = ["-c", "user.name=Tour", "-c", "user.email=tour@example.com", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", COMMIT]):
        subprocess.run(["git", *words], cwd=repository, check=True, capture_output=True)
    return folder


def command(server: str, workspace: Path) -> list[str]:
    """The command line that starts one of the servers on standard input and output."""
    mcp2 = environment("mcp2")
    if server == "clock":
        return [str(mcp2.program("mcp-server-time")), "--local-timezone", "UTC"]
    if server == "git":
        return [str(mcp2.program("mcp-server-git")), "--repository", str(workspace / "repository")]
    package = {"files": "filesystem", "memory": "memory", "everything": "everything"}[server]
    script = environment("servers").folder / f"node_modules/@modelcontextprotocol/server-{package}/dist/index.js"
    arguments = {"files": [str(workspace)], "memory": [], "everything": ["stdio"]}[server]
    return [str(node()), str(script), *arguments]


def environ(server: str, workspace: Path) -> dict[str, str]:
    """What a server needs in its environment besides the usual."""
    return {"MEMORY_FILE_PATH": str(workspace / "memory.jsonl")} if server == "memory" else {}


def upstreams(workspace: Path) -> dict[str, Any]:
    """The five as upstreams of a gateway."""
    return {
        server: {
            "command": command(server, workspace)[0],
            "args": command(server, workspace)[1:],
            "env": environ(server, workspace),
        }
        for server in SERVERS
    }


@contextmanager
def everything_over(transport: str, log: Path) -> Iterator[str]:
    """server-everything over HTTP: `streamableHttp` or `sse`. Gives its URL."""
    port = free_port()
    script = environment("servers").folder / "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
    variables = {**os.environ, "PORT": str(port)}
    with listening([str(node()), str(script), transport], port, log, variables):
        yield f"http://localhost:{port}/{'sse' if transport == 'sse' else 'mcp'}"


def recorded_everything(ledger: Path) -> list[str]:
    """The command line of server-everything on standard input and output, with a ledger of its calls."""
    recorder = [sys.executable, str(Path(__file__).with_name("recorder.py")), str(ledger)]
    return [*recorder, *command("everything", ledger.parent)]


def workshop_command(sdk: str) -> list[str]:
    """The command line of the workshop on that SDK: `mcp1`, `mcp2` or `fastmcp`. It wants a ledger."""
    return [str(environment(sdk).python), str(Path(__file__).with_name(f"workshop_{sdk}.py"))]


def websocket_command() -> list[str]:
    """The command line of the server that speaks WebSocket."""
    return [str(environment("mcp1").python), str(Path(__file__).with_name("websocket_server.py"))]
