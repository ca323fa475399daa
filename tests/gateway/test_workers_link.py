"""The connection between two workers: many talks, none able to hold up another, and a clear end to each."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.gateway.rig import LIMIT_S
from toolyard.gateway.call import AskRefused, Suspended
from toolyard.gateway.errors import RateLimited
from toolyard.gateway.upstream.errors import UpstreamBusy, UpstreamError
from toolyard.gateway.workers.carried import carried, restored
from toolyard.gateway.workers.errors import FrameTooLarge, WorkerFailed, WorkerLost
from toolyard.gateway.workers.link import MAX_FRAME_BYTES, WINDOW, Link, Service, Talk
from toolyard.protocol.errors import RelayedError


def play(scene: Callable[[Link, Link], Awaitable[None]], **services: Service) -> None:
    """Run a scene with the dialling and the serving end of one connection."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        _, serving = await loop.create_unix_connection(lambda: Link(services, lambda _link: None), sock=theirs)
        _, dialling = await loop.create_unix_connection(lambda: Link({}, lambda _link: None), sock=ours)
        try:
            async with asyncio.timeout(LIMIT_S):
                await scene(dialling, serving)
        finally:
            await dialling.aclose()
            await serving.aclose()

    asyncio.run(run())


async def echo(_talk: Talk, content: Any) -> Any:
    return content


def test_a_question_gets_the_reply_that_its_service_gives() -> None:
    async def scene(dialling: Link, _serving: Link) -> None:
        for content in (1, "text", b"bytes", [1, None, {"a": [2.5]}], {"big": 2**63}):
            assert await dialling.ask("echo", content) == content

    play(scene, echo=echo)


def test_a_talk_that_nobody_reads_holds_up_no_other() -> None:
    sent: list[int] = []

    async def flood(talk: Talk, _content: Any) -> None:
        for n in range(10 * WINDOW):
            await talk.send(n)
            sent.append(n)

    async def scene(dialling: Link, _serving: Link) -> None:
        unread = dialling.open("flood", None)
        for n in range(100):
            assert await dialling.ask("echo", n) == n
        assert len(sent) < 2 * WINDOW
        read = [await unread.next() for _ in range(10 * WINDOW)]
        assert read == list(range(10 * WINDOW))
        assert await unread.next() is None
        assert await unread.reply() is None

    play(scene, flood=flood, echo=echo)


def test_large_items_wait_by_their_size() -> None:
    sent: list[int] = []

    async def flood(talk: Talk, _content: Any) -> None:
        for n in range(8):
            await talk.send(b"x" * 1024 * 1024)
            sent.append(n)

    async def scene(dialling: Link, _serving: Link) -> None:
        talk = dialling.open("flood", None)
        assert await dialling.ask("echo", 1) == 1
        assert len(sent) <= 1
        for _ in range(8):
            assert len(await talk.next()) == 1024 * 1024
        assert await talk.reply() is None

    play(scene, flood=flood, echo=echo)


def test_what_is_cancelled_here_is_cancelled_there_unless_it_outlives_its_client() -> None:
    ended: list[str] = []
    go_on = asyncio.Event()

    async def wait(talk: Talk, outlives: bool) -> None:
        talk.outlives = outlives
        await talk.send("begun")
        try:
            await go_on.wait()
            ended.append("by itself")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def scene(dialling: Link, _serving: Link) -> None:
        for outlives in (False, True):
            talk = dialling.open("wait", outlives)
            assert await talk.next() == "begun"
            talk.cancel()
            assert await dialling.ask("echo", 1) == 1
        assert ended == ["cancelled"]
        go_on.set()
        assert await dialling.ask("echo", 1) == 1
        assert ended == ["cancelled", "by itself"]

    play(scene, wait=wait, echo=echo)


def test_a_broken_connection_ends_every_talk_at_both_ends() -> None:
    ended = asyncio.Event()

    async def wait(_talk: Talk, _content: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def scene(dialling: Link, serving: Link) -> None:
        asked = [asyncio.ensure_future(dialling.ask("wait", None)) for _ in range(3)]
        assert await dialling.ask("echo", 1) == 1
        serving.close()
        for one in asked:
            with pytest.raises(WorkerLost):
                await one
        await ended.wait()
        with pytest.raises(WorkerLost):
            dialling.open("echo", 1)

    play(scene, wait=wait, echo=echo)


def test_what_is_too_large_is_refused_before_it_is_sent_and_the_connection_lives_on() -> None:
    async def huge(_talk: Talk, _content: Any) -> bytes:
        return b"x" * (MAX_FRAME_BYTES + 1)

    async def scene(dialling: Link, _serving: Link) -> None:
        with pytest.raises(FrameTooLarge):
            dialling.open("echo", b"x" * (MAX_FRAME_BYTES + 1))
        with pytest.raises(FrameTooLarge):
            await dialling.ask("huge", None)
        assert await dialling.ask("echo", 1) == 1

    play(scene, huge=huge, echo=echo)


def test_a_service_that_fails_or_does_not_exist_is_told_without_its_details() -> None:
    async def fails(_talk: Talk, _content: Any) -> None:
        raise ValueError("secret detail")

    async def strange(_talk: Talk, _content: Any) -> object:
        return object()

    async def scene(dialling: Link, _serving: Link) -> None:
        for service in ("fails", "strange", "no such"):
            with pytest.raises(WorkerFailed) as raised:
                await dialling.ask(service, None)
            assert "secret" not in str(raised.value)
        assert await dialling.ask("echo", 1) == 1

    play(scene, fails=fails, strange=strange, echo=echo)


@pytest.mark.parametrize("garbage", [b"\x00\x00\x00\x01\xc1", b"\xff\xff\xff\xff", b"\x00\x00\x00\x04\x93\x00\x01\x02"])
def test_garbage_breaks_the_connection_and_nothing_else(garbage: bytes) -> None:
    async def scene(dialling: Link, serving: Link) -> None:
        transport = dialling._transport
        assert transport is not None
        transport.write(garbage)
        await serving.lost.wait()
        await dialling.lost.wait()

    play(scene, echo=echo)


@pytest.mark.parametrize(
    "error",
    [
        RelayedError(-32050, "words", {"more": 1}),
        UpstreamBusy("busy", upstream="u"),
        AskRefused("no", rpc_code=-1),
        RateLimited(2.5),
    ],
)
def test_errors_are_the_same_at_the_other_end(error: Any) -> None:
    again = restored(carried(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_an_error_of_a_class_that_is_not_known_is_the_nearest_that_is() -> None:
    class Own(UpstreamError):
        """Only here."""

        code = "own"

    content = carried(Own("words", upstream="u"))
    content["error"][0] = "elsewhere.Own"
    again = restored(content)
    assert type(again) is UpstreamError
    assert (str(again), again.context) == ("words", {"upstream": "u"})


def test_a_suspended_call_travels_with_its_questions_and_state() -> None:
    again = restored(carried(Suspended({"k": {"method": "roots/list"}}, "state")))
    assert isinstance(again, Suspended)
    assert (again.requests, again.state) == ({"k": {"method": "roots/list"}}, "state")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the modes of files decide")
def test_a_socket_of_another_user_is_not_talked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolyard.gateway.workers.link.os.getuid", lambda: -1)

    async def scene(dialling: Link, _serving: Link) -> None:
        await dialling.lost.wait()
        with pytest.raises(WorkerLost):
            dialling.open("echo", 1)

    play(scene)
