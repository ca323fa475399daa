"""`python -m bench`: measure, check every answer, write the results. Ends with code 1 when an answer was wrong."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench import report
from bench.capacity import capacity
from bench.client import WrongAnswer
from bench.machine import Cores, ToolsMissing, choose_cores, commit, describe, ensure_tools
from bench.measure import Reading, Target, measure
from bench.processes import DidNotStart
from bench.report import Cell
from bench.rows import ROWS, Row, Stage, staged, toolyard_beside_python
from bench.starts import dead_upstream_starts, demonstration_starts

HERE = Path(__file__).resolve().parent


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    cores = choose_cores()
    work = HERE / ".work" / str(os.getpid())
    work.mkdir(parents=True)
    try:
        if not (_no_rows(options) and options.no_starts):
            ensure_tools()
        results = _run(options, work, cores)
    except (ToolsMissing, DidNotStart, WrongAnswer) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    return _conclude(results, Path(options.results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: under two minutes")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement (5; quick: 1)")
    parser.add_argument("--seconds", type=int, help="seconds of each measurement (3; quick: 1)")
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("--rows", default="", help=f"only these, by comma: {names}; none leaves all of them out")
    parser.add_argument("--levels", default="", help="only these concurrencies, by comma")
    parser.add_argument("--no-starts", action="store_true", help="leave out the measurements of the start")
    parser.add_argument("--no-capacity", action="store_true", help="leave out the thousand sessions and parked calls")
    parser.add_argument("--without-gateway", action="store_true", help="nginx and direct calls only")
    parser.add_argument("--toolyard", type=Path, default=toolyard_beside_python(), help="the command to measure")
    parser.add_argument("--results", default=str(HERE / "results"), help="folder for the results")
    parser.add_argument("--keep", action="store_true", help="keep logs and configurations in bench/.work")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 3)
    return options


def _run(options: argparse.Namespace, work: Path, cores: Cores) -> dict[str, Any]:
    """All measurements, as the results are stored."""
    toolyard = None if options.without_gateway else options.toolyard
    if toolyard is not None and not toolyard.exists():
        raise ToolsMissing(f"There is no {toolyard}. Install the project first (make up), or give --toolyard.")
    began = time.monotonic()
    results: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": describe(cores),
        "method": {"rounds": options.rounds, "seconds": options.seconds, "quick": options.quick},
    }
    results["load_before"] = os.getloadavg()
    if toolyard and not options.no_starts:
        repeats = 2 if options.quick else 5
        results["demonstration"] = demonstration_starts(toolyard, work, cores, repeats)
        results["dead_upstreams"] = dead_upstream_starts(toolyard, work, cores, 1 if options.quick else 3)
    if toolyard and not options.no_capacity:
        results["capacity"] = capacity(toolyard, work, cores, rounds=1 if options.quick else 2)
    results["cells"] = []
    if not _no_rows(options):
        with staged(work, cores, toolyard) as stage:
            results["cells"] = report.summarise(_measure_all(options, stage))
            results["memory"] = _memory(stage)
    results["took_s"] = round(time.monotonic() - began, 1)
    return results


def _no_rows(options: argparse.Namespace) -> bool:
    return bool(options.rows == "none")


def _measure_all(options: argparse.Namespace, stage: Stage) -> dict[Cell, list[Reading]]:
    """Every row at every level, round after round, the targets taking turns and each round starting with another."""
    chosen = [row for row in ROWS if not options.rows or row.name in options.rows.split(",")]
    rows = [(row, stage.targets(row)) for row in chosen]
    for _, targets in rows:
        for target in targets:
            measure(target, 16, 1, stage.cores, stage.upstream)
    readings: dict[Cell, list[Reading]] = defaultdict(list)
    for number in range(options.rounds):
        for row, targets in rows:
            turn = number % len(targets)
            for level in _levels(options, row):
                for target in targets[turn:] + targets[:turn]:
                    reading = measure(target, level, options.seconds, stage.cores, stage.upstream)
                    readings[Cell(row.name, target.name, level)].append(reading)
                    _tell(row, target, level, reading)
    return readings


def _levels(options: argparse.Namespace, row: Row) -> list[int]:
    wanted = {int(level) for level in options.levels.split(",") if level}
    return [level for level in row.levels if not wanted or level in wanted]


def _tell(row: Row, target: Target, level: int, reading: Reading) -> None:
    cpu = "" if reading.cpu_s_per_1000 is None else f"  {reading.cpu_s_per_1000:.4f} CPU s/1,000"
    bad = f"  {reading.bad} BAD: {reading.first_bad}" if reading.bad else ""
    print(f"{row.name:11} {target.name:8} {level:3}  {reading.rps:9,.0f}/s  p50 {reading.p50_ms:.2f} ms  "
          f"p99 {reading.p99_ms:.2f} ms{cpu}{bad}", flush=True)  # fmt: skip


def _memory(stage: Stage) -> dict[str, float] | None:
    if stage.gateway is None or stage.idle is None:
        return None
    loaded = stage.gateway.memory()
    return {
        "idle_rss_mib": stage.idle.rss_mib,
        "idle_pss_mib": stage.idle.pss_mib,
        "loaded_rss_mib": loaded.rss_mib,
        "loaded_pss_mib": loaded.pss_mib,
        "processes": loaded.processes,
    }


def _conclude(results: dict[str, Any], folder: Path) -> int:
    raw, table = report.write(results, folder)
    print(f"\n{table.read_text()}\n{raw}\n{table}\n{results['took_s']} s")
    wrong = report.bad_answers(results["cells"])
    for sentence in wrong:
        print(f"BAD: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
