"""Whose calls run together on a session whose upstream may ask."""

from __future__ import annotations

import asyncio

import pytest

from toolyard.gateway.upstream.errors import UpstreamBusy
from toolyard.gateway.upstream.turns import Turns

FAR_S = 30.0


def soon(seconds: float = FAR_S) -> float:
    return asyncio.get_running_loop().time() + seconds


def test_calls_of_one_client_run_together_and_another_clients_wait_for_all_of_them() -> None:
    async def scene() -> None:
        turns, order = Turns(), []

        async def other(name: str) -> None:
            await turns.take("b", soon())
            order.append(name)

        await turns.take("a", soon())
        await turns.take("a", soon())
        waiting = [asyncio.create_task(other("b1")), asyncio.create_task(other("b2"))]
        await asyncio.sleep(0)
        turns.give_back()
        await asyncio.sleep(0)
        assert order == []
        turns.give_back()
        await asyncio.gather(*waiting)
        assert order == ["b1", "b2"]

    asyncio.run(scene())


def test_a_turn_is_taken_now_only_if_nobody_waits_for_it() -> None:
    async def scene() -> None:
        turns = Turns()
        first, second = turns.take_now("a"), turns.take_now("a")
        assert first is not None
        assert second is not None
        assert turns.take_now("b") is None
        other = asyncio.create_task(turns.take("b", soon()))
        await asyncio.sleep(0)
        assert turns.take_now("a") is None
        first.end()
        assert not other.done()
        second.end()
        turn = await other
        assert turns.take_now("a") is None
        turn.end()
        assert turns.take_now("a") is not None

    asyncio.run(scene())


def test_a_client_that_keeps_calling_does_not_keep_another_out() -> None:
    async def scene() -> None:
        turns = Turns()
        await turns.take("a", soon())
        other = asyncio.create_task(turns.take("b", soon()))
        await asyncio.sleep(0)
        again = asyncio.create_task(turns.take("a", soon()))
        await asyncio.sleep(0)
        turns.give_back()
        await other
        assert not again.done()
        turns.give_back()
        await again

    asyncio.run(scene())


def test_waiting_ends_at_the_deadline_and_takes_nothing() -> None:
    async def scene() -> None:
        turns = Turns()
        await turns.take("a", soon())
        with pytest.raises(UpstreamBusy):
            await turns.take("b", soon(0.01))
        cancelled = asyncio.create_task(turns.take("b", soon()))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        turns.give_back()
        await turns.take("c", soon())

    asyncio.run(scene())


def test_a_call_that_waits_for_its_caller_lends_its_turn_and_comes_first_when_it_has_the_answer() -> None:
    async def scene() -> None:
        turns, order = Turns(), []
        asked = await turns.take("a", soon())
        asked.lend()
        asked.lend()
        other = await turns.take("b", soon())

        async def work(name: str) -> None:
            turn = await turns.take(name, soon())
            order.append(name)
            turn.end()

        async def answered() -> None:
            await asked.take_again()
            order.append("a")

        waiting = [asyncio.create_task(work("c")), asyncio.create_task(answered())]
        await asyncio.sleep(0)
        assert asked.is_lent
        other.end()
        other.end()
        await waiting[1]
        await asyncio.sleep(0)
        assert order == ["a"]
        asked.end()
        await waiting[0]
        assert order == ["a", "c"]

    asyncio.run(scene())


def test_a_call_that_ends_while_its_turn_is_lent_gives_nothing_back_twice() -> None:
    async def scene() -> None:
        turns = Turns()
        asked = await turns.take("a", soon())
        asked.lend()
        asked.end()
        one = await turns.take("b", soon())
        with pytest.raises(UpstreamBusy):
            await turns.take("c", soon(0.01))
        late = asyncio.create_task(asked.take_again())
        await late
        one.end()
        (await turns.take("c", soon())).end()

    asyncio.run(scene())


def test_a_call_that_has_several_answers_at_once_takes_its_turn_once() -> None:
    async def scene() -> None:
        turns = Turns()
        asked = await turns.take("a", soon())
        asked.lend()
        other = await turns.take("b", soon())
        answers = [asyncio.create_task(asked.take_again()) for _ in range(3)]
        await asyncio.sleep(0)
        other.end()
        await asyncio.gather(*answers)
        asked.end()
        (await turns.take("c", soon(0.05))).end()

    asyncio.run(scene())


def test_an_answer_goes_up_though_others_do_not_end_for_the_upstream_may_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("toolyard.gateway.upstream.turns.PATIENCE_S", 0.01)

    async def scene() -> None:
        turns = Turns()
        asked = await turns.take("a", soon())
        asked.lend()
        other = await turns.take("b", soon())
        await asked.take_again()
        assert not asked.is_lent
        third = asyncio.create_task(turns.take("c", soon()))
        await asyncio.sleep(0)
        other.end()
        await asyncio.sleep(0)
        assert not third.done()
        asked.end()
        (await third).end()

    asyncio.run(scene())
