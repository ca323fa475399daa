"""A legacy server that keeps things, as a memory and as a browser do; standard library only: it is a child program too.

    stateful_server.py [--count FILE] [--breaks FILE]

Each process is one session. `--count` gets a line each time `change` or `look` do something; if there is a character in
`--breaks` then, it is taken and the process dies.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from typing import Any

Json = dict[str, Any]
SLOW_S = 0.01
TOOLS = ("remember", "recall", "visit", "look", "who", "mark", "change")
SAFE = frozenset({"recall", "look", "who"})


class State:
    """What one session keeps."""

    def __init__(self) -> None:
        self.memory: list[str] = []
        self.page = ""
        self.cookies: list[str] = []


def remember(state: State, value: str) -> list[str]:
    """Reads, takes its time, writes."""
    known = list(state.memory)
    time.sleep(SLOW_S)
    state.memory = [*known, value]
    return state.memory


def visit(state: State, page: str) -> str:
    """Goes to a page, which takes time and leaves a cookie."""
    state.page = f"loading {page}"
    time.sleep(SLOW_S)
    state.page = page
    state.cookies.append(page)
    return page


def perform(state: State, name: str, arguments: Json) -> Any:
    """What a tool answers."""
    if name == "remember":
        return remember(state, arguments["value"])
    if name == "recall":
        return state.memory
    if name == "visit":
        return visit(state, arguments["page"])
    if name == "look":
        return {"page": state.page, "cookies": state.cookies}
    return None


def definitions() -> list[Json]:
    """The tools; those that change nothing say so."""
    schema = {"type": "object"}
    return [
        {"name": name, "inputSchema": schema, **({"annotations": {"readOnlyHint": True}} if name in SAFE else {})}
        for name in TOOLS
    ]


def text(value: Any) -> Json:
    return {"content": [{"type": "text", "text": json.dumps(value)}]}


class Child:
    """The server on standard input and output. Marks are answered late and in another order than they came."""

    def __init__(self, count: str | None, breaks: str | None) -> None:
        self.state = State()
        self.count = count
        self.breaks = breaks
        self.chance = random.Random(5)
        self.late: list[Json] = []

    def send(self, *messages: Json) -> None:
        data = "".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages).encode()
        while data:
            data = data[os.write(1, data) :]

    def noted(self, name: str) -> None:
        """One side effect, on disk before anything else happens; then perhaps the end."""
        if not self.count or not self.breaks:
            return
        with open(self.count, "a") as file:
            file.write(name + "\n")
        with open(self.breaks, "r+") as file:
            left = len(file.read())
            file.truncate(max(0, left - 1))
        if left:
            os._exit(3)

    def answer(self, message: Json) -> Json | None:
        params = message.get("params", {})
        if message["method"] == "initialize":
            return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "stateful"}}
        if message["method"] == "tools/list":
            return {"tools": definitions()}
        if message["method"] != "tools/call":
            return None
        name, arguments = params["name"], params.get("arguments", {})
        if name == "mark":
            self.late.append(message)
            return None
        if name in ("change", "look"):
            self.noted(name)
        if self.count and name in ("change", "look"):
            return text(name)
        return text(os.getpid() if name == "who" else perform(self.state, name, arguments))

    def take(self, line: bytes) -> None:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            return
        if message["method"] == "server/discover":
            self.send({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
            return
        result = self.answer(message)
        if result is not None:
            self.send({"id": message["id"], "result": result})

    def answer_late(self) -> None:
        """Progress first, then the answers, both shuffled over all that wait."""
        late, self.late = self.late, []
        told = []
        for message in late:
            token = message["params"].get("_meta", {}).get("progressToken")
            marker = message["params"]["arguments"]["marker"]
            if token is not None:
                note = {"progressToken": token, "progress": 1, "message": marker}
                told.append({"method": "notifications/progress", "params": note})
        self.chance.shuffle(told)
        answers = [{"id": m["id"], "result": text(m["params"]["arguments"]["marker"])} for m in late]
        self.chance.shuffle(answers)
        self.send(*told, *answers)

    def run(self) -> None:
        rest = b""
        while data := os.read(0, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.take(line)
            self.answer_late()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--count")
    options.add_argument("--breaks")
    chosen = options.parse_args()
    Child(chosen.count, chosen.breaks).run()
    sys.exit(0)
