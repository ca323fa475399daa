"""Clients that hold a connection and say nothing more."""

from __future__ import annotations

import json
import socket

from bench.client import META, Endpoint, WrongAnswer, modern_headers


class Holding:
    """Connections that are open until the block ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[socket.socket] = []

    def __enter__(self) -> Holding:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._open:
            one.close()

    def connections(self, count: int) -> None:
        """So many kept-alive connections that have had one probe answered."""
        request = f"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode()
        for _ in range(count):
            self._ask(request, b'"ok"}')

    def streams(self, count: int, endpoint: Endpoint) -> None:
        """So many `subscriptions/listen` streams that have been acknowledged."""
        params = {"notifications": {"toolsListChanged": True}, "_meta": META}
        message = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        body = json.dumps(message)
        lines = [f"{name}: {value}" for name, value in modern_headers(endpoint, "subscriptions/listen").items()]
        lines = [f"POST {endpoint.path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}", *lines]
        request = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()
        for _ in range(count):
            self._ask(request, b"acknowledged")

    def _ask(self, request: bytes, until: bytes) -> None:
        opened = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        self._open.append(opened)
        opened.sendall(request)
        received = b""
        while until not in received:
            data = opened.recv(65536)
            if not data:
                raise WrongAnswer(f"the gateway closed the connection: {received[:300]!r}")
            received += data
