"""Readings into results, and the page and the plot that are made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from bench import plot
from bench.measure import Reading
from bench.report import Cell, bad_answers, summarise, write


def reading(rps: float, **more: Any) -> Reading:
    usual = {"p50_ms": 1.0, "p99_ms": 2.0, "p999_ms": 3.0, "max_ms": 4.0, "mib_per_s": 1.0, "bad": 0}
    return Reading(calls=int(rps), rps=rps, **{**usual, **more})


def results(kind: str = "core", date: str = "2026-11-21T01:00:00+00:00") -> dict[str, Any]:
    readings = {
        Cell("echo", "nginx", 16): [reading(50_000.0)],
        Cell("echo", "toolyard", 16): [reading(20_000.0), reading(25_000.0), reading(30_000.0)],
    }
    machine = {"cpu": "a CPU", "cores": 2, "memory_mib": 1, "system": "Debian", "kernel": "6", "versions": {"wrk": "4"}}
    without = {
        "case": "echo",
        "contestant": "litellm",
        "concurrency": 16,
        "reason": "LiteLLM was not ready after 120 s",
    }
    return {
        "kind": kind,
        "date": date,
        "commit": "abc",
        "machine": {**machine, "gateway_core": 0, "load_core": 1},
        "method": {"rounds": 3, "seconds": 3},
        "guards": {"interceptors": ["record", "Authorize"], "edge": ["host"], "wire_limits": ["fields 100"]},
        "cells": [*summarise(readings), without],
        "stands": [],
    }


def test_a_cell_is_the_median_of_its_readings_with_their_spread() -> None:
    (cell,) = summarise({Cell("echo", "toolyard", 16): [reading(30.0), reading(10.0), reading(20.0, bad=2)]})
    assert cell["rps"] == 20.0
    assert cell["spread"]["rps"] == [10.0, 30.0]
    assert (cell["bad"], cell["calls"], len(cell["readings"])) == (2, 60, 3)


def test_a_reading_that_others_disturbed_makes_its_cell_doubtful() -> None:
    (cell,) = summarise({Cell("echo", "toolyard", 16): [reading(1.0, others_busy=0.3)]})
    assert cell["doubtful"]


def test_wrong_answers_are_told_with_the_first_example() -> None:
    cells = summarise({Cell("echo", "toolyard", 16): [reading(1.0), reading(1.0, bad=1, first_bad="500 oh")]})
    assert bad_answers([*cells, {"case": "echo", "contestant": "x", "concurrency": 1, "reason": "no"}]) == [
        "echo through toolyard at 16: 1 bad answers; first: 500 oh"
    ]


def test_the_page_has_figures_shares_reasons_and_what_was_on(tmp_path: Path) -> None:
    raw, text = write(results(), tmp_path)
    assert raw.name == "2026-11-21-abc-core.json"
    assert json.loads(raw.read_text())["promised"][0]["figure"] == 0.5
    assert (tmp_path / "latest.md").read_text() == text
    assert "| 16 | Toolyard | 25,000 (20,000 to 30,000) | 50.0% |" in text
    assert "| 16 | LiteLLM | LiteLLM was not ready after 120 s |" in text
    assert "interceptors record, Authorize;" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head(tmp_path: Path) -> None:
    _, text = write(results(), tmp_path)
    table = [line for line in text.partition("## tools/call, echo")[2].splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table[:5]}) == 1


def test_a_quick_run_leaves_the_page_alone(tmp_path: Path) -> None:
    write(results("quick"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-21-abc-quick.json"]


def test_a_run_without_sessions_shows_those_of_the_last_run_that_had_them(tmp_path: Path) -> None:
    state = {"rss_mib": 50.0, "descriptors": 3}
    kind = {"title": "sessions", "kib_each": 6.0, "second_round_mib": 0.0, "left": {}, "aim_kib": 40}
    kinds = [{**kind, "idle": state, "full": state, "ended": state}]
    earlier = {**results("all", "2026-11-20T01:00:00+00:00"), "capacity": {"count": 1000, "kinds": kinds}}
    write(earlier, tmp_path)
    _, text = write(results(), tmp_path)
    assert "everything: `2026-11-20-abc-all.json`" in text
    assert "| memory for each of 1,000, KiB: sessions | 6.00 | ≤ 40.00 | yes |" in text


def test_the_plot_is_well_formed_and_has_a_bar_for_each_that_was_measured() -> None:
    root = ET.fromstring(plot.drawn(results()))
    bars = [node for node in root.iter() if node.tag.endswith("rect")]
    texts = {node.text for node in root.iter() if node.tag.endswith("text")}
    assert len(bars) == 2
    assert {"Toolyard", "25,000", "nginx, proxying the same bytes", "100,000"} <= texts


def test_a_run_of_the_core_leaves_a_plot(tmp_path: Path) -> None:
    write(results(), tmp_path)
    assert (tmp_path / "latest.svg").read_text().startswith("<svg")


def test_the_long_run_leaves_the_page_and_the_plot_of_the_core_alone(tmp_path: Path) -> None:
    write(results(), tmp_path)
    shown = {path.name: path.read_text() for path in tmp_path.glob("latest.*")}
    write(results("all", "2026-11-22T01:00:00+00:00"), tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.glob("latest.*")} == shown
    assert "2026-11-22-abc-all.json" in (tmp_path / "all.md").read_text()


def test_refused_calls_are_told_apart_from_wrong_answers(tmp_path: Path) -> None:
    cells = summarise({Cell("echo-many", "toolyard", 256): [reading(9.0, refused=20), reading(9.0, refused=7)]})
    _, text = write({**results(), "cells": cells}, tmp_path)
    assert bad_answers(cells) == []
    assert "| 0 (27 refused) |" in text
    assert "Refused calls (429, 503) are in brackets" in text


def test_a_part_that_failed_is_told_with_its_reason(tmp_path: Path) -> None:
    _, text = write({**results(), "left_out": {"capacity": "it took too long"}}, tmp_path)
    assert "- `capacity`: it took too long" in text


def test_what_is_not_alike_is_no_share_of_nginx(tmp_path: Path) -> None:
    cells = summarise(
        {Cell("list-10000", name, 1): [reading(rps)] for name, rps in (("nginx", 200), ("toolyard", 3000))}
    )
    _, text = write({**results(), "cells": cells}, tmp_path)
    assert "| 1 | Toolyard | 3,000 (3,000 to 3,000) |  |" in text
    assert "its figures are of the first of ten" in text
