"""What many clients weigh that have made one call and then only keep their connection, in whatever gateway."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from bench.backing import PLAIN
from bench.calls import Request, request_of
from bench.client import WrongAnswer, initialize
from bench.contestants.standing import Standing
from bench.stands import TROUBLE, Stands, plain_reason, turn

COUNTS = (1_000, 10_000)
WARM = 16
LONGEST_S = 90.0
SETTLE_S = 1.0
DESCRIPTORS_BESIDE = 200
ROOM_OF = {"haproxy": 9_900}


def idle_clients(stands: Stands, counts: Sequence[int] = COUNTS) -> list[dict[str, Any]]:
    """KiB for each of so many clients of all that stand before the plain upstream, or why there is no figure."""
    room = open_descriptors()
    found = []
    for stand in stands.found.values():
        if stand.standing is None or stand.backing is not PLAIN or stand.contestant.name.endswith("-memoised"):
            continue
        weights: dict[str, float | str] = {}
        for count in counts:
            try:
                weights[str(count)] = _weighed(
                    stand.standing, count, min(room, ROOM_OF.get(stand.contestant.name, room))
                )
            except TROUBLE as error:
                weights[str(count)] = plain_reason(error, stands.ground.work)
            if isinstance(weights[str(count)], str):
                break
        found.append({"contestant": stand.contestant.name, "kib_each": weights})
        print(f"idle clients   {stand.contestant.name:30} {weights}", flush=True)
    return found


def open_descriptors() -> int:
    """Let this process, and what it starts from now on, have as many descriptors as the machine allows; how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _weighed(standing: Standing, count: int, room: int) -> float | str:
    if count + DESCRIPTORS_BESIDE > room:
        return f"room for {room:,} descriptors or connections only"
    request = request_of(standing, "echo", PLAIN)
    with turn(standing), ExitStack() as stack:
        began = time.monotonic()
        for client in _clients(standing, request, WARM):
            client.close()
        expected_s = (time.monotonic() - began) / WARM * count
        if expected_s > LONGEST_S:
            return f"too slow: one call of each would take {expected_s:,.0f} s"
        time.sleep(SETTLE_S)
        before = standing.program.memory().rss_mib
        for client in _clients(standing, request, count):
            stack.callback(client.close)
        time.sleep(SETTLE_S)
        return (standing.program.memory().rss_mib - before) * 1024 / count


def _clients(standing: Standing, request: Request, count: int) -> Iterator[socket.socket]:
    """Clients that have been answered once each, on connections of their own. Raises WrongAnswer."""
    for number in range(count):
        session = initialize(standing.endpoint) if standing.speaks == "sessions" else None
        client = socket.create_connection(("127.0.0.1", standing.endpoint.port), timeout=30)
        try:
            client.sendall(_bytes(request, session, number))
            answer = _answer(client)
            if f"call {number} of the bench".encode() not in answer:
                raise WrongAnswer(f"client {number} was answered with {answer[:200]!r}")
        except BaseException:
            client.close()
            raise
        yield client


def _answer(client: socket.socket) -> bytes:
    """What comes until the text of the answer is in it, or no more comes."""
    answer = b""
    while b"of the bench" not in answer:
        chunk = client.recv(65536)
        if not chunk:
            break
        answer += chunk
    return answer


def _bytes(request: Request, session: str | None, number: int) -> bytes:
    body = request.body.replace("@N@", str(number)).encode()
    fields = dict(request.headers) | ({"Mcp-Session-Id": session} if session else {})
    lines = [f"POST {request.endpoint.path} HTTP/1.1", f"Host: 127.0.0.1:{request.endpoint.port}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return ("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])).encode() + body
