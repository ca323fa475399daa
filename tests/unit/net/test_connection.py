"""The connection's reading of answers: the same for any cut of the bytes, and never more than its own exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.net.connection import HttpConnection, KnownHead
from toolyard.net.response import HttpResponse


class Pool:
    """Counts what a connection tells its owner."""

    def __init__(self) -> None:
        self.known_heads: dict[bytes, KnownHead] = {}
        self.told: list[str] = []

    def released(self, connection: HttpConnection) -> None:
        self.told.append("released")

    def retired(self, connection: HttpConnection) -> None:
        self.told.append("retired")

    def lost(self, connection: HttpConnection) -> None:
        self.told.append("lost")


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: object) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


Outcome = tuple[int, dict[str, str], bytes, str, list[str]]


def outcome(loop: asyncio.AbstractEventLoop, stream: bytes, cuts: list[int]) -> Outcome:
    """What one exchange comes to when `stream` arrives cut at `cuts` and then the peer closes."""
    pool, wire = Pool(), Wire()
    connection = HttpConnection(pool, loop)
    connection.connection_made(wire)
    response = connection.exchange(b"request", loop.time() + 1000)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in zip(edges, edges[1:], strict=False):  # noqa: RUF007  (also for a stream of no byte)
        if not wire.closed:
            connection.data_received(stream[start:end])
    if not wire.closed:
        connection.eof_received()
    connection.connection_lost(None)
    error = "" if response._error is None else type(response._error).__name__
    body = b"".join(response._chunks)
    assert pool.told.count("retired") == pool.told.count("lost") == 1
    assert pool.told.count("released") <= 1
    assert connection._timer is None
    return response.status, dict(response.headers), body, error or str(response._complete), pool.told[:1]


ANSWERS = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: 1\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 X\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nt: 1\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-encoding: gzip\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 101 + b"content-length: 0\r\n\r\n",
    b"junk",
    b"",
]
cut_lists = st.lists(st.integers(0, 10_000), max_size=8)


@pytest.mark.parametrize("answer", ANSWERS)
def test_any_cut_of_an_answer_comes_to_the_same(loop: asyncio.AbstractEventLoop, answer: bytes) -> None:
    whole = outcome(loop, answer, [])
    assert outcome(loop, answer, list(range(len(answer)))) == whole
    for cut in range(len(answer)):
        assert outcome(loop, answer, [cut]) == whole


@given(answer=st.sampled_from(ANSWERS), at=st.integers(0, 200), junk=st.binary(max_size=6), cuts=cut_lists)
def test_any_damage_to_an_answer_ends_in_an_answer_or_an_error(
    loop: asyncio.AbstractEventLoop, answer: bytes, at: int, junk: bytes, cuts: list[int]
) -> None:
    """And nothing else: no exception reaches the loop, the owner is told exactly once."""
    at %= len(answer) + 1
    status, _, _, end, _ = outcome(loop, answer[:at] + junk + answer[at + len(junk) :], cuts)
    assert end in {"True", "BadResponse", "Incomplete"}
    assert status or end != "True"


@given(junk=st.binary(max_size=200), cuts=cut_lists)
def test_any_bytes_end_in_an_answer_or_an_error(loop: asyncio.AbstractEventLoop, junk: bytes, cuts: list[int]) -> None:
    assert outcome(loop, junk, cuts)[3] in {"True", "BadResponse", "Incomplete"}


def test_reading_an_old_answer_does_not_touch_the_exchange_that_has_the_connection_now(
    loop: asyncio.AbstractEventLoop,
) -> None:
    calls: list[str] = []

    class Counting(Wire):
        def pause_reading(self) -> None:
            calls.append("pause")

        def resume_reading(self) -> None:
            calls.append("resume")

    connection = HttpConnection(Pool(), loop)
    connection.connection_made(Counting())
    body = b"x" * 300_000
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)

    def begin() -> HttpResponse:
        return connection.exchange(b"", loop.time() + 1000)

    old = begin()
    connection.data_received(head + body[:290_000])
    connection.data_received(body[290_000:])
    now = begin()
    connection.data_received(head + body[:290_000])
    assert calls == ["pause", "resume", "pause"]
    old._take()
    old.abort()
    assert calls == ["pause", "resume", "pause"]
    now._take()
    assert calls == ["pause", "resume", "pause", "resume"]
    connection.data_received(body[290_000:])
    assert now._complete
