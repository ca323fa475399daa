"""The real processes of a gateway with several workers: their supervisor, signals, deaths and sockets."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gateway import stateful_server
from tests.gateway.rig import BOTH, rpc
from tests.gateway.test_process import LIMIT_S, Process, wait
from toolyard.gateway.workers.worker import keeper_of

pytestmark = pytest.mark.slow


@pytest.fixture
def process() -> Iterator[Process]:
    directory = Path(tempfile.mkdtemp(prefix="toolyard-"))
    made = Process(directory)
    try:
        yield made
    finally:
        if made.child is not None and made.child.poll() is None:
            made.child.kill()
            made.child.wait(LIMIT_S)
        wait(lambda: not workers_in(directory))
        shutil.rmtree(directory)


def workers_in(directory: Path) -> list[psutil.Process]:
    """The living worker processes of an installation."""
    found = []
    for one in psutil.process_iter(["cmdline"]):
        words = one.info["cmdline"] or []
        if "toolyard.worker" in words and str(directory) in words[-1] and one.status() != psutil.STATUS_ZOMBIE:
            found.append(one)
    return found


def index_of(worker: psutil.Process) -> int:
    return int(json.loads(worker.cmdline()[-1])["index"])


def legacy(process: Process, message: Any, session: str | None = None) -> tuple[http.client.HTTPResponse, Any]:
    """A legacy message on a connection of its own, which the system gives to any worker."""
    headers = {"content-type": "application/json", "accept": BOTH}
    if session is not None:
        headers["mcp-session-id"] = session
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=LIMIT_S)
    try:
        connection.request("POST", "/mcp", json.dumps(message), headers)
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    if response.headers.get_content_type() == "text/event-stream":
        text = [line for line in text.splitlines() if line.startswith("data: {")][-1].removeprefix("data: ")
    return response, json.loads(text) if text else None


HELLO = rpc("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}})


def add(process: Process, session: str) -> tuple[int, Any]:
    response, answer = legacy(process, rpc("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}}), session)
    return response.status, answer


def test_three_workers_serve_one_port_and_every_session(process: Process) -> None:
    process.start("--workers", "3")
    assert len(workers_in(process.directory)) == 3
    sessions = [legacy(process, HELLO)[0].headers["mcp-session-id"] for _ in range(6)]
    for session in sessions * 4:
        status, answer = add(process, session)
        assert (status, answer["result"]["structuredContent"]) == (200, {"sum": 3})
    status = process.command("status")
    assert process.child is not None
    assert status["pid"] == process.child.pid
    assert (status["sessions"], status["calls"]) == (6, {"ok": 24})
    assert {w["pid"] for w in status["workers"]} == {one.pid for one in workers_in(process.directory)}
    assert process.stop() == 0
    assert not workers_in(process.directory)
    assert not list((process.directory / ".toolyard" / "workers").iterdir())
    assert not (process.directory / ".toolyard" / "gateway.sock").exists()


def test_a_killed_worker_comes_back_and_its_sessions_are_the_ordinary_404(process: Process) -> None:
    process.start("--workers", "2")
    sessions = [legacy(process, HELLO)[0].headers["mcp-session-id"] for _ in range(12)]
    victim = next(one for one in workers_in(process.directory) if index_of(one) == 1)
    victim.kill()
    wait(lambda: len({one.pid for one in workers_in(process.directory)} - {victim.pid}) == 2)
    wait(lambda: process.output().count("worker_listening") == 3)
    outcomes = [add(process, session) for session in sessions]
    assert {status for status, _ in outcomes} == {200, 404}
    for status, answer in outcomes:
        if status == 404:
            assert answer["error"]["data"]["reason"] == "session_unknown"


def test_the_operator_stops_and_starts_an_upstream_in_all_workers_and_one_that_comes_back_knows(
    process: Process,
) -> None:
    process.start("--workers", "2")

    def outcomes() -> set[str]:
        """What twelve calls come to, each on a connection of its own."""
        answers = [process.call("add", {"a": 1, "b": 1})[1] for _ in range(12)]
        return {one["error"]["data"]["reason"] if "error" in one else "ok" for one in answers}

    assert outcomes() == {"ok"}
    assert process.command("upstream", "stop", "demo")["state"] == "stopped"
    assert outcomes() == {"upstream_stopped"}
    victim = next(one for one in workers_in(process.directory) if index_of(one) == 1)
    victim.kill()
    wait(lambda: len({one.pid for one in workers_in(process.directory)} - {victim.pid}) == 2)
    wait(lambda: process.output().count("worker_listening") == 3)
    assert outcomes() == {"upstream_stopped"}
    assert process.command("upstream", "start", "demo")["state"] == "ready"
    assert outcomes() == {"ok"}
    assert process.command("upstream", "restart", "demo")["state"] == "ready"
    assert process.command("upstream", "check", "demo")["offers"]["tools"] > 0
    assert process.stop() == 0


def test_sigterm_lets_running_calls_finish_at_every_worker(process: Process) -> None:
    process.start("--workers", "3")
    answers: list[tuple[int, Any]] = []
    calls = [
        threading.Thread(target=lambda: answers.append(process.call("count", {"to": 3, "interval_ms": 700})))
        for _ in range(12)
    ]
    for call in calls:
        call.start()
    wait(lambda: running_calls(process) >= 12)
    assert process.stop() == 0
    for call in calls:
        call.join(LIMIT_S)
    assert [status for status, _ in answers] == [200] * 12


def running_calls(process: Process) -> int:
    """Established connections at the gateway's port."""
    return sum(
        connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == process.port
        for worker in workers_in(process.directory)
        for connection in worker.net_connections(kind="tcp")
    )


