"""`toolyard stdio`: one client on standard input and output, beside a running gateway and alone."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.gateway.rig import LIMIT_S, Rig, a_key, demo, envelope, play, rpc, snapshot
from toolyard.cli import bridge
from toolyard.cli.bridge import GatewayRefused, OpenRequests, bridge_remote
from toolyard.contract.snapshot import ServerSpec

CONFIG = """\
upstreams:
  demo: {builtin: demo}
servers:
  default: {tools: ["*"], names: plain, access: open}
"""
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
COMMAND = [sys.executable, "-m", "toolyard.cli.main", "stdio"]


def line(message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def noted(*sent: Any) -> OpenRequests:
    requests = OpenRequests()
    for message in sent:
        requests.sent(line(message))
    return requests


@pytest.mark.parametrize("request_id", [0, 1, -1, "", "0", "x", 2**60], ids=repr)
def test_a_request_is_open_until_its_answer_whatever_its_id(request_id):
    requests = noted(rpc("ping", None, request_id))
    assert requests
    requests.received(line({"jsonrpc": "2.0", "id": "another", "result": {}}))
    requests.received(line({"jsonrpc": "2.0", "id": request_id, "method": "elicitation/create"}))
    assert requests
    requests.received(line({"jsonrpc": "2.0", "id": request_id, "result": {}}))
    assert not requests


def test_an_error_is_an_answer_and_a_cancelled_request_awaits_none():
    requests = noted(rpc("ping", None, 1), rpc("ping", None, 2))
    requests.received(line({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "no"}}))
    requests.sent(line({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}))
    assert not requests


@pytest.mark.parametrize(
    "sent",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": None, "method": "ping"},
        rpc("subscriptions/listen", {}, 1),
        [rpc("ping")],
        "text",
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": 7},
    ],
    ids=["notification", "answer", "no-id", "listen", "batch", "text", "odd-cancel"],
)
def test_what_gets_no_answer_that_ends_it_is_not_waited_for(sent):
    assert not noted(sent)


def test_lines_that_are_no_json_open_nothing():
    requests = OpenRequests()
    for text in (b"", b"{", b"\xff", b"[" * 100_000):
        requests.sent(text)
        requests.received(text)
    assert not requests


class Pipes:
    """Standard input and output of a bridge that runs in this process."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.printed: asyncio.Queue[Any] = asyncio.Queue()
        self.broken = False

    async def receive(self) -> bytes | None:
        return await self.incoming.get()

    async def send(self, message: bytes) -> None:
        if self.broken:
            raise BrokenPipeError
        self.printed.put_nowait(json.loads(message))

    def say(self, *messages: Any) -> None:
        for message in messages:
            self.incoming.put_nowait(
                message if isinstance(message, bytes) or message is None else line(message).strip()
            )

    async def hear(self) -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await self.printed.get()


def bridged(scene: Callable[[Pipes, asyncio.Task[int], Rig], Awaitable[None]]) -> None:
    async def run(rig: Rig) -> None:
        pipes = Pipes()
        url = f"ws://127.0.0.1:{rig.port}/ws/mcp"
        async with connect(url, subprotocols=[Subprotocol("mcp")], max_size=None) as socket:
            carrying = asyncio.create_task(bridge._carry_both_ways(pipes, socket))  # type: ignore[arg-type]
            async with asyncio.timeout(LIMIT_S):
                await scene(pipes, carrying, rig)

    play(run)


def test_both_eras_pass_and_answers_still_arrive_after_the_input_has_ended():
    async def scene(pipes: Pipes, carrying: asyncio.Task[int], rig: Rig) -> None:
        count = {"name": "count", "arguments": {"to": 3, "interval_ms": 20}}
        pipes.say(rpc("initialize", HELLO, 0))
        assert (await pipes.hear())["result"]["protocolVersion"] == "2025-11-25"
        pipes.say(rpc("tools/call", {**count, "_meta": {"progressToken": 9}}, "old"))
        pipes.say(rpc("tools/call", {**count, "_meta": envelope()}, "new"), None)
        assert await carrying == 0
        heard = [pipes.printed.get_nowait() for _ in range(pipes.printed.qsize())]
        assert {m["id"] for m in heard if "result" in m} == {"old", "new"}
        assert any(m.get("method") == "notifications/progress" for m in heard)

    bridged(scene)


def test_an_open_listen_stream_does_not_keep_the_bridge_when_its_input_has_ended():
    async def scene(pipes: Pipes, carrying: asyncio.Task[int], rig: Rig) -> None:
        pipes.say(rpc("subscriptions/listen", {"notifications": {}, "_meta": envelope()}, 0))
        assert (await pipes.hear())["method"] == "notifications/subscriptions/acknowledged"
        pipes.say(None)
        assert await carrying == 0

    bridged(scene)


