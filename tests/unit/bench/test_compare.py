"""Two commits against each other: ratios by round."""

from __future__ import annotations

from typing import Any

from bench.compare import ratios, table


def cell(contestant: str, *rps: float) -> dict[str, Any]:
    readings = [{"rps": each, "cpu_s_per_1000": 1.0, "p50_ms": 1.0, "p99_ms": 0.0} for each in rps]
    middle = sorted(rps)[len(rps) // 2]
    figures = {"rps": middle, "cpu_s_per_1000": 1.0, "p50_ms": 1.0, "p99_ms": 0.0}
    return {"case": "echo", "contestant": contestant, "concurrency": 16, **figures, "readings": readings}


def test_a_disturbed_round_disturbs_both_and_leaves_the_ratio_alone() -> None:
    found = ratios([cell("a", 1000.0, 100.0, 1000.0), cell("b", 1100.0, 110.0, 1100.0)], "a", "b")
    rps = next(one for one in found if one.figure == "rps")
    assert round(rps.median, 6) == 1.1
    assert round(rps.lowest, 6) == round(rps.highest, 6) == 1.1


def test_a_figure_that_is_zero_has_no_ratio() -> None:
    figures = {one.figure for one in ratios([cell("a", 10.0), cell("b", 20.0)], "a", "b")}
    assert figures == {"rps", "cpu_s_per_1000", "p50_ms"}


def test_what_only_one_of_them_has_is_left_out() -> None:
    assert ratios([cell("a", 10.0)], "a", "b") == []


def test_the_table_says_which_is_divided_by_which() -> None:
    text = table(ratios([cell("a", 10.0), cell("b", 25.0)], "a", "b"), ["a", "b"])
    assert "b over a" in text
    assert "| echo | 16 | calls/s | 10 | 25 | 2.500 | 2.500 to 2.500 |" in text
