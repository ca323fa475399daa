"""Admission: what begins, what waits, what is refused, and that refusing keeps to the framing."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.gateway.wire_rig import MCP, Client, Reply, Rig, echo, get, post, replies, route, serving, until, within
from toolyard.gateway.admission import Admission, AdmissionLimits
from toolyard.gateway.call import Answer, Head
from toolyard.gateway.http_sink import HttpSink
from toolyard.kit.clock import ManualClock

NOBODY = AdmissionLimits(few=0, per_turn=0, wait_s=0.03, burst_s=0.0, turn_s=1.0)
PROBE = route("/health", echo, "GET", limit="probe")


async def reply(rig: Rig, client: Client) -> Reply:
    """The client's next answer, while time passes."""
    coming = asyncio.ensure_future(client.reply())
    while not coming.done():
        rig.pass_time(0.1)
        await asyncio.sleep(0.001)
    return await coming


async def refused(rig: Rig, client: Client) -> None:
    """The client's request is refused when it has waited."""
    got = await reply(rig, client)
    assert (got.status, got.code, got.headers["retry-after"]) == (503, "overloaded", "1")


def test_a_request_for_which_there_is_no_room_is_refused_and_its_connection_lives_on() -> None:
    async def scene() -> None:
        async with serving(admission=NOBODY) as rig, await rig.client() as client:
            for _ in range(3):
                await client.send(post())
                await refused(rig, client)
            rig.server.admission.few = 1
            assert (await client.ask(post(b'{"a":1}'))).json()["body"] == '{"a":1}'
            assert rig.refused == ["overloaded"] * 3

    asyncio.run(scene())


def test_probes_are_answered_and_bad_requests_are_told_what_is_wrong_with_them() -> None:
    async def scene() -> None:
        async with serving(MCP, PROBE, admission=NOBODY) as rig:
            answers = asyncio.ensure_future(
                replies(rig, [get(b"/health"), get(b"/nothing"), b"POST / HTTP/1.1\r\nHost: elsewhere\r\n\r\n"])
            )
            while not answers.done():
                rig.pass_time(0.1)
                await asyncio.sleep(0.001)
            assert [one.status for one in await answers] == [200, 404, 421]

    asyncio.run(scene())


def test_everything_pipelined_is_refused_in_order_and_nothing_of_a_body_is_taken_for_a_request() -> None:
    bodies = [b"{}", b"POST /mcp/alpha HTTP/1.1\r\nHost: localhost\r\n\r\n", b"", b"\r\n\r\n" * 9, b"{}"] * 20

    async def scene() -> None:
        async with serving(admission=NOBODY, head_s=1e9) as rig, await rig.client() as client:
            data = b"".join(post(body) for body in bodies)
            await client.send(data[:-1])
            for _ in bodies[1:]:
                await refused(rig, client)
            await client.send(data[-1:])
            await refused(rig, client)
            assert rig.refused == ["overloaded"] * len(bodies)

    asyncio.run(scene())


@pytest.mark.parametrize("cut", range(1, len(post(b"{}")), 7))
def test_a_request_that_comes_in_two_parts_is_refused_once(cut: int) -> None:
    async def scene() -> None:
        async with serving(admission=NOBODY) as rig, await rig.client() as client:
            await client.send(post(b"{}"))
            await refused(rig, client)
            await client.send(post(b"{}")[:cut])
            await until(lambda: rig.server.admission.waiting > 0)
            rig.pass_time(0.1)
            await until(lambda: rig.server.admission.waiting == 0)
            await client.send(post(b"{}")[cut:])
            await refused(rig, client)
            assert rig.refused == ["overloaded"] * 2

    asyncio.run(scene())


@pytest.mark.parametrize("cut", [30, len(post(b"{}")) - 1], ids=["head", "body"])
def test_the_rest_of_a_request_is_waited_for_no_longer_than_always(cut: int) -> None:
    async def scene() -> None:
        async with serving(admission=NOBODY) as rig, await rig.client() as client:
            await client.send(post(b"{}")[:cut])
            got = await reply(rig, client)
            assert (got.status, got.code) == (408, "request_timed_out")
            assert await client.at_end()

    asyncio.run(scene())


def test_a_head_without_end_is_refused_at_its_limit_though_nothing_begins() -> None:
    async def scene() -> None:
        async with serving(admission=NOBODY, head_s=1e9) as rig, await rig.client() as client:
            await client.send(b"POST /mcp/alpha HTTP/1.1\r\n" + b"X-Filler: 0123456789\r\n" * 4000)
            assert (await reply(rig, client)).status == 431

    asyncio.run(scene())


