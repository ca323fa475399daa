"""A shop of 2025-11-25 that asks before it sells, and keeps a ledger; standard library only.

    ledger_server.py --ledger FILE [--http PORT]

Over standard input and output, or over Streamable HTTP on a port of 127.0.0.1 (0: a free one, printed as a line). The
tool `buy` asks by elicitation and sells when the answer is `accept`. Each step is a line of the ledger: `begun`,
`sold`, `declined`, `cancelled`. While a file FILE.before-asking or FILE.before-selling exists, that step waits.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Send = Callable[[dict[str, Any]], None]
REVISION = "2025-11-25"
INFO = {"name": "shop", "version": "1"}
TOOL = {"name": "buy", "inputSchema": {"type": "object"}}


class Shop:
    """What the server does, whatever carries its messages."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[threading.Event, list[Any]]] = {}
        self._asked = 0

    def write(self, line: str) -> None:
        with self._lock, self._ledger.open("a") as file:
            file.write(line + "\n")

    def handle(self, message: dict[str, Any], send: Send) -> None:
        """Answer one message; a call takes as long as its steps."""
        method, message_id = message.get("method"), message.get("id")
        if method is None:
            self._take(message)
        elif method == "initialize":
            self._reply(
                send, message_id, {"protocolVersion": REVISION, "capabilities": {"tools": {}}, "serverInfo": INFO}
            )
        elif method == "tools/list":
            self._reply(send, message_id, {"tools": [TOOL]})
        elif method == "tools/call":
            self._sell(message_id, send)
        elif method == "notifications/cancelled":
            self.write("cancelled")
        elif message_id is not None:
            error = {"code": -32601, "message": "Method not found"}
            send({"jsonrpc": "2.0", "id": message_id, "error": error})

    def _sell(self, message_id: Any, send: Send) -> None:
        self.write("begun")
        self._wait("before-asking")
        with self._lock:
            self._asked += 1
            ask_id = f"ask-{self._asked}"
            answered, answer = self._answers[ask_id] = (threading.Event(), [])
        params = {"message": "Buy?", "requestedSchema": {"type": "object", "properties": {}}}
        send({"jsonrpc": "2.0", "id": ask_id, "method": "elicitation/create", "params": params})
        answered.wait(120)
        if not answer or answer[0].get("action") != "accept":
            self.write("declined")
            self._reply(send, message_id, {"content": [{"type": "text", "text": "not sold"}]})
            return
        self._wait("before-selling")
        self.write("sold")
        self._reply(send, message_id, {"content": [{"type": "text", "text": "sold"}]})

    def _take(self, message: dict[str, Any]) -> None:
        answered, answer = self._answers.get(message.get("id", ""), (threading.Event(), []))
        if "result" in message:
            answer.append(message["result"])
        answered.set()

    def _wait(self, step: str) -> None:
        gate = self._ledger.with_name(f"{self._ledger.name}.{step}")
        if gate.exists():
            self.write(step)
        while gate.exists():
            time.sleep(0.005)

    def _reply(self, send: Send, message_id: Any, result: dict[str, Any]) -> None:
        send({"jsonrpc": "2.0", "id": message_id, "result": result})


def serve_stdio(shop: Shop) -> None:
    lock = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with lock:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    for line in sys.stdin:
        threading.Thread(target=shop.handle, args=(json.loads(line), send), daemon=True).start()


def serve_http(shop: Shop, port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.headers.get("mcp-protocol-version") == "2026-07-28":
                self._end(400)
            elif "id" not in message or "method" not in message:
                shop.handle(message, lambda _: None)
                self._end(202)
            else:
                self._stream(message)

        def do_GET(self) -> None:
            self._end(405)

        def do_DELETE(self) -> None:
            self._end(200)

        def _end(self, status: int) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def _stream(self, message: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            if message["method"] == "initialize":
                self.send_header("mcp-session-id", "shop-session")
            self.end_headers()
            self.close_connection = True

            def send(event: dict[str, Any]) -> None:
                try:
                    self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                    self.wfile.flush()
                except OSError:
                    return

            shop.handle(message, send)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--http", type=int)
    options = parser.parse_args()
    shop = Shop(options.ledger)
    if options.http is None:
        serve_stdio(shop)
    else:
        serve_http(shop, options.http)


if __name__ == "__main__":
    main()
