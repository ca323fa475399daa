"""Kill -9 amid administrative writes, and whether anything acknowledged is lost: `python -m bench.chaos`.

Some writers create, change and delete through the operator's socket, each write again and again (creations with one
idempotency key) until it is acknowledged, while the control process and the whole of `toolyard up` are killed in turn.
Afterwards every acknowledged write is there once, with its fact; the database is sound; and each time it was ready
again within the limit. Ends with code 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2

from bench.processes import DidNotStart, Program
from toolyard.platform_control import SOCKET_NAME

WRITERS = 4
READY_LIMIT_S = 3.0
PATIENCE_S = 120.0
PAUSE_S = 0.02
CONFIG = "upstreams: {}\nlogging: {level: info}\n"
OPERATOR = {"toolyard-operator": "1"}
LOST = (httpx2.TransportError, OSError)


@dataclass(slots=True)
class Told:
    """What was acknowledged."""

    created: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    described: dict[str, str] = field(default_factory=dict)
    writes: int = 0
    again: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much chaos."""

    kills: int
    writes: int
    upstreams: int


class Installation:
    """`toolyard up` in a directory of its own, which may be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "toolyard.yaml"
        self.config.write_text(CONFIG)
        self.data = directory / ".toolyard"
        self._lives = count(1)
        self.program = self._start()

    def client(self) -> httpx2.AsyncClient:
        """The operator at the control plane's socket."""
        transport = httpx2.AsyncHTTPTransport(uds=str(self.data / SOCKET_NAME))
        return httpx2.AsyncClient(transport=transport, base_url="http://toolyard", headers=OPERATOR, timeout=PATIENCE_S)

    def control_pid(self) -> int | None:
        """The control process that was started last."""
        found = None
        for line in self.program.log.read_text(errors="replace").splitlines():
            if '"control_started"' in line:
                found = int(json.loads(line)["pid"])
        return found

    async def ready(self, since: float) -> float:
        """Seconds until the control plane answers, and the gateway serves."""
        while time.perf_counter() - since < PATIENCE_S:
            self.program.check_alive()
            with suppress(*LOST):
                async with self.client() as operator:
                    if (await operator.get("/api/v1/upstreams?limit=1")).status_code == 200 and await self._serves():
                        return time.perf_counter() - since
            await asyncio.sleep(PAUSE_S)
        raise DidNotStart(f"not ready after {PATIENCE_S:.0f} s:\n{self.program.log.read_text()[-2000:]}")

    async def _serves(self) -> bool:
        url = json.loads((self.data / "gateway.json").read_bytes())["url"]
        async with httpx2.AsyncClient() as visitor:
            return (await visitor.get(f"{url}/health/ready")).status_code == 200

    async def kill_control(self) -> float:
        """Kill the control process; seconds until all is ready again."""
        pid = self.control_pid()
        assert pid is not None
        since = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        return await self.ready(since)

    async def kill_everything(self) -> float:
        """Kill the gateway, with which its control process goes, and start both; seconds until all is ready again."""
        os.kill(self.program.pid, signal.SIGKILL)
        self.program.stop()
        since = time.perf_counter()
        self.program = self._start()
        return await self.ready(since)

    def _start(self) -> Program:
        command = [sys.executable, "-m", "toolyard.cli.main", "up", "--config", str(self.config), "--port", "0"]
        (self.data / "gateway.json").unlink(missing_ok=True)
        log = self.directory / f"life-{next(self._lives)}.log"
        control = {"TOOLYARD_CONTROL": "on"}
        return Program("toolyard up", [*command, "--log-format", "json"], log, env=control)


async def chaos(there: Installation, wanted: Wanted) -> tuple[Told, dict[str, list[float]]]:
    """Writes and kills; what was acknowledged, and how long it took each time until all was ready again."""
    await there.ready(there.program.started_at)
    async with there.client() as operator:
        upstreams = await _make_upstreams(operator, wanted.upstreams)
    told, took = Told(), {"control": list[float](), "everything": list[float]()}
    numbers = iter(range(wanted.writes))
    async with asyncio.TaskGroup() as tasks:
        for upstream in upstreams[:WRITERS]:
            tasks.create_task(_write(there, numbers, told, upstream))
        for kill in range(wanted.kills):
            # Somewhere within the time of a few writes, so that it hits all that a write is made of.
            due = int((kill + 0.5) * wanted.writes / wanted.kills)
            while told.writes < due:
                await asyncio.sleep(PAUSE_S / (1 + kill % 7))
            kind = "everything" if kill % 2 else "control"
            took[kind].append(await (there.kill_everything() if kill % 2 else there.kill_control()))
    return told, took


async def _make_upstreams(operator: httpx2.AsyncClient, number: int) -> list[str]:
    given = [{"name": f"up-{index}", "url": "http://127.0.0.1:9/mcp"} for index in range(number)]
    answer = await operator.post("/api/v1/upstreams/bulk", json=given)
    assert answer.json()["failed"] == 0, answer.text
    return [one["item"]["id"] for one in answer.json()["results"]]


