"""Far more than can be served, at once and on the real stack: every request is answered, rightly or with a refusal, in
its order; probes are answered meanwhile; and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any

from tests.gateway.rig import OPEN, Rig, a_key, bearer, demo, modern_request, play, snapshot
from toolyard.contract.snapshot import ServerSpec
from toolyard.gateway.admission import AdmissionLimits
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.overload import resident_bytes

PATIENCE_S = 60.0
CLIENTS, EACH = 40, 60
NARROW = WireLimits(admission=AdmissionLimits(few=2, per_turn=2, wait_s=0.002, burst_s=0.0))
MIB = 1024 * 1024


def request(port: int, number: int, headers: dict[str, str]) -> bytes:
    """A call whose answer tells which it was."""
    params = {"name": "add", "arguments": {"a": number, "b": 1}}
    sent, body = modern_request("tools/call", params, request_id=number, headers=headers)
    lines = ["POST /mcp HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def answers(reader: asyncio.StreamReader) -> list[tuple[int, dict[str, str], Any]]:
    """All answers until the server closes."""
    found = []
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return found
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(fields["content-length"]))
        found.append((int(head[0].split()[1]), fields, json.loads(body)))
        if len(found) == EACH:
            return found


async def storm(rig: Rig, dice: random.Random, headers: dict[str, str]) -> Counter[int]:
    """One client that sends everything without waiting, in pieces of any size. Its answers by status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    reading = asyncio.ensure_future(answers(reader))
    data = b"".join(request(rig.port, number, headers) for number in range(EACH))
    while data:
        size = dice.choice((1, 100, 600, 1500, 20_000))
        writer.write(data[:size])
        data = data[size:]
        if dice.random() < 0.3:
            await asyncio.sleep(0)
    got = await reading
    writer.close()
    assert len(got) == EACH
    for number, (status, fields, body) in enumerate(got):
        if status == 200:
            assert body["id"] == number
            assert str(number + 1) in json.dumps(body["result"])
        else:
            assert (status, fields["retry-after"]) == (503, "1")
    return Counter(status for status, _, _ in got)


def test_every_request_of_a_storm_is_answered_in_order_and_nothing_is_left_of_it() -> None:
    async def scene(rig: Rig) -> None:
        before = resident_bytes()
        async with asyncio.timeout(PATIENCE_S):
            storms = [asyncio.ensure_future(storm(rig, random.Random(seed), {})) for seed in range(CLIENTS)]
            probes = []
            while not all(one.done() for one in storms):
                probes.append((await rig.http("GET", "/health/live")).status)
            total = sum((await asyncio.gather(*storms)), Counter[int]())
        assert total[200] > 0
        assert total[503] > 0
        assert set(probes) == {200}
        await rig.until(lambda: rig.server.connection_count == 0)
        admission = rig.server.admission
        assert (admission.running, admission.waiting, rig.server.running_count) == (0, 0, 0)
        assert resident_bytes() < before + 64 * MIB
        reply = await rig.modern("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})
        assert reply.status == 200

    play(scene, snapshot(demo(), servers=(OPEN,)), limits=NARROW)


def test_clients_that_leave_in_the_middle_of_a_storm_take_nothing_with_them() -> None:
    (key, record), dice = a_key(), random.Random(7)

    async def leave(rig: Rig) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        data = b"".join(request(rig.port, number, bearer(key)) for number in range(EACH))
        writer.write(data[: dice.randrange(1, len(data))])
        for _ in range(dice.randrange(20)):
            await asyncio.sleep(0)
        if dice.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()
        del reader

    async def scene(rig: Rig) -> None:
        async with asyncio.timeout(PATIENCE_S):
            staying = [asyncio.ensure_future(storm(rig, random.Random(seed), bearer(key))) for seed in range(5)]
            for _ in range(20):
                await asyncio.gather(*(leave(rig) for _ in range(10)))
            await asyncio.gather(*staying)
        await rig.until(lambda: rig.server.connection_count == 0)
        admission = rig.server.admission
        await rig.until(lambda: (admission.running, admission.waiting, rig.server.running_count) == (0, 0, 0))

    play(scene, snapshot(demo(), servers=(ServerSpec("default", names="plain"),), keys=(record,)), limits=NARROW)
