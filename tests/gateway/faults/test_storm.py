"""Everything that can go wrong with a connection, at once and at random: nothing runs twice, nobody gets another's
answer, nothing is left. The same seed makes the same draws."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.gateway.faults.cutting import AT_ONCE, JSON_ANSWER, LEGACY_STREAM, STREAM, Exchange, Stage, on_stage
from tests.gateway.faults.odd_answers import ENDINGS, INVALID_ANSWERS, OTHER_ANSWERS, RIGHT_ANSWERS
from tests.gateway.faults.raw_client import Wire, judged
from tests.gateway.faults.shop import How, Order

CONNECTIONS = 120
MOST_AT_ONCE = 4
ODD = [*RIGHT_ANSWERS.values(), *INVALID_ANSWERS.values(), *(odd for odd, _ in OTHER_ANSWERS.values())]


class Weather:
    """Draws what becomes of each call, at the shop and at its client."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self._stage = stage
        self._chance = chance
        self._loop = asyncio.get_running_loop()

    def how(self) -> How:
        return "fin" if self._chance.random() < 0.5 else "reset"

    def soon_s(self) -> float:
        return self._chance.random() * 0.01

    def at_the_shop(self, order: Order) -> None:
        """Answer an order in one way or another."""
        answer = b"".join(self._stage.exchange.parts(order))
        position = self._chance.randrange(len(answer) + 1)
        kind = self._chance.choice(["plain"] * 4 + ["late", "split", "cut", "odd", "ending", "hang up later"])
        if kind == "late":
            self._loop.call_later(self.soon_s(), order.send, answer)
        elif kind == "split":
            order.send(answer[:position])
            self._loop.call_later(self.soon_s(), order.send, answer[position:])
        elif kind == "cut":
            order.send(answer[:position])
            order.cut(self.how())
        elif kind == "odd":
            order.send(self._chance.choice(ODD)(order))
        elif kind == "ending":
            odd, how, _ = self._chance.choice([*ENDINGS.values()])
            order.send(odd(order))
            order.cut(how)
        else:
            order.send(answer)
            if kind == "hang up later":
                self._loop.call_later(self.soon_s(), order.cut, self.how())

    async def one_client(self) -> list[str]:
        """What became of the calls of one connection: some one after the other, some at once, then perhaps a cut."""
        wire, outcomes = await self._stage.wire(), list[str]()
        for _ in range(self._chance.randint(1, 3)):
            tokens = [self._stage.token() for _ in range(self._chance.choice([1, 1, 1, MOST_AT_ONCE]))]
            for token in tokens:
                self._stage.shop.plans[token] = self.at_the_shop
            data = b"".join(self._stage.exchange.request(token, self._stage.session) for token in tokens)
            end = self._chance.choice(["whole"] * 4 + ["in the request", "while it runs", "in the answer"])
            await self._send(wire, data[: self._chance.randrange(len(data))] if end == "in the request" else data)
            if end != "whole":
                return outcomes + await self._cut(wire, end, tokens)
            said = [(await wire.answer()).said for _ in tokens]
            assert all(one == token or one.startswith("!") for one, token in zip(said, tokens, strict=True))
            outcomes += ["right" if one in tokens else one for one in said]
        wire.close()
        return outcomes

    async def _cut(self, wire: Wire, end: str, tokens: list[str]) -> list[str]:
        if end == "in the answer":
            await wire.some(self._chance.randrange(1, 600))
        elif end == "while it runs":
            await asyncio.sleep(self.soon_s())
        said = judged(await wire.cut(self.how()), self._stage.shop, *tokens)
        return ["right" if one in tokens else one for one in said]

    async def _send(self, wire: Wire, data: bytes) -> None:
        position = self._chance.randrange(len(data) + 1)
        for piece in (data[:position], data[position:]):
            await wire.send(piece)
            await asyncio.sleep(0)


@pytest.mark.slow
@pytest.mark.parametrize("plain", [False, True], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("exchange", [JSON_ANSWER, STREAM, LEGACY_STREAM], ids=lambda exchange: exchange.name)
def test_in_a_storm_nothing_runs_twice_and_everybody_gets_his_own_or_an_error(
    exchange: Exchange, seed: int, *, plain: bool
) -> None:
    async def scene(stage: Stage) -> None:
        weather, outcomes = Weather(stage, random.Random(seed)), Counter[str]()
        clients = iter(range(CONNECTIONS))

        async def some_clients() -> None:
            for _ in clients:
                outcomes.update(await weather.one_client())

        async with stage.beside_a_call():
            await asyncio.gather(*(some_clients() for _ in range(AT_ONCE)))
        assert max(stage.shop.sold.values()) == 1
        assert outcomes["right"] > CONNECTIONS / 2
        assert {"cut", "!upstream_incomplete", "!upstream_invalid"} <= set(outcomes)

    on_stage(scene, exchange, plain=plain)
