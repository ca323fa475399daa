"""A client that sends and reads exactly as many bytes as it is told to, and the judgement of what it got.

`judged` takes a connection's bytes for what they are: whole and right answers in order, whole errors, and at the end
nothing that could be taken for either.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from tests.gateway.faults.shop import PATIENCE_S, How, Json
from toolyard.protocol.sse import SseParser


class Ledger(Protocol):
    """Who counts how often each token was executed."""

    @property
    def sold(self) -> Counter[str]: ...


class Wire:
    """One raw connection of a client. It reads exactly as many bytes as it is told to."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self.received = b""

    @classmethod
    async def opened(cls, port: int) -> Wire:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(sock)

    @property
    def is_open(self) -> bool:
        return self._sock.fileno() >= 0

    async def send(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._loop.sock_sendall(self._sock, data)
        except ConnectionError:
            pass

    async def some(self, most: int) -> bytes:
        """What is there, at most so many bytes; nothing at the end."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                data = await self._loop.sock_recv(self._sock, most)
        except ConnectionError:
            data = b""
        self.received += data
        return data

    async def read(self, count: int) -> None:
        """So many bytes, or what comes before the end."""
        while count > 0 and (data := await self.some(count)):
            count -= len(data)

    async def to_the_end(self) -> bytes:
        """Everything until the gateway closes, then close."""
        while await self.some(65536):
            pass
        self.close()
        return self.received

    async def answer(self) -> Answer:
        """The next whole answer; what was received before it is forgotten."""
        while (found := taken(self.received)) is None:
            assert await self.some(65536), f"closed after {self.received!r}"
        answer, self.received = found
        return answer

    def half_close(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        self._sock.close()

    async def cut(self, how: How) -> bytes:
        """Close with a reset, or only the sending half and wait until the gateway closes; all that was received."""
        if how == "reset":
            self.reset()
        else:
            self.half_close()
            await self.to_the_end()
        return self.received


@dataclass(frozen=True)
class Answer:
    """A whole answer: its messages, the last of which ends the exchange."""

    status: int
    messages: tuple[Json, ...]

    @property
    def said(self) -> str:
        """The text of the result, or `!` and the reason of the error."""
        last = self.messages[-1]
        if "error" in last:
            return "!" + str(last["error"].get("data", {}).get("reason", last["error"]["code"]))
        return str(last["result"]["content"][0]["text"])

    @property
    def may_have_run(self) -> bool:
        return bool(self.messages[-1]["error"]["data"]["may_have_run"])


def taken(received: bytes) -> tuple[Answer, bytes] | None:
    """The whole answer that `received` begins with, and what comes after; None if it is not whole. What there is of it
    must make sense."""
    end = received.find(b"\r\n\r\n") + 4
    if end < 4:
        assert b"HTTP/1.1 ".startswith(received[:9]), received
        return None
    lines = received[:end].decode("latin-1").split("\r\n")
    assert lines[0].startswith("HTTP/1.1 "), lines[0]
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:] if line)}
    status = int(lines[0].split()[1])
    if headers.get("transfer-encoding") == "chunked":
        return _stream(status, received[end:])
    length = int(headers["content-length"])
    if len(received) < end + length:
        return None
    body = received[end : end + length]
    return Answer(status, (json.loads(body),)), received[end + length :]


def _stream(status: int, rest: bytes) -> tuple[Answer, bytes] | None:
    parser, messages = SseParser(1 << 24), []
    while (found := rest.find(b"\r\n")) >= 0:
        size = int(rest[:found], 16)
        if len(rest) < found + 2 + size + 2:
            return None
        data, rest = rest[found + 2 : found + 2 + size], rest[found + 4 + size :]
        messages += [json.loads(event.data) for event in parser.feed(data) if event.data]
        if size == 0:
            assert messages, "the stream ended without an answer"
            assert "id" in messages[-1], "the stream ended without an answer"
            return Answer(status, tuple(messages)), rest
    return None


def judged(received: bytes, ledger: Ledger, *tokens: str) -> list[str]:
    """What became of the calls `tokens` of one connection, in order: what the answers say, and `cut` for those that
    have no whole one."""
    outcomes = []
    for token in tokens:
        found = taken(received)
        if found is None:
            break
        answer, received = found
        outcomes.append(answer.said)
        if answer.said == token:
            assert ledger.sold[token] == 1
        else:
            assert answer.said.startswith("!"), f"{token} got the answer of {answer.said}"
            assert "error" in answer.messages[-1]
            if answer.said != "!upstream_busy" and "may_have_run" in answer.messages[-1]["error"].get("data", {}):
                assert answer.may_have_run or not ledger.sold[token]  # an upstream that says 429 says that nothing ran
    else:
        assert received == b"", "more answers than calls"
    for token in tokens:
        assert ledger.sold[token] <= 1, f"{token} ran {ledger.sold[token]} times"
    return outcomes + ["cut"] * (len(tokens) - len(outcomes))


def http_request(headers: dict[str, str], body: bytes, *, chunked: bool = False) -> bytes:
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(body))}
    lines = ["POST /mcp HTTP/1.1", "Host: 127.0.0.1", *(f"{k}: {v}" for k, v in {**headers, **framing}.items())]
    if chunked:
        body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:1], body[1:40], body[40:])) + b"0\r\n\r\n"
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
