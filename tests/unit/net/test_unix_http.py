"""The client for our own processes: exact about heads, patient with bodies, clear about what broke off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from toolyard.net.errors import BadResponse, Incomplete, NetError, Unreachable, Unsendable
from toolyard.net.unix_http import MAX_HEAD_BYTES, AnswerHead, begin_exchange


@asynccontextmanager
async def peer(path: Path, answer: bytes) -> AsyncIterator[list[bytes]]:
    """Answers everybody with the same bytes, and hangs up."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield asked
    finally:
        server.close()


async def exchange(path: Path, answer: bytes, method: str = "GET") -> tuple[AnswerHead, bytes]:
    async with peer(path, answer), asyncio.timeout(20):
        with await begin_exchange(path, method, "/x", [("host", "control")]) as one:
            head = await one.head()
            return head, await one.read(1000)


def answered(path: Path, answer: bytes, method: str = "GET") -> tuple[AnswerHead, bytes]:
    return asyncio.run(exchange(path / "s", answer, method))


def test_a_head_arrives_in_its_order_with_what_is_repeated(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nContent-Encoding: br\r\nset-cookie: b\r\ncontent-length: 2\r\n\r\nok"
    head, body = answered(tmp_path, answer)
    assert (head.status, body) == (200, b"ok")
    fields = (("set-cookie", "a"), ("content-encoding", "br"), ("set-cookie", "b"), ("content-length", "2"))
    assert head.fields == fields


@pytest.mark.parametrize(
    ("answer", "method", "body"),
    [
        (b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "GET", b"abc"),
        (b"HTTP/1.1 200 X\r\n\r\nto the end", "GET", b"to the end"),
        (b"HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\n", "HEAD", b""),
        (b"HTTP/1.1 204 X\r\n\r\n", "GET", b""),
        (b"HTTP/1.1 103 X\r\nlink: a\r\n\r\nHTTP/1.1 200 X\r\ncontent-length: 1\r\n\r\n1", "GET", b"1"),
    ],
)
def test_a_body_ends_where_its_head_says(tmp_path: Path, answer: bytes, method: str, body: bytes) -> None:
    head, read = answered(tmp_path, answer, method)
    assert (read, head.get("link")) == (body, None)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", Incomplete),
        (b"HTTP/1.1 200 X\r\ncontent-length: 3\r\n\r\nab", Incomplete),
        (b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", Incomplete),
        (b"what?", BadResponse),
        (b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", NetError),
        (b"HTTP/1.1 200 X\r\n" + b"a: " + b"b" * (MAX_HEAD_BYTES + 70_000), BadResponse),
        (b"HTTP/1.1 200 X\r\ncontent-length: 1001\r\n\r\n" + b"a" * 1001, BadResponse),
    ],
)
def test_what_breaks_off_or_is_no_answer_is_an_error(tmp_path: Path, answer: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        answered(tmp_path, answer)


def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        asyncio.run(begin_exchange(tmp_path / "s", "GET", "/", []))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "target", "field"),
    [
        ("GET X", "/", ("a", "b")),
        ("GET", "/ HTTP/1.1\r\nx: y", ("a", "b")),
        ("GET", "x", ("a", "b")),
        ("GET", "/#", ("a", "b")),
        ("GET", "/", ("a b", "b")),
        ("GET", "/", ("a", "b\r\nc: d")),
        ("GET", "/", ("a", "b\0")),
    ],
)
def test_no_value_becomes_a_second_header_or_request(tmp_path: Path, method: str, target: str, field: Any) -> None:
    async def work() -> None:
        await begin_exchange(tmp_path / "s", method, target, [field])

    with pytest.raises(Unsendable):
        asyncio.run(work())
