"""The parts that upstreams on channels are made of: lines, the ring of standard error, the pace of restarts, bounds."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.contract.snapshot import UpstreamLimits
from toolyard.gateway.upstream.asking import may_ask
from toolyard.gateway.upstream.channel import ChannelClosed
from toolyard.gateway.upstream.child import ChildChannel, start_child
from toolyard.gateway.upstream.child_process import Command
from toolyard.gateway.upstream.errors import UpstreamTooLarge, UpstreamUnreachable
from toolyard.gateway.upstream.lines import Lines, LineTooLongError
from toolyard.gateway.upstream.notices import MAX_QUEUED_BYTES, Notices, Throttle
from toolyard.gateway.upstream.restarts import Restarts
from toolyard.gateway.upstream.stderr_ring import RING_BYTES, StderrRing
from toolyard.kit import faults
from toolyard.kit.clock import ManualClock

from .leftovers import run_clean

MAX_LINE_BYTES = UpstreamLimits().event_bytes
MAX_PER_SECOND = UpstreamLimits().notifications_per_second


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_are_the_same_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    cutter, found = Lines(100), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += cutter.feed(stream[start:end])
    assert found == lines


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize(("length", "fits"), [(99, True), (100, True), (101, False)])
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(length: int, fits: bool, chunk: int) -> None:
    stream, cutter = b"x" * length + b"\n", Lines(100)

    def feed() -> list[bytes]:
        return [line for start in range(0, len(stream), chunk) for line in cutter.feed(stream[start : start + chunk])]

    if fits:
        assert feed() == [b"x" * length]
    else:
        with pytest.raises(LineTooLongError):
            feed()


@pytest.mark.parametrize(("size", "kept"), [(RING_BYTES - 1, RING_BYTES - 1), (RING_BYTES, RING_BYTES)])
def test_the_ring_keeps_up_to_64_kib_whole(size: int, kept: int) -> None:
    ring = StderrRing("x", ())
    ring.feed(b"y" * (size - 5))
    ring.feed(b"\nlast")
    assert len(ring.text()) == kept


def test_the_ring_keeps_the_last_whole_lines_of_more() -> None:
    ring = StderrRing("x", ())
    for n in range(20_000):
        ring.feed(b"line %06d\n" % n)
    lines = ring.text().splitlines()
    assert lines[-1] == "line 019999"
    assert all(len(line) == 11 for line in lines)
    assert RING_BYTES - 12 <= len(ring.text()) <= RING_BYTES


def test_secrets_are_not_shown_however_they_were_written() -> None:
    ring = StderrRing("x", ["SEKRET-ENV-LONG", "SEKRET", "abc"])
    for part in (b"a SEK", b"RET-ENV-", b"LONG and SEKRET end\n", b"abc is too short to be one\n"):
        ring.feed(part)
    assert ring.text() == "a **** and **** end\nabc is too short to be one\n"


def test_a_secret_cut_by_the_rings_edge_is_not_shown_in_part() -> None:
    secret = "S" * 40
    ring = StderrRing("x", [secret])
    ring.feed(b"S" * 40 + b"z" * (RING_BYTES - 20))
    assert "S" not in ring.text()


def test_the_wait_before_a_restart_doubles_up_to_a_minute_and_is_random_below_that() -> None:
    clock = ManualClock()
    widest = Restarts(clock, random.Random(1), gives_up=False)
    ceilings = []
    for _ in range(9):
        waits = []
        for seed in range(30):
            again = Restarts(clock, random.Random(seed), gives_up=False)
            for _ in range(len(ceilings) + 1):
                again.died()
            waits.append(again.wait_s())
        ceilings.append(max(waits))
        widest.died()
    for n, most in enumerate(ceilings):
        allowed = min(60.0, 2.0**n)
        assert allowed * 0.7 < most <= allowed
    clock.advance(60.0)
    assert widest.wait_s() == 0.0


@pytest.mark.parametrize(("deaths", "gap_s", "state"), [(4, 1.0, "waiting"), (5, 1.0, "failed"), (5, 16.0, "waiting")])
def test_five_deaths_within_a_minute_are_a_failure(deaths: int, gap_s: float, state: str) -> None:
    class Widest(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    clock = ManualClock()
    restarts = Restarts(clock, Widest())
    for n in range(deaths):
        clock.advance(gap_s if n else 0.0)
        restarts.died()
    assert restarts.state == state
    assert restarts.total == deaths
    clock.advance(300.0)
    assert restarts.state == "ready"


@pytest.mark.parametrize(
    ("declared", "method", "params", "allowed"),
    [
        ({"elicitation": {}}, "elicitation/create", {}, True),
        ({"elicitation": {}}, "elicitation/create", {"mode": "form"}, True),
        ({"elicitation": {}}, "elicitation/create", {"mode": "url"}, False),
        ({"elicitation": {"url": {}}}, "elicitation/create", {"mode": "url"}, True),
        ({"elicitation": {"url": {}}}, "elicitation/create", {}, False),
        ({"elicitation": {"url": {}, "form": {}}}, "elicitation/create", None, True),
        ({"sampling": {}}, "sampling/createMessage", {}, True),
        ({"sampling": {}}, "sampling/createMessage", {"tools": []}, False),
        ({"sampling": {"context": {}}}, "sampling/createMessage", {"toolChoice": {"mode": "none"}}, False),
        ({"sampling": {"tools": {}}}, "sampling/createMessage", {"tools": [], "toolChoice": {}}, True),
        ({"roots": {"listChanged": True}}, "roots/list", None, True),
        ({"roots": True}, "roots/list", None, False),
        ({}, "roots/list", None, False),
        ({"tools": {}}, "tools/call", {}, False),
    ],
)
def test_only_what_was_declared_may_be_asked(declared: Any, method: str, params: Any, allowed: bool) -> None:
    assert may_ask(declared, method, params) is allowed


def test_two_hundred_notifications_pass_in_a_second_and_no_more() -> None:
    async def whole() -> None:
        throttle = Throttle(MAX_PER_SECOND)
        passed = [throttle.passes() for _ in range(MAX_PER_SECOND + 1)]
        assert passed[-2:] == [True, False]

    run_clean(whole)


def test_notifications_above_a_mebibyte_do_not_wait_in_memory() -> None:
    async def whole() -> None:
        gate, seen = asyncio.Event(), []

        async def emit(notification: Any) -> None:
            await gate.wait()
            seen.append(notification)

        notices = Notices(emit, MAX_PER_SECOND)
        assert notices.offer({"n": 0}, MAX_QUEUED_BYTES)
        assert not notices.offer({"n": 1}, 1)
        gate.set()
        await notices.finish(asyncio.get_running_loop().time() + 10)
        assert seen == [{"n": 0}]

    run_clean(whole)


class Inbox:
    """What a channel hands over, to be waited for."""

    def __init__(self, channel: ChildChannel) -> None:
        self._come: asyncio.Queue[bytes | ChannelClosed] = asyncio.Queue()
        channel.listen(self._come.put_nowait, self._come.put_nowait)

    async def receive(self) -> bytes:
        come = await self._come.get()
        if isinstance(come, ChannelClosed):
            raise come
        return come


def command(script: str) -> Command:
    return Command("x", ("/bin/sh", "-c", script), {"PATH": "/usr/bin:/bin"}, None)


@pytest.mark.parametrize("plain", [True, False])
def test_what_a_child_wrote_before_it_ended_is_still_received(plain: bool) -> None:
    async def whole() -> None:
        child = await start_child(command("""printf '{"n":1}\\n{"n":2}\\nhello\\n{"n":'; echo bye >&2; exit 7"""))
        inbox = Inbox(child)
        assert [json.loads(await inbox.receive()) for _ in range(2)] == [{"n": 1}, {"n": 2}]
        with pytest.raises(ChannelClosed, match="exit code 7"):
            await inbox.receive()
        with pytest.raises(ChannelClosed):
            child.offer(b"{}")
        assert child.diagnosis() == "bye\n"
        assert child.junk_lines == 1
        await child.aclose()

    run_clean(whole, plain=plain)


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_a_message_may_have_four_mebibytes_and_no_more(extra: int, fits: bool) -> None:
    async def whole() -> None:
        size = MAX_LINE_BYTES + extra
        script = f"""printf '{{"x":"'; head -c {size - 8} /dev/zero | tr '\\0' y; printf '"}}\\n'; sleep 60"""
        child = await start_child(command(script))
        inbox = Inbox(child)
        if fits:
            assert len(await inbox.receive()) == size
        else:
            with pytest.raises(ChannelClosed) as caught:
                await inbox.receive()
            assert caught.value.failure is UpstreamTooLarge
        await child.aclose()

    run_clean(whole)


def test_the_children_can_open_their_streams_by_name() -> None:
    async def whole() -> None:
        child = await start_child(command("""echo '{"a":1}' > /dev/stdout; echo words > /dev/stderr; read line"""))
        inbox = Inbox(child)
        assert await inbox.receive() == b'{"a":1}'
        await child.aclose()
        assert child.diagnosis() == "words\n"

    run_clean(whole)


def test_closing_is_quick_for_a_child_that_ends_with_its_input() -> None:
    async def whole() -> ChildChannel:
        child = await start_child(command("""echo '{}'; while read line; do echo "$line"; done"""))
        inbox = Inbox(child)
        await inbox.receive()
        assert child.offer(b'{"last":1}')
        await asyncio.gather(child.aclose(), child.aclose())
        assert await inbox.receive() == b'{"last":1}'
        return child

    child = run_clean(whole)
    assert child.diagnosis() == ""


def test_a_start_that_fails_leaves_nothing_behind() -> None:
    async def whole() -> None:
        fault = faults.armed("child.start", OSError(24, "Too many open files"))
        with fault, pytest.raises(UpstreamUnreachable, match="Too many"):
            await start_child(command("exit 0"))

    run_clean(whole)
