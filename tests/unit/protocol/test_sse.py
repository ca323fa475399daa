"""Event streams: parsing cut anywhere, limits, formatting (WHATWG HTML section 9.2.6)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.protocol.sse import SseEvent, SseParser, SseTooLarge, format_event

LIMIT = 10_000


def parse(stream: bytes, *, limit: int = LIMIT) -> list[SseEvent]:
    return SseParser(limit).feed(stream)


def parse_in_pieces(stream: bytes, cuts: list[int], limit: int) -> tuple[list[SseEvent], bool, str, int | None]:
    """The events, whether the stream was refused, and what the stream said of id and retry."""
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    parser = SseParser(limit)
    events: list[SseEvent] = []
    try:
        for start, end in itertools.pairwise(edges):
            events += parser.feed(stream[start:end])
        parser.feed(b"")
    except SseTooLarge:
        return events, True, parser.last_event_id, parser.retry_ms
    return events, False, parser.last_event_id, parser.retry_ms


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [SseEvent("message", b"a")]),
        (b"data:a\r\rdata: b\r\n\r\n", [SseEvent("message", b"a"), SseEvent("message", b"b")]),
        (b"data:  a\n\n", [SseEvent("message", b" a")]),
        (b"data: a\ndata:b\ndata\n\n", [SseEvent("message", b"a\nb\n")]),
        (b"event: add\ndata: 1\n\n", [SseEvent("add", b"1")]),
        (b"event: add\nevent:\ndata: 1\n\n", [SseEvent("message", b"1")]),
        (b"id: 7\ndata: 1\n\ndata: 2\n\n", [SseEvent("message", b"1", id="7"), SseEvent("message", b"2")]),
        (b"id: 7\ndata: \n\n", [SseEvent("message", b"", id="7")]),
        (b"retry: 0100\ndata: 1\n\n", [SseEvent("message", b"1", retry=100)]),
        (b"retry: 1s\ndata: 1\n\n", [SseEvent("message", b"1")]),
        (b"retry: -1\nretry: \xd9\xa1\nretry:\ndata: 1\n\n", [SseEvent("message", b"1")]),
        (b"retry: " + b"9" * 5000 + b"\ndata: 1\n\n", [SseEvent("message", b"1", retry=999_999_999)]),
        (b": comment\ndata: 1\n: another\n\n", [SseEvent("message", b"1")]),
        (b"\xef\xbb\xbfdata: 1\n\n", [SseEvent("message", b"1")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\n", []),
        (b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n", [SseEvent("message", b"1")]),
        (b"Data: 1\n data: 2\nunknown: 3\n\n", []),
        (b"event: lonely\n\ndata: 1\n\n", [SseEvent("message", b"1")]),
        (b"data: never ended\n", []),
        (b"data: a\x00b\x0b\x0c\x1c\x85c\n\n", [SseEvent("message", b"a\x00b\x0b\x0c\x1c\x85c")]),
        (b"\n\n\r\r\n", []),
        (b"", []),
    ],
)
def test_a_stream_gives_its_events(stream: bytes, events: list[SseEvent]) -> None:
    assert parse(stream) == events


def test_an_id_with_nul_is_ignored() -> None:
    parser = SseParser(LIMIT)
    assert parser.feed(b"id: a\ndata: 1\n\nid: b\0c\ndata: 2\n\n")[1].id is None
    assert parser.last_event_id == "a"


def test_a_block_without_data_is_no_event_but_sets_id_and_retry() -> None:
    parser = SseParser(LIMIT)
    assert parser.feed(b"id: p1\nretry: 500\n\n") == []
    assert (parser.last_event_id, parser.retry_ms) == ("p1", 500)


def test_an_id_counts_only_when_its_block_has_ended() -> None:
    parser = SseParser(LIMIT)
    parser.feed(b"id: 1\n\nid: 2\ndata: half\n")
    assert parser.last_event_id == "1"
    parser.feed(b"\nid\n\n")
    assert parser.last_event_id == ""


def test_an_event_is_given_out_as_soon_as_its_blank_line_is_there() -> None:
    parser = SseParser(LIMIT)
    assert parser.feed(b"data: 1\r\n\r") == [SseEvent("message", b"1")]
    assert parser.feed(b"\ndata: 2\r\r") == [SseEvent("message", b"2")]


@pytest.mark.parametrize(("size", "fits"), [(99, True), (100, True), (101, False)])
@pytest.mark.parametrize("lines", [1, 2, 5])
@pytest.mark.parametrize("ended", [True, False])
def test_the_limit_holds_for_the_lines_of_one_event(size: int, fits: bool, lines: int, ended: bool) -> None:
    first = size - 10 * (lines - 1)
    stream = b"\n".join([b"data:" + b"x" * (first - 5), *[b"data:" + b"y" * 5] * (lines - 1)]) + b"\n\n" * ended
    parser = SseParser(100)
    if fits:
        assert len(parser.feed(stream)) == ended
        assert len(parser.feed(stream if ended else b"\n\n")) == 1
    else:
        with pytest.raises(SseTooLarge):
            parser.feed(stream)
        with pytest.raises(SseTooLarge):
            parser.feed(b"\n\ndata: 1\n\n")


def test_the_events_before_one_too_large_are_given_out_first() -> None:
    parser = SseParser(100)
    assert parser.feed(b"data: 1\n\ndata: " + b"x" * 200) == [SseEvent("message", b"1")]
    with pytest.raises(SseTooLarge):
        parser.feed(b"")


@pytest.mark.parametrize("unit", [b"x", b": comment\n", b"data:", b"data\n", b"\r", b"id: 1\n\n"])
def test_a_stream_without_end_never_holds_more_than_the_limit(unit: bytes) -> None:
    parser = SseParser(1_000)
    chunk = unit * (4_096 // len(unit))
    try:
        for _ in range(200):
            parser.feed(chunk)
    except SseTooLarge:
        pass
    assert parser._held_bytes + parser._partial_bytes <= 1_000 + len(chunk)


def test_ten_thousand_tiny_chunks_of_one_line_are_joined_once() -> None:
    parser = SseParser(2_000_000)
    parser.feed(b"data:")
    for _ in range(10_000):
        assert parser.feed(b"x" * 100) == []
    [event] = parser.feed(b"\n\n")
    assert len(event.data) == 1_000_000


pieces = st.sampled_from(
    [
        b"data: a",
        b"data:",
        b"data",
        b"event: e",
        b"id: 1",
        b"id: \0",
        b"retry: 15",
        b": c",
        b"x: y",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\r",
        b"\r\n\r\n",
        b"\xef\xbb\xbf",
        b"\xef",
        b" ",
        b":",
        b"0123456789",
    ]
)
streams = st.lists(pieces | st.binary(max_size=3), max_size=30).map(b"".join)


@given(stream=streams, cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=12), limit=st.integers(5, 60))
def test_any_cut_of_a_stream_gives_the_same_events(stream: bytes, cuts: list[int], limit: int) -> None:
    whole = parse_in_pieces(stream, [], limit)
    assert parse_in_pieces(stream, cuts, limit) == whole
    assert parse_in_pieces(stream, list(range(len(stream))), limit) == whole


lines = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=("Cs",)), min_size=1, max_size=20)


@given(data=st.binary(max_size=60), event=lines, id=lines, retry=st.integers(0, 999_999_999))
def test_what_is_formatted_is_parsed_back(data: bytes, event: str, id: str, retry: int) -> None:  # noqa: A002
    [parsed] = parse(format_event(data, event, id, retry))
    assert parsed == SseEvent(event, data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), id, retry)


def test_the_plainest_event_is_one_line() -> None:
    assert format_event(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert format_event(b"", id="p", retry=500) == b"id: p\nretry: 500\ndata: \n\n"


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_a_name_or_id_with_a_line_end_is_not_formatted(bad: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        format_event(b"", event=bad)
    with pytest.raises(ValueError, match="line end"):
        format_event(b"", id=bad)
