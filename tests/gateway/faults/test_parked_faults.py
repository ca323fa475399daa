"""Faults at every step of a parked call, with a real gateway process and a real upstream: nothing is done twice, and
every caller learns the truth."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gateway.rig import modern_request

pytestmark = pytest.mark.slow

LIMIT_S = 30.0
SERVER = Path(__file__).with_name("ledger_server.py")
WORKERS_TO_KILL = [("stdio", 0), ("stdio", 1), ("http", 2)]
OFFER = {"elicitation": {"form": {}}}
YES = {"elicitation-1": {"action": "accept", "content": {}}}


def wait(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def _command(process: psutil.Process) -> list[str]:
    """Its command line; empty for one that has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


class Stage:
    """A gateway process and a shop behind it, which both can be killed and started again."""

    def __init__(self, folder: Path, transport: str, workers: int) -> None:
        self.folder = folder
        self.transport = transport
        self.ledger = folder / "ledger"
        self.shop: subprocess.Popen[bytes] | None = None
        self.gateway: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._shop_port = 0
        if transport == "http":
            self.start_shop()
        upstream: dict[str, Any] = {"url": f"http://127.0.0.1:{self._shop_port}/mcp"}
        if transport == "stdio":
            upstream = {"command": sys.executable, "args": [str(SERVER), "--ledger", str(self.ledger)]}
        document: dict[str, Any] = {
            "upstreams": {"shop": upstream},
            "servers": {"default": {"tools": ["*"], "names": "plain", "access": "open"}},
        }
        document["gateway"] = {"drain": "100ms", **({"workers": workers} if workers > 1 else {})}
        (folder / "toolyard.yaml").write_text(json.dumps(document))

    def start_shop(self) -> None:
        command = [sys.executable, str(SERVER), "--ledger", str(self.ledger), "--http", str(self._shop_port)]
        self.shop = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.shop.stdout is not None
        with self.shop.stdout as printed:
            self._shop_port = int(printed.readline())

    def start_gateway(self) -> None:
        command = [sys.executable, "-m", "toolyard.cli.main", "up", "--port", str(self.port), "--log-format", "json"]
        facts = self.folder / ".toolyard" / "gateway.json"
        facts.unlink(missing_ok=True)
        with (self.folder / "out.log").open("ab") as log:
            self.gateway = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        wait(lambda: facts.exists() or (self.gateway is not None and self.gateway.poll() is not None))
        self.port = int(json.loads(facts.read_bytes())["url"].rsplit(":", 1)[1])
        wait(lambda: self.answers())

    def answers(self) -> bool:
        try:
            return bool(self.ask("tools/list", {})["result"]["tools"])
        except (OSError, http.client.HTTPException, KeyError):
            return False

    def kill_gateway(self) -> None:
        assert self.gateway is not None
        family = [self.gateway, *psutil.Process(self.gateway.pid).children(recursive=True)]
        self.gateway.kill()
        self.gateway.wait(LIMIT_S)
        wait(lambda: not any(p.is_running() for p in family[1:] if isinstance(p, psutil.Process)))

    def kill_shop(self) -> None:
        if self.shop is not None:
            self.shop.kill()
            self.shop.wait(LIMIT_S)
            return
        assert self.gateway is not None
        for child in psutil.Process(self.gateway.pid).children(recursive=True):
            if str(SERVER) in child.cmdline() and "keeper.py" not in " ".join(child.cmdline()):
                os.kill(child.pid, signal.SIGKILL)

    def workers(self) -> list[psutil.Process]:
        assert self.gateway is not None
        children = psutil.Process(self.gateway.pid).children()
        return [child for child in children if "toolyard.worker" in _command(child)]

    def hold(self, step: str) -> None:
        (self.folder / f"ledger.{step}").touch()

    def let_go(self, step: str) -> None:
        (self.folder / f"ledger.{step}").unlink()

    def lines(self) -> list[str]:
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        connection = self.send(method, params)
        try:
            return self.read(connection)
        finally:
            connection.close()

    def send(self, method: str, params: dict[str, Any]) -> http.client.HTTPConnection:
        headers, body = modern_request(method, params, capabilities=OFFER)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        connection.request("POST", "/mcp", body, headers)
        return connection

    def read(self, connection: http.client.HTTPConnection) -> Any:
        with connection.getresponse() as response:
            return json.loads(response.read())

    def tell(self, method: str, params: dict[str, Any]) -> Any:
        """As `ask`, but None where no answer came."""
        try:
            return self.ask(method, params)
        except (OSError, http.client.HTTPException):
            return None

    def buy(self, **more: Any) -> Any:
        return self.ask("tools/call", {"name": "buy", "arguments": {}, **more})

    def answer(self, asked: Any) -> dict[str, Any]:
        state = asked["result"]["requestState"]
        return {"name": "buy", "arguments": {}, "requestState": state, "inputResponses": YES}

    def close(self) -> None:
        for process in (self.gateway, self.shop):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(LIMIT_S)


