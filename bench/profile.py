"""Where the gateway's time goes: `python -m bench.profile` samples it with py-spy under load and prints the hot spots.

py-spy is not among the project's dependencies; it is looked for beside the Python that runs this.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bench.backing import PLAIN, STDIO, make_ground
from bench.calls import request_of
from bench.contestants.toolyard import TOOLYARD, TOOLYARD_LEGACY
from bench.machine import ToolsMissing, choose_cores, ensure_tools
from bench.measure import Target, http_load, measure
from bench.servers import Ports, free_ports

HERE = Path(__file__).resolve().parent
SAMPLES_PER_S = 400
WAYS = {"modern": (TOOLYARD, PLAIN), "legacy": (TOOLYARD_LEGACY, PLAIN), "stdio": (TOOLYARD, STDIO)}
WAITING = ("Condition.wait (threading.py)", "_worker (concurrent/futures/thread.py)")
"""Threads with nothing to do, which py-spy takes for busy ones."""


def main() -> int:
    options = _options()
    spy = Path(sys.executable).parent / "py-spy"
    work = HERE / ".work" / str(os.getpid())
    work.mkdir(parents=True)
    try:
        if not spy.exists():
            raise ToolsMissing(f"There is no {spy}. Install it with: pip install py-spy")
        ensure_tools()
        stacks = _sample(options, work, spy)
    except ToolsMissing as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    total = stacks.total()
    print(table("time in the function itself", own_times(stacks), total, options.top))
    print(table("time in the function and what it calls", whole_times(stacks), total, options.top))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--way", default="modern", choices=WAYS)
    parser.add_argument("--call", default="echo", choices=("echo", "page", "mega", "progress", "list"))
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--top", type=int, default=40, help="lines of each table")
    return parser.parse_args()


def _sample(options: argparse.Namespace, work: Path, spy: Path) -> Counter[tuple[str, ...]]:
    """Samples of the gateway under load, by stack, outermost function first."""
    cores = choose_cores()
    contestant, backing = WAYS[options.way]
    ground = make_ground(work, cores, Ports(*free_ports(4)))
    try:
        standing = contestant.start(contestant, ground, backing, 0)
        try:
            request = request_of(standing, options.call, backing, pages=True)
            load = http_load(work / "load", request, cores, sessions=standing.speaks == "sessions")
            target = Target("toolyard", load, standing.program)
            measure(target, options.concurrency, 2, cores, ground.upstream)
            output = work / "stacks"
            argv = [spy, "record", "-p", standing.program.pid, "-d", options.seconds, "-r", SAMPLES_PER_S, "-f", "raw",
                    "-o", output]  # fmt: skip
            pinned = cores.pinned(cores.load, [str(word) for word in argv])
            with subprocess.Popen(pinned, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
                reading = measure(target, options.concurrency, options.seconds + 2, cores, ground.upstream)
            print(f"{reading.rps:,.0f} calls/s while sampled, {reading.bad} bad\n")
            return _read_stacks(output.read_text().splitlines())
        finally:
            standing.program.stop()
    finally:
        ground.upstream.stop()


def _read_stacks(lines: Iterable[str]) -> Counter[tuple[str, ...]]:
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = tuple(frame.rpartition(":")[0] + ")" for frame in stack.split(";"))
        if frames[-1] not in WAITING:
            stacks[frames] += int(count)
    return stacks


def own_times(stacks: Counter[tuple[str, ...]]) -> Counter[str]:
    """Samples in which each function was the innermost."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        found[stack[-1]] += count
    return found


def whole_times(stacks: Counter[tuple[str, ...]]) -> Counter[str]:
    """Samples in which each function was anywhere on the stack."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        found.update(dict.fromkeys(stack, count))
    return found


def table(title: str, times: Counter[str], total: int, top: int) -> str:
    """The `top` functions with their share of all samples."""
    lines = [f"| share | {title} |", "|---|---|"]
    lines += [f"| {count / total:.1%} | {name} |" for name, count in times.most_common(top)]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
