"""One listen request for what is wanted: replaced without a gap, made again with growing pauses, refused only once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.gateway.virtual_time import run_virtually
from toolyard.contract.definitions import Json
from toolyard.gateway.upstream.errors import UpstreamUnreachable
from toolyard.gateway.upstream.subscription import LONGEST_PAUSE_S, STEADY_S, Subscription
from toolyard.protocol.errors import RelayedError

ONE: Json = {"resourceSubscriptions": ["x:1"]}
TWO: Json = {"resourceSubscriptions": ["x:1", "x:2"]}
LISTS: Json = {"toolsListChanged": True}


class Server:
    """Keeps what was asked and which requests are open; `refuses` and `down` say how it answers, `lasts_s` for how long
    a request stays open by itself."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, Json]] = []
        self.open: list[Json] = []
        self.most_open = 0
        self.missed: list[Json] = []
        self.refuses: RelayedError | None = None
        self.down = False
        self.silent = False
        self.lasts_s = 1e9
        self.broken = asyncio.Event()
        self.subscription = Subscription(self.listen, self.missed.append)

    async def listen(self, wanted: Json, acknowledged: Callable[[], None]) -> None:
        self.asked.append((asyncio.get_running_loop().time(), wanted))
        self.open.append(wanted)
        self.most_open = max(self.most_open, len(self.open))
        try:
            await asyncio.sleep(0.01)
            if self.refuses is not None:
                raise self.refuses
            if self.down:
                raise UpstreamUnreachable
            if not self.silent:
                acknowledged()
            async with asyncio.timeout(self.lasts_s):
                await self.broken.wait()
        except TimeoutError:
            return
        finally:
            self.open.remove(wanted)

    async def heard(self, seconds: float = 30.0) -> None:
        await self.subscription.heard(asyncio.get_running_loop().time() + seconds)

    async def breaks(self) -> None:
        self.broken.set()
        await asyncio.sleep(0)
        self.broken.clear()

    @property
    def pauses(self) -> list[float]:
        times = [when for when, _ in self.asked]
        return [later - earlier for earlier, later in itertools.pairwise(times)]


def scene(play: Callable[[Server], Awaitable[None]]) -> None:
    async def run() -> None:
        server = Server()
        try:
            await play(server)
        finally:
            await server.subscription.aclose()
            assert server.open == []

    run_virtually(run())


def test_another_wish_is_another_request_and_the_old_one_ends_only_when_the_new_one_is_heard() -> None:
    async def play(server: Server) -> None:
        server.subscription.want(ONE)
        await server.heard()
        server.subscription.want(TWO)
        assert not server.subscription.is_open
        await asyncio.sleep(0.005)
        assert server.open == [ONE, TWO]
        await server.heard()
        await asyncio.sleep(0)
        assert (server.open, server.missed) == ([TWO], [])
        server.subscription.want({})
        await asyncio.sleep(0.1)
        assert server.open == []

    scene(play)


def test_a_thousand_wishes_at_once_are_two_open_requests_at_most_and_few_in_all() -> None:
    async def play(server: Server) -> None:
        async def watch(number: int) -> None:
            server.subscription.want({"resourceSubscriptions": [f"x:{n}" for n in range(number + 1)]})
            await server.heard()

        await asyncio.gather(*(watch(number) for number in range(1000)))
        assert server.most_open <= 2
        assert len(server.asked) <= 2
        assert len(server.open[0]["resourceSubscriptions"]) == 1000

    scene(play)


def test_what_may_have_changed_while_nothing_was_heard_is_announced_once() -> None:
    async def play(server: Server) -> None:
        server.subscription.want(ONE)
        await server.heard()
        assert server.missed == []
        await server.breaks()
        await asyncio.sleep(5)
        assert (server.missed, server.open) == ([ONE], [ONE])

    scene(play)


def test_a_gap_is_announced_with_the_wish_that_ends_it() -> None:
    async def play(server: Server) -> None:
        server.subscription.want(ONE)
        await server.heard()
        server.down = True
        await server.breaks()
        await asyncio.sleep(100)
        server.down = False
        server.subscription.want(TWO)
        await server.heard()
        await asyncio.sleep(0)
        assert server.missed == [TWO]

    scene(play)


def test_pauses_grow_while_the_server_is_away_and_while_it_ends_every_request_at_once() -> None:
    async def play(server: Server) -> None:
        server.down = True
        server.subscription.want(LISTS)
        await asyncio.sleep(900)
        assert server.pauses[0] <= 1.0
        assert LONGEST_PAUSE_S / 2 <= server.pauses[-1] <= LONGEST_PAUSE_S + 1
        server.down, server.lasts_s = False, 1.0
        before = len(server.asked)
        await asyncio.sleep(900)
        assert len(server.asked) - before <= 900 / (LONGEST_PAUSE_S / 2) + 1

    scene(play)


def test_after_a_steady_time_the_pause_is_short_again() -> None:
    async def play(server: Server) -> None:
        server.down = True
        server.subscription.want(LISTS)
        await asyncio.sleep(900)
        server.down = False
        await server.heard(120)
        await asyncio.sleep(STEADY_S + 1)
        await server.breaks()
        await asyncio.sleep(1.5)
        assert server.subscription.is_open

    scene(play)


def test_a_refusal_is_told_to_who_waits_and_believed_until_somebody_wants_it_again() -> None:
    async def play(server: Server) -> None:
        server.refuses = RelayedError(-32601, "no")
        server.subscription.want(ONE)
        with pytest.raises(RelayedError):
            await server.heard()
        with pytest.raises(RelayedError):
            await server.heard()
        await asyncio.sleep(3600)
        assert len(server.asked) == 1
        server.refuses = None
        server.subscription.want(ONE)
        await server.heard()
        assert len(server.asked) == 2

    scene(play)


def test_a_refused_wish_leaves_what_was_heard_before() -> None:
    async def play(server: Server) -> None:
        server.subscription.want(LISTS)
        await server.heard()
        server.refuses = RelayedError(-32602, "not this")
        server.subscription.want({**LISTS, **ONE})
        with pytest.raises(RelayedError):
            await server.heard()
        assert server.open == [LISTS]
        server.refuses = None
        server.subscription.want(LISTS)
        await server.heard()
        assert server.missed == []

    scene(play)


def test_a_server_that_never_acknowledges_is_asked_again_and_who_waits_gives_up_in_time() -> None:
    async def play(server: Server) -> None:
        server.silent = True
        server.subscription.want(ONE)
        with pytest.raises(TimeoutError):
            await server.heard(5)
        await asyncio.sleep(60)
        assert len(server.asked) > 2
        assert server.most_open == 1

    scene(play)


def test_what_changes_before_the_first_acknowledgement_is_announced_if_the_lists_were_read_before_it() -> None:
    async def play(server: Server) -> None:
        server.subscription.want(LISTS)
        server.subscription.note_gap()
        await server.heard()
        await asyncio.sleep(0)
        assert server.missed == [LISTS]
        server.subscription.note_gap()
        await asyncio.sleep(100)
        assert server.missed == [LISTS]

    scene(play)


def test_nothing_is_asked_any_more_once_nobody_wants_anything() -> None:
    async def play(server: Server) -> None:
        server.down = True
        server.subscription.want(ONE)
        await asyncio.sleep(10)
        server.subscription.want({})
        await asyncio.sleep(1)
        before: Any = len(server.asked)
        await asyncio.sleep(3600)
        assert len(server.asked) == before

    scene(play)
