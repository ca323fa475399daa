"""Event streams of a legacy session: what a client that comes back gets, and what is kept for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.rig import LIMIT_S, Rig, play
from toolyard.gateway.call import Answer, ClientGone, Principal
from toolyard.gateway.errors import SessionUnknown
from toolyard.gateway.sessions import LegacySession
from toolyard.gateway.streams import MAX_EVENTS, MAX_KEPT_BYTES, EventStream

Sent = tuple[str | None, bytes]


class Page:
    """A sink that remembers. It goes away after `leaves_after` messages, and takes none while `gate` is closed."""

    def __init__(self, leaves_after: int | None = None) -> None:
        self.sent: list[Sent] = []
        self.answers: list[Answer] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self._leaves_after = leaves_after

    async def send(self, message: bytes, *, event_id: str | None = None, retry_ms: int | None = None) -> None:
        if len(self.sent) == self._leaves_after:
            raise ClientGone
        await self.gate.wait()
        self.sent.append((event_id, message))
        self.arrived.set()

    def finish(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.arrived.set()

    def outlive_client(self) -> None:
        """Nothing to outlive."""

    @property
    def messages(self) -> list[bytes]:
        return [message for _, message in self.sent if message]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(self.sent) + len(self.answers) < count:
                self.arrived.clear()
                await self.arrived.wait()


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


def a_stream(sink: Page | None, *, opens_with_event: bool = False, **more: Any) -> EventStream:
    return EventStream(7, sink, opens_with_event=opens_with_event, **more)


def test_a_connection_that_takes_its_messages_slowly_is_told_each_change_once():
    async def scene() -> None:
        told: list[str] = []
        gate = asyncio.Event()

        async def push(message: bytes) -> None:
            await gate.wait()
            told.append(json.loads(message)["method"].removeprefix("notifications/"))

        session = LegacySession(Principal("key:1", "key"), "default", "2025-11-25", {}, push)
        for _ in range(1000):
            session.lists_changed(frozenset({"tools", "prompts"}))
            await asyncio.sleep(0)
        gate.set()
        session.lists_changed(frozenset({"resources"}))
        async with asyncio.timeout(LIMIT_S):
            while "resources/list_changed" not in told:
                await asyncio.sleep(0)
        await session.end()
        assert len(told) <= 4
        assert set(told) == {"tools/list_changed", "prompts/list_changed", "resources/list_changed"}

    run(scene())


def test_a_connection_that_is_gone_is_told_nothing_more_and_nothing_fails():
    async def scene() -> None:
        tried: list[bytes] = []

        async def push(message: bytes) -> None:
            tried.append(message)
            raise ClientGone

        session = LegacySession(Principal("key:1", "key"), "default", "2025-11-25", {}, push)
        session.lists_changed(frozenset({"tools", "prompts"}))
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(tried) == 1
        await session.end()

    run(scene())


def test_an_answer_alone_is_written_as_it_is_and_is_no_event():
    async def scene() -> None:
        sink = Page()
        await a_stream(sink).finish(Answer(200, b"answer"))
        assert (sink.sent, sink.answers) == ([], [Answer(200, b"answer")])

    run(scene())


def test_an_answer_after_messages_is_an_event_with_the_next_number():
    async def scene() -> None:
        sink = Page()
        stream = a_stream(sink)
        await stream.send(b"one")
        await stream.finish(Answer(200, b"answer"))
        assert sink.sent == [("7-1", b"one"), ("7-2", b"answer")]
        assert sink.answers == [Answer(200)]

    run(scene())


def test_a_stream_of_2025_11_25_begins_with_an_event_that_only_has_an_id():
    async def scene() -> None:
        sink = Page()
        stream = a_stream(sink, opens_with_event=True)
        await stream.send(b"one")
        assert sink.sent == [("7-1", b""), ("7-2", b"one")]

    run(scene())


def test_a_client_without_event_streams_gets_the_answer_whole():
    async def scene() -> None:
        sink = Page()
        stream = a_stream(sink, streams=False)
        await stream.finish(Answer(200, b"answer"))
        assert sink.answers == [Answer(200, b"answer")]

    run(scene())


@given(st.integers(0, 12), st.integers(0, 12), st.booleans())
def test_resuming_after_any_event_gives_exactly_the_rest_and_the_answer(sent, seen, finished_before):
    async def scene() -> None:
        stream = a_stream(Page(leaves_after=seen))
        messages = [str(n).encode() for n in range(sent)]
        for message in messages:
            await stream.send(message)
        after = min(sent, seen)
        sink = Page()
        if finished_before:
            stream.detach()
            await stream.finish(Answer(200, b"answer"))
            await stream.resume(sink, after)
        else:
            resuming = asyncio.ensure_future(stream.resume(sink, after))
            await asyncio.sleep(0)
            await stream.send(b"later")
            await stream.finish(Answer(200, b"answer"))
            messages = [*messages, b"later"]
            async with asyncio.timeout(LIMIT_S):
                await resuming
        assert sink.messages == [*messages, b"answer"][after:]
        assert [event_id for event_id, _ in sink.sent] == [f"7-{n}" for n in range(after + 1, len(messages) + 2)]
        assert sink.answers == [Answer(200)]

    run(scene())


def test_a_broken_connection_does_not_end_the_stream():
    async def scene() -> None:
        stream = a_stream(Page(leaves_after=1))
        for message in (b"one", b"two", b"three"):
            await stream.send(message)
        await stream.finish(Answer(200, b"answer"))
        sink = Page()
        await stream.resume(sink, 1)
        assert sink.messages == [b"two", b"three", b"answer"]

    run(scene())


def test_a_paused_stream_goes_on_where_the_client_comes_back():
    async def scene() -> None:
        first, second = Page(), Page()
        stream = a_stream(first)
        await stream.send(b"one")
        await stream.pause(5)
        assert first.answers == [Answer(200)]
        await stream.send(b"two")
        resuming = asyncio.ensure_future(stream.resume(second, 2))
        await stream.finish(Answer(200, b"answer"))
        await resuming
        assert second.messages == [b"two", b"answer"]

    run(scene())


def test_of_two_connections_that_resume_the_newer_gets_what_comes_and_the_older_ends():
    async def scene() -> None:
        older, newer = Page(), Page()
        stream = a_stream(None)
        await stream.send(b"one")
        first = asyncio.ensure_future(stream.resume(older, 0))
        await older.until(1)
        second = asyncio.ensure_future(stream.resume(newer, 0))
        await newer.until(1)
        async with asyncio.timeout(LIMIT_S):
            await first
        await stream.send(b"two")
        await stream.finish(Answer(200, b"answer"))
        await second
        assert older.messages == [b"one"]
        assert newer.messages == [b"one", b"two", b"answer"]

    run(scene())


def test_a_connection_that_hangs_does_not_keep_its_successor_waiting():
    async def scene() -> None:
        hung, newer = Page(), Page()
        hung.gate.clear()
        stream = a_stream(None)
        await stream.send(b"one")
        waiting = asyncio.ensure_future(stream.resume(hung, 0))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(stream.resume(newer, 0))
        await stream.finish(Answer(200, b"answer"))
        await second
        assert newer.messages == [b"one", b"answer"]
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    run(scene())


async def kept_by(stream: EventStream) -> list[bytes]:
    sink = Page()
    stream.detach()
    await stream.finish(Answer(200, b"end"))
    await stream.resume(sink, 0)
    return sink.messages


@pytest.mark.parametrize("sent", [MAX_EVENTS - 2, MAX_EVENTS - 1, MAX_EVENTS, 5 * MAX_EVENTS])
def test_the_last_512_events_are_kept(sent):
    async def scene() -> None:
        stream = a_stream(None)
        for number in range(sent):
            await stream.send(str(number).encode())
        kept = await kept_by(stream)
        assert len(kept) == min(sent + 1, MAX_EVENTS)
        assert kept == [*(str(n).encode() for n in range(sent)), b"end"][-MAX_EVENTS:]

    run(scene())


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_at_most_four_mebibytes_are_kept(extra):
    async def scene() -> None:
        stream = a_stream(None)
        await stream.send(b"first")
        await stream.send(b"x" * (MAX_KEPT_BYTES - len(b"first") - len(b"end") + extra))
        kept = await kept_by(stream)
        assert (kept[0] == b"first") == (extra <= 0)
        assert sum(map(len, kept)) <= MAX_KEPT_BYTES

    run(scene())


def test_a_single_answer_larger_than_the_bound_is_kept_all_the_same():
    async def scene() -> None:
        stream = a_stream(Page(leaves_after=1))
        await stream.send(b"one")
        await stream.finish(Answer(200, b"x" * (MAX_KEPT_BYTES + 1)))
        sink = Page()
        await stream.resume(sink, 1)
        assert [len(m) for m in sink.messages] == [MAX_KEPT_BYTES + 1]

    run(scene())


def test_a_stream_that_has_sent_much_for_long_still_keeps_as_many_events():
    async def scene() -> None:
        stream = a_stream(None)
        message = b"x" * 4096
        for _ in range(3 * MAX_KEPT_BYTES // len(message)):
            await stream.send(message)
        assert len(await kept_by(stream)) == MAX_EVENTS

    run(scene())


def a_session() -> LegacySession:
    return LegacySession(Principal("open:default", "open", "default"), "default", "2025-06-18", {}, None)


def test_an_event_id_leads_to_its_own_stream_only():
    async def scene() -> None:
        session = a_session()
        one, two = (session.new_stream(Page(), streams=True) for _ in range(2))
        await one.send(b"of one")
        await two.send(b"of two")
        stream, after = session.find_stream(f"{two.number}-0")
        assert (stream, after) == (two, 0)
        assert session.find_stream(f"{one.number}-1") == (one, 1)

    run(scene())


@pytest.mark.parametrize(
    "event_id", ["", "1", "1-", "-1", "1-2", "9-1", "1-1-1", "a-b", "1-x", "-1-1", "1--1", " 1-1", "1-" + "9" * 400]
)
def test_an_event_id_that_was_never_given_is_refused(event_id):
    async def scene() -> None:
        session = a_session()
        await session.new_stream(Page(), streams=True).send(b"one")
        with pytest.raises(SessionUnknown):
            session.find_stream(event_id)

    run(scene())


def test_of_streams_that_have_ended_the_last_sixteen_can_be_resumed():
    async def scene() -> None:
        session = a_session()
        for _ in range(20):
            stream = session.new_stream(Page(), streams=True)
            await stream.send(b"one")
            await stream.finish(Answer(200, b"answer"))
        session.new_stream(Page(), streams=True)
        for number in (5, 20):
            assert session.find_stream(f"{number}-1")[0].finished
        with pytest.raises(SessionUnknown):
            session.find_stream("4-1")

    run(scene())


def test_each_change_reaches_one_of_two_listening_connections_of_a_session():
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        headers = {"accept": "text/event-stream", "mcp-session-id": session}
        older, newer = await rig.open("GET", "/mcp", headers), await rig.open("GET", "/mcp", headers)
        assert (await older.rest()).body == b""
        older.close()
        rig.gateway.hub.server_changed("default", frozenset({"tools"}))
        event = await newer.event()
        assert json.loads(event.data)["method"] == "notifications/tools/list_changed"
        newer.close()
        again = await rig.open("GET", "/mcp", {**headers, "last-event-id": "0-0"})
        assert (await again.event()).id == event.id
        again.close()

    play(scene)
