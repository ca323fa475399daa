"""Full collections: what they leave out, and that cycles are collected all the same."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.rig import Rig, demo, play, snapshot
from toolyard.contract.snapshot import ServerSpec
from toolyard.kit.clock import ManualClock
from toolyard.kit.garbage import LONGEST_WAIT_S, WAIT_S, Garbage, hold_back
from toolyard.platform import sweep


class Knot:
    """Something that only a collection can free, once nobody else knows it."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.fixture
def full_collections() -> Iterator[list[int]]:
    """The generations of the collections that begin, the full ones only."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        if phase == "start" and info["generation"] == 2:
            seen.append(2)

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def knot_set_aside(garbage: Garbage) -> weakref.ref[Knot]:
    """A cycle that nobody knows any more, made before the large thing was replaced."""
    lost = weakref.ref(Knot())
    garbage.look(object(), 1)
    return lost


def test_a_process_that_serves_has_set_aside_what_was_there_and_collects_from_then_on() -> None:
    hold_back()
    assert not gc.isenabled()
    Garbage().begin(None)
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000
    assert len(gc.get_objects()) < 1000


def test_a_new_large_thing_is_set_aside_without_a_collection(full_collections: list[int]) -> None:
    garbage = Garbage()
    garbage.begin(None)
    before = gc.get_freeze_count()
    large = [[number] for number in range(5000)]
    garbage.look(large, 1)
    assert gc.get_freeze_count() >= before + 5000
    assert full_collections == []


def test_what_was_set_aside_is_freed_with_its_last_reference() -> None:
    garbage = Garbage()
    large = [[number] for number in range(5000)]
    garbage.look(large, 1)
    before = gc.get_freeze_count()
    del large
    garbage.look(None, 2)
    assert gc.get_freeze_count() < before - 4000


def test_cycles_among_it_are_collected_some_time_later_when_nobody_calls(full_collections: list[int]) -> None:
    clock = ManualClock()
    garbage = Garbage(clock.monotonic)
    gc.disable()
    lost = knot_set_aside(garbage)
    large = garbage._large
    garbage.look(large, 1)
    clock.advance(WAIT_S)
    for worked in (2, 3, 4):
        garbage.look(large, worked)
    assert lost() is not None
    garbage.look(large, 4)
    assert lost() is None
    garbage.look(large, 4)
    assert full_collections == [2]


def test_where_calls_never_stop_they_are_collected_all_the_same() -> None:
    clock = ManualClock()
    garbage = Garbage(clock.monotonic)
    lost = knot_set_aside(garbage)
    clock.advance(LONGEST_WAIT_S)
    garbage.look(garbage._large, 2)
    assert lost() is None


def test_a_gateway_sets_a_new_catalog_aside_while_it_serves() -> None:
    async def scene(rig: Rig) -> None:
        sweeping = asyncio.create_task(sweep(rig.gateway))
        await rig.until(lambda: gc.get_freeze_count() > 0)
        gc.unfreeze()
        servers = tuple(ServerSpec(f"s{number}", access="open", names="plain") for number in range(20))
        rig.gateway.offer(snapshot(demo(), servers=servers, revision=2))
        await rig.until(lambda: gc.get_freeze_count() > 0)
        sweeping.cancel()

    play(scene)
