"""Resource subscriptions are kept by who watches, not counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.gateway.virtual_time import run_virtually
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Call, Principal, Target
from toolyard.gateway.upstream.errors import UpstreamUnreachable
from toolyard.gateway.watching import Watching


class Recorder:
    """An upstream that writes down what it is asked to watch."""

    def __init__(self) -> None:
        self.spec = UpstreamSpec("up", "native")
        self.heard: list[tuple[str, str]] = []
        self.left_s: list[float] = []
        self.fails = False

    async def watch(self, call: Call, uri: str) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise UpstreamUnreachable
        self.heard.append(("watch", uri))

    async def unwatch(self, call: Call, uri: str) -> None:
        self.left_s.append(call.deadline - asyncio.get_running_loop().time())
        self.heard.append(("unwatch", uri))


async def _silent(*_: Any, **__: Any) -> Any:
    raise AssertionError("nobody is told or asked anything here")


def call(watcher: str, principal: str = "key:1") -> Call:
    return Call(
        Principal(principal, "key"), "default", "resources/subscribe", {}, "legacy", "2025-11-25", _silent, _silent,
        deadline=0.0, watcher=watcher,
    )  # fmt: skip


URI = Target("up", {"uri": "f://1"}, 30.0, "f://1")


def scene(play: Callable[[Watching, Recorder], Awaitable[None]]) -> None:
    recorder = Recorder()
    watching = Watching(lambda _: recorder)  # type: ignore[arg-type,return-value]
    asyncio.run(play(watching, recorder))  # type: ignore[arg-type]


def test_the_upstream_is_asked_once_for_many_watchers_and_told_when_the_last_one_goes() -> None:
    async def play(watching: Watching, recorder: Recorder) -> None:
        await asyncio.gather(*(watching.begin(call(f"s{n}"), URI) for n in range(5)))
        assert recorder.heard == [("watch", "f://1")]
        for n in range(5):
            await watching.end(call(f"s{n}"), URI.name)
        assert recorder.heard == [("watch", "f://1"), ("unwatch", "f://1")]
        assert len(watching) == 0

    scene(play)


def test_subscribing_twice_is_subscribing_once() -> None:
    async def play(watching: Watching, recorder: Recorder) -> None:
        await watching.begin(call("s"), URI)
        await watching.begin(call("s"), URI)
        await watching.end(call("s"), URI.name)
        assert recorder.heard == [("watch", "f://1"), ("unwatch", "f://1")]

    scene(play)


def test_nobody_ends_what_another_one_watches() -> None:
    async def play(watching: Watching, recorder: Recorder) -> None:
        await watching.begin(call("a"), URI)
        await watching.end(call("b"), URI.name)
        await watching.end(call("a", principal="key:2"), URI.name)
        assert recorder.heard == [("watch", "f://1")]

    scene(play)


def test_the_end_has_time_of_its_own() -> None:
    async def play(watching: Watching, recorder: Recorder) -> None:
        await watching.begin(call("a"), URI)
        await watching.end(call("a"), URI.name)
        assert recorder.left_s[0] > 1.0

    scene(play)


def test_a_refused_subscription_leaves_nothing_behind() -> None:
    async def play(watching: Watching, recorder: Recorder) -> None:
        recorder.fails = True
        with pytest.raises(UpstreamUnreachable):
            await watching.begin(call("a"), URI)
        assert len(watching) == 0
        recorder.fails = False
        await watching.begin(call("a"), URI)
        assert recorder.heard == [("watch", "f://1")]

    scene(play)


def test_what_is_watched_is_watched_again_at_an_upstream_that_takes_the_place_of_another() -> None:
    async def play(watching: Watching, recorder: Recorder) -> None:
        await watching.begin(call("a"), URI)
        watching.replaced("up")
        watching.replaced("another")
        async with asyncio.timeout(10):
            while len(recorder.heard) < 2:
                await asyncio.sleep(0)
        assert recorder.heard == [("watch", "f://1"), ("watch", "f://1")]
        await watching.aclose()

    scene(play)


def test_what_cannot_be_watched_at_once_at_the_new_upstream_is_tried_until_it_can_and_is_told_once() -> None:
    async def play() -> None:
        recorder, told = Recorder(), []
        watching = Watching(lambda _: recorder, lambda *what: told.append(what))  # type: ignore[arg-type,return-value]
        await watching.begin(call("a"), URI)
        recorder.fails = True
        watching.replaced("up")
        await asyncio.sleep(600)
        assert told == []
        recorder.fails = False
        await asyncio.sleep(61)
        assert recorder.heard == [("watch", "f://1")] * 2
        assert told == [("up", "key:1", {"uri": "f://1"})]
        await asyncio.sleep(600)
        assert len(told) == 1
        await watching.aclose()

    run_virtually(play())


def test_nothing_is_tried_any_more_when_nobody_watches_any_more() -> None:
    async def play() -> None:
        recorder = Recorder()
        watching = Watching(lambda _: recorder)  # type: ignore[arg-type,return-value]
        await watching.begin(call("a"), URI)
        recorder.fails = True
        watching.replaced("up")
        await asyncio.sleep(10)
        await watching.end(call("a"), "f://1")
        recorder.fails = False
        await asyncio.sleep(600)
        assert recorder.heard == [("watch", "f://1"), ("unwatch", "f://1")]
        await watching.aclose()

    run_virtually(play())


def test_what_is_watched_at_an_upstream_that_is_not_configured_now_is_watched_when_it_is_again() -> None:
    async def play() -> None:
        recorder, there = Recorder(), True

        def find(_upstream_id: str) -> Recorder:
            if there:
                return recorder
            raise UpstreamUnreachable

        watching = Watching(find)  # type: ignore[arg-type]
        await watching.begin(call("a"), URI)
        there = False
        watching.replaced("up")
        await asyncio.sleep(600)
        there = True
        watching.replaced("up")
        await asyncio.sleep(1)
        assert recorder.heard == [("watch", "f://1")] * 2
        await watching.aclose()

    run_virtually(play())


def test_what_cannot_be_watched_elsewhere_yet_stays_where_it_is_and_is_tried_again() -> None:
    async def play() -> None:
        recorders = {"up": Recorder(), "other": Recorder()}
        watching = Watching(lambda upstream_id: recorders[upstream_id])  # type: ignore[arg-type,return-value]
        await watching.begin(call("a"), URI)
        recorders["other"].fails = True
        elsewhere = replace(URI, upstream_id="other")
        watching.reroute(lambda server, uri: elsewhere)
        await asyncio.sleep(10)
        assert (recorders["up"].heard, watching.unmoved) == ([("watch", "f://1")], False)
        await asyncio.sleep(60)
        assert watching.unmoved
        recorders["other"].fails = False
        watching.reroute(lambda server, uri: elsewhere)
        await asyncio.sleep(1)
        assert recorders["up"].heard == [("watch", "f://1"), ("unwatch", "f://1")]
        assert (recorders["other"].heard, watching.unmoved) == ([("watch", "f://1")], False)
        watching.reroute(lambda server, uri: None)
        await watching.end(call("a"), "f://1")
        assert len(watching) == 0

    run_virtually(play())


def test_a_watcher_whose_uri_leads_elsewhere_now_leaves_the_upstream_it_led_to() -> None:
    async def play() -> None:
        recorders = {"up": Recorder(), "other": Recorder()}
        watching = Watching(lambda upstream_id: recorders[upstream_id])  # type: ignore[arg-type,return-value]
        await watching.begin(call("a"), URI)
        await watching.begin(call("a"), replace(URI, upstream_id="other"))
        assert recorders["up"].heard == [("watch", "f://1"), ("unwatch", "f://1")]
        await watching.end(call("a"), "f://1")
        assert recorders["other"].heard == [("watch", "f://1"), ("unwatch", "f://1")]
        assert len(watching) == 0

    run_virtually(play())


@pytest.mark.parametrize(
    ("isolation", "asked"), [("per-session", 2), ("per-principal", 1), ("shared", 1), ("per-call", 1)]
)
def test_watchers_that_share_no_session_are_watched_for_each_by_itself(isolation: Any, asked: int) -> None:
    async def play(watching: Watching, recorder: Recorder) -> None:
        recorder.spec = UpstreamSpec("up", "native", isolation=isolation)
        for watcher in ("a", "b"):
            await watching.begin(call(watcher), URI)
        assert recorder.heard == [("watch", "f://1")] * asked
        for watcher in ("a", "b"):
            await watching.end(call(watcher), URI.name)
        assert recorder.heard[asked:] == [("unwatch", "f://1")] * asked
        assert len(watching) == 0

    scene(play)


@pytest.mark.parametrize(("before", "after"), [("per-principal", "per-session"), ("per-session", "per-principal")])
def test_watchers_are_watched_for_as_the_policy_of_the_upstreams_new_configuration_says(
    before: Any, after: Any
) -> None:
    async def play(watching: Watching, recorder: Recorder) -> None:
        recorder.spec = UpstreamSpec("up", "native", isolation=before)
        for watcher in ("a", "b"):
            await watching.begin(call(watcher), URI)
        recorder.heard.clear()
        recorder.spec = UpstreamSpec("up", "native", isolation=after)
        watching.replaced("up")
        asked = 2 if after == "per-session" else 1
        async with asyncio.timeout(20):
            while len(recorder.heard) < asked:
                await asyncio.sleep(0)
        assert recorder.heard == [("watch", "f://1")] * asked
        for watcher in ("a", "b"):
            await watching.end(call(watcher), URI.name)
        assert recorder.heard[asked:] == [("unwatch", "f://1")] * asked
        assert len(watching) == 0
        await watching.aclose()

    scene(play)


def test_a_watcher_that_ends_while_it_is_moved_is_watched_for_nowhere() -> None:
    async def play() -> None:
        upstreams = {"up": Recorder(), "new": Recorder()}
        watching = Watching(upstreams.__getitem__)  # type: ignore[arg-type]
        await watching.begin(call("a"), URI)
        watching.reroute(lambda _server, _uri: replace(URI, upstream_id="new"))
        await asyncio.sleep(0)
        await watching.end(call("a"), "f://1")
        async with asyncio.timeout(20):
            while len(watching._tasks):
                await asyncio.sleep(0)
        assert upstreams["up"].heard == upstreams["new"].heard == [("watch", "f://1"), ("unwatch", "f://1")]
        assert len(watching) == 0

    asyncio.run(play())