def test_nothing_is_left_when_the_supervisor_is_killed(process: Process) -> None:
    process.start("--workers", "2")
    assert process.child is not None
    os.kill(process.child.pid, signal.SIGKILL)
    process.child.wait(LIMIT_S)
    wait(lambda: not workers_in(process.directory))
    with socket.create_server(("127.0.0.1", process.port)):
        pass
    process.start("--workers", "2")
    assert process.call("add", {"a": 1, "b": 2})[0] == 200


def test_a_worker_that_is_sent_sigterm_finishes_and_comes_back(process: Process) -> None:
    process.start("--workers", "2")
    for index in (1, 0):
        victim = next(one for one in workers_in(process.directory) if index_of(one) == index)
        victim.terminate()
        wait(
            lambda victim=victim: (
                victim not in workers_in(process.directory) and len(workers_in(process.directory)) == 2
            )
        )
    wait(lambda: process.output().count("worker_listening") == 4)
    assert {process.call("add", {"a": 1, "b": 2})[0] for _ in range(8)} == {200}
    assert process.stop() == 0
    assert not workers_in(process.directory)


def test_a_worker_that_comes_back_after_settings_were_edited_is_one_of_the_others(process: Process) -> None:
    process.start("--workers", "2")
    edited = process.config.read_text().replace("gateway: {", "gateway: {data_dir: elsewhere, host: 127.0.0.9, ")
    process.config.write_text(edited)
    next(one for one in workers_in(process.directory) if index_of(one) == 1).kill()
    wait(lambda: process.output().count("worker_listening") == 3)
    sessions = [legacy(process, HELLO)[0].headers["mcp-session-id"] for _ in range(12)]
    assert {add(process, session)[0] for session in sessions * 2} == {200}
    assert not (process.directory / "elsewhere").exists()


def test_edits_and_keys_are_in_force_at_all_workers(process: Process) -> None:
    process.start("--workers", "3")
    process.config.write_text(process.config.read_text().replace("servers:", "servers:\n  extra: {names: plain}"))
    made: dict[str, str] = {}

    def is_made() -> bool:
        with suppress(subprocess.CalledProcessError):
            made.update(process.command("key", "create", "--server", "extra"))
        return bool(made)

    wait(is_made)
    calls = ("add", {"a": 1, "b": 2})
    wait(lambda: {process.call(*calls, path="/mcp/extra", key=made["key"])[0] for _ in range(24)} == {200})
    process.command("key", "revoke", made["id"])
    wait(lambda: {process.call(*calls, path="/mcp/extra", key=made["key"])[0] for _ in range(24)} <= {401, 429})


def test_a_port_that_another_program_listens_on_is_refused_in_words(process: Process) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "toolyard.cli.main", "up", "--config", str(process.config), "--workers", "2"]
        ended = subprocess.run(
            [*command, "--port", str(taken.getsockname()[1])], capture_output=True, timeout=LIMIT_S, check=False
        )
    assert ended.returncode == 1
    assert b"cannot_listen" in ended.stderr
    assert not workers_in(process.directory)


COUNTED = """\
upstreams:
  kept: {{command: "{python}", args: ["{server}", "--count", "{count}"]}}
servers:
  default: {{tools: ["*"], names: plain, access: open}}
"""


def children_in(directory: Path) -> list[psutil.Process]:
    """The stateful servers that run for an installation."""
    return [
        one
        for one in psutil.process_iter(["cmdline"])
        if (words := one.info["cmdline"] or [])
        and words[0] == sys.executable
        and len(words) > 1
        and words[1].endswith("stateful_server.py")
        and str(directory) in " ".join(words)
        and one.status() != psutil.STATUS_ZOMBIE
    ]


def test_a_program_runs_once_for_all_workers_and_again_after_its_worker_was_killed(process: Process) -> None:
    server = str(Path(stateful_server.__file__))
    process.config.write_text(COUNTED.format(python=sys.executable, server=server, count=process.directory / "count"))
    process.start("--workers", "3")

    def remember(value: str) -> list[str]:
        status, answer = process.call("remember", {"value": value})
        assert status == 200, answer
        return list(json.loads(answer["result"]["content"][0]["text"]))

    values = [str(n) for n in range(12)]
    assert [remember(value) for value in values][-1] == values
    assert len(children_in(process.directory)) <= 2  # one session for the caller, one to list the definitions
    victim = next(one for one in workers_in(process.directory) if index_of(one) == keeper_of("kept", 3))
    before = {one.pid for one in children_in(process.directory)}
    victim.kill()
    wait(lambda: not before & {one.pid for one in children_in(process.directory)})
    wait(lambda: process.call("recall", {})[1].get("result") is not None)
    assert remember("after") == ["after"]
    assert process.stop() == 0
    assert not children_in(process.directory)
