"""Ids are unique, and those that open doors cannot be guessed."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from toolyard.kit.clock import ManualClock, SystemClock
from toolyard.kit.ids import request_id, secret_id, short_id


@pytest.mark.parametrize("make", [short_id, secret_id])
def test_no_id_comes_twice_whichever_thread_asks(make):
    with ThreadPoolExecutor(4) as threads:
        ids = [i for part in threads.map(lambda _: [make() for _ in range(2000)], range(4)) for i in part]
    assert len(set(ids)) == 8000


def test_a_secret_id_has_192_bits_of_visible_ascii():
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", secret_id()) for _ in range(100))


def test_short_ids_of_two_processes_differ():
    code = "from toolyard.kit.ids import short_id; print(short_id())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=20).stdout
    assert re.fullmatch(r"[0-9a-f]{14}", told.strip())
    assert told.strip()[:8] != short_id()[:8]


def test_a_manual_clock_moves_only_when_told_and_the_systems_goes_on():
    clock = ManualClock(100.0)
    assert (clock.wall(), clock.monotonic()) == (100.0, 100.0)
    clock.advance(2.5)
    assert (clock.wall(), clock.monotonic()) == (102.5, 102.5)
    assert SystemClock.monotonic() <= SystemClock.monotonic()
    assert SystemClock.wall() > 1_700_000_000


def test_request_ids_are_many_and_say_nothing_of_their_order():
    ids = [request_id() for _ in range(2000)]
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 12 and int(one, 16) >= 0 for one in ids)
    assert ids != sorted(ids)
