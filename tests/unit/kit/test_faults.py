"""Fault points: nothing at all until a test arms them."""

from __future__ import annotations

import pytest

from toolyard.kit import faults


def test_a_point_that_is_not_armed_does_nothing():
    with faults.armed("other.point", OSError()):
        faults.hit("some.point")
    faults.hit("some.point")


@pytest.mark.parametrize("times", [1, 3])
def test_an_armed_point_fails_as_often_as_said_and_then_no_more(times):
    failures = 0
    with faults.armed("some.point", OSError("disk"), times=times):
        for _ in range(5):
            try:
                faults.hit("some.point")
            except OSError:
                failures += 1
    assert failures == times


def test_nothing_stays_armed_after_the_block_not_even_when_it_fails():
    with pytest.raises(ValueError, match="of the test"), faults.armed("some.point", OSError(), times=9):
        raise ValueError("of the test")
    faults.hit("some.point")


def test_a_callable_is_called_in_place():
    called = []
    with faults.armed("some.point", lambda: called.append(1), times=2):
        for _ in range(3):
            faults.hit("some.point")
    assert called == [1, 1]


def test_several_points_are_armed_at_once_and_recorded_only_within_the_block():
    with faults.recording() as seen, faults.armed("a", OSError("disk")), faults.armed("b", KeyError()):
        with pytest.raises(KeyError):
            faults.hit("b")
        with pytest.raises(OSError, match="disk"):
            faults.hit("a")
        faults.hit("c")
    faults.hit("d")
    assert seen == {"a", "b", "c"}
