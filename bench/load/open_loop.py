"""Requests by the clock, whether or not answers come: `open_loop.py PLAN` drives one port and prints what came of it.

PLAN is a JSON file: `port`, `seconds`, `rate` (requests a second, of all callers together), `core`, `tick_ms`, and
`callers`: each with its `group`, its request's `bytes`, its `weight` in the rate and how many `connections` it may
open. An arrival takes a connection that waits for nothing, else a new one, else it is written behind another request
(pipelining), unless the plan has `pipelining` false: then it is not sent, and counted as `not_sent`. The time of an
answer counts from when its request was due, so that a generator that falls behind makes itself look worse, never the
gateway better.

One thread, no framework: at 100,000 requests a second the sockets' system calls are most of what it costs.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import socket
import sys
import time
from collections import Counter, deque
from itertools import groupby
from pathlib import Path
from typing import Any

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_ENDS = (b"}", b"]")
_TABLE = 256
_BUCKETS_PER_S = 2000
_MAX_BUCKETS = 40_000
_DRAIN_S = 2.0
_GO = select.EPOLLIN
_BOTH = select.EPOLLIN | select.EPOLLOUT


class Caller:
    """Whoever sends: its request, its connections, and what it got."""

    def __init__(self, plan: dict[str, Any]) -> None:
        request = plan["bytes"].encode("latin-1")
        self.times = [request * count for count in range(_TABLE)]
        self.group = plan["group"]
        self.most = plan["connections"]
        self.connections: list[Connection] = []
        self.idle: deque[Connection] = deque()
        self.turn = 0
        self.answers = 0


class Connection:
    """One kept-alive connection; `due` tells when requests on it that have no answer yet were due, and how many at each
    of these times."""

    __slots__ = ("caller", "due", "rest", "socket", "tail", "to_send")

    def __init__(self, caller: Caller, opened: socket.socket) -> None:
        self.caller = caller
        self.socket = opened
        self.due: deque[list[float]] = deque()
        self.rest = b""
        self.tail = b""
        self.to_send = 0

    def waiting(self) -> int:
        """Requests without an answer."""
        return int(sum(count for _, count in self.due))


class OpenLoop:
    """One run."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.callers = [Caller(one) for one in plan["callers"]]
        order = [c for c, one in zip(self.callers, plan["callers"], strict=True) for _ in range(one["weight"])]
        random.Random(1).shuffle(order)
        self.order = order
        self.one_each = plan.get("pipelining", True) and all(one.most == 1 for one in self.callers)
        self.epoll = select.epoll()
        self.by_fd: dict[int, Connection] = {}
        self.buckets: dict[tuple[str, bytes], list[int]] = {}
        self.no_retry_after = self.offered = self.lost = self.not_sent = 0
        self.pipelining = plan.get("pipelining", True)
        self.late_s = 0.0
        self.began = 0.0
        self.refusal = b"HTTP/1.1 "
        """The refusal that came last: most are the same, byte for byte, and need not be looked at one by one."""

    def run(self) -> dict[str, Any]:
        """Send for the planned time, then wait a little for what is still to come."""
        rate, end_s, tick_s = self.plan["rate"], self.plan["seconds"], self.plan.get("tick_ms", 2) / 1000
        total = int(rate * end_s)
        self.began = began = time.perf_counter()
        next_tick = began
        while self.offered < total:
            now = time.perf_counter()
            if now >= next_tick:
                next_tick += tick_s
                wanted = min(total, int((now - began) * rate))
                touched = self._arrive(self.offered, wanted)
                due = began + self.offered / rate  # of the first of them, so that no time is made to look shorter
                self.offered = wanted
                for connection in touched:
                    connection.due.append([due, connection.to_send])
                    self._send(connection)
                self.late_s = max(self.late_s, now - next_tick)
            self._receive(max(0.0, next_tick - time.perf_counter()))
        stop = time.perf_counter() + _DRAIN_S
        while time.perf_counter() < stop and any(c.due for c in self.by_fd.values()):
            self._receive(0.05)
        return self._told(time.perf_counter())

    def _arrive(self, first: int, end: int) -> list[Connection]:
        """Give the arrivals of these numbers to connections; on which of them there is something to send."""
        size, touched = len(self.order), []
        if self.one_each:  # the common case, in which counting is all there is to do
            turns, first = divmod(first, size)
            listed = (self.order * ((end - turns * size) // size + 1))[first : end - turns * size]
            for caller, count in Counter(listed).items():
                connection = self._connection(caller)
                if connection is None:
                    self.not_sent += count
                else:
                    connection.to_send = count
                    touched.append(connection)
            return touched
        for number in range(first, end):
            connection = self._connection(self.order[number % size])
            if connection is None:
                self.not_sent += 1
                continue
            if connection.to_send == 0:
                touched.append(connection)
            connection.to_send += 1
        return touched

    def _connection(self, caller: Caller) -> Connection | None:
        if caller.most == 1 and caller.connections and self.pipelining:
            return caller.connections[0]
        idle = caller.idle
        while idle:
            connection = idle.popleft()
            if not connection.due and connection.socket.fileno() >= 0:
                return connection
        if len(caller.connections) < caller.most:
            return self._open(caller)
        if not caller.connections or not self.pipelining:
            return None
        caller.turn += 1
        return caller.connections[caller.turn % len(caller.connections)]

    def _open(self, caller: Caller) -> Connection | None:
        opened = socket.socket()
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            opened.connect(("127.0.0.1", self.plan["port"]))
        except OSError:
            opened.close()
            return None
        opened.setblocking(False)
        connection = Connection(caller, opened)
        caller.connections.append(connection)
        self.by_fd[opened.fileno()] = connection
        self.epoll.register(opened.fileno(), _GO)
        return connection

    def _send(self, connection: Connection) -> None:
        count, connection.to_send = connection.to_send, 0
        table = connection.caller.times
        if connection.socket.fileno() < 0:
            self.lost += connection.waiting()
            connection.due.clear()
            return
        data = table[count] if count < _TABLE else table[1] * count
        if connection.rest:
            connection.rest += data
            return
        try:
            sent = connection.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(connection)
            return
        if sent < len(data):
            connection.rest = data[sent:]
            self.epoll.modify(connection.socket.fileno(), _BOTH)

    def _receive(self, wait_s: float) -> None:
        for fd, event in self.epoll.poll(wait_s, 1024):
            connection = self.by_fd.get(fd)
            if connection is None:
                continue
            if event & select.EPOLLOUT:
                self._send_rest(connection)
            if event & ~select.EPOLLOUT:
                self._read(connection)

    def _send_rest(self, connection: Connection) -> None:
        try:
            sent = connection.socket.send(connection.rest)
        except BlockingIOError:
            return
        except OSError:
            self._close(connection)
            return
        connection.rest = connection.rest[sent:]
        if not connection.rest:
            self.epoll.modify(connection.socket.fileno(), _GO)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        if connection.tail:
            data = connection.tail + data
        connection.tail = b""
        many = len(data) // len(self.refusal)
        if data == self.refusal * many:
            self._note(connection, b"503", many, time.perf_counter())
            if not connection.due:
                connection.caller.idle.append(connection)
            return
        statuses = _STATUS.findall(data)
        if not data.endswith(_ENDS):
            statuses.pop()
            connection.tail = data[data.rindex(b"HTTP/1.1 ") :]
        self._count(connection, statuses, data)

    def _count(self, connection: Connection, statuses: list[bytes], data: bytes) -> None:
        now, due = time.perf_counter(), connection.due
        for status, run in groupby(statuses):
            self._note(connection, status, len(list(run)), now)
        shed = statuses.count(b"503") + statuses.count(b"429")
        if shed:
            self._remember(data, shed)
            self.no_retry_after += shed - data.count(b"\r\nretry-after: ")
        if not due:
            connection.caller.idle.append(connection)

    def _remember(self, data: bytes, count: int) -> None:
        """Keep what a refusal looks like, if these are so many of the same."""
        first = data[: len(data) // count]
        if first.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: " in first and first * count == data:
            self.refusal = first

    def _note(self, connection: Connection, status: bytes, count: int, now: float) -> None:
        """So many answers of one status came now."""
        caller, due = connection.caller, connection.due
        counts = self.buckets.get((caller.group, status))
        if counts is None:
            counts = self.buckets[caller.group, status] = [0] * (_MAX_BUCKETS + 1)
        if status == b"200":
            caller.answers += count
        while count:
            if not due:
                raise SystemExit(f"an answer to nothing: {status!r}")
            first = due[0]
            some = min(count, int(first[1]))
            counts[min(_MAX_BUCKETS, int((now - first[0]) * _BUCKETS_PER_S))] += some
            count -= some
            first[1] -= some
            if not first[1]:
                due.popleft()

    def _close(self, connection: Connection) -> None:
        self.lost += connection.waiting()
        connection.due.clear()
        self.by_fd.pop(connection.socket.fileno(), None)
        connection.caller.connections.remove(connection)
        connection.socket.close()

    def _told(self, now: float) -> dict[str, Any]:
        answers: dict[str, dict[str, dict[str, float]]] = {}
        for (group, status), counts in self.buckets.items():
            answers.setdefault(group, {})[status.decode()] = _figures(counts)
        return {
            "offered": self.offered,
            "seconds": now - self.began,
            "not_sent": self.not_sent,
            "lost": self.lost,
            "unanswered": sum(c.waiting() for c in self.by_fd.values()),
            "no_retry_after": self.no_retry_after,
            "late_ms": self.late_s * 1000,
            "connections": sum(len(c.connections) for c in self.callers),
            "answers": answers,
            "good_by_caller": [caller.answers for caller in self.callers],
            "cpu_s": time.process_time(),
        }


def _figures(counts: list[int]) -> dict[str, float]:
    """How many, and their times in milliseconds."""
    total = sum(counts)
    found = {"count": float(total)}
    for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999), ("max_ms", 1.0)):
        left = total * share
        for bucket, count in enumerate(counts):
            left -= count
            if left <= 0:
                found[name] = (bucket + 1) * 1000 / _BUCKETS_PER_S
                break
    return found


if __name__ == "__main__":
    the_plan = json.loads(Path(sys.argv[1]).read_text())
    if the_plan.get("core") is not None:
        os.sched_setaffinity(0, {the_plan["core"]})
    print(json.dumps(OpenLoop(the_plan).run()))
