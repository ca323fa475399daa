"""Open-loop load: requests are sent by the clock (Poisson arrivals), whether earlier ones were answered or not.

Arguments: port, path, requests a second, seconds. The headers, the body with @N@ and the checks come as wrk's do, in
BENCH_HEADERS, BENCH_BODY and so on. A latency counts from the moment at which a request was due, so that what has to
wait for a connection or for this program counts as waiting. Prints wrk's RESULT line.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import select
import socket
import sys
import time
from collections import deque
from pathlib import Path

CONNECTIONS = 64
LAST_ANSWERS_S = 2.0
FIRST = 100000
COUNT = 4096
PR_SET_TIMERSLACK = 29
NUMBERS = re.compile(rb'"id": ?(\d+)|call (\d+) of the bench')
LENGTH = re.compile(rb"(?i)\r\ncontent-length: ?(\d+)")


class Connection:
    """One kept-alive connection with at most one request on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = 0
        self.due = 0.0
        self.received = b""

    def send(self, number: int, due: float, request: bytes) -> None:
        self.number, self.due, self.received = number, due, b""
        self.socket.sendall(request)

    def take(self) -> bytes | None:
        """The whole answer once it is there. Raises EOFError."""
        chunk = self.socket.recv(1 << 20)
        if not chunk:
            raise EOFError
        self.received += chunk
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return None
        if found := LENGTH.search(self.received, 0, end + 2):
            return self.received if len(self.received) >= end + 4 + int(found[1]) else None
        return self.received if self.received.endswith(b"\r\n0\r\n\r\n") else None


class Load:
    """The connections, the requests that are due, and what was measured."""

    def __init__(self, port: int, path: str) -> None:
        self.requests = _requests(port, path)
        self.connections = {found.socket.fileno(): found for found in (Connection(port) for _ in range(CONNECTIONS))}
        self.free = list(self.connections.values())
        self.waiting: deque[float] = deque()
        self.poll = select.epoll()
        for number in self.connections:
            self.poll.register(number, select.EPOLLIN)
        self.sent = 0
        self.latencies_us: list[float] = []
        self.received_bytes = 0
        self.bad = 0
        self.first_bad = b""

    def drive(self, rate: float, seconds: float) -> float:
        """Send by the clock for `seconds`, then wait for what is on its way; returns the time that was sent for."""
        began = due = time.perf_counter()
        while due < began + seconds:
            due += random.expovariate(rate)
            while (left := due - time.perf_counter()) > 0:
                self._answers(left)
            self.waiting.append(due)
            self._send()
        end = time.perf_counter()
        while len(self.free) < len(self.connections) and time.perf_counter() < end + LAST_ANSWERS_S:
            self._answers(0.1)
        self.bad += len(self.connections) - len(self.free) + len(self.waiting)
        return end - began

    def _send(self) -> None:
        while self.waiting and self.free:
            number = self.sent % COUNT
            self.free.pop().send(FIRST + number, self.waiting.popleft(), self.requests[number])
            self.sent += 1

    def _answers(self, timeout_s: float) -> None:
        """Take in what comes within the time. `select` keeps microseconds, which epoll's own timeout does not."""
        if not select.select([self.poll], [], [], timeout_s)[0]:
            return
        for number, _ in self.poll.poll(0):
            connection = self.connections[number]
            answer = connection.take()
            if answer is not None:
                self._judge(connection, answer)
                self.free.append(connection)
        self._send()

    def _judge(self, connection: Connection, answer: bytes) -> None:
        self.latencies_us.append((time.perf_counter() - connection.due) * 1e6)
        self.received_bytes += len(answer)
        found = {int(first or second) for first, second in NUMBERS.findall(answer)}
        if answer[9:12] != b"200" or found != {connection.number}:
            self.bad += 1
            self.first_bad = self.first_bad or answer[:400]


def _requests(port: int, path: str) -> list[bytes]:
    body = Path(os.environ["BENCH_BODY"]).read_text()
    fields = Path(os.environ["BENCH_HEADERS"]).read_text().splitlines()
    sessions = Path(os.environ["BENCH_SESSIONS"]).read_text().split()
    found = []
    for number in range(COUNT):
        content = body.replace("@N@", str(FIRST + number)).encode()
        session = [f"Mcp-Session-Id: {sessions[number % len(sessions)]}"] if sessions else []
        head = [
            f"POST {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            *fields,
            *session,
            f"Content-Length: {len(content)}",
        ]
        found.append("\r\n".join([*head, "", ""]).encode() + content)
    return found


def main() -> None:
    port, path, rate, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    load = Load(port, path)
    duration_s = load.drive(rate, seconds)
    ordered = sorted(load.latencies_us) or [0.0]
    p50, p99, p999 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99, 0.999))
    print(
        f"RESULT calls={len(load.latencies_us)} duration_us={duration_s * 1e6:.0f} bad={load.bad} errors=0 "
        f"bytes={load.received_bytes} p50_us={p50:.0f} p99_us={p99:.0f} p999_us={p999:.0f} max_us={ordered[-1]:.0f}"
    )
    if load.first_bad:
        print("FIRST_BAD", load.first_bad.decode("latin-1").replace("\n", " ").replace("\r", " "))


if __name__ == "__main__":
    main()
