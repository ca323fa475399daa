"""The feed while it runs: GWF-18 of the attack book, as far as it is the feed's part."""

import asyncio
import contextlib
import os
import threading

import pytest

from toolyard.gateway.feed.file import load_all
from toolyard.gateway.feed.keys import KeyStore
from toolyard.gateway.feed.last_good import load_last_good
from toolyard.gateway.feed.watch import FileFeed, Watched
from toolyard.gateway.feed.yaml_marks import ConfigRejected, Problem

WAIT_S = 20
GOOD = "upstreams:\n  demo: {builtin: demo}\n"


def text(title):
    return GOOD + f"servers:\n  default: {{title: '{title}'}}\n"


class Rig:
    """A feed over a directory, and what it has offered and rejected so far."""

    def __init__(self, directory):
        self.config = directory / "toolyard.yaml"
        if not self.config.is_symlink():
            self.config.write_text(text("first"))
        self.store = KeyStore(directory / "data")
        current = load_all(self.config, environ={}, keys=self.store.records, revision=1)
        watched = Watched(self.config, self.store, {})
        self.feed = FileFeed(watched, offer=self.offer, reject=self.reject, prepare=self.prepare, current=current)
        self.offered, self.rejected, self.refuse, self.refusals = [], [], None, 0
        self.prepared = []
        self.changed = asyncio.Event()

    def offer(self, loaded):
        if self.refuse:
            self.refusals += 1
            self.changed.set()
            raise self.refuse
        self.offered.append(loaded)
        self.changed.set()

    def prepare(self, loaded):
        self.prepared.append((loaded, len(self.offered), threading.current_thread()))

    def reject(self, rejected):
        self.rejected.append(rejected)
        self.changed.set()

    async def until(self, condition):
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def titles(self):
        return [loaded.snapshot.servers["default"].title for loaded in self.offered]


def watch(directory, story, prepare=lambda _: None):
    async def run():
        prepare(directory)
        rig = Rig(directory)
        task = asyncio.create_task(rig.feed.run())
        try:
            await story(rig)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_what_is_offered_was_prepared_in_another_thread(tmp_path):
    async def story(rig):
        rig.config.write_text(text("second"))
        await rig.until(lambda: rig.titles() == ["second"])
        ((loaded, offered_before, thread),) = rig.prepared
        assert loaded is rig.offered[0]
        assert offered_before == 0
        assert thread is not threading.current_thread()

    watch(tmp_path, story)


def test_an_edit_in_place_is_offered_with_the_next_revision(tmp_path):
    async def story(rig):
        rig.config.write_text(text("second"))
        await rig.until(lambda: rig.titles() == ["second"])
        assert rig.offered[0].snapshot.revision == 2

    watch(tmp_path, story)


def test_an_editors_rename_is_seen(tmp_path):
    async def story(rig):
        for title in ("second", "third"):
            fresh = rig.config.with_suffix(".new")
            fresh.write_text(text(title))
            fresh.replace(rig.config)
            await rig.until(lambda title=title: rig.titles()[-1:] == [title])

    watch(tmp_path, story)


def test_a_swapped_symbolic_link_is_seen(tmp_path):
    def prepare(directory):
        for name in ("one", "two"):
            (directory / name).mkdir()
            (directory / name / "toolyard.yaml").write_text(text(name))
        (directory / "current").symlink_to("one")
        (directory / "toolyard.yaml").symlink_to("current/toolyard.yaml")

    async def story(rig):
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "current")
        await rig.until(lambda: rig.titles() == ["two"])

    watch(tmp_path, story, prepare)


def test_a_broken_edit_is_reported_with_file_line_and_key_and_its_mending_is_offered(tmp_path):
    async def story(rig):
        rig.config.write_text(text("second") + "  lab: {acces: open}\n")
        await rig.until(lambda: rig.rejected)
        problem = rig.rejected[0].problems[0]
        assert (problem.file, problem.line, problem.key) == (str(rig.config), 5, "servers.lab.acces")
        assert rig.offered == []
        rig.config.write_text(text("first"))
        await rig.until(lambda: rig.titles() == ["first"])
        assert len(rig.rejected) == 1
        rig.config.write_text(text("second"))
        await rig.until(lambda: rig.titles() == ["first", "second"])
        assert [loaded.snapshot.revision for loaded in rig.offered] == [2, 3]

    watch(tmp_path, story)


def test_a_half_written_file_is_read_again_before_anything_is_reported(tmp_path):
    async def story(rig):
        read = rig.feed._read

        def read_and_then_finish_writing():
            try:
                return read()
            finally:
                rig.config.write_text(text("second"))

        rig.feed._read = read_and_then_finish_writing
        rig.config.write_text(text("second")[:-4])
        await rig.until(lambda: rig.offered or rig.rejected)
        assert (rig.titles(), rig.rejected) == (["second"], [])

    watch(tmp_path, story)


