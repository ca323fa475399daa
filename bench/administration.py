"""The management API of an installation with 10,000 tools: `python -m bench.administration`. Code 1: an aim was missed.

The whole program runs as its users run it: `toolyard up`, with the control process beside it and the database in a
file. Tools come the way they always come, as what a gateway has observed. Requests go through the gateway's port.
"""

from __future__ import annotations

import argparse
import datetime as dt
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.machine import choose_cores, commit, describe
from bench.overload import Figure
from bench.overload_stage import TOOLYARD

HERE: Final = Path(__file__).resolve().parent
UPSTREAMS: Final = 20
START_S: Final = 60.0
PASSWORD: Final = "four lazy yaks sing"
OPERATOR: Final = {"toolyard-operator": "1"}


class Socket(http.client.HTTPConnection):
    """A connection to the control plane's own socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("control", timeout=START_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


class Installation:
    """A running `toolyard up` in a directory of its own."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.control = directory / ".toolyard" / "control.sock"
        self.token = ""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers through the gateway, to the administrator."""
        return _asked(self._connection, method, path, body, {"authorization": f"Bearer {self.token}"})

    def operate(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers to the operator at its socket."""
        connection = Socket(self.control)
        try:
            return _asked(connection, method, path, body, OPERATOR)
        finally:
            connection.close()


