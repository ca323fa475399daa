"""An MCP server on standard input and output that counts what it does; standard library only.

    counting_program.py LEDGER

Every `tools/call` writes its token into the ledger. Its arguments say how it is answered: `hold` (when `release` is
called with its token), `split` (so many bytes, then the rest), `cut` (so many bytes, then `how`: the program exits, or
closes its output).
"""

import json
import os
import sys
import time

ledger = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
held: dict = {}


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def reply(request_id: int, result: dict) -> bytes:
    return b'{"jsonrpc": "2.0", "id": %8d, "result": %s}\n' % (request_id, json.dumps(result).encode())


def answer(request_id: int, token: str) -> bytes:
    return reply(request_id, {"resultType": "complete", "content": [{"type": "text", "text": token}]})


def call(request_id: int, arguments: dict) -> None:
    token = arguments["token"]
    os.write(ledger, token.encode() + b"\n")
    data = answer(request_id, token)
    if "release" in arguments:
        write(held.pop(arguments["release"]))
    if arguments.get("hold"):
        held[token] = data
    elif "split" in arguments:
        write(data[: arguments["split"]])
        time.sleep(0.001)
        write(data[arguments["split"] :])
    elif "cut" in arguments:
        write(data[: arguments["cut"]])
        os._exit(0) if arguments["how"] == "exits" else os.close(1)
    else:
        write(data)


OWN = {"tools": [{"name": "sell", "inputSchema": {"type": "object"}}], "ttlMs": 60000, "cacheScope": "public"}
OFFERS = {"server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}, "tools/list": OWN}

for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" not in message:
        os.write(ledger, b"cancelled\n" if message["method"] == "notifications/cancelled" else b"")
    elif message["method"] == "tools/call":
        call(message["id"], message["params"]["arguments"])
    else:
        write(reply(message["id"], {"resultType": "complete", **OFFERS[message["method"]]}))
