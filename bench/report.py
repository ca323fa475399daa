"""Readings into results: medians and spreads, wrong answers, promised figures."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import page
from bench.measure import Reading

DOUBTFUL_SHARE = 0.15
AIM_SHARE_OF_NGINX = 0.15
AIM_START_S = 0.5
AIM_DELAY_S = 0.5
AIM_MEMORY_MIB = 60
AIM_KIB_EACH = 40
SPREAD_OF = ("rps", "p50_ms", "p99_ms", "cpu_s_per_1000")


@dataclass(frozen=True, slots=True)
class Cell:
    """Which measurement a reading belongs to."""

    row: str
    target: str
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
    medians["spread"] = {name: [min(columns[name]), max(columns[name])] for name in SPREAD_OF if columns.get(name)}
    medians["doubtful"] = medians.get("others_busy", 0.0) > DOUBTFUL_SHARE
    return medians


def bad_answers(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each cell that got a wrong answer, with the first example."""
    return [
        f"{entry['row']} through {entry['target']} at {entry['concurrency']}: {entry['bad']} bad answers; first: "
        f"{next((reading['first_bad'] for reading in entry['readings'] if reading['first_bad']), 'none was kept')}"
        for entry in entries
        if entry["bad"]
    ]


def promised(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The promised figures that this run measured: what, the figure, the aim, whether it is met."""
    found = _shares_of_nginx(results["cells"])
    if demo := results.get("demonstration"):
        found.append(_figure("start to first answered call, s", demo["median_s"], AIM_START_S))
        found.append(_figure("memory after the first call (RSS), MiB", demo["rss_mib"], AIM_MEMORY_MIB))
    if dead := results.get("dead_upstreams"):
        delay_s = dead["among"]["median_s"] - dead["alone"]["median_s"]
        found.append(_figure(f"delay of that by {dead['dead']} dead upstreams, s", delay_s, AIM_DELAY_S))
    if many := results.get("capacity"):
        found += _of_many(many)
    return found


def _of_many(many: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Memory for each session, stream and parked call, and what was left of all of them."""
    found = [
        _figure(
            f"memory for each of {many['count']:,}, KiB: {kind['title']}",
            kind["kib_each"],
            kind.get("aim_kib", AIM_KIB_EACH),
        )
        for kind in many["kinds"]
    ]
    left = sum(max(0, count) for kind in many["kinds"] for count in kind["left"].values())
    return [*found, _figure("tasks, descriptors, threads, processes left after them", left, 0)]


def _shares_of_nginx(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    at_16 = {cell["target"]: cell for cell in cells if cell["row"] == "modern" and cell["concurrency"] == 16}
    if not {"gateway", "nginx"} <= set(at_16):
        return []
    gateway, nginx = at_16["gateway"], at_16["nginx"]
    shares = {"throughput": gateway["rps"] / nginx["rps"]}
    if gateway.get("cpu_s_per_1000"):
        shares["calls for each CPU second"] = nginx["cpu_s_per_1000"] / gateway["cpu_s_per_1000"]
    where = "share of nginx (modern, concurrency 16)"
    return [_figure(f"{what}, {where}", share, AIM_SHARE_OF_NGINX, at_least=True) for what, share in shares.items()]


def _figure(what: str, figure: float, aim: float, *, at_least: bool = False) -> dict[str, Any]:
    met = figure >= aim if at_least else figure <= aim
    return {"what": what, "figure": figure, "aim": aim, "at_least": at_least, "met": met}


def write(results: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write `<date>-<commit>.json` and `latest.md`; returns both paths.

    A run without rows is kept beside those with them (`…-capacity.json`). The page shows the latest run with rows, and
    the latest figures of many sessions, of whichever run they are."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / f"{results['date'][:10]}-{results['commit']}{'' if results['cells'] else '-capacity'}.json"
    raw.write_text(json.dumps({**results, "promised": promised(results)}, indent=1) + "\n")
    table = folder / "latest.md"
    table.write_text(page.markdown(*_shown(raw, folder)))
    return raw, table


def _shown(raw: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """What the page shows, and the name of the run that most of it is from. `raw` is the run just written."""
    runs = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    names = sorted(runs, key=lambda name: (runs[name]["date"], name == raw.name))
    name = next((name for name in reversed(names) if runs[name]["cells"]), raw.name)
    shown: dict[str, Any] = dict(runs[name])
    if many := next((many for many in reversed(names) if "capacity" in runs[many]), None):
        source = {"file": many, "date": runs[many]["date"], "commit": runs[many]["commit"]}
        shown["capacity"] = {**runs[many]["capacity"], "source": source}
    shown["promised"] = promised(shown)
    return shown, name