def test_a_refused_request_whose_end_is_not_known_costs_its_connection() -> None:
    async def scene() -> None:
        async with serving(admission=NOBODY) as rig, await rig.client() as client:
            chunked = post().replace(b"Content-Length: 2", b"Transfer-Encoding: chunked")
            await client.send(chunked)
            await refused(rig, client)
            assert await client.at_end()

    asyncio.run(scene())


def test_a_client_that_goes_while_it_waits_leaves_nothing_and_the_next_gets_its_turn() -> None:
    async def scene() -> None:
        async with serving(admission=NOBODY) as rig:
            gone, other = await rig.client(), await rig.client()
            await gone.send(post())
            await other.send(post())
            await until(lambda: rig.server.admission.waiting == 2)
            gone.close()
            await until(lambda: rig.server.admission.waiting == 1)
            await refused(rig, other)
            assert rig.server.admission.waiting == 0

    asyncio.run(scene())


def test_a_client_that_does_not_read_its_refusals_is_cut_off() -> None:
    async def scene() -> None:
        async with serving(admission=NOBODY, write_bytes=1024) as rig, await rig.client() as client:
            client.writer.transport.pause_reading()
            async with asyncio.timeout(20):
                while rig.server.connection_count:
                    client.writer.write(post() * 200)
                    rig.pass_time(0.1)
                    await asyncio.sleep(0.001)

    asyncio.run(scene())


def test_closed_nothing_begins_and_open_again_everything_does() -> None:
    async def scene() -> None:
        async with serving(MCP, PROBE) as rig, await rig.client() as client:
            rig.server.admission.set_closed(True)
            assert (await client.ask(post())).status == 503
            assert (await client.ask(get(b"/health"))).status == 200
            rig.server.admission.set_closed(False)
            assert (await client.ask(post())).status == 200

    asyncio.run(scene())


def test_running_counts_back_to_nothing_whether_calls_end_or_their_clients_do() -> None:
    go = asyncio.Event()

    async def slow(head: Head, body: bytes, sink: HttpSink) -> None:
        await go.wait()
        sink.finish(Answer(200, b"{}"))

    async def scene() -> None:
        async with serving(route("/slow", slow)) as rig:
            clients = [await rig.client() for _ in range(40)]
            for client in clients:
                await client.send(post(path=b"/slow"))
            await until(lambda: rig.server.admission.running == 40)
            for client in clients[::2]:
                client.close()
            await until(lambda: rig.server.admission.running == 20)
            go.set()
            assert [(await client.reply()).status for client in clients[1::2]] == [200] * 20
            assert rig.server.admission.running == 0

    asyncio.run(scene())


def test_pipelined_requests_are_served_in_turn_until_they_have_waited_and_then_refused_in_one_piece() -> None:
    async def scene() -> None:
        limits = AdmissionLimits(few=0, per_turn=1, wait_s=0.03, behind_s=0.03, burst_s=0.0, turn_s=1.0)
        async with serving(admission=limits) as rig, await rig.client() as client:
            await client.send(post(b"1") * 3)
            assert [(await client.reply()).status for _ in range(3)] == [200] * 3
            rig.pass_time(1.0)
            slow_turns = itertools.count()
            rig.server.admission._now = lambda: next(slow_turns) * 0.02
            await client.send(post(b"2") * 60)
            got = [(await client.reply()).status for _ in range(60)]
            served = got.count(200)
            assert 0 < served < 60
            assert got == [200] * served + [503] * (60 - served)

    asyncio.run(scene())


def test_a_client_that_goes_away_while_its_connection_is_not_read_is_noticed_once_all_is_calm() -> None:
    ended = asyncio.Event()

    async def endless(head: Head, body: bytes, sink: HttpSink) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def scene() -> None:
        async with serving(route("/slow", endless), pipelined_bytes=10) as rig, await rig.client() as client:
            await client.send(post(path=b"/slow"))
            await until(lambda: rig.server.admission.running == 1)
            rig.server.admission.crowded = True
            await client.send(b"POST /")
            connection = next(iter(rig.server._service.connections))
            await until(lambda: connection._reading_paused)
            client.close()
            rig.server.tick()
            assert connection._reading_paused
            rig.server.admission.crowded = False
            rig.server.tick()
            await within(ended.wait())

    asyncio.run(scene())


