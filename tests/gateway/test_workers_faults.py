"""What goes wrong between workers costs no more than itself: odd news, lost connections, clients that go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.gateway.fake_upstream import FakeUpstream
from tests.gateway.rig import LIMIT_S, OPEN, snapshot
from tests.gateway.test_workers_upstreams import ASKED, QUESTION, kept_by, stdio, until
from tests.gateway.workers_rig import WorkerRig, play
from tests.unit.contract.making import observed
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Call, Principal
from toolyard.gateway.upstream.errors import UpstreamBusy
from toolyard.gateway.workers.link import MAX_FRAME_BYTES, Talk
from toolyard.protocol.errors import RelayedError


def test_a_worker_that_cannot_use_what_it_is_told_comes_back_for_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        link = second.crew.peers.peer(0).link
        assert link is not None
        heard: list[Any] = []
        follow = second.crew.peers._follow

        async def fail_once(peer: Any, item: Any) -> None:
            heard.append(item)
            if len(heard) == 1:
                raise ValueError("no such thing")
            await follow(peer, item)

        monkeypatch.setattr(second.crew.peers, "_follow", fail_once)
        first.crew._followers.tell(["config", "another"])
        await until(lambda: second.crew.peers.peer(0).link not in (None, link))
        await until(lambda: ["config", first.gateway.holder.current.snapshot.digest] in heard)

    play(scene, 2)


def test_news_that_are_too_large_to_be_told_cost_nothing_else() -> None:
    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        link = second.crew.peers.peer(0).link
        first.crew._followers.tell(["updated", "u", None, {"uri": "x" * MAX_FRAME_BYTES}])
        first.crew._followers.tell(["config", "another"])
        await until(lambda: second.crew.sharing._in_force == "another")
        assert second.crew.peers.peer(0).link is link

    play(scene, 2)


def test_what_an_upstream_says_and_asks_before_it_watches_reaches_the_caller() -> None:
    name = kept_by(1, 2)

    class Talkative(FakeUpstream):
        async def watch(self, call: Call, uri: str) -> None:
            await call.emit({"method": "notifications/message", "params": {"level": "info", "data": uri}})
            if (await call.ask({"k": QUESTION}))["k"] != ASKED:
                raise UpstreamBusy("wrong")
            raise RelayedError(-32050, "not this one")

    def make(spec: UpstreamSpec, _events: Any, _clock: Any, _era: Any) -> FakeUpstream:
        return Talkative(spec, observed(spec.id, "hello", era="legacy"))

    async def scene(first: WorkerRig, _second: WorkerRig) -> None:
        said: list[Any] = []

        async def emit(notification: Json) -> None:
            said.append(notification["params"]["data"])

        async def ask(requests: Any, *, state: str | None = None, held: bool = False) -> dict[str, Json]:
            said.append(requests)
            return {"k": ASKED}

        call = Call(
            principal=Principal("open:default", "open"),
            server="default",
            method="resources/subscribe",
            params={},
            era="legacy",
            revision="2025-11-25",
            emit=emit,
            ask=ask,
            deadline=asyncio.get_running_loop().time() + LIMIT_S,
        )
        with pytest.raises(RelayedError, match="not this one"):
            await first.gateway.pool.get(name).watch(call, "a://b")
        assert said == ["a://b", {"k": QUESTION}]

    play(scene, 2, snapshot(stdio(name), servers=(OPEN,)), make=make)


def test_what_outlives_its_lost_connection_ends_with_its_worker() -> None:
    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        ended: list[str] = []

        async def wait(talk: Talk, _content: Any) -> None:
            talk.outlives = True
            await talk.send("begun")
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("ended")

        first.crew._services["wait"] = wait
        link = second.crew.peers.peer(0).link
        assert link is not None
        assert await link.open("wait", None).next() == "begun"
        link.close()
        await until(lambda: second.crew.peers.peer(0).link not in (None, link))
        assert ended == []
        await first.crew.aclose()
        assert ended == ["ended"]

    play(scene, 2)
