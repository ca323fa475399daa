"""The catalog in force: it swaps whole, tells what changed, and never forgets a name it gave."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.contract.making import observed, snap, tool, upstream
from toolyard.contract.definitions import Observation
from toolyard.contract.naming import Names, Origin
from toolyard.contract.snapshot import ServerSpec, Snapshot
from toolyard.gateway.catalog import CatalogHolder

PLAIN = (ServerSpec("default", names="plain"),)


class Kept:
    """A holder with everything it told."""

    def __init__(self, snapshot: Snapshot, *seen: Observation, names: Names | None = None) -> None:
        self.changes: list[tuple[str, set[Any]]] = []
        self.saved: list[Names] = []
        self.holder = CatalogHolder(snapshot, {o.upstream_id: o for o in seen}, names or {})
        self.holder.on_change = lambda code, kinds: self.changes.append((code, set(kinds)))
        self.holder.on_names = lambda names: self.saved.append(dict(names))

    def tools(self, code: str = "default") -> list[str]:
        return list(self.holder.current.servers[code].tools)


def origin(upstream_id: str, name: str) -> Origin:
    return Origin("default", "plain", "tool", upstream_id, name)


def test_a_newer_snapshot_is_in_force_and_an_older_or_equal_one_is_not():
    kept = Kept(snap("a", revision=5), observed("a", "x"))
    for revision in (4, 5):
        assert kept.holder.offer(snap("b", revision=revision)) is False
        assert kept.tools() == ["a__x"]
    assert kept.holder.offer(snap("b", revision=6)) is True
    assert (kept.tools(), kept.holder.current.snapshot.revision) == ([], 6)


def test_a_catalog_in_use_does_not_change_under_its_reader():
    kept = Kept(snap("a"), observed("a", "x"))
    reading = kept.holder.current
    kept.holder.observe(observed("a", "y"))
    assert list(reading.servers["default"].tools) == ["a__x"]
    assert kept.tools() == ["a__y"]


def test_listeners_hear_which_lists_of_which_server_changed():
    servers = (ServerSpec("one", tools=("a/*",)), ServerSpec("two", tools=("b/*",)))
    kept = Kept(snap("a", "b", servers=servers), observed("a", "x"), observed("b", "x"))
    kept.holder.observe(observed("a", "x", prompts=["p"]))
    kept.holder.observe(observed("b", "x", resources=["r://1"]))
    kept.holder.observe(observed("b", "x", resources=["r://1"], templates=["t://{x}"]))
    kept.holder.observe(observed("a", tool("x", description="new"), prompts=["p"]))
    assert kept.changes == [("one", {"prompts"}), ("two", {"resources"}), ("two", {"resources"}), ("one", {"tools"})]


def test_seeing_the_same_again_changes_nothing():
    kept = Kept(snap("a"), observed("a", "x"))
    before = kept.holder.current
    assert kept.holder.observe(replace(observed("a", "x"), observed_at=99.0)) is False
    assert kept.holder.current is before
    assert kept.changes == []
    seen = kept.holder.observation("a")
    assert seen is not None
    assert seen.observed_at == 99.0


def test_the_same_in_another_order_changes_no_list():
    kept = Kept(snap("a"), observed("a", "x", "y", resources=["r://1", "r://2"], templates=["t://{x}", "t://{y}"]))
    kept.holder.observe(observed("a", "y", "x", resources=["r://2", "r://1"], templates=["t://{y}", "t://{x}"]))
    assert kept.changes == []


def test_a_server_that_appears_or_goes_tells_nobody_but_others_hear_of_their_own_changes():
    one, two = ServerSpec("one"), ServerSpec("two")
    kept = Kept(snap("a", servers=(one,)), observed("a", "x"))
    kept.holder.offer(snap("a", servers=(one, two), revision=2))
    kept.holder.offer(snap("a", servers=(two,), revision=3))
    assert kept.changes == []
    kept.holder.offer(snap(upstream("a", enabled=False), servers=(two,), revision=4))
    assert kept.changes == [("two", {"tools"})]


def test_a_longer_freshness_is_taken_over_without_a_change_being_told():
    kept = Kept(snap("a"), observed("a", "x", ttl_ms=10))
    assert kept.holder.observe(observed("a", "x", ttl_ms=5000)) is True
    assert kept.holder.current.servers["default"].ttl_ms == 5000
    assert kept.changes == []


def test_what_no_list_shows_changes_no_list():
    kept = Kept(snap("a"), observed("a", "x", prompts=["p"], resources=["r://1"]))
    kept.holder.offer(snap(upstream("a", timeout_s=7.0), revision=2))
    assert kept.holder.current.servers["default"].tools["a__x"].timeout_s == 7.0
    assert kept.changes == []


def test_what_was_prepared_is_taken_over_and_what_was_not_is_made():
    kept = Kept(snap("a", "b"), observed("a", "x"), observed("b", "x"))
    fresh = observed("a", "x", "y")
    kept.holder.prepare(observation=fresh)
    assert (kept.tools(), kept.changes) == (["a__x", "b__x"], [])
    ahead = kept.holder.prepared
    assert ahead is not None
    kept.holder.observe(observed("b", "z"))
    assert kept.tools() == ["a__x", "b__z"]
    kept.holder.prepare(observation=fresh)
    ahead = kept.holder.prepared
    assert ahead is not None
    kept.holder.observe(fresh)
    assert kept.tools() == ["a__x", "a__y", "b__z"]
    assert kept.holder.current.servers["default"].tools["a__y"] is ahead.servers["default"].tools["a__y"]
    assert kept.holder.prepared is None


def test_a_snapshot_that_was_prepared_is_in_force_only_when_it_is_offered():
    kept = Kept(snap("a", "b"), observed("a", "x"), observed("b", "x"))
    other = snap("a", "b", servers=PLAIN, revision=2)
    kept.holder.prepare(snapshot=other)
    ahead = kept.holder.prepared
    assert ahead is not None
    assert kept.tools() == ["a__x", "b__x"]
    assert kept.holder.offer(other) is True
    assert kept.tools() == ["x", "b__x"]
    assert kept.holder.current.servers["default"].tools["x"] is ahead.servers["default"].tools["x"]
    assert kept.saved[-1] == {origin("a", "x"): "x", origin("b", "x"): "b__x"}


def test_preparing_what_is_known_is_no_work():
    kept = Kept(snap("a"), observed("a", "x"))
    kept.holder.prepare(observation=observed("a", "x"))
    assert kept.holder.prepared is None


def test_every_name_is_stored_once_when_it_is_given():
    kept = Kept(snap("a", "b", servers=PLAIN))
    kept.holder.observe(observed("b", "echo"))
    kept.holder.observe(observed("a", "echo", "add"))
    kept.holder.observe(observed("a", "echo", "add", "sub"))
    assert kept.saved == [
        {origin("b", "echo"): "echo"},
        {origin("a", "echo"): "a__echo", origin("a", "add"): "add"},
        {origin("a", "sub"): "sub"},
    ]


def test_names_given_to_what_was_remembered_are_stored_too():
    kept = Kept(snap("a", "b", servers=PLAIN), observed("b", "echo"), names={})
    assert kept.saved == [{origin("b", "echo"): "echo"}]
    again = Kept(snap("a", "b", servers=PLAIN), observed("b", "echo"), names=kept.saved[0])
    assert again.saved == []


def test_names_stay_after_a_restart_whoever_answers_first():
    first = Kept(snap("a", "b", servers=PLAIN))
    first.holder.observe(observed("b", "echo"))
    first.holder.observe(observed("a", "echo"))
    stored = {o: n for names in first.saved for o, n in names.items()}
    again = Kept(snap("a", "b", servers=PLAIN), names=stored)
    again.holder.observe(observed("a", "echo"))
    again.holder.observe(observed("b", "echo"))
    assert again.holder.current.names == first.holder.current.names == stored
    assert again.holder.current.servers["default"].collisions == first.holder.current.servers["default"].collisions
    assert len(first.holder.current.servers["default"].collisions) == 1
