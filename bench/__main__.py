"""`python -m bench`: measure everything side by side, check every answer, write the results.

`core` (the default) is the core matrix, at most 25 minutes; `quick` Toolyard and nginx only, under two; `all`
everything there is. `compare A B` measures two commits of Toolyard against each other. Ends with code 1 when
Toolyard or a proxy gave a wrong answer."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path

from bench import report, runs
from bench.client import WrongAnswer
from bench.compare import comparison
from bench.contestants.toolyard import beside_python
from bench.installing import NotInstalled
from bench.machine import ToolsMissing, choose_cores, ensure_tools
from bench.processes import DidNotStart

HERE = Path(__file__).resolve().parent
OURS = ("nginx", "haproxy", "toolyard")


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    work = HERE / ".work" / str(os.getpid())
    work.mkdir(parents=True)
    try:
        ensure_tools()
        if options.what == "compare":
            print(comparison(options.commits, runs.method_of(options), work, choose_cores(), Path(options.results)))
            return 0
        results = runs.run(options, work, choose_cores())
    except (ToolsMissing, NotInstalled, DidNotStart, WrongAnswer) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    raw, page = report.write(results, Path(options.results))
    print(f"\n{page}\n{raw}\n{results['took_s']} s")
    wrong = report.bad_answers(results["cells"])
    for sentence in wrong:
        print(f"BAD: {sentence}", file=sys.stderr)
    ours = [cell for cell in results["cells"] if cell["contestant"].startswith(OURS)]
    return 1 if report.bad_answers(ours) or results["left_out"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", default="core", choices=[*runs.KINDS, "compare"])
    parser.add_argument("commits", nargs="*", help="the two commits to compare")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement (3; quick: 2)")
    parser.add_argument("--seconds", type=int, help="seconds of each measurement (3; quick: 2)")
    parser.add_argument("--cases", default="", help="only these, by comma: see bench/cases.py")
    parser.add_argument("--who", default="", help="only these contestants, by comma: see bench/contestants/all.py")
    parser.add_argument("--levels", default="", help="only these concurrencies, by comma")
    parser.add_argument("--no-starts", action="store_true", help="leave out the measurements of Toolyard's start")
    parser.add_argument("--no-capacity", action="store_true", help="leave out the thousand sessions and parked calls")
    parser.add_argument("--toolyard", help=f"the command to measure ({beside_python().name} of this environment)")
    parser.add_argument("--results", default=str(HERE / "results"), help="folder for the results")
    parser.add_argument("--keep", action="store_true", help="keep logs and configurations in bench/.work")
    options = parser.parse_args()
    if (options.what == "compare") != (len(options.commits) == 2):
        parser.error("two commits are compared, and only by `compare`")
    if options.toolyard:
        os.environ["TOOLYARD_COMMAND"] = options.toolyard
    return options


if __name__ == "__main__":
    sys.exit(main())
