"""A short `make chaos`: real processes, killed amid writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.chaos import Wanted, run

pytestmark = pytest.mark.slow


def test_what_was_acknowledged_is_there_after_kills_of_the_control_process_and_of_everything(tmp_path: Path) -> None:
    told, took, wrong = run(Wanted(kills=3, writes=100, upstreams=10), tmp_path)
    assert wrong == []
    assert (told.writes, len(took["control"]), len(took["everything"])) == (100, 2, 1)