def test_a_line_that_is_no_text_is_refused_and_costs_nothing_else():
    async def scene(pipes: Pipes, carrying: asyncio.Task[int], rig: Rig) -> None:
        pipes.say(b"\xff\xfe", b"no json", rpc("ping", None, "p"))
        assert [(await pipes.hear())["error"]["code"] for _ in range(2)] == [-32700, -32700]
        assert (await pipes.hear())["id"] == "p"
        pipes.say(None)
        assert await carrying == 0

    bridged(scene)


def test_the_bridge_ends_with_one_when_the_gateway_or_its_reader_is_gone(capsys):
    async def scene(pipes: Pipes, carrying: asyncio.Task[int], rig: Rig) -> None:
        pipes.say(rpc("ping", None, 1))
        await pipes.hear()
        await rig.server.stop_now()
        assert await carrying == 1

    async def unread(pipes: Pipes, carrying: asyncio.Task[int], rig: Rig) -> None:
        pipes.broken = True
        pipes.say(rpc("ping", None, 1))
        assert await carrying == 1

    bridged(scene)
    assert "the gateway closed the connection" in capsys.readouterr().err
    bridged(unread)
    assert "the gateway closed the connection" not in capsys.readouterr().err


def test_input_that_ends_as_the_gateway_goes_does_not_wait_for_answers_that_will_not_come():
    async def scene(pipes: Pipes, carrying: asyncio.Task[int], rig: Rig) -> None:
        count = {"name": "count", "arguments": {"to": 100, "interval_ms": 1000}, "_meta": envelope(progressToken=1)}
        pipes.say(rpc("tools/call", count, 1))
        await pipes.hear()
        pipes.say(None)
        await rig.server.stop_now()
        assert await carrying == 1

    bridged(scene)


def test_a_gateway_that_does_not_let_one_in_or_is_not_there_is_named_in_one_error():
    key, record = a_key("other")
    snap = snapshot(demo(), servers=(ServerSpec("default"), ServerSpec("other")), keys=(record,))

    async def scene(rig: Rig) -> None:
        for shown, status in ((None, 401), ("nonsense", 401), (key, 404)):
            with pytest.raises(GatewayRefused, match=f"HTTP {status}"):
                await asyncio.to_thread(bridge_remote, f"http://127.0.0.1:{rig.port}/mcp", shown, "default")
        await rig.server.stop_now()
        with pytest.raises(GatewayRefused, match="cannot be reached"):
            await asyncio.to_thread(bridge_remote, f"http://127.0.0.1:{rig.port}", key, "default")

    play(scene, snap)


def conversation() -> bytes:
    """What a client of both eras says, to the end of its input."""
    count = {"name": "count", "arguments": {"to": 3, "interval_ms": 30}}
    said = [
        rpc("initialize", HELLO, 0),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        rpc("tools/call", count, "old"),
        rpc("tools/call", {**count, "_meta": envelope()}, "new"),
    ]
    return b"".join(map(line, said)) + b"\n  \nnot json\n" + line(rpc("tools/list", {}, "last")).strip()


def answers_of(printed: bytes) -> dict[Any, Any]:
    messages = [json.loads(text) for text in io.BytesIO(printed)]
    assert [m["error"]["code"] for m in messages if "error" in m] == [-32700]
    return {m["id"]: m["result"] for m in messages if "result" in m}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "toolyard.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def gateway(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (directory / "out.log").open("wb") as log:
        child = subprocess.Popen([*COMMAND[:-1], "up", "--port", "0"], cwd=directory, stdout=log, stderr=log)
    try:
        end = time.monotonic() + LIMIT_S
        while not (directory / ".toolyard" / "gateway.json").exists():
            assert child.poll() is None, (directory / "out.log").read_text()
            assert time.monotonic() < end, "the gateway did not start"
            time.sleep(0.01)
        yield child
    finally:
        child.kill()
        child.wait()


def talk(directory: Path) -> subprocess.CompletedProcess[bytes]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("TOOLYARD_")}
    return subprocess.run(
        COMMAND, cwd=directory, input=conversation(), capture_output=True, timeout=LIMIT_S, env=environ
    )


def test_beside_a_running_gateway_both_eras_are_answered_and_its_end_is_told(directory, gateway):
    done = talk(directory)
    assert done.returncode == 0, done.stderr
    assert set(answers_of(done.stdout)) == {0, "old", "new", "last"}
    assert done.stderr == b""
    with subprocess.Popen(COMMAND, cwd=directory, stdin=-1, stdout=-1, stderr=-1) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.write(line(rpc("ping", None, 0)))
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["id"] == 0
        gateway.kill()
        assert child.wait(LIMIT_S) == 1
        assert child.stderr.read() == b"toolyard: the gateway closed the connection\n"


def test_alone_it_runs_a_gateway_itself_and_prints_nothing_but_messages(directory):
    done = talk(directory)
    assert done.returncode == 0, done.stderr
    answers = answers_of(done.stdout)
    assert set(answers) == {0, "old", "new", "last"}
    assert {"add", "echo"} <= {t["name"] for t in answers["last"]["tools"]}
