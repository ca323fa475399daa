"""A gateway beside a control plane: what is published serves at once, what is seen is told, and without it goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.gateway.fake_control import FakeControl, Request
from tests.gateway.rig import modern_request, snapshot
from tests.unit.contract.making import upstream
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec
from toolyard.kit.tasks import TaskOwner
from toolyard.net.guard import policy_for_operator_url
from toolyard.net.http import HttpClient
from toolyard.net.tls import TlsPolicy
from toolyard.platform import Process

CONFIG = "upstreams:\n  mine: {builtin: demo}\n"
TEAM = ServerSpec("team", tools=("*",), names="plain")
PUBLISHED = snapshot(UpstreamSpec("theirs", "native", command=("demo",)), servers=(TEAM,), revision=41)


class Beside:
    """A gateway process in the test's own loop, and the control plane it knows."""

    def __init__(self, process: Process, port: int, control: FakeControl, key: str) -> None:
        self.process = process
        self.control = control
        self.key = key
        self.link = process.link
        url = f"http://127.0.0.1:{port}"
        self.http = HttpClient(url, policy=policy_for_operator_url(url, ()), tls=TlsPolicy(), max_connections=4)

    async def ask(self, method: str, path: str, headers: Any = (), body: bytes | None = None) -> tuple[int, bytes]:
        deadline = asyncio.get_running_loop().time() + 20
        answer = await self.http.request(method, path, headers, body, deadline=deadline)
        return answer.status, await answer.read(1 << 20)

    async def tools(self) -> tuple[int, list[str]]:
        headers, body = modern_request("tools/list", {})
        fields = [*headers.items(), ("authorization", f"Bearer {self.key}")]
        status, answer = await self.ask("POST", "/mcp/team", fields, body)
        return status, [tool["name"] for tool in json.loads(answer).get("result", {}).get("tools", [])]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.control.records if record["kind"] == kind]


@asynccontextmanager
async def beside(directory: Path, *, with_control: bool = True) -> AsyncIterator[Beside]:
    config = directory / "toolyard.yaml"
    config.write_text(CONFIG)
    environ = {"TOOLYARD_CONTROL": "on"}
    process = Process.prepare(config, environ, host=None, port=0, log_format="json")
    key, _ = process.keys.create("team", now=1.0)
    control = FakeControl(directory / ".toolyard" / "control.sock", _me)
    if with_control:
        await control.start()
    gateway, journal = process.make_gateway(process.identity())
    server = process.make_server(gateway)
    tasks = TaskOwner("test")
    try:
        port = await server.start("127.0.0.1", 0)
        gateway.start()
        for work in process.feeds(gateway, gateway.offer):
            tasks.start(work)
        made = Beside(process, port, control, key)
        yield made
        await made.http.aclose()
    finally:
        await tasks.aclose()
        await gateway.aclose()
        await server.stop_now()
        journal.close()
        if with_control:
            await control.stop()


async def _me(request: Request) -> None:
    await request.body()
    await request.answer(b'{"me": 1}')


async def until_served(gateway: Beside) -> list[str]:
    async with asyncio.timeout(20):
        while (found := await gateway.tools())[0] != 200 or not found[1]:
            await asyncio.sleep(0.02)
    return found[1]


def run(work: Any) -> None:
    asyncio.run(work)


def test_what_is_published_serves_and_what_is_seen_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside(tmp_path) as gateway:
            control = gateway.control
            assert (await gateway.tools())[0] == 404 or control.feeds
            await control.until(lambda: control.feeds)
            manifest = await control.publish(PUBLISHED)
            assert "add" in await until_served(gateway)
            await control.until(lambda: gateway.told("applied"))
            applied = gateway.told("applied")[0]
            assert applied["gateway"] == control.asked[0]["gateway"]
            assert (applied["revision"], applied["digest"], applied["in_force"]) == (41, manifest.digest(), True)
            await control.until(lambda: {r["upstream"] for r in gateway.told("observation")} == {"mine", "theirs"})
            seen = next(r for r in gateway.told("observation") if r["upstream"] == "theirs")
            assert {"add", "echo"} <= {tool["name"] for tool in seen["tools"]}
            assert seen["digest"]
            await control.until(
                lambda: [r for r in gateway.told("health") if (r["upstream"], r["state"]) == ("theirs", "ready")]
            )
            assert await gateway.ask("GET", "/api/v1/me") == (200, b'{"me": 1}')
            assert (await gateway.ask("GET", "/health"))[0] == 200

    run(work())


def test_a_broken_publication_is_told_and_the_calls_go_on(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside(tmp_path) as gateway:
            await gateway.control.until(lambda: gateway.control.feeds)
            await gateway.control.publish(PUBLISHED)
            await until_served(gateway)
            broken: Snapshot = replace(PUBLISHED, revision=42, upstreams={"x": upstream("x", kind="pigeon")})
            await gateway.control.publish(broken)
            await gateway.control.until(lambda: len(gateway.told("applied")) == 2)
            told = gateway.told("applied")[1]
            assert (told["revision"], told["in_force"], told["code"]) == (42, False, "document_broken")
            assert (await gateway.tools())[0] == 200

    run(work())


def test_a_gateway_starts_from_what_was_published_last_while_the_control_plane_is_away(tmp_path: Path) -> None:
    async def first() -> None:
        async with beside(tmp_path) as gateway:
            await gateway.control.until(lambda: gateway.control.feeds)
            await gateway.control.publish(PUBLISHED)
            await until_served(gateway)
            async with asyncio.timeout(20):
                while not (tmp_path / ".toolyard" / "control.json").exists():
                    await asyncio.sleep(0.01)

    async def then() -> None:
        async with beside(tmp_path, with_control=False) as gateway:
            assert "add" in await until_served(gateway)
            status, answer = await gateway.ask("GET", "/api/v1/me")
            assert (status, json.loads(answer)["code"]) == (503, "control_unavailable")

    run(first())
    run(then())


def test_the_keys_that_were_used_are_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside(tmp_path) as gateway:
            await gateway.control.until(lambda: gateway.control.feeds)
            await gateway.control.publish(PUBLISHED)
            await until_served(gateway)
            key_id = next(iter(gateway.process.keys.records))
            assert gateway.link is not None
            assert gateway.link.reports is not None
            gateway.link.reports.tell_keys()
            await gateway.control.until(lambda: gateway.told("key_used"))
            assert gateway.told("key_used")[0]["key"] == key_id

    run(work())


def test_everything_is_told_again_to_a_control_plane_that_comes_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside(tmp_path) as gateway:
            control = gateway.control
            await control.until(lambda: gateway.told("observation"))
            await control.stop()
            control.records.clear()
            await control.start()
            await control.until(lambda: gateway.told("observation") and gateway.told("health"))

    run(work())
