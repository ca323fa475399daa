"""Pauses grow to their limit, differ, and start anew after a success."""

from __future__ import annotations

import random

from toolyard.kit.backoff import Backoff


def test_pauses_grow_to_the_longest_with_jitter_of_up_to_a_half():
    backoff = Backoff(1.0, 60.0, random.Random(1))
    ceilings = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    pauses = [backoff.pause_s() for _ in ceilings]
    assert all(ceiling / 2 <= pause <= ceiling for pause, ceiling in zip(pauses, ceilings, strict=True))
    assert len({pause / ceiling for pause, ceiling in zip(pauses, ceilings, strict=True)}) == len(pauses)


def test_after_a_success_pauses_are_short_again_and_they_stay_bounded_for_ever():
    backoff = Backoff(0.5, 60.0)
    assert max(backoff.pause_s() for _ in range(2000)) <= 60.0
    backoff.reset()
    assert backoff.pause_s() <= 0.5
