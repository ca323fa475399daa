"""Standard input and output as lines: long ones, blank ones, and ends in the middle."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolyard.kit import stdio
from toolyard.kit.stdio import MAX_LINE_BYTES, MAX_WAITING, StandardLines


def read_all(incoming: BinaryIO) -> list[bytes]:
    async def scene() -> list[bytes]:
        lines, found = StandardLines(incoming, io.BytesIO()), []
        async with asyncio.timeout(20):
            while (line := await lines.receive()) is not None:
                found.append(line)
        return found

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", []),
        (b"\n", []),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\n\n  \t\r\n\nb\n", [b"a", b"b"]),
        (b"a\nmiddle", [b"a", b"middle"]),
        (b" a \n", [b" a "]),
        (b"\xff\xfe\x00\n", [b"\xff\xfe\x00"]),
        (b'{"a":"\\n"}\n', [b'{"a":"\\n"}']),
    ],
    ids=["nothing", "blank", "two", "windows", "blanks", "end-in-the-middle", "inner-blanks", "no-text", "escaped"],
)
def test_each_line_that_is_not_blank_arrives_without_its_end(text, lines):
    assert read_all(io.BytesIO(text)) == lines


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["unix", "windows", "none"])
@pytest.mark.parametrize("extra", [-1, 0, 1, 100_000])
def test_a_line_of_four_mebibytes_arrives_and_a_longer_one_arrives_as_what_it_is_not(extra, end):
    long = b"x" * (MAX_LINE_BYTES + extra)
    after = [b"after"] if end else []
    expected = [long] if extra <= 0 else [b"{"]
    assert read_all(io.BytesIO(long + end + b"".join(line + b"\n" for line in after))) == [*expected, *after]


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=30), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_lines_come_whole_and_in_order_however_long(lines, end):
    clean = [line.replace(b"\n", b"").replace(b"\r", b"") for line in lines]
    before, stdio.MAX_LINE_BYTES = stdio.MAX_LINE_BYTES, 10
    try:
        found = read_all(io.BytesIO(b"".join(line + end for line in clean)))
    finally:
        stdio.MAX_LINE_BYTES = before
    assert found == [line if len(line) <= 10 else b"{" for line in clean if len(line) > 10 or line.strip()]


def test_lines_arrive_as_they_are_written_and_the_end_is_the_end():
    async def scene() -> None:
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb") as incoming:
            lines = StandardLines(incoming, io.BytesIO())
            for line in (b"one", b"two"):
                os.write(write_end, line + b"\n")
                assert await lines.receive() == line
            os.write(write_end, b"cut off")
            os.close(write_end)
            assert await lines.receive() == b"cut off"
            assert await lines.receive() is None

    asyncio.run(scene())


class Counting(io.BytesIO):
    """Input that counts the lines taken from it."""

    taken = 0
    reached = threading.Event()

    def readline(self, size: int | None = -1, /) -> bytes:
        self.taken += 1
        if self.taken > MAX_WAITING:
            self.reached.set()
        return super().readline(size)


def test_no_more_than_a_few_lines_are_read_ahead_of_who_wants_them():
    async def scene() -> None:
        incoming = Counting(b"x\n" * 10 * MAX_WAITING)
        lines = StandardLines(incoming, io.BytesIO())
        assert await asyncio.to_thread(incoming.reached.wait, 20)
        assert incoming.taken == MAX_WAITING + 1
        for _ in range(10 * MAX_WAITING):
            assert await lines.receive() == b"x"
        assert await lines.receive() is None

    asyncio.run(scene())


def test_messages_are_written_one_a_line_and_whole_whoever_writes_at_once():
    async def scene() -> bytes:
        outgoing = io.BytesIO()
        lines = StandardLines(io.BytesIO(), outgoing)
        await asyncio.gather(*(lines.send(b"%d" % n * 1000) for n in range(10)))
        return outgoing.getvalue()

    assert sorted(asyncio.run(scene()).splitlines()) == [b"%d" % n * 1000 for n in range(10)]


def test_writing_for_nobody_is_a_broken_pipe():
    async def scene() -> None:
        read_end, write_end = os.pipe()
        os.close(read_end)
        with os.fdopen(write_end, "wb", buffering=0) as outgoing, pytest.raises(BrokenPipeError):
            await StandardLines(io.BytesIO(), outgoing).send(b"x")

    asyncio.run(scene())
