"""The control plane's feed while it runs: what comes is in force, what is broken changes nothing."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.fake_control import FakeControl, line, lines_of, unsealed
from tests.unit.contract.making import snap, upstream
from toolyard.contract.documents import Manifest
from toolyard.contract.snapshot import ServerSpec, Snapshot
from toolyard.gateway.feed.both import Both
from toolyard.gateway.feed.control import ControlFeed, FeedSettings
from toolyard.gateway.feed.control_kept import FILE, load_received
from toolyard.gateway.feed.file import load_all
from toolyard.kit.errors import PlatformError
from toolyard.kit.secret import Secret

DOCS = upstream("docs", headers=(("Authorization", Secret("Bearer 1")),))


class Rig:
    """A feed, the control plane it listens to, and what it has put in force."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.control = FakeControl(directory / "control.sock")
        self.taken: list[Snapshot] = []
        self.told: list[tuple[int, PlatformError | None]] = []
        self.connections = 0
        received = load_received(directory)
        told = FeedSettings(self.control.socket, "gw", directory, **settings)
        self.feed = ControlFeed(told, take=self.take, unseal=unsealed, listener=self, received=received)

    async def take(self, snapshot: Snapshot) -> None:
        self.taken.append(snapshot)
        self.control.changed.set()

    def connected(self) -> None:
        self.connections += 1
        self.control.changed.set()

    def applied(self, manifest: Manifest, error: PlatformError | None) -> None:
        self.told.append((manifest.revision, error))
        self.control.changed.set()


@asynccontextmanager
async def running(directory: Path, **settings: Any) -> AsyncIterator[Rig]:
    rig = Rig(directory, **settings)
    await rig.control.start()
    task = asyncio.create_task(rig.feed.run())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await rig.control.stop()


def run(work: Any) -> None:
    asyncio.run(work)


def test_what_is_published_is_in_force_and_only_what_changed_is_sent_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            await rig.control.until(lambda: rig.control.feeds)
            assert rig.control.asked == [{"gateway": "gw", "have": []}]
            await rig.control.publish(snap(DOCS))
            await rig.control.until(lambda: rig.taken)
            assert rig.taken[0].upstreams["docs"].headers == (("Authorization", Secret("Bearer 1")),)
            changed = replace(snap(DOCS, servers=(ServerSpec("team"),)), revision=2)
            await rig.control.publish(changed, only={"server"})
            await rig.control.until(lambda: len(rig.taken) == 2)
            assert (rig.taken[1].revision, list(rig.taken[1].servers)) == (2, ["team"])
            assert rig.told == [(1, None), (2, None)]

    run(work())