@pytest.fixture(params=["stdio", "http"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    yield from _stage(tmp_path, request.param, 1)


@pytest.fixture(params=["stdio", "http"])
def crew(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A stage whose gateway has three workers."""
    yield from _stage(tmp_path, request.param, 3)


def _stage(folder: Path, transport: str, workers: int) -> Iterator[Stage]:
    made = Stage(folder, transport, workers)
    made.start_gateway()
    try:
        yield made
    finally:
        made.close()


def reason(reply: Any) -> Any:
    return reply["error"]["data"]["reason"]


def test_without_a_fault_it_is_sold_once(stage: Stage) -> None:
    asked = stage.buy()
    done = stage.ask("tools/call", stage.answer(asked))
    assert done["result"]["content"][0]["text"] == "sold"
    assert stage.lines() == ["begun", "sold"]


def test_a_gateway_killed_while_the_call_is_parked_forgets_it_and_says_so(stage: Stage) -> None:
    asked = stage.buy()
    stage.kill_gateway()
    stage.start_gateway()
    assert reason(stage.ask("tools/call", stage.answer(asked))) == "call_lost"
    assert stage.lines().count("sold") == 0
    assert stage.ask("tools/call", stage.answer(stage.buy()))["result"]["content"][0]["text"] == "sold"


def test_a_gateway_killed_while_the_upstream_sells_never_sells_again(stage: Stage) -> None:
    stage.hold("before-selling")
    asked = stage.buy()
    with closing(stage.send("tools/call", stage.answer(asked))) as connection:
        wait(lambda: "before-selling" in stage.lines())
        stage.kill_gateway()
        with pytest.raises((OSError, http.client.HTTPException)):
            stage.read(connection)
    stage.let_go("before-selling")
    stage.start_gateway()
    assert reason(stage.ask("tools/call", stage.answer(asked))) == "call_lost"
    assert stage.lines().count("begun") == 1
    assert stage.lines().count("sold") <= 1


def test_an_upstream_killed_while_the_call_is_parked_fails_the_retry(stage: Stage) -> None:
    asked = stage.buy()
    stage.kill_shop()
    reply = stage.ask("tools/call", stage.answer(asked))
    assert reason(reply) in {"upstream_exited", "upstream_incomplete", "upstream_unreachable"}
    assert stage.lines() == ["begun"]
    assert reason(stage.ask("tools/call", stage.answer(asked))) == "call_lost"


def test_an_upstream_killed_while_it_sells_fails_the_call(stage: Stage) -> None:
    stage.hold("before-selling")
    with closing(stage.send("tools/call", stage.answer(stage.buy()))) as connection:
        wait(lambda: "before-selling" in stage.lines())
        stage.kill_shop()
        assert reason(stage.read(connection)) in {"upstream_exited", "upstream_incomplete"}
    stage.let_go("before-selling")
    assert stage.lines() == ["begun", "before-selling"]


def test_a_client_gone_before_it_was_asked_cancels_the_call(stage: Stage) -> None:
    stage.hold("before-asking")
    connection = stage.send("tools/call", {"name": "buy", "arguments": {}})
    wait(lambda: "before-asking" in stage.lines())
    connection.close()
    wait(lambda: "cancelled" in stage.lines())
    stage.let_go("before-asking")
    wait(lambda: "declined" in stage.lines() or stage.transport == "http")
    assert stage.ask("tools/call", stage.answer(stage.buy()))["result"]["content"][0]["text"] == "sold"
    assert stage.lines().count("sold") == 1


def test_a_client_gone_while_the_upstream_works_cancels_the_call_and_its_state_is_spent(stage: Stage) -> None:
    stage.hold("before-selling")
    asked = stage.buy()
    connection = stage.send("tools/call", stage.answer(asked))
    wait(lambda: "before-selling" in stage.lines())
    connection.close()
    wait(lambda: "cancelled" in stage.lines())
    assert reason(stage.ask("tools/call", stage.answer(asked))) == "call_lost"
    stage.let_go("before-selling")
    assert stage.lines().count("begun") == 1


def test_a_gateway_told_to_stop_gives_its_parked_calls_up(stage: Stage) -> None:
    stage.buy()
    assert stage.gateway is not None
    stage.gateway.terminate()
    assert stage.gateway.wait(LIMIT_S) == 0
    wait(lambda: "cancelled" in stage.lines() or stage.transport == "stdio")
    assert "sold" not in stage.lines()


def test_any_worker_takes_the_answer_of_a_call_that_another_one_holds(crew: Stage) -> None:
    for _ in range(8):
        asked = crew.buy()
        assert crew.ask("tools/call", crew.answer(asked))["result"]["content"][0]["text"] == "sold"
        assert reason(crew.ask("tools/call", crew.answer(asked))) == "call_lost"
    assert (crew.lines().count("begun"), crew.lines().count("sold")) == (8, 8)


@pytest.mark.parametrize(("crew", "which"), WORKERS_TO_KILL, indirect=["crew"])
def test_a_worker_killed_while_calls_are_parked_loses_its_own_and_says_so(crew: Stage, which: int) -> None:
    asked = [crew.buy() for _ in range(9)]
    victim = crew.workers()[which]
    victim.kill()
    victim.wait(LIMIT_S)
    told = [crew.tell("tools/call", crew.answer(one)) for one in asked]
    wait(lambda: len(crew.workers()) == 3 and crew.answers())
    told = [
        crew.tell("tools/call", crew.answer(one)) if reply is None else reply
        for one, reply in zip(asked, told, strict=True)
    ]
    sold = [reply for reply in told if "result" in reply]
    reasons = {reason(reply) for reply in told if "error" in reply}
    assert reasons <= {"call_lost", "upstream_exited", "upstream_incomplete", "upstream_unreachable", "upstream_lost"}
    assert crew.lines().count("begun") == 9
    assert crew.lines().count("sold") == len(sold)
    assert crew.ask("tools/call", crew.answer(crew.buy()))["result"]["content"][0]["text"] == "sold"


@pytest.mark.parametrize(("crew", "which"), WORKERS_TO_KILL, indirect=["crew"])
def test_a_worker_killed_while_the_upstream_sells_leads_to_no_second_sale(crew: Stage, which: int) -> None:
    asked = [crew.buy() for _ in range(3)]
    crew.hold("before-selling")
    connections = [crew.send("tools/call", crew.answer(one)) for one in asked]
    wait(lambda: "before-selling" in crew.lines())
    crew.workers()[which].kill()
    crew.let_go("before-selling")
    replies = []
    for connection in connections:
        with closing(connection):
            try:
                replies.append(crew.read(connection))
            except (OSError, http.client.HTTPException, ValueError):
                replies.append(None)
    wait(lambda: len(crew.workers()) == 3 and crew.answers())
    for one in asked:
        again = crew.ask("tools/call", crew.answer(one))
        assert reason(again) in {"call_lost", "state_refused"}
    assert crew.lines().count("begun") == 3
    assert crew.lines().count("sold") <= 3
    assert sum(reply is not None and "result" in reply for reply in replies) <= crew.lines().count("sold")
