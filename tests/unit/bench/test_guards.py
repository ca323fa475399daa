"""What was on is read from the gateway's own code."""

from __future__ import annotations

from pathlib import Path

import toolyard
from bench.guards import guards

SOURCE = Path(toolyard.__file__).parent


def test_the_interceptors_are_those_of_the_assembly_in_their_order() -> None:
    found = guards(SOURCE)["interceptors"]
    assert found[0] == "record"
    assert found.index("authorize") < found.index("rate limit") < found.index("in flight")
    assert found[-1] == "dispatch"


def test_limits_and_edge_are_there_with_their_values() -> None:
    found = guards(SOURCE)
    assert "head_bytes 32,768" in found["wire_limits"]
    assert {"host", "origin"} <= set(found["edge"])


def test_code_that_says_nothing_gives_nothing(tmp_path: Path) -> None:
    assert guards(tmp_path) == {"interceptors": [], "wire_limits": [], "edge": []}