def _asked(connection: http.client.HTTPConnection, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
    content = None if body is None else json.dumps(body).encode()
    typed = {"content-type": "application/json"} if content is not None else {}
    connection.request(method, path, content, {**headers, **typed})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
    return json.loads(text) if text else None


@contextmanager
def installed(command: Path, config: str = "upstreams: {}\n") -> Iterator[Installation]:
    """A fresh installation, with an administrator who has logged in."""
    directory = Path(tempfile.mkdtemp(prefix="toolyard-bench-"))
    (directory / "toolyard.yaml").write_text(config)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    environ = {**os.environ, "TOOLYARD_PORT": str(port), "TOOLYARD_CONTROL": "on", "TOOLYARD_LOG_LEVEL": "warning"}
    log = (directory / "log").open("wb")
    process = subprocess.Popen([str(command), "up"], cwd=directory, env=environ, stdout=log, stderr=log)
    try:
        one = Installation(directory, port)
        _until_ready(one)
        account = {"username": "ada", "password": PASSWORD}
        token = (directory / ".toolyard" / "setup.token").read_text().strip()
        one.operate("POST", "/api/v1/auth/setup", {"token": token, **account})
        one.token = one.operate("POST", "/api/v1/auth/login", account)["access_token"]
        yield one
    finally:
        process.terminate()
        process.wait(START_S)
        log.close()
        shutil.rmtree(directory, ignore_errors=True)


def _until_ready(one: Installation) -> None:
    limit = time.monotonic() + START_S
    while True:
        try:
            one.operate("GET", "/api/v1/gateways")
            one.operate("GET", "/api/v1/auth/setup")
            return
        except (OSError, http.client.HTTPException, RuntimeError):
            if time.monotonic() > limit:
                raise
            time.sleep(0.05)


def fill(one: Installation, tools: int) -> list[str]:
    """Upstreams with so many tools in all; the ids of the upstreams. Nobody listens at their addresses."""
    made = []
    for number in range(UPSTREAMS):
        wanted = {"name": f"up{number:02}", "kind": "mcp-http", "url": "http://127.0.0.1:9/mcp", "enabled": False}
        made.append(one.operate("POST", "/api/v1/upstreams", wanted)["id"])
        seen = [_tool(number, index) for index in range(tools // UPSTREAMS)]
        record = {"kind": "observation", "gateway": "bench/0", "upstream": f"up{number:02}", "at": time.time()}
        record |= {"digest": f"d{number}", "era": "modern", "revision": "2026-07-28", "server_info": {}, "tools": seen}
        record |= {"capabilities": {}, "instructions": None, "resources": [], "resource_templates": [], "prompts": []}
        one.operate("POST", "/internal/v1/records", [{**record, "observed_at": time.time(), "warnings": []}])
    return made


def _tool(upstream: int, index: int) -> dict[str, Any]:
    text = {"type": "string", "description": "What to look for."}
    schema = {"type": "object", "properties": {"query": text, "limit": {"type": "integer"}}, "required": ["query"]}
    about = f"Looks for things of kind {index} in the system {upstream}, and says what it has found."
    return {"name": f"find_{index:04}", "title": f"Find {index}", "description": about, "inputSchema": schema}


def reads(one: Installation, upstreams: list[str], count: int) -> Iterator[Figure]:
    """Administrative reads, one after the other on one connection."""
    server = one.operate("POST", "/api/v1/servers", {"code": "lab", "tools": ["*"]})["id"]
    for name, path in {
        "an upstream": f"/api/v1/upstreams/{upstreams[0]}",
        "a virtual server": f"/api/v1/servers/{server}",
        "who I am": "/api/v1/auth/me",
        "the list of upstreams": "/api/v1/upstreams",
    }.items():
        took_ms = sorted(_timed_ms(lambda path=path: one.ask("GET", path)) for _ in range(count))
        yield Figure(f"{name}: ms, p50", statistics.median(took_ms), at_most=5.0)
        yield Figure(f"{name}: ms, p99", took_ms[int(len(took_ms) * 0.99) - 1])


def pages(one: Installation, tools: int) -> Iterator[Figure]:
    """The whole list of tools, page by page."""
    took_ms, seen, cursor = [], 0, ""
    while True:
        began = time.perf_counter()
        page = one.ask("GET", f"/api/v1/tools?limit=100{cursor}")
        took_ms.append((time.perf_counter() - began) * 1000)
        seen += len(page["items"])
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    yield Figure("tools that were listed", seen, at_least=tools)
    yield Figure("a page of 100 tools: ms, p50", statistics.median(took_ms), at_most=20.0)
    yield Figure("a page of 100 tools: ms, the slowest", max(took_ms))


def publishing(one: Installation, upstreams: list[str], count: int) -> Iterator[Figure]:
    """From the answer to a change until the feed has said it to a gateway, and until the change is answered."""
    heard: list[tuple[int, float]] = []
    stop = threading.Event()
    listener = threading.Thread(target=_listen, args=(one.control, heard, stop), daemon=True)
    listener.start()
    while not heard:
        time.sleep(0.01)
    changed_ms, published_ms = [], []
    for number in range(count):
        time.sleep(0.2)  # what came before has been told by now: two changes at once are told together
        before, began = len(heard), time.perf_counter()
        one.ask("PATCH", f"/api/v1/upstreams/{upstreams[number % len(upstreams)]}", {"timeout_s": 20.5 + number})
        answered = time.perf_counter()
        while len(heard) == before and time.perf_counter() - began < START_S:
            time.sleep(0.001)
        heard += [(0, time.perf_counter())] * (len(heard) == before)
        changed_ms.append((answered - began) * 1000)
        published_ms.append((heard[before][1] - began) * 1000)
    stop.set()
    yield Figure("a change: ms until it is answered, p50", statistics.median(changed_ms))
    yield Figure("a change: ms until gateways are told, p50", statistics.median(published_ms), at_most=200.0)
    yield Figure("a change: ms until gateways are told, the slowest", max(published_ms))


def _listen(path: Path, heard: list[tuple[int, float]], stop: threading.Event) -> None:
    connection = Socket(path)
    connection.request("POST", "/internal/v1/feed", json.dumps({"gateway": "bench/1", "have": []}))
    answer = connection.getresponse()
    while not stop.is_set():
        line = json.loads(answer.readline())
        if line["kind"] == "manifest":
            heard.append((line["revision"], time.perf_counter()))
    connection.close()


def _timed_ms(do: Any) -> float:
    began = time.perf_counter()
    do()
    return (time.perf_counter() - began) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.administration", description=__doc__)
    parser.add_argument("--tools", type=int, default=10_000, help="tools of the installation (10000)")
    parser.add_argument("--reads", type=int, default=100, help="reads of each kind (100; a caller has 600 at once)")
    parser.add_argument("--changes", type=int, default=40, help="changes that are published (40)")
    parser.add_argument("--toolyard", type=Path, default=TOOLYARD, help="the command to measure")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the results")
    options = parser.parse_args()
    with installed(options.toolyard) as one:
        began = time.perf_counter()
        upstreams = fill(one, options.tools)
        figures = [Figure(f"seconds to take in {options.tools:,} observed tools", time.perf_counter() - began)]
        for part in (reads(one, upstreams, options.reads), pages(one, options.tools)):
            figures += part
        figures += publishing(one, upstreams, options.changes)
    print("| the management API | measured | aim | met |\n|---|---|---|---|")
    print("\n".join(figure.row() for figure in figures))
    results = {"machine": describe(choose_cores()), "commit": commit(), "figures": [asdict(one) for one in figures]}
    options.results.mkdir(exist_ok=True)
    file = options.results / f"{dt.datetime.now(dt.UTC):%Y-%m-%d}-{results['commit']}-administration.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(file)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
