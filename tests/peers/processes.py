"""Starts and ends the programs under test and their peers: the gateway, and servers that print their URL."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
MODERN = "2026-07-28"


class NotStarted(Exception):
    """A program did not come up; the text has the end of what it wrote."""


class Gateway:
    """A gateway running from a configuration file in a folder of its own."""

    def __init__(self, folder: Path, port: int, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.url = f"http://localhost:{port}"
        self._environ = environ

    def command(self, *words: str) -> list[str]:
        """A `toolyard` command line against this gateway."""
        return [sys.executable, "-m", "toolyard.cli.main", *words]

    def run(self, *words: str) -> Any:
        """What `toolyard … -o json` says. Raises NotStarted if it fails."""
        done = subprocess.run(
            self.command(*words, "-o", "json"),
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise NotStarted(f"toolyard {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which commands find this gateway."""
        return dict(self._environ)

    def key(self, server: str = "default") -> str:
        """A new API key of that virtual server."""
        made = self.run("key", "create", "--server", server)
        return str(made["key"])

    def tools(self, server: str = "default", key: str | None = None) -> list[str]:
        """The names of the tools that the server lists at this moment."""
        result = modern_request(f"{self.url}/mcp/{server}", "tools/list", key=key)
        return [tool["name"] for tool in result.get("tools", [])]

    def wait_for_tools(self, *names: str, server: str = "default", key: str | None = None) -> None:
        """Wait until the server lists all of these tools. Raises NotStarted after a minute."""
        give_up = time.monotonic() + START_TIMEOUT_S
        while missing := set(names) - set(listed := self.tools(server, key)):
            if time.monotonic() > give_up:
                raise NotStarted(f"server {server!r} lists {listed} but not {sorted(missing)}\n{self.log_tail()}")
            time.sleep(0.1)

    def log_tail(self) -> str:
        """The end of what the gateway wrote."""
        return _tail(self.folder / "gateway.log")


def modern_request(url: str, method: str, params: dict[str, Any] | None = None, key: str | None = None) -> Any:
    """The result of one plain request of revision 2026-07-28 with no client capabilities."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "toolyard-tests", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**(params or {}), "_meta": meta}}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
        **({"Authorization": f"Bearer {key}"} if key else {}),
    }
    request = urllib.request.Request(url, json.dumps(message).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=START_TIMEOUT_S) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as problem:
        raise NotStarted(f"{method} at {url}: HTTP {problem.code}: {problem.read().decode()[:500]}") from problem
    if "result" not in answer:
        raise NotStarted(f"{method} at {url}: {json.dumps(answer)[:500]}")
    return answer["result"]


@contextlib.contextmanager
def gateway(folder: Path, configuration: dict[str, Any], **environ: str) -> Iterator[Gateway]:
    """Run `toolyard up` from that configuration until the block ends. `folder` receives its log."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "toolyard.yaml"
    config.write_text(json.dumps(configuration, indent=2), encoding="utf-8")  # JSON is YAML
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="toolyard-", ignore_cleanup_errors=True) as data,  # short: it has a socket
        (folder / "gateway.log").open("wb") as log,
    ):
        own = {
            "TOOLYARD_CONFIG": str(config),
            "TOOLYARD_DATA_DIR": data,
            "TOOLYARD_URL": f"http://localhost:{port}",
        }
        running = Gateway(folder, port, {**os.environ, **own, **environ})
        command = running.command("up", "--config", str(config), "--port", str(port))
        with subprocess.Popen(command, cwd=folder, env=running.environ, stdout=log, stderr=log) as process:
            try:
                _wait_until_ready(running, process)
                yield running
            finally:
                _end(process)


@contextlib.contextmanager
def serving(command: list[str], log: Path, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a server whose first line on standard output is `{"url": …}`, and give that URL."""
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            line = _first_line(process)
            if not line:
                raise NotStarted(f"{' '.join(command)}: no URL within {START_TIMEOUT_S:.0f} s\n{_tail(log)}")
            yield str(json.loads(line)["url"])
        finally:
            _end(process)


@contextlib.contextmanager
def listening(command: list[str], port: int, log: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Run a server that was told its port, once somebody answers on it."""
    with log.open("wb") as output, subprocess.Popen(command, env=environ, stdout=output, stderr=output) as process:
        try:
            give_up = time.monotonic() + START_TIMEOUT_S
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > give_up:
                    raise NotStarted(f"{' '.join(command)}: exit code {process.poll()}\n{_tail(log)}")
                time.sleep(0.05)
            yield
        finally:
            _end(process)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port of the loopback address that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_line(process: subprocess.Popen[str]) -> str:
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=lambda read=process.stdout.readline: lines.put(read()), daemon=True).start()
    try:
        return lines.get(timeout=START_TIMEOUT_S)
    except queue.Empty:
        return ""


def _wait_until_ready(running: Gateway, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < give_up:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{running.url}/health/ready", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise NotStarted(f"the gateway is not ready (exit code {process.poll()})\n{running.log_tail()}")


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
    if process.stdout is not None:
        process.stdout.close()


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-40:])
