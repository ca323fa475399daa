"""The MCP Inspector's command line: one request for each run, in the era it is told to speak."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.environments import environment, node, node_path

LAUNCHER = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
RUN_TIMEOUT_S = 120.0
AT_ONCE = 2
HANDED_ON = ("TOOLYARD_", "PYTHON")


@dataclass(frozen=True, slots=True)
class Inspector:
    """The Inspector on its way to one server: by `http` or `sse` to a URL, or by `stdio` with a command that has no
    option of the Inspector's own names. `home` keeps its files."""

    home: Path
    transport: str
    era: str
    url: str
    command: tuple[str, ...]
    environ: dict[str, str]

    def run(self, *words: str) -> Any:
        """What one run prints: the result, or `{"error": …}` with `{"result": …}` beside it where there is one."""
        where = self.command if self.transport == "stdio" else (self.url,)
        options = ["--transport", self.transport, "--protocol-era", self.era, "--format", "json", "--quiet"]
        if self.transport == "stdio":  # the program it starts gets nothing of its own environment
            given = [f"{name}={value}" for name, value in self.environ.items() if name.startswith(HANDED_ON)]
            options += [word for pair in given for word in ("-e", pair)]
        launcher = str(environment("inspector").folder / LAUNCHER)
        done = subprocess.run(
            [str(node()), launcher, "--cli", *where, *options, *words],
            env={**node_path(), **self.environ, "HOME": str(self.home), "PATH": node_path()["PATH"]},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        printed = json.loads(done.stdout) if done.stdout.strip() else {}
        if done.returncode == 0:
            return printed["result"]
        return {**printed, "code": done.returncode, "error": _error(done.stderr)}

    def run_all(self, wanted: dict[str, tuple[str, ...]]) -> dict[str, Any]:
        """What each of several runs prints, by its name. They run two at a time."""
        with ThreadPoolExecutor(AT_ONCE) as runs:
            return dict(zip(wanted, runs.map(lambda words: self.run(*words), wanted.values()), strict=True))


def _error(printed: str) -> Any:
    """The error on the last line of standard error, or all of that if it is none."""
    try:
        return json.loads(printed.strip().splitlines()[-1])["error"]
    except (ValueError, KeyError, IndexError):
        return printed[-2000:]