def test_requests_taken_unread_are_exactly_those_with_known_heads_that_are_whole() -> None:
    """Compared with reading them one by one, over many mixtures."""
    chance = random.Random(7)
    heads = {b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % n: n * 3 for n in range(4)}
    unknown = b"GET /other HTTP/1.1\r\nhost: x\r\n\r\n"
    admission = Admission(AdmissionLimits(), ManualClock(0.0).monotonic, lambda _count: None)
    for head, length in heads.items():
        admission.learn(head, length)
    for _ in range(500):
        data = b""
        for _ in range(chance.randrange(12)):
            head = chance.choice([*heads, *heads, *heads, unknown])
            one = head + chance.choice([b"G", b"\r\n\r\n", b"{}"]) * 9
            data += one[: len(head) + heads.get(head, 0)] * chance.choice([1, 1, 2, 7, 30])
        data = data[: chance.randrange(len(data) + 1)]
        taken, at, unknown_next = 0, 0, False
        while at < len(data):
            end = data.find(b"\r\n\r\n", at) + 4
            length = heads.get(data[at:end], -1)
            if length < 0 or end + length > len(data):
                unknown_next = length < 0
                break
            taken, at = taken + 1, end + length
        buffer = bytearray(data)
        assert admission.take_known(buffer) == (taken, unknown_next)
        assert buffer == data[at:]


@dataclass(eq=False)
class Comer:
    """A connection that only notes what becomes of it."""

    caller: str
    note: Callable[[str], None]
    held: list[bool] = field(default_factory=list)
    """True and False as reading was held and went on."""
    since: float | None = None
    """Since when what has come waits, if it did not only come now."""

    def hold(self) -> None:
        self.held.append(True)

    def read_on(self) -> None:
        self.held.append(False)

    def waits_since(self, time: float) -> float:
        return time if self.since is None else self.since

    def begin(self) -> None:
        self.note(self.caller)

    def refuse(self) -> int:
        self.note(f"{self.caller} refused")
        return 1


def test_callers_take_turns_however_much_one_of_them_sends() -> None:
    clock, begun = ManualClock(0.0), list[str]()

    async def scene() -> None:
        admission = Admission(AdmissionLimits(few=0, per_turn=2, wait_s=1.0), clock.monotonic, lambda _count: None)
        comers = [Comer("greedy", begun.append) for _ in range(6)] + [Comer(name, begun.append) for name in "abc"]
        assert [admission.admits(comer) for comer in comers] == [True, True] + [False] * 7
        await within(until(lambda: admission.waiting == 0))
        assert begun == ["a", "b", "c", "greedy", "greedy", "greedy", "greedy"]

    asyncio.run(scene())


def test_callers_who_are_refused_before_their_turn_come_first_the_next_time() -> None:
    clock, noted = ManualClock(0.0), list[str]()

    async def scene() -> None:
        limits = AdmissionLimits(few=0, per_turn=2, wait_s=0.5, burst_s=0.0, turn_s=9.0)
        admission = Admission(limits, clock.monotonic, lambda _count: None)
        for _ in range(30):
            noted.extend(name for name in "abcdef" if admission.admits(Comer(name, noted.append)))
            await asyncio.sleep(0)
            clock.advance(1.0)
        begun = Counter(name for name in noted if "refused" not in name)
        assert set(begun) == set("abcdef")
        assert max(begun.values()) - min(begun.values()) <= 1

    asyncio.run(scene())


def test_a_burst_is_worked_off_and_a_crowd_that_stays_is_refused() -> None:
    clock, noted = ManualClock(0.0), list[str]()

    async def scene() -> None:
        limits = AdmissionLimits(few=0, per_turn=0, wait_s=1.0, burst_s=10.0, turn_s=99.0)
        admission = Admission(limits, clock.monotonic, lambda _count: None)
        first, second, third = (Comer(name, noted.append) for name in ("first", "second", "third"))
        assert not admission.admits(first)
        clock.advance(9.0)
        await asyncio.sleep(0.01)
        assert noted == []
        clock.advance(2.5)
        await within(until(lambda: noted == ["first refused"]))
        assert not admission.admits(second)  # the same crowd: it was away for less than a burst
        clock.advance(1.5)
        await within(until(lambda: noted == ["first refused", "second refused"]))
        clock.advance(11.0)
        assert not admission.admits(third)
        clock.advance(1.5)
        await asyncio.sleep(0.01)
        assert len(noted) == 2
        admission.forget(third)

    asyncio.run(scene())


def test_where_calls_are_heavy_a_turn_begins_fewer_of_them() -> None:
    clock, begun = ManualClock(0.0), list[str]()
    turns: list[int] = []

    def work(name: str) -> None:
        begun.append(name)
        clock.advance(0.02)

    async def scene() -> None:
        limits = AdmissionLimits(few=0, per_turn=8, turn_s=0.01, wait_s=100.0)
        admission = Admission(limits, clock.monotonic, lambda _count: None)
        for number in range(40):
            admission.admits(Comer(str(number), work))
        while admission.waiting:
            before = len(begun)
            await asyncio.sleep(0)
            turns.append(len(begun) - before)
        assert turns[:5] == [8, 4, 2, 1, 1]

    asyncio.run(scene())


