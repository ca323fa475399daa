"""A server of an older revision on standard input and output whose one tool takes as long as a test wants.

    slow_server.py COUNT GOES_ON

`build` appends "begun" to the file COUNT, waits until the file GOES_ON exists, appends "done" and answers. With the
argument `ask` it asks for a name before it begins. Standard library only: it is a child program.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]
COUNT, GOES_ON = (Path(argument) for argument in sys.argv[1:3])
ASKS_FOR = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}


def say(message: Json) -> None:
    """Send one message."""
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def note(word: str) -> None:
    """What was done, for the test to count."""
    with COUNT.open("a", encoding="utf-8") as file:
        file.write(f"{word}\n")


def asked() -> str:
    """What the client's user answers."""
    say({"id": "question", "method": "elicitation/create", "params": ASKS_FOR})
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("id") == "question":
            return str(message["result"]["content"]["name"])
    raise SystemExit


def build(arguments: Json) -> Json:
    """The tool."""
    name = asked() if arguments.get("ask") else "nobody"
    note("begun")
    while not GOES_ON.exists():
        time.sleep(0.01)
    note("done")
    return {"content": [{"type": "text", "text": f"built for {name}"}]}


def result_of(method: str, params: Json) -> Json:
    """The answer to one request."""
    if method == "initialize":
        info = {"name": "slow", "version": "1"}
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [{"name": "build", "inputSchema": {"type": "object"}}]}
    return build(params.get("arguments") or {}) if method == "tools/call" else {}


def main() -> None:
    """Answer until standard input ends."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        if message["method"] == "server/discover":
            say({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
        else:
            say({"id": message["id"], "result": result_of(message["method"], message.get("params") or {})})


if __name__ == "__main__":
    main()
