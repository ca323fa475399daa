"""The machine's resolver on its own threads, as SSRF-35 to 47 reach it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.unit.net import fake_peer
from tests.unit.net.fake_peer import PATIENCE_S
from toolyard.net.resolver import SystemResolver

pytestmark = pytest.mark.usefixtures("both_loops")


def test_localhost_resolves_to_loopback() -> None:
    async def main() -> None:
        found = await SystemResolver()("localhost", 80)
        assert set(found) <= {"127.0.0.1", "::1"}
        assert found

    fake_peer.run(main())


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".example", "\udcff"])
def test_a_name_that_cannot_be_resolved_is_an_os_error(host: str) -> None:
    async def main() -> None:
        with pytest.raises(OSError):
            async with asyncio.timeout(PATIENCE_S):
                await SystemResolver()(host, 80)

    fake_peer.run(main())


class Slow:
    """Stands in for getaddrinfo and does not return before it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.running = 0
        self.most = 0
        self.calls = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, *_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        with self._lock:
            self.running += 1
            self.calls += 1
            self.most = max(self.most, self.running)
        assert self.go_on.wait(PATIENCE_S)
        with self._lock:
            self.running -= 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    stand_in = Slow()
    monkeypatch.setattr("toolyard.net.resolver.socket.getaddrinfo", stand_in)
    yield stand_in
    stand_in.go_on.set()


def test_a_hundred_names_take_no_more_than_thirty_two_threads_and_all_are_answered(slow: Slow) -> None:
    async def main() -> None:
        resolver = SystemResolver()
        asking = [asyncio.ensure_future(resolver(f"host{number}.test", 80)) for number in range(100)]
        async with asyncio.timeout(PATIENCE_S):
            while slow.running < 32:
                await asyncio.sleep(0.001)
            slow.go_on.set()
            assert await asyncio.gather(*asking) == [["127.0.0.1"]] * 100
        assert slow.most == 32

    fake_peer.run(main())


def test_whoever_gives_up_waiting_leaves_nothing_behind_even_when_the_loop_is_gone(slow: Slow) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await SystemResolver()("host.test", 80)

    fake_peer.run(main())
    slow.go_on.set()


def test_a_name_is_looked_up_once_for_all_who_wait_and_for_all_who_come_back(slow: Slow) -> None:
    async def main() -> None:
        resolver = SystemResolver()
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await resolver("slow.test", 80)
        asking = [asyncio.ensure_future(resolver("slow.test", 80)) for _ in range(5)]
        await asyncio.sleep(0)
        slow.go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            assert await asyncio.gather(*asking) == [["127.0.0.1"]] * 5
        assert slow.calls == 1

    fake_peer.run(main())


def test_a_name_nobody_waits_for_any_more_is_not_looked_up(slow: Slow) -> None:
    async def main() -> None:
        resolver = SystemResolver()
        busy = [asyncio.ensure_future(resolver(f"busy{number}.test", 80)) for number in range(32)]
        async with asyncio.timeout(PATIENCE_S):
            while slow.running < 32:
                await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await resolver("late.test", 80)
        slow.go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*busy)
            await resolver("after.test", 80)
        assert slow.calls == 33

    fake_peer.run(main())


def test_idle_threads_are_used_again() -> None:
    async def main() -> None:
        resolver = SystemResolver()
        for _ in range(10):
            await resolver("localhost", 80)
        assert resolver._threads <= 2

    fake_peer.run(main())