async def _write(there: Installation, numbers: Any, told: Told, upstream: str) -> None:
    made: list[tuple[str, str]] = []
    for number in numbers:
        if number % 5 == 4 and made:
            code, server_id = made.pop(0)
            await _until(there, told, "DELETE", f"/api/v1/servers/{server_id}", 204, 404)
            told.created.pop(code)
            told.deleted[code] = server_id
        elif number % 5 == 3:
            path, text = f"/api/v1/upstreams/{upstream}", f"change {number}"
            await _until(there, told, "PATCH", path, 200, json={"description": text})
            told.described[upstream] = text
        else:
            code = f"s{number}"
            key = {"idempotency-key": code}
            answer = await _until(there, told, "POST", "/api/v1/servers", 201, json={"code": code}, headers=key)
            told.created[code] = answer["id"]
            made.append((code, answer["id"]))
        told.writes += 1


async def _until(there: Installation, told: Told, method: str, path: str, *good: int, **more: Any) -> Any:
    """One write, again until it is acknowledged."""
    until = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < until:
        with suppress(*LOST):
            async with there.client() as operator:
                answer = await operator.request(method, path, **more)
            if answer.status_code in good:
                return answer.json() if answer.content else None
            if answer.status_code not in (429, 503):
                raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        told.again += 1
        await asyncio.sleep(PAUSE_S)
    raise RuntimeError(f"{method} {path} was not acknowledged in {PATIENCE_S:.0f} s")


async def missing(there: Installation, told: Told) -> list[str]:
    """What was acknowledged and is not there, or is there and should not be."""
    found: dict[str, str] = {}
    wrong: list[str] = []
    async with there.client() as operator:
        for upstream, text in told.described.items():
            shown = (await operator.get(f"/api/v1/upstreams/{upstream}")).json()["description"]
            wrong += [] if shown == text else [f"{upstream} says '{shown}', not '{text}'"]
        cursor: str | None = None
        while True:
            page = {"limit": 200} | ({"cursor": cursor} if cursor else {})
            answer = (await operator.get("/api/v1/servers", params=page)).json()
            found |= {one["code"]: one["id"] for one in answer["items"]}
            cursor = answer["next_cursor"]
            if cursor is None:
                break
    wrong += [f"{code} is lost" for code, row_id in told.created.items() if found.get(code) != row_id]
    wrong += [f"{code} was deleted and is there" for code in told.deleted if code in found]
    return wrong + [f"{code} is there and nobody was told" for code in found if code not in told.created]


def unsound(there: Installation, told: Told) -> list[str]:
    """What is wrong with the database that was left behind."""
    (path,) = there.data.glob("*.db")
    with closing(sqlite3.connect(path)) as database:
        said = [row[0] for row in database.execute("PRAGMA integrity_check")]
        wrong = [one for one in said if one != "ok"]
        wrong += [f"{row} refers to nothing" for row in database.execute("PRAGMA foreign_key_check")]
        facts = Counter(database.execute("SELECT name, subject FROM facts WHERE name LIKE 'Server%'"))
    for row_id in (*told.created.values(), *told.deleted.values()):
        if facts["ServerCreated", row_id] != 1:
            wrong.append(f"{row_id} has {facts['ServerCreated', row_id]} facts of its creation")
    return wrong + [f"{row_id} has no fact of its end" for row_id in told.deleted.values()
                    if facts["ServerRemoved", row_id] != 1]  # fmt: skip


def run(wanted: Wanted, directory: Path) -> tuple[Told, dict[str, list[float]], list[str]]:
    """All of it in a directory; what was acknowledged, the times until ready, what is wrong."""
    there = Installation(directory)
    with ExitStack() as stack:
        stack.callback(lambda: there.program.stop())

        async def whole() -> tuple[Told, dict[str, list[float]], list[str]]:
            told, took = await chaos(there, wanted)
            return told, took, await missing(there, told)

        told, took, wrong = asyncio.run(whole())
    return told, took, wrong + unsound(there, told)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--writes", type=int, default=2000)
    parser.add_argument("--upstreams", type=int, default=100)
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="toolyard-chaos-"))
    told, took, wrong = run(Wanted(arguments.kills, arguments.writes, arguments.upstreams), directory)
    print(f"{told.writes} writes acknowledged, {told.again} tries more; load {os.getloadavg()[0]:.1f}")
    for kind, times in took.items():
        if times:
            middle = sorted(times)[len(times) // 2]
            print(f"{kind} killed {len(times)} times: ready after {middle:.2f} s, {max(times):.2f} s at most")
    late = [f"{kind}: ready after {one:.2f} s" for kind, times in took.items() for one in times if one > READY_LIMIT_S]
    for one in (*wrong, *late):
        print(one)
    if wrong:
        print(f"kept for a look: {directory}")
    else:
        shutil.rmtree(directory)
    return 1 if wrong or late else 0


if __name__ == "__main__":
    sys.exit(main())
