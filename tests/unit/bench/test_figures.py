"""The figures that are promised, from the cells of a run."""

from __future__ import annotations

from typing import Any

from bench.figures import Cells, multiples, promised


def cell(case: str, contestant: str, concurrency: int = 16, **figures: Any) -> dict[str, Any]:
    usual = {"rps": 100.0, "cpu_s_per_1000": 1.0, "p50_ms": 1.0, "p99_ms": 2.0, "mib_per_s": 1.0, "bad": 0}
    return {"case": case, "contestant": contestant, "concurrency": concurrency, **usual, **figures}


def figures(*cells: dict[str, Any], **more: Any) -> dict[str, dict[str, Any]]:
    return {figure["what"]: figure for figure in promised({"cells": list(cells), **more})}


def test_shares_and_multiples_of_nginx_are_held_against_their_aims() -> None:
    found = figures(
        cell("echo", "nginx", rps=50_000.0, cpu_s_per_1000=0.014),
        cell("echo", "toolyard", rps=25_000.0, cpu_s_per_1000=0.045),
    )
    share = found["throughput, share of nginx's, concurrency 16"]
    assert (share["figure"], share["met"], share["at_least"]) == (0.5, True, True)
    multiple = found["CPU per call, multiple of nginx's, concurrency 16"]
    assert round(multiple["figure"], 2) == 3.21
    assert not multiple["met"]


def test_the_fastest_peer_is_named_and_one_with_wrong_answers_is_not_taken() -> None:
    found = figures(
        cell("echo", "toolyard", rps=24_000.0),
        cell("echo", "mcp-hub", rps=1_000.0),
        cell("echo", "supergateway", rps=2_000.0),
        cell("echo", "mcp-proxy", rps=9_000.0, bad=3),
        cell("echo", "haproxy", rps=90_000.0),
    )
    what = "throughput, multiple of the fastest Python or Node peer (supergateway), concurrency 16"
    assert (found[what]["figure"], found[what]["met"]) == (12.0, True)


def test_latency_over_that_of_nginx_is_a_difference_and_the_tail_a_ratio() -> None:
    found = figures(
        cell("echo", "nginx", 1, p50_ms=0.11),
        cell("echo", "toolyard", 1, p50_ms=0.20),
        cell("echo-half", "toolyard", 64, p50_ms=0.3, p99_ms=1.2),
    )
    over = found["median latency at concurrency 1 over nginx's, ms"]
    assert round(over["figure"], 2) == 0.09
    assert over["met"]
    tail = found["p99 at half load, multiple of the median"]
    assert (tail["figure"], tail["met"]) == (4.0, False)


def test_what_was_not_measured_is_not_among_the_figures() -> None:
    assert figures(cell("echo", "toolyard")) == {}
    assert promised({"cells": []}) == []


def test_starts_and_memory_are_among_the_figures() -> None:
    kinds = [
        {"title": "idle clients", "kib_each": 7.5, "aim_kib": 8, "left": {"tasks": 0}},
        {"title": "sessions", "kib_each": 45.0, "left": {"tasks": 2, "descriptors": -1}},
    ]
    found = figures(
        demonstration={"median_s": 0.3, "rss_mib": 64.0},
        help_s={"median_s": 0.09},
        capacity={"count": 1000, "kinds": kinds},
        dead_upstreams={"dead": 400, "alone": {"median_s": 0.3}, "among": {"median_s": 0.5}},
    )
    met = {what: figure["met"] for what, figure in found.items()}
    assert met == {
        "start to first answered call, s": True,
        "`toolyard --help`, s": True,
        "memory of an idle gateway process (RSS after the first call), MiB": False,
        "delay of the start by 400 dead upstreams, s": True,
        "memory for each of 1,000, KiB: idle clients": True,
        "memory for each of 1,000, KiB: sessions": False,
        "tasks, descriptors, threads, processes left after them": False,
    }


def test_each_peer_has_its_multiples_of_throughput_and_cpu() -> None:
    found = multiples(
        {
            "cells": [
                cell("echo", "toolyard", rps=2_000.0, cpu_s_per_1000=0.5),
                cell("echo", "fastmcp", rps=50.0, cpu_s_per_1000=25.0),
                cell("echo", "nginx", rps=50_000.0),
                {"case": "echo", "contestant": "litellm", "concurrency": 16, "reason": "did not start"},
            ]
        }
    )
    assert found == [("fastmcp", 40.0, 50.0)]


def test_a_cell_without_figures_is_not_found() -> None:
    cells = Cells([{"case": "echo", "contestant": "nginx", "concurrency": 16, "reason": "did not start"}])
    assert cells.of("echo", "nginx") is None
    assert cells.fastest_peer("echo") is None
