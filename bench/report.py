"""Readings into results: medians and spreads, wrong answers, and the files that a run leaves."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import page, plot
from bench.figures import promised
from bench.measure import Reading

DOUBTFUL_SHARE = 0.15
SPREAD_OF = ("rps", "p50_ms", "p99_ms", "p999_ms", "cpu_s_per_1000")
SHOWN = {"core": "latest", "all": "all"}
"""The kinds of run that leave a page, and under which name; the others only leave their figures. The README shows the
core's, with a plot, and the long run leaves both alone."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Which measurement a reading belongs to."""

    case: str
    contestant: str
    concurrency: int


def summarise(readings: Mapping[Cell, Sequence[Reading]]) -> list[dict[str, Any]]:
    """One entry for each cell: medians, lowest and highest of what matters, and every single reading."""
    return [
        {**asdict(cell), **_medians(found), "readings": [asdict(reading) for reading in found]}
        for cell, found in readings.items()
    ]


def _medians(found: Sequence[Reading]) -> dict[str, Any]:
    columns: dict[str, list[float]] = defaultdict(list)
    for reading in found:
        for name, value in asdict(reading).items():
            if isinstance(value, (int, float)):
                columns[name].append(value)
    medians: dict[str, Any] = {name: statistics.median(values) for name, values in columns.items()}
    medians["bad"] = sum(columns["bad"])
    medians["refused"] = sum(columns["refused"])
    medians["calls"] = sum(columns["calls"])
    medians["spread"] = {name: [min(columns[name]), max(columns[name])] for name in SPREAD_OF if columns.get(name)}
    medians["doubtful"] = medians.get("others_busy", 0.0) > DOUBTFUL_SHARE
    return medians


def bad_answers(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each cell that got a wrong answer, with the first example."""
    return [
        f"{entry['case']} through {entry['contestant']} at {entry['concurrency']}: {entry['bad']} bad answers; first: "
        f"{next((reading['first_bad'] for reading in entry['readings'] if reading['first_bad']), 'none was kept')}"
        for entry in entries
        if entry.get("bad")
    ]


def write(results: Mapping[str, Any], folder: Path) -> tuple[Path, str]:
    """Write `<date>-<commit>-<kind>.json`; returns its path and the page that shows the run.

    A run of the core writes `latest.md` and `latest.svg` too, one of everything `all.md`. Where it has no figures of
    many sessions, the page has those of the latest run that has."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / f"{results['date'][:10]}-{results['commit']}-{results['kind']}.json"
    whole = {**results, "promised": promised(results)}
    raw.write_text(json.dumps(whole, indent=1) + "\n")
    text = page.markdown(_with_capacity(whole, raw, folder), raw.name)
    if name := SHOWN.get(results["kind"]):
        (folder / f"{name}.md").write_text(text)
    if results["kind"] == "core":
        (folder / "latest.svg").write_text(plot.drawn(results))
    return raw, text


def _with_capacity(results: Mapping[str, Any], raw: Path, folder: Path) -> dict[str, Any]:
    """The results, with the latest figures of many sessions and where they are from."""
    runs = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    names = sorted(runs, key=lambda name: (str(runs[name].get("date")), name == raw.name))
    name = next((name for name in reversed(names) if runs[name].get("capacity")), None)
    if name is None:
        return dict(results)
    run = runs[name]
    source = {"file": name, "date": run["date"], "commit": run["commit"]}
    shown = {**results, "capacity": {**run["capacity"], "source": source}}
    return {**shown, "promised": promised(shown)}
