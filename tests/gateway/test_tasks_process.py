"""Tasks of a real process that is killed: what was begun is never begun again, and its caller learns the truth."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gateway.rig import modern_request
from tests.gateway.test_process import LIMIT_S, Process, wait
from tests.gateway.test_workers_process import workers_in
from tests.gateway.workshop import ABLE, ANN

pytestmark = pytest.mark.slow

SERVER = Path(__file__).with_name("slow_server.py")
TERMINAL = {"completed", "failed", "cancelled"}


class Tasked(Process):
    """A gateway in front of a slow server, whose calls become tasks at once."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.count, self.goes_on = directory / "count", directory / "goes-on"
        slow = {"command": [sys.executable, str(SERVER), str(self.count), str(self.goes_on)], "tasks": "always"}
        server = {"tools": ["*"], "names": "plain", "access": "open"}
        self.config.write_text(json.dumps({"upstreams": {"slow": slow}, "servers": {"default": server}}))

    def request(self, method: str, params: dict[str, Any]) -> Any:
        """The result or error of one modern request."""
        headers, body = modern_request(method, params, capabilities=ABLE)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request("POST", "/mcp", body, headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer.get("result") or answer["error"]

    def begin(self, **arguments: Any) -> str:
        """Call the tool; the task's id."""
        answer = self.request("tools/call", {"name": "build", "arguments": arguments})
        assert answer["resultType"] == "task", (answer, self.output())
        return str(answer["taskId"])

    def task(self, task_id: str) -> Any:
        return self.request("tasks/get", {"taskId": task_id})

    def until(self, task_id: str, *statuses: str) -> Any:
        """The task once it has one of these statuses."""
        found: list[Any] = []

        def has() -> bool:
            with suppress(OSError, http.client.HTTPException):  # its worker was killed
                found.append(self.task(task_id))
            return bool(found) and found[-1].get("status") in (statuses or TERMINAL)

        wait(has)
        return found[-1]

    def noted(self) -> list[str]:
        return self.count.read_text().split() if self.count.exists() else []

    def kill(self) -> None:
        """As the system kills: without a word. Its children end by themselves."""
        assert self.child is not None
        children = psutil.Process(self.child.pid).children(recursive=True)
        self.child.kill()
        self.child.wait(LIMIT_S)
        _, alive = psutil.wait_procs(children, timeout=LIMIT_S)
        assert alive == []


@contextmanager
def started(process: Tasked) -> Iterator[Tasked]:
    """That gateway, killed at the end if it still runs."""
    process.start()
    try:
        yield process
    finally:
        if process.child is not None and process.child.poll() is None:
            process.child.kill()
            process.child.wait(LIMIT_S)


@pytest.fixture
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ty-"))
    yield made
    wait(lambda: not workers_in(made))
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def gateway(directory: Path) -> Iterator[Tasked]:
    with started(Tasked(directory)) as process:
        yield process


def test_a_task_at_work_when_the_gateway_is_killed_says_that_nobody_knows_and_is_not_begun_again(
    gateway: Tasked,
) -> None:
    task_id = gateway.begin()
    wait(lambda: gateway.noted() == ["begun"])
    gateway.kill()
    gateway.goes_on.touch()
    gateway.start()
    task = gateway.task(task_id)
    assert (task["status"], task["error"]["data"]["reason"]) == ("failed", "call_lost")
    assert "not known" in task["error"]["message"]
    assert gateway.until(gateway.begin())["status"] == "completed"
    assert gateway.noted() == ["begun", "begun", "done"]
    assert gateway.task(task_id) == task


def test_a_task_that_waits_for_input_when_the_gateway_is_killed_is_lost_and_nothing_was_done(gateway: Tasked) -> None:
    task_id = gateway.begin(ask=True)
    (key,) = gateway.until(task_id, "input_required")["inputRequests"]
    gateway.kill()
    gateway.goes_on.touch()
    gateway.start()
    assert (
        gateway.request("tasks/update", {"taskId": task_id, "inputResponses": {key: ANN}})["resultType"] == "complete"
    )
    assert gateway.task(task_id)["error"]["data"]["reason"] == "call_lost"
    assert gateway.noted() == []


def test_what_a_caller_was_told_of_a_finished_task_holds_after_the_gateway_was_killed(gateway: Tasked) -> None:
    task_id = gateway.begin(ask=True)
    (key,) = gateway.until(task_id, "input_required")["inputRequests"]
    gateway.goes_on.touch()
    gateway.request("tasks/update", {"taskId": task_id, "inputResponses": {key: ANN}})
    told = gateway.until(task_id)
    gateway.kill()
    gateway.start()
    assert gateway.task(task_id) == told
    assert told["result"]["content"][0]["text"] == "built for Ann"
    assert gateway.noted() == ["begun", "done"]


def test_a_task_whose_upstream_is_killed_fails_and_is_not_begun_again(gateway: Tasked) -> None:
    task_id = gateway.begin()
    wait(lambda: gateway.noted() == ["begun"])
    assert gateway.child is not None
    for child in psutil.Process(gateway.child.pid).children(recursive=True):
        with suppress(psutil.Error):  # it ended with the one before
            if SERVER.name in " ".join(child.cmdline()):
                child.kill()
    task = gateway.until(task_id)
    assert (task["status"], task["error"]["data"]["reason"]) == ("failed", "upstream_exited")
    assert gateway.noted() == ["begun"]


def test_a_task_at_work_when_its_worker_is_killed_says_so_at_every_other_worker(directory: Path) -> None:
    gateway = Tasked(directory)
    gateway.config.write_text(json.dumps({**json.loads(gateway.config.read_text()), "gateway": {"workers": 3}}))
    with started(gateway):
        task_id = gateway.begin()
        wait(lambda: gateway.noted() == ["begun"])
        workers = workers_in(directory)
        for worker in workers:  # stopped first, so that none hears of another's death
            worker.suspend()
        for worker in workers:
            worker.kill()
        gateway.goes_on.touch()
        wait(lambda: len(workers_in(directory)) == 3)
        task = gateway.until(task_id)
        assert (task["status"], task["error"]["data"]["reason"]) == ("failed", "call_lost")
        assert {json.dumps(gateway.task(task_id), sort_keys=True) for _ in range(12)} == {
            json.dumps(task, sort_keys=True)
        }
        assert gateway.noted().count("begun") == 1
        assert gateway.stop() == 0


def test_a_task_at_work_when_the_gateway_stops_in_order_says_that_it_was_given_up(gateway: Tasked) -> None:
    task_id = gateway.begin()
    wait(lambda: gateway.noted() == ["begun"])
    assert gateway.stop() == 0
    gateway.start()
    task = gateway.task(task_id)
    assert (task["status"], task["error"]["data"]["reason"]) == ("failed", "task_given_up")
    assert gateway.noted() == ["begun"]
