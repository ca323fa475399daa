"""Ten administrative changes a second while calls go on: `python -m bench.changes`. Code 1: an aim was missed.

The attack book's REL-01 for the control plane. Two callers call without a pause, one a server that the file describes,
one a server of the database; no change touches either. Meanwhile other servers, upstreams and keys are made, changed,
switched and removed through the API, ten a second. Now and then a change is followed to its effect at the gateway: a
server that was switched off must refuse, one that was switched on must serve, a revoked key must not open.
"""

from __future__ import annotations

import argparse
import datetime as dt
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.administration import HERE, Installation, installed
from bench.machine import choose_cores, commit, describe
from bench.overload import Figure
from bench.overload_stage import TOOLYARD

CONFIG: Final = "upstreams:\n  demo: {builtin: demo}\nservers:\n  default: {tools: ['*']}\n"
EACH_S: Final = 0.1
FOLLOWED: Final = 20
EFFECT_LIMIT_S: Final = 10.0
META: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(slots=True)
class Caller:
    """Calls one tool of one server, again and again, until told to stop."""

    port: int
    path: str
    key: str
    answers: Counter[str] = field(default_factory=Counter)
    took_ms: list[float] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not stop.is_set():
            began = time.perf_counter()
            try:
                self.answers[call(connection, self.path, self.key)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.answers[type(error).__name__] += 1
                connection.close()
            self.took_ms.append((time.perf_counter() - began) * 1000)
            time.sleep(0.002)
        connection.close()


def call(connection: http.client.HTTPConnection, path: str, key: str) -> str:
    """`good`, or what came instead."""
    params = {"name": "demo__echo", "arguments": {"text": "hello"}, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "demo__echo",
    }
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status == 200 and b'"hello"' in text:
        return "good"
    said = json.loads(text)
    error = said.get("error", said)
    return f"{answer.status} {error.get('data', {}).get('reason') or error.get('code')}"


@dataclass(slots=True)
class Changes:
    """Makes changes of every kind, one after the other, and follows some to their effect."""

    one: Installation
    made: int = 0
    effect_s: list[float] = field(default_factory=list)
    server: str = ""
    key: str = ""
    key_id: str = ""
    upstream: str = ""

    def prepare(self) -> None:
        """What is going to be changed."""
        self.server = self.one.operate("POST", "/api/v1/servers", {"code": "changed", "tools": ["demo/*"]})["id"]
        self._new_key()
        wanted = {"name": "unreached", "kind": "mcp-http", "url": "http://127.0.0.1:9/mcp", "enabled": False}
        self.upstream = self.one.operate("POST", "/api/v1/upstreams", wanted)["id"]

    def change(self) -> None:
        """The next change; every `FOLLOWED`th is followed."""
        self.made += 1
        if self.made % FOLLOWED == 0:
            self._followed(self.made // FOLLOWED)
            return
        kind = self.made % 4
        if kind == 0:
            made = self.one.operate("POST", "/api/v1/servers", {"code": f"s{self.made}", "tools": ["demo/*"]})["id"]
            self.one.operate("DELETE", f"/api/v1/servers/{made}")
        elif kind == 1:
            self.one.operate("PATCH", f"/api/v1/upstreams/{self.upstream}", {"timeout_s": 5.0 + self.made % 50})
        elif kind == 2:
            self.one.operate("PATCH", f"/api/v1/servers/{self.server}", {"title": f"changed {self.made}"})
        else:
            key = self.one.operate("POST", f"/api/v1/servers/{self.server}/keys", {"name": f"k{self.made}"})
            self.one.operate("POST", f"/api/v1/keys/{key['id']}/revoke")

    def _followed(self, number: int) -> None:
        if number % 3 == 2:
            old = self.key
            self.one.operate("POST", f"/api/v1/keys/{self.key_id}/revoke")
            self._until(old, lambda said: said.startswith("401"))
            self._new_key()
            self._until(self.key, lambda said: said == "good")
            return
        enabled = number % 3 == 1
        self.one.operate("PATCH", f"/api/v1/servers/{self.server}", {"enabled": enabled})
        self._until(self.key, lambda said: (said == "good") is enabled)

    def _new_key(self) -> None:
        made = self.one.operate("POST", f"/api/v1/servers/{self.server}/keys", {"name": "followed"})
        self.key, self.key_id = made["key"], made["id"]

    def _until(self, key: str, there: Any) -> None:
        """Measure how long after a change was answered it is in force."""
        connection = http.client.HTTPConnection("127.0.0.1", self.one.port, timeout=30)
        began = time.perf_counter()
        while not there(call(connection, "/mcp/changed", key)):
            if time.perf_counter() - began > EFFECT_LIMIT_S:
                break
            time.sleep(0.005)
        self.effect_s.append(time.perf_counter() - began)
        connection.close()


def measured(one: Installation, minutes: float) -> list[Figure]:
    """Change things for so long, and tell what the untouched noticed."""
    command = [str(TOOLYARD), "key", "create", "-o", "json"]
    told = subprocess.run(command, cwd=one.directory, capture_output=True, text=True, check=True)
    made = one.operate("POST", "/api/v1/servers", {"code": "untouched", "tools": ["demo/*"]})["id"]
    theirs = one.operate("POST", f"/api/v1/servers/{made}/keys", {"name": "untouched"})["key"]
    callers = [Caller(one.port, "/mcp", json.loads(told.stdout)["key"]), Caller(one.port, "/mcp/untouched", theirs)]
    changes = Changes(one)
    changes.prepare()
    time.sleep(2.0)
    stop = threading.Event()
    threads = [threading.Thread(target=caller.run, args=(stop,)) for caller in callers]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < minutes * 60:
        changes.change()
        time.sleep(max(0.0, changes.made * EACH_S - elapsed))
    stop.set()
    for thread in threads:
        thread.join()
    return list(_figures(callers, changes, elapsed))


def _figures(callers: list[Caller], changes: Changes, elapsed_s: float) -> Any:
    answers = sum((caller.answers for caller in callers), Counter[str]())
    good = answers.pop("good", 0)
    yield Figure("changes", changes.made)
    yield Figure("… a second", changes.made / elapsed_s)
    yield Figure("calls of untouched tools that succeeded", good, at_least=1)
    yield Figure("… that did not", sum(answers.values()), at_most=0)
    for said, count in answers.most_common(5):
        yield Figure(f"…… {said}", count)
    yield Figure("… in ms, p99", sorted(t for caller in callers for t in caller.took_ms)[int(good * 0.99)])
    yield Figure("seconds until a change is in force, p50", statistics.median(changes.effect_s))
    yield Figure("seconds until a change is in force, the slowest", max(changes.effect_s), at_most=1.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.changes", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--toolyard", type=Path, default=TOOLYARD, help="the command to measure")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the results")
    options = parser.parse_args()
    with installed(options.toolyard, CONFIG) as one:
        figures = measured(one, options.minutes)
    print("| changes under load | measured | aim | met |\n|---|---|---|---|")
    print("\n".join(figure.row() for figure in figures))
    results = {"machine": describe(choose_cores()), "commit": commit(), "figures": [asdict(one) for one in figures]}
    options.results.mkdir(exist_ok=True)
    file = options.results / f"{dt.datetime.now(dt.UTC):%Y-%m-%d}-{results['commit']}-changes.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(file)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
