"""What stands on the two cores: the upstream that answers, and the gateway itself."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.client import Endpoint, initialize, modern_request
from bench.machine import Cores, find_program
from bench.processes import ECHO_SCRIPT, DidNotStart, Program

LOAD = Path(__file__).resolve().parent / "load"
KEY_PATTERN = re.compile(r"mcp_key_[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Ports:
    """The loopback ports of one run."""

    modern: int
    legacy: int
    modern_tls: int = 0
    legacy_tls: int = 0


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on at this moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def start_upstream(work: Path, ports: Ports, cores: Cores) -> Program:
    """The nginx+Lua upstream on the load's core; returns when both its eras answer."""
    text = (LOAD / "upstream.conf.in").read_text()
    for key, value in _values(work, ports).items():
        text = text.replace(f"@{key}@", value)
    config = work / "upstream.conf"
    config.write_text(text)
    argv = [find_program("nginx") or "nginx", "-p", str(work), "-e", str(work / "upstream.errors"), "-c", str(config)]
    program = Program("nginx (upstream)", cores.pinned(cores.load, argv), work / "upstream.log")
    program.wait_until(lambda: _answers(ports.modern, ports.legacy), timeout_s=20)
    return program


def _tls(work: Path, ports: Ports) -> dict[str, str]:
    """The further ports of the upstream on which it speaks TLS, if there are to be any."""
    certificate = f"ssl_certificate {work}/upstream.pem; ssl_certificate_key {work}/upstream.key;"
    listen = f"listen 127.0.0.1:{{}} ssl backlog=4096; {certificate} ssl_session_cache shared:bench:1m;"
    return {
        "MODERN_TLS": listen.format(ports.modern_tls) if ports.modern_tls else "",
        "LEGACY_TLS": listen.format(ports.legacy_tls) if ports.legacy_tls else "",
    }


def _values(work: Path, ports: Ports) -> dict[str, str]:
    return {
        "USER": "user root;" if os.geteuid() == 0 else "",
        "WORK": str(work),
        "LOAD": str(LOAD),
        "MODERN_PORT": str(ports.modern),
        "LEGACY_PORT": str(ports.legacy),
        **_tls(work, ports),
    }


def _answers(modern: int, legacy: int) -> bool:
    modern_request(Endpoint(modern), "tools/list", {})
    initialize(Endpoint(legacy))
    return True


def echo_command(cores: Cores) -> list[str]:
    """The stdio echo server, which puts itself on the load's core."""
    return [sys.executable, str(LOAD / ECHO_SCRIPT), "" if cores.load is None else str(cores.load)]


class Gateway:
    """One installed `toolyard` with a folder of its own for configuration, data and logs."""

    def __init__(self, toolyard: Path, home: Path, cores: Cores, env: Mapping[str, str] | None = None) -> None:
        home.mkdir(parents=True)
        self._toolyard = toolyard
        self._cores = cores
        self.home = home
        self.config = home / "toolyard.yaml"
        self.port = free_ports(1)[0]
        self._env = {
            "TOOLYARD_DATA_DIR": str(home / "data"),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "TOOLYARD_DRAIN": "200ms",
            "PYTHONDONTWRITEBYTECODE": "",  # an installed package is compiled: without, every start is 100 ms longer
            "PYTHONPYCACHEPREFIX": str(home.parent / "compiled"),
            **(env or {}),
        }

    def endpoint(self, key: str) -> Endpoint:
        return Endpoint(self.port, key)

    def create_key(self, server: str = "default") -> str:
        """A new API key from the command line; raises DidNotStart when there is none in its output."""
        argv = [str(self._toolyard), "key", "create", "--server", server, "-o", "json", "--config", str(self.config)]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=60, cwd=self.home, env={**os.environ, **self._env}
        )
        if found := KEY_PATTERN.search(done.stdout):
            return found.group()
        raise DidNotStart(f"`toolyard key create` gave no key (code {done.returncode}):\n{done.stdout}{done.stderr}")

    def start(self) -> Program:
        argv = [str(self._toolyard), "up", "--config", str(self.config), "--port", str(self.port)]
        pinned = self._cores.pinned(self._cores.gateway, argv)
        alone = {**self._env, "TOOLYARD_CONTROL": "off"}
        return Program("toolyard", pinned, self.home / "toolyard.log", env=alone, cwd=self.home)

    def printed_key(self) -> str | None:
        """The key that a first start prints, once it is in the log."""
        log = self.home / "toolyard.log"
        found = KEY_PATTERN.search(log.read_text(errors="replace")) if log.exists() else None
        return found.group() if found else None


def tool_named(endpoint: Endpoint, *parts: str) -> str:
    """The exposed name of the one tool whose name has all `parts`; an OSError while it is not listed."""
    names: list[str] = [tool["name"] for tool in modern_request(endpoint, "tools/list", {})["tools"]]
    found = [name for name in names if all(part in name for part in parts)]
    if len(found) != 1:
        raise OSError(f"{len(found)} tools are named like {parts}: {names[:20]}")
    return found[0]
