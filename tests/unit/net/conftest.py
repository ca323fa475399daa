"""Makes the fake peer importable, and runs the tests that ask for `both_loops` on asyncio's loop and on uvloop."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

ROOT = str(Path(__file__).resolve().parents[3])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from tests.unit.net import fake_peer  # noqa: E402  (the path is set just above)


@pytest.fixture(params=["asyncio", "uvloop"])
def both_loops(request: pytest.FixtureRequest) -> Iterator[None]:
    fake_peer.loop_factory = uvloop.new_event_loop if request.param == "uvloop" else None
    yield
    fake_peer.loop_factory = None