def test_nobody_is_refused_because_the_process_stood_still() -> None:
    clock, noted = ManualClock(0.0), list[str]()

    async def scene() -> None:
        limits = AdmissionLimits(few=0, per_turn=0, wait_s=1.0, burst_s=0.0, turn_s=0.4)
        admission = Admission(limits, clock.monotonic, lambda _count: None)
        assert not admission.admits(Comer("first", noted.append))
        for _ in range(2):
            clock.advance(60.0)
            await asyncio.sleep(0.01)
        assert noted == []
        clock.advance(60.0)
        await within(until(lambda: noted == ["first refused"]))

    asyncio.run(scene())


def test_what_waits_behind_a_begun_request_is_refused_sooner_and_in_a_burst_a_little_later() -> None:
    clock, noted = ManualClock(0.0), list[str]()

    async def scene() -> None:
        limits = AdmissionLimits(few=0, per_turn=0, wait_s=1.0, behind_s=0.5, burst_s=3.0, turn_s=9.0)
        admission = Admission(limits, clock.monotonic, lambda _count: None)

        async def pass_time(seconds: float) -> None:
            clock.advance(seconds)
            await asyncio.sleep(0.01)

        crowd, behind = Comer("crowd", noted.append), Comer("behind", noted.append, since=0.0)
        assert not admission.admits(crowd)
        await pass_time(0.9)
        assert not admission.admits(behind)
        assert admission.waiting == 2
        admission.forget(behind)
        await pass_time(0.2)
        assert not admission.admits(behind)
        await within(until(lambda: noted == ["behind refused"]))
        await pass_time(2.5)
        await within(until(lambda: "crowd refused" in noted))
        assert not admission.admits(crowd)
        behind.since = admission.time - 0.6
        assert not admission.admits(behind)
        await within(until(lambda: noted[2:] == ["behind refused"]))
        admission.forget(crowd)

    asyncio.run(scene())


def test_once_a_call_finds_no_place_the_others_wait_for_the_next_turn() -> None:
    begun, turns = list[str](), list[int]()

    async def scene() -> None:
        limits = AdmissionLimits(few=0, per_turn=4, wait_s=1.0)
        admission = Admission(limits, ManualClock(0.0).monotonic, lambda _count: None)

        def begin(name: str) -> None:
            begun.append(name)
            if name == "full":
                admission.no_more()

        names = ["a", "b", "c", "d", "full", "e", "f", "full", "g"]
        for number, name in enumerate(names):
            admission.admits(Comer(str(number), lambda _caller, name=name: begin(name)))  # type: ignore[misc]
        while admission.waiting:
            before = len(begun)
            await asyncio.sleep(0)
            turns.append(len(begun) - before)
        assert begun == names[4:]
        assert turns == [1, 3, 1]

    asyncio.run(scene())


def test_while_somebody_waits_nobody_passes_though_few_run() -> None:
    begun = list[str]()

    async def scene() -> None:
        limits = AdmissionLimits(few=1, per_turn=1, wait_s=1.0)
        admission = Admission(limits, ManualClock(0.0).monotonic, lambda _count: None)
        admission.running = 1
        assert admission.running >= admission.few
        assert [admission.admits(Comer(name, begun.append)) for name in "abc"] == [True, False, False]
        admission.running = 0
        assert admission.running >= admission.few
        await within(until(lambda: admission.waiting == 0))
        assert (begun, admission.few) == (["b", "c"], 1)

    asyncio.run(scene())


def test_who_waited_too_long_is_refused_and_the_later_ones_are_begun() -> None:
    clock, noted = ManualClock(0.0), list[str]()

    async def scene() -> None:
        admission = Admission(
            AdmissionLimits(few=0, per_turn=0, wait_s=1.0, burst_s=0.0, turn_s=9.0),
            clock.monotonic,
            lambda _count: None,
        )
        early, late = Comer("early", noted.append), Comer("late", noted.append)
        assert not admission.admits(early)
        clock.advance(0.9)
        await asyncio.sleep(0.01)
        assert not admission.admits(late)
        assert not admission.admits(late)
        clock.advance(0.2)
        await within(until(lambda: bool(noted)))
        assert (noted, admission.waiting) == (["early refused"], 1)
        assert (early.held, late.held) == ([False], [True])
        admission.forget(late)
        assert admission.waiting == 0

    asyncio.run(scene())


def test_heads_of_refused_requests_are_forgotten_once_all_is_calm() -> None:
    async def scene() -> None:
        async with serving(admission=NOBODY) as rig, await rig.client() as client:
            await client.send(post())
            await refused(rig, client)
            assert rig.server.admission._known
            while rig.server.admission.crowded:
                await asyncio.sleep(0.001)
            rig.pass_time(1.0)
            assert rig.server.admission._known
            rig.pass_time(10.0)
            assert not rig.server.admission._known

    asyncio.run(scene())
