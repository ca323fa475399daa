"""The real process: `toolyard up` with its files, signals and sockets."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gateway.rig import modern_request

pytestmark = pytest.mark.slow

LIMIT_S = 30.0
CONFIG = """\
upstreams:
  demo: {builtin: demo}
servers:
  default: {tools: ["*"], names: plain, access: open}
  locked: {tools: ["demo/add"], names: plain}
gateway: {drain: 20s}
"""


class Process:
    """A gateway started by its command, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "toolyard.yaml"
        self.config.write_text(CONFIG)
        self.child: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "toolyard.cli.main", "up", "--config", str(self.config), *options]
        with (self.directory / "out.log").open("ab") as log:
            self.child = subprocess.Popen(
                [*command, "--port", "0", "--log-format", "json"], stdout=log, stderr=log, cwd=self.directory
            )
        wait(lambda: self._read_port() is not None or self.child is None or self.child.poll() is not None)
        port = self._read_port()
        assert port is not None, self.output()
        self.port = port

    def _read_port(self) -> int | None:
        try:
            facts = json.loads((self.directory / ".toolyard" / "gateway.json").read_bytes())
        except (OSError, ValueError):
            return None
        return int(facts["url"].rsplit(":", 1)[1]) if self.child and facts["pid"] == self.child.pid else None

    def output(self) -> str:
        return (self.directory / "out.log").read_text()

    def stop(self) -> int:
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(LIMIT_S)

    def command(self, *words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "toolyard.cli.main", *words, "--config", str(self.config), "-o", "json"],
            capture_output=True,
            check=True,
            timeout=LIMIT_S,
        )
        return json.loads(done.stdout)

    def call(self, tool: str, arguments: dict[str, Any], *, path: str = "/mcp", key: str | None = None) -> Any:
        headers, body = modern_request("tools/call", {"name": tool, "arguments": arguments})
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def get(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()


def wait(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def process() -> Iterator[Process]:
    directory = Path(tempfile.mkdtemp(prefix="ty-"))
    made = Process(directory)
    try:
        yield made
    finally:
        if made.child is not None and made.child.poll() is None:
            made.child.kill()
            made.child.wait()
        shutil.rmtree(directory)


def test_sigterm_lets_running_calls_end_and_then_the_process_ends_with_zero(process: Process) -> None:
    process.start()
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(process.call("count", {"to": 5, "interval_ms": 300})))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    wait(lambda: b'toolyard_in_use{what="running"} 2' in _metrics(process.port))
    assert process.child is not None
    process.child.send_signal(signal.SIGTERM)
    wait(lambda: process.get("/health/ready") == 503)
    assert process.get("/health/live") == 200
    for thread in threads:
        thread.join(LIMIT_S)
    assert [status for status, _ in answers] == [200] * 20
    assert process.child.wait(LIMIT_S) == 0
    assert not (process.directory / ".toolyard" / "gateway.sock").exists()


def _metrics(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_second_signal_stops_at_once(process: Process) -> None:
    process.start()
    calling = threading.Thread(target=_ignore_the_end, args=(process,))
    calling.start()
    wait(lambda: b'toolyard_in_use{what="running"} 2' in _metrics(process.port))
    assert process.child is not None
    process.child.send_signal(signal.SIGTERM)
    wait(lambda: "draining" in process.output())
    process.child.send_signal(signal.SIGINT)
    assert process.child.wait(LIMIT_S) == 0
    calling.join(LIMIT_S)


def _ignore_the_end(process: Process) -> None:
    try:
        process.call("count", {"to": 100, "interval_ms": 1000})
    except (OSError, http.client.HTTPException, ValueError):
        return


def test_an_edit_is_in_force_without_a_failed_call_and_a_broken_one_changes_nothing(process: Process) -> None:
    process.start()
    statuses: list[int] = []
    stop = threading.Event()

    def keep_calling() -> None:
        while not stop.is_set():
            statuses.append(process.call("add", {"a": 1, "b": 1})[0])

    caller = threading.Thread(target=keep_calling)
    caller.start()
    try:
        assert process.call("add", {"a": 1, "b": 2}, path="/mcp/extra")[0] == 401
        process.config.write_text(CONFIG.replace("servers:", "servers:\n  extra: {access: open, names: plain}"))
        wait(lambda: process.call("add", {"a": 1, "b": 2}, path="/mcp/extra")[0] == 200)
        process.config.write_text("servers: {default: {tols: []}}\n")
        wait(lambda: "config_rejected" in process.output())
        assert process.call("add", {"a": 1, "b": 2}, path="/mcp/extra")[0] == 200
        assert "servers.default.tols" in process.output()
    finally:
        stop.set()
        caller.join(LIMIT_S)
    assert statuses
    assert set(statuses) == {200}


def test_a_gateway_starts_with_the_last_good_configuration_while_its_file_is_broken(process: Process) -> None:
    process.start()
    assert process.stop() == 0
    process.config.write_text("upstreams: [\n")
    process.start()
    assert "config_rejected_at_start" in process.output()
    assert process.call("add", {"a": 1, "b": 2})[1]["result"]["structuredContent"] == {"sum": 3}


def test_a_key_works_once_created_and_no_more_once_revoked(process: Process) -> None:
    process.start()
    made = process.command("key", "create", "--server", "locked")
    wait(lambda: process.call("add", {"a": 1, "b": 2}, path="/mcp/locked", key=made["key"])[0] == 200)
    assert process.call("add", {"a": 1, "b": 2}, path="/mcp/locked")[0] == 401
    process.command("key", "revoke", made["id"])
    wait(lambda: process.call("add", {"a": 1, "b": 2}, path="/mcp/locked", key=made["key"])[0] == 401)


def test_nothing_secret_is_written_anywhere_but_where_it_belongs(process: Process) -> None:
    process.config.write_text(
        CONFIG.replace(
            "upstreams:", "upstreams:\n  gone: {url: 'http://127.0.0.1:9/mcp', headers: {X-Key: '${SEKRET}'}}"
        )
    )
    os.environ["SEKRET"] = "SEKRET-UP-1234567890"
    try:
        process.start()
    finally:
        del os.environ["SEKRET"]
    made = process.command("key", "create", "--server", "locked")
    wait(lambda: process.call("add", {"a": 1, "b": 2}, path="/mcp/locked", key=made["key"])[0] == 200)
    process.command("upstreams")
    assert process.stop() == 0
    secret = made["key"].split("_")[3]
    for path in process.directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"SEKRET-UP" not in content, path
            assert secret.encode() not in content, path
            assert path.stat().st_mode & 0o077 == 0 or path.name in ("toolyard.yaml", "out.log"), path


def test_only_loopback_listens_by_default(process: Process) -> None:
    process.start()
    assert process.child is not None
    connections = psutil.Process(process.child.pid).net_connections(kind="inet")
    listening = {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
