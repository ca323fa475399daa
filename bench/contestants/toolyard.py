"""Toolyard with everything on that exists: keys, authorisation, rate limits, limits in flight, metrics, record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.backing import Backing, Ground
from bench.contestants.standing import START_TIMEOUT_S, Contestant, Standing, awaited, request
from bench.servers import Gateway

ROOM = 12_000
RATE = "1000000/s"
WORKERS = "workers"
LISTS = 9


def start_toolyard(contestant: Contestant, ground: Ground, backing: Backing, attempt: int) -> Standing:
    """`toolyard up` before the backing, with rates and bounds that are kept but never reached."""
    home = ground.work / contestant.home_of(ground, backing, attempt)
    named = command_of(contestant)
    env = {"PYTHONPATH": ""} if named else {}  # another installation runs its own code, not this checkout's
    gateway = Gateway(named or beside_python(), home, ground.cores, env)
    gateway.config.write_text(json.dumps(configuration(contestant, ground, backing), indent=1))
    key = gateway.create_key()
    program = gateway.start()
    standing = awaited(program, gateway.endpoint(key), contestant.speaks, "u0__")
    try:
        program.wait_until(lambda: _listed(standing) == backing.tools, timeout_s=START_TIMEOUT_S)
    except BaseException:
        program.stop()
        raise
    return standing


def _listed(standing: Standing) -> int:
    """How many tools there are on all pages: the first answer comes before all upstreams have told theirs."""
    found, params = 0, dict[str, Any]()
    while True:
        page = request(standing.endpoint, standing.speaks, "tools/list", params)
        found += len(page["tools"])
        if "nextCursor" not in page:
            return found
        params = {"cursor": page["nextCursor"]}


def configuration(contestant: Contestant, ground: Ground, backing: Backing) -> dict[str, Any]:
    """The gateway's file. `list1` to `list9` are further servers whose lists nobody has asked for yet."""
    legacy = contestant.speaks == "sessions"
    limits = {"per_key": RATE, "per_server": RATE}
    server = {"tools": ["*"], "names": "prefixed", "limits": limits}
    further = {f"list{number}": {**server, "access": "open"} for number in range(1, LISTS + 1)}
    return {
        "gateway": {"workers": workers_of(contestant)},
        "limits": {
            "connections": ROOM,
            "in_flight": 1024,
            "in_flight_per_server": 512,
            "in_flight_per_upstream": 512,
            "in_flight_per_principal": 512,
        },
        "defaults": {"max_connections": 512},
        "sessions": {"max": ROOM, "per_principal": ROOM},
        "upstreams": {f"u{number}": _upstream(ground, backing, number, legacy) for number in range(backing.upstreams)},
        "servers": {"default": server, **further},
    }


def _upstream(ground: Ground, backing: Backing, number: int, legacy: bool) -> dict[str, Any]:
    if backing.kind == "stdio":
        command, *arguments = ground.command(backing)
        return {"command": command, "args": arguments}
    url = ground.address(backing, number, legacy=legacy)
    return {"url": url, "tls": {"ca_file": str(ground.authority)}} if backing.kind == "tls" else {"url": url}


def workers_of(contestant: Contestant) -> int:
    """How many processes it is to have."""
    return next((int(word.partition("=")[2]) for word in contestant.options if word.startswith(WORKERS)), 1)


def command_of(contestant: Contestant) -> Path | None:
    """The `toolyard` to be measured, if the contestant says that it is another one than the usual."""
    named = next((word.partition("=")[2] for word in contestant.options if word.startswith("command=")), None)
    return Path(named) if named else None


def beside_python() -> Path:
    """The `toolyard` of the environment that runs the bench, or the one that TOOLYARD_COMMAND names."""
    return Path(os.environ.get("TOOLYARD_COMMAND") or Path(sys.executable).parent / "toolyard")


def help_seconds(pinned: Sequence[str], repeats: int) -> list[float]:
    """How long `toolyard --help` takes, run by run; the first, which may compile, is left out."""
    found = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run([*pinned, "--help"], check=True, timeout=60, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - began)
    return found[1:]


TOOLYARD = Contestant("toolyard", "Toolyard", "toolyard", start_toolyard, "modern", remark="API key")
TOOLYARD_LEGACY = replace(
    TOOLYARD, name="toolyard-legacy", title="Toolyard, 2025-11-25 with sessions", speaks="sessions"
)
TOOLYARD_WORKERS = replace(
    TOOLYARD, name="toolyard-workers", title="Toolyard, two workers", options=frozenset({f"{WORKERS}=2"})
)


def toolyard_at(command: Path, name: str) -> Contestant:
    """Toolyard of another installation."""
    return replace(TOOLYARD, name=name, title=f"Toolyard {name}", options=frozenset({f"command={command}"}))