def test_a_broken_document_is_told_and_what_was_in_force_stays(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            await rig.control.until(lambda: rig.control.feeds)
            await rig.control.publish(snap("docs"))
            await rig.control.until(lambda: rig.taken)
            bad = replace(snap("docs"), revision=2, upstreams={"docs": replace(DOCS, kind="pigeon")})  # type: ignore[arg-type]
            await rig.control.publish(bad)
            await rig.control.until(lambda: len(rig.told) == 2)
            revision, error = rig.told[1]
            assert (revision, len(rig.taken)) == (2, 1)
            assert error is not None
            assert (error.code, "upstream 'docs'" in error.message) == ("document_broken", True)
            await rig.control.publish(replace(snap("docs"), revision=3))
            await rig.control.until(lambda: len(rig.taken) == 2)

    run(work())


def test_the_feed_comes_back_and_says_what_it_has(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            await rig.control.until(lambda: rig.control.feeds)
            manifest = await rig.control.publish(snap("docs"))
            await rig.control.until(lambda: rig.taken)
            await rig.control.stop()
            await rig.control.start()
            await rig.control.until(lambda: len(rig.control.asked) == 2)
            assert sorted(rig.control.asked[1]["have"]) == sorted({d for _, _, d in manifest.entries})

    run(work())


def test_a_manifest_that_names_what_was_never_sent_is_told_and_asked_for_anew(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            await rig.control.until(lambda: rig.control.feeds)
            await rig.control.publish(snap("docs"), only={"server"})
            rig.control.lines = []
            await rig.control.until(lambda: len(rig.control.asked) == 2)
            assert rig.told[0][0] == 1
            assert rig.told[0][1] is not None
            assert rig.taken == []

    run(work())


@pytest.mark.parametrize(
    "wrong", [b"nonsense\n", b'{"kind":"manifest","entries":3}\n', line("document", digest="sha256:1", document={})]
)
def test_a_line_that_is_none_ends_the_connection_and_nothing_else(tmp_path: Path, wrong: bytes) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            await rig.control.until(lambda: rig.control.feeds)
            await rig.control.feeds.pop().chunk(wrong)
            await rig.control.until(lambda: rig.control.feeds)
            await rig.control.publish(snap("docs"))
            await rig.control.until(lambda: rig.taken)

    run(work())


def test_lines_of_tomorrow_are_ignored(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            await rig.control.until(lambda: rig.control.feeds)
            await rig.control.feeds[0].chunk(line("weather", of="tomorrow"))
            await rig.control.publish(snap("docs"))
            await rig.control.until(lambda: rig.taken)
            assert len(rig.control.asked) == 1

    run(work())


def test_a_line_in_many_pieces_is_one_line(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            await rig.control.until(lambda: rig.control.feeds)
            for byte in b"".join(lines_of(snap("docs"))[0]):
                await rig.control.feeds[0].chunk(bytes((byte,)))
            await rig.control.until(lambda: rig.taken)

    run(work())


def test_silence_is_taken_for_death(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, silence_s=0.05) as rig:
            await rig.control.until(lambda: len(rig.control.asked) >= 2)

    run(work())


def test_a_refused_feed_is_asked_for_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            rig.control.feed_status = 503
            await rig.control.until(lambda: len(rig.control.asked) >= 2)
            rig.control.feed_status = 200
            await rig.control.publish(snap("docs"))
            await rig.control.until(lambda: rig.taken)

    run(work())


def test_what_came_last_is_kept_sealed_and_for_this_user_alone(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            await rig.control.until(lambda: rig.control.feeds)
            await rig.control.publish(snap(DOCS))
            await rig.control.until(lambda: rig.told)
            await rig.feed.keep()

    run(work())
    kept = load_received(tmp_path)
    assert kept is not None
    assert "sealed:Bearer 1" in (tmp_path / FILE).read_text()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert kept.snapshot(unsealed, frozenset()).upstreams == {"docs": DOCS}


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b'{"version":1,"manifest":{"revision":1,"entries":[]},"documents":{"x":{}}}']
)
def test_a_damaged_copy_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE).write_bytes(damage)
    assert load_received(tmp_path) is None


def test_the_file_and_the_control_plane_are_in_force_together(tmp_path: Path) -> None:
    config = tmp_path / "toolyard.yaml"
    config.write_text("upstreams:\n  demo: {builtin: demo}\n")
    loaded = load_all(config, environ={}, keys={}, revision=1)
    both, offered = Both(loaded, None), []
    both.put_in_force = offered.append
    assert (both.current.revision, list(both.current.servers)) == (1, ["default"])

    async def work() -> None:
        await both.take_control(snap("docs", servers=(ServerSpec("default", title="Ours"),)))
        await both.take_control(snap("docs", servers=(ServerSpec("default", title="Ours"),)))
        config.write_text("servers:\n  lab: {}\n")
        both.offer_file(load_all(config, environ={}, keys={}, revision=1))

    run(work())
    assert [(one.revision, sorted(one.upstreams), sorted(one.servers)) for one in offered] == [
        (2, ["demo", "docs"], ["default"]),
        (3, ["docs"], ["default", "lab"]),
    ]
    assert offered[0].servers["default"].title == "Ours"
