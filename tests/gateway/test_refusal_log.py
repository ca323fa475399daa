"""The log of refusals: each kind is seen, and a flood of one does not cost a line for each."""

from __future__ import annotations

import pytest

from toolyard.gateway import refusal_log
from toolyard.gateway.call import Head
from toolyard.gateway.errors import RateLimited, ToolUnknown, TooManyCalls
from toolyard.gateway.journal import Journal
from toolyard.gateway.metrics import Metrics
from toolyard.gateway.refusal_log import LINES_PER_S, RefusalLog
from toolyard.kit.clock import ManualClock
from toolyard.kit.errors import PlatformError


class Lines:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.written: list[dict[str, object]] = []

    def info(self, _event: str, **fields: object) -> None:
        self.written.append(fields)

    def of(self, error: PlatformError) -> list[object]:
        """For each line about such an error, how many it says were left out before it."""
        return [line.get("left_out", 0) for line in self.written if line["code"] == error.code]


def test_a_flood_of_refusals_is_counted_whole_and_logged_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, clock, journal = Lines(), ManualClock(), Journal(None)
    monkeypatch.setattr(refusal_log, "log", lines)
    metrics = Metrics()
    refusals = RefusalLog(journal, metrics, clock)
    head = Head("http", "POST", "/mcp", {})
    for _ in range(1000):
        refusals.error(head, TooManyCalls())
    refusals.error(head, ToolUnknown())
    assert lines.of(TooManyCalls()) == [0] * LINES_PER_S
    assert lines.of(ToolUnknown()) == [0]
    assert lines.of(RateLimited(1.0)) == []
    clock.advance(1.0)
    refusals.error(head, TooManyCalls())
    assert lines.of(TooManyCalls())[-1] == 1000 - LINES_PER_S
    assert b'toolyard_refusals_total{reason="overloaded"} 1001.0' in metrics.render()
    journal.close()