def test_many_changes_in_a_row_end_with_the_last_state(tmp_path):
    async def story(rig):
        for number in range(200):
            rig.config.write_text(text(str(number)) if number % 7 else "a: [")
            await asyncio.sleep(0)
        rig.config.write_text(text("last"))
        await rig.until(lambda: rig.titles()[-1:] == ["last"])
        assert len(rig.offered) < 100

    watch(tmp_path, story)


def test_a_missing_file_is_reported_and_its_return_is_seen(tmp_path):
    async def story(rig):
        rig.config.unlink()
        await rig.until(lambda: rig.rejected)
        assert "cannot be read" in rig.rejected[0].message
        rig.config.write_text(text("back"))
        await rig.until(lambda: rig.titles() == ["back"])

    watch(tmp_path, story)


def test_a_new_and_a_revoked_key_are_offered(tmp_path):
    async def story(rig):
        other = KeyStore(tmp_path / "data")
        _, record = other.create("default", now=0)
        await rig.until(lambda: rig.offered and record.id in rig.offered[-1].snapshot.keys)
        other.revoke(record.id)
        await rig.until(lambda: rig.offered[-1].snapshot.keys[record.id].disabled)

    watch(tmp_path, story)


def test_a_touched_file_with_the_same_content_is_not_offered_again(tmp_path):
    async def story(rig):
        os.utime(rig.config, (1, 1))
        await rig.feed.take_up()
        assert (rig.offered, rig.rejected) == ([], [])

    watch(tmp_path, story)


@pytest.mark.slow
def test_a_credential_file_that_changes_appears_or_goes_is_noticed(tmp_path):
    token = tmp_path / "token"
    using = f"upstreams:\n  a: {{url: 'http://h/', headers: {{A: 'file:{token}'}}}}\n"

    def offered(rig):
        return [loaded.snapshot.upstreams["a"].headers[0][1].reveal() for loaded in rig.offered]

    async def story(rig):
        rig.config.write_text(using)
        await rig.until(lambda: rig.rejected)
        token.write_text("one")
        await rig.until(lambda: offered(rig) == ["one"])
        token.write_text("two")
        await rig.until(lambda: offered(rig) == ["one", "two"])
        assert len(rig.rejected) == 1

    watch(tmp_path, story)


def test_what_was_good_at_the_start_is_kept_too(tmp_path):
    async def story(rig):
        kept = tmp_path / "data/snapshot.json"
        async with asyncio.timeout(WAIT_S):
            while not kept.exists():
                await asyncio.sleep(0.01)
        assert load_last_good(tmp_path / "data", rig.config, environ={}, keys={}) is not None
        assert (rig.offered, rig.rejected) == ([], [])

    watch(tmp_path, story)


def test_what_the_receiver_refuses_is_reported_and_offered_again_when_changed(tmp_path):
    async def story(rig):
        rig.refuse = ConfigRejected([Problem("f", 1, "k", "no")])
        rig.config.write_text(text("second"))
        await rig.until(lambda: rig.rejected)
        rig.refuse = None
        rig.config.write_text(text("third"))
        await rig.until(lambda: rig.titles() == ["third"])

    watch(tmp_path, story)


def test_an_error_in_the_receiver_does_not_end_the_watch(tmp_path):
    async def story(rig):
        rig.refuse = ZeroDivisionError()
        rig.config.write_text(text("second"))
        await rig.until(lambda: rig.refusals)
        rig.refuse = None
        rig.config.write_text(text("third, longer"))
        await rig.until(lambda: "third, longer" in rig.titles())

    watch(tmp_path, story)


def test_the_last_good_text_is_kept_without_what_its_references_stand_for(tmp_path):
    async def story(rig):
        rig.feed._watched = Watched(rig.config, rig.store, {"T": "SEKRET-ENV-1"})
        rig.config.write_text("upstreams:\n  a: {url: 'http://h/', headers: {A: '${T}'}}\n")
        await rig.feed.take_up()
        rig.config.write_text("broken: [")
        kept = (tmp_path / "data/snapshot.json").read_text()
        assert "SEKRET" not in kept
        loaded = load_last_good(tmp_path / "data", rig.config, environ={"T": "x"}, keys={})
        assert loaded.snapshot.upstreams["a"].headers[0][1].reveal() == "x"
        assert load_last_good(tmp_path / "data", tmp_path / "other.yaml", environ={}, keys={}) is None

    watch(tmp_path, story)
