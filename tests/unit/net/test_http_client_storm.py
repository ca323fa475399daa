"""Many requests at once against a peer that misbehaves in every way: nobody gets another's answer, nothing leaks."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.unit.net import fake_peer
from tests.unit.net.fake_peer import PATIENCE_S, Exchange, FakePeer, response
from toolyard.net.errors import NetError
from toolyard.net.guard import AddressPolicy
from toolyard.net.http import HttpClient
from toolyard.net.tls import TlsPolicy

pytestmark = pytest.mark.usefixtures("both_loops")

REQUESTS = 400
AT_ONCE = 32
CONNECTIONS = 8
KINDS = ["plain"] * 6 + ["chunked", "slow", "close", "reset", "half", "junk", "extra", "last"]


def chunked(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


class Storm:
    """A peer's script: what it does to a request is drawn from `random`; the answer's body is always the request's."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def __call__(self, exchange: Exchange) -> None:
        body = exchange.request.body
        kind = self._chance.choice(
            ["plain"] * 6 + ["chunked", "slow", "close", "reset", "half", "junk", "extra", "last"]
        )
        if kind == "plain":
            await exchange.send(response(body))
        elif kind == "chunked":
            await exchange.send(chunked(body))
        elif kind == "slow":
            await exchange.send(response(body)[:-3])
            await asyncio.sleep(self._chance.random() * 0.02)
            await exchange.send(body[-3:])
        elif kind == "half":
            await exchange.send(response(body)[: self._chance.randrange(len(body) + 30)])
            exchange.close()
        elif kind == "junk":
            await exchange.send(b"\x16\x03\x01 no http\r\n\r\n")
        elif kind == "extra":
            await exchange.send(response(body) + response(b"somebody else's"))
        elif kind == "last":
            await exchange.send(response(body, headers=(("connection", "close"),)))
        else:
            getattr(exchange, kind)()


async def one(client: HttpClient, number: int, chance: random.Random) -> str:
    """What became of request `number`; its answer, if it came, must be its own."""
    body = b"request %d" % number
    loop = asyncio.get_running_loop()
    deadline = loop.time() + (PATIENCE_S if chance.random() < 0.9 else 0.01)
    give_up_s = chance.random() * 0.05 if chance.random() < 0.1 else PATIENCE_S
    try:
        async with asyncio.timeout(give_up_s):
            got = await client.request("POST", "/", [], body, deadline=deadline, idempotent=chance.random() < 0.5)
            if chance.random() < 0.1:
                got.abort()
                return "aborted"
            if chance.random() < 0.5:
                assert await got.read(1000) == body
            else:
                assert b"".join([chunk async for chunk in got.chunks()]) == body
    except TimeoutError:
        return "cancelled"
    except NetError as error:
        return error.code
    return "answered"


@pytest.mark.parametrize("seed", range(4))
def test_in_a_storm_everyone_gets_their_own_answer_and_nothing_is_left(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        async with FakePeer(Storm(chance)) as peer:
            client = HttpClient(
                peer.url,
                policy=AddressPolicy(allow_loopback=True),
                tls=TlsPolicy(),
                max_connections=CONNECTIONS,
            )
            numbers = iter(range(REQUESTS))
            outcomes: list[str] = []

            async def worker() -> None:
                for number in numbers:
                    outcomes.append(await one(client, number, chance))
                    assert client.status()["connections"] <= CONNECTIONS

            async with asyncio.timeout(PATIENCE_S * 3):
                await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
                assert len(outcomes) == REQUESTS
                assert outcomes.count("answered") > REQUESTS // 3
                assert {"answered", "incomplete", "bad_response"} <= set(outcomes)
                status = client.status()
                assert (status["waiting"], status["connections"]) == (0, status["idle"])
                await peer.all_gone(keep=status["idle"])
                await client.aclose()
                await peer.all_gone()
            assert client.status()["connections"] == 0

    fake_peer.run(main())
