"""Two commits of Toolyard against each other, each in its own checkout and environment, taking turns."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import cases
from bench.backing import make_ground
from bench.cases import Case
from bench.contestants.toolyard import toolyard_at
from bench.installing import FOLDER, NotInstalled, make_python
from bench.machine import ROOT, Cores
from bench.rounds import Method, run_cases
from bench.runs import leave_the_gateways_core
from bench.servers import Ports, free_ports

CASES = (cases.ECHO, cases.PAGE, cases.LIST_1000)
FIGURES = {"rps": "calls/s", "cpu_s_per_1000": "CPU s per 1,000", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure of the second over that of the first, by rounds: the median, the lowest and the highest."""

    case: str
    concurrency: int
    figure: str
    first: float
    second: float
    median: float
    lowest: float
    highest: float


def comparison(commits: Sequence[str], method: Method, work: Path, cores: Cores, folder: Path) -> str:
    """Measure both and write `compare-A-B.json`; the table. Raises NotInstalled for what is no commit."""
    names = [_short(commit) for commit in commits]
    if names[0] == names[1]:
        raise NotInstalled(f"{commits[0]} and {commits[1]} are the same commit")
    contestants = [toolyard_at(_command(name), name) for name in names]
    leave_the_gateways_core(cores)
    chosen: list[Case] = [replace(case, who=contestants, half=()) for case in CASES]
    ground = make_ground(work, cores, Ports(*free_ports(4)))
    try:
        record = run_cases(chosen, ground, method, {})
    finally:
        ground.upstream.stop()
    cells = record.cells()
    found = ratios(cells, names[0], names[1])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"compare-{names[0]}-{names[1]}.json"
    path.write_text(json.dumps({"kind": "compare", "commits": names, "cells": cells}, indent=1) + "\n")
    return table(found, names)


def ratios(cells: Sequence[Mapping[str, Any]], first: str, second: str) -> list[Ratio]:
    """Every figure that both have. Readings of one round are divided by each other, so that what disturbs a round
    disturbs both."""
    by_key = {(cell["case"], cell["concurrency"], cell["contestant"]): cell for cell in cells if "readings" in cell}
    found = []
    for (case, level, name), cell in by_key.items():
        other = by_key.get((case, level, second))
        if name != first or other is None:
            continue
        for figure in FIGURES:
            pairs = zip(cell["readings"], other["readings"], strict=False)
            each = [theirs[figure] / ours[figure] for ours, theirs in pairs if ours[figure] and theirs[figure]]
            if each:
                middle = statistics.median(each)
                found.append(Ratio(case, level, figure, cell[figure], other[figure], middle, min(each), max(each)))
    return found


def table(found: Sequence[Ratio], names: Sequence[str]) -> str:
    """The ratios as Markdown: above 1 is more in the second."""
    head = [
        f"| case | callers | figure | {names[0]} | {names[1]} | {names[1]} over {names[0]} | lowest to highest |",
        "|---" * 7 + "|",
    ]
    lines = [
        f"| {one.case} | {one.concurrency} | {FIGURES[one.figure]} | {_number(one.first)} | {_number(one.second)} "
        f"| {one.median:.3f} | {one.lowest:.3f} to {one.highest:.3f} |"
        for one in found
    ]
    return "\n".join([*head, *lines, ""])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.4g}"


def _short(commit: str) -> str:
    done = _git("rev-parse", "--short=8", "--verify", f"{commit}^{{commit}}")
    if done.returncode != 0:
        raise NotInstalled(f"{commit} is no commit of this repository")
    return done.stdout.decode().strip()


def _command(name: str) -> Path:
    """The `toolyard` of that commit, installed from a checkout of its own; made once."""
    folder = FOLDER / f"toolyard-{name}"
    command = folder / "environment" / "bin" / "toolyard"
    if not (folder / "installed").exists():
        source = folder / "source"
        source.mkdir(parents=True, exist_ok=True)
        print(f"installing Toolyard {name}", flush=True)
        archive = _git("archive", name).stdout
        subprocess.run(["tar", "-x", "-C", str(source)], input=archive, check=True, timeout=60)
        make_python(folder / "environment", [str(source)])
        (folder / "installed").touch()
    return command


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, timeout=60)
