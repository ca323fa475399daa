"""Runs the official conformance suite against the fixture server, directly and through the gateway, and as a client.

    python -m tests.conformance.run [--direct] [--mode server|client|all] [--era both|legacy|modern] [--keep DIR]

Prints every failing check (scenario, check, message) and ends with one JSON summary. Exit code 1 if anything that
should pass does not.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.environments import environment, node_path
from tests.peers.processes import gateway, serving

HERE = Path(__file__).resolve().parent
RUN_TIMEOUT_S = 600.0
SCENARIO_TIMEOUT_MS = 90_000
TASKS = "tasks-"  # scenarios of an extension that the gateway offers and the fixture does not
TASK_RULES = {
    "slow_compute": "always",
    "failing_job": "required",
    "protocol_error_job": "always",
    "confirm_delete": "always",
    "multi_input": "always",
    "test_tool_with_task": "500ms",
}

# name of the run: (environment with the suite, its arguments)
SERVER_RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "0.1.16": ("conformance-0.1", ("--suite", "all")),
    "2025-11-25": ("conformance-0.2", ("--requirements", "2025-11-25")),
    "2026-07-28": ("conformance-0.2", ("--requirements", "2026-07-28")),
}
PASSED = {"0.1.16": 44, "2025-11-25": 83, "2026-07-28": 194}  # checks that pass at the least, in every cell
CLIENT_SCENARIOS: dict[str, tuple[str, ...]] = {
    "2025-11-25": ("initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"),
    "2026-07-28": (
        "tools_call",
        "request-metadata",
        "sep-2322-client-request-state",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
    ),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one scenario as the suite judged it."""

    scenario: str
    id: str
    name: str
    status: str
    message: str

    def __str__(self) -> str:
        return f"{self.scenario} | {self.status} | {self.id} ({self.name}) | {self.message}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """All checks of one run."""

    checks: tuple[Check, ...]

    def count(self, status: str) -> int:
        """How many checks ended so: SUCCESS, FAILURE, WARNING, INFO or SKIPPED."""
        return Counter(check.status for check in self.checks)[status]

    @property
    def failures(self) -> list[Check]:
        """The failed checks."""
        return [check for check in self.checks if check.status == "FAILURE"]

    @property
    def failures_but_of_tasks(self) -> list[Check]:
        """The failed checks of everything but tasks, which the fixture by itself does not have."""
        return [check for check in self.failures if not check.scenario.startswith(TASKS)]

    def worse_than(self, other: Outcome) -> list[Check]:
        """The checks that did not pass here and did there, and those that passed there and are missing here."""
        passed = Counter((c.scenario, c.id, c.name) for c in other.checks if c.status == "SUCCESS")
        here = Counter((c.scenario, c.id, c.name) for c in self.checks if c.status == "SUCCESS")
        found = {(c.scenario, c.id, c.name): c for c in self.checks if c.status != "SUCCESS"}
        return [
            found.get(lost, Check(*lost, status="MISSING", message="passed when asked directly"))
            for lost in sorted(passed - here)
        ]

    def summary(self) -> dict[str, int]:
        """Counts by status."""
        return dict(Counter(check.status for check in self.checks))


def fixture_command(era: str = "both") -> list[str]:
    """The command line of the fixture server, on a free port: of both eras, or legacy or modern only."""
    return [str(environment("mcp2").python), str(HERE / "fixture_server.py"), "--port", "0", "--era", era]


def gateway_configuration(upstream_url: str) -> dict[str, Any]:
    """One upstream, names unchanged, open on loopback, its slow tools marked."""
    rules = {name: {"task": rule} for name, rule in TASK_RULES.items()}
    return {
        "upstreams": {"fixture": {"url": upstream_url, "tools": rules}},
        "servers": {"default": {"tools": ["*"], "names": "plain", "access": "open"}},
    }


def run_server(name: str, url: str, results: Path) -> Outcome:
    """One of SERVER_RUNS against that URL."""
    suite, arguments = SERVER_RUNS[name]
    _suite(suite, "server", "--url", url, *arguments, "-o", str(results))
    return read_results(results)


def run_client(revision: str, scenario: str, results: Path, *, direct: bool) -> Outcome:
    """One client scenario; the "client" is a gateway with a real client behind it, or that client alone."""
    files = results.with_name(f"{results.name}-files")
    files.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(HERE / "client_command.py"), "--folder", str(files), *(["--direct"] * direct)]
    arguments = ["--command", " ".join(command), "--scenario", scenario, "--spec-version", revision]
    output = _suite("conformance-0.2", "client", *arguments, "--timeout", str(SCENARIO_TIMEOUT_MS), "-o", str(results))
    outcome = read_results(results)
    failed = re.search(r"Client exited with code \d+[\s\S]*|Client timed out[^\n]*", output)
    if failed is None:
        return outcome
    return Outcome((*outcome.checks, Check(scenario, "client-command", revision, "FAILURE", failed[0][-3000:])))


def read_results(results: Path) -> Outcome:
    """The checks that the suite wrote under that folder. A run without any is a failure of its own."""
    found = [
        Check(
            _scenario(file.parent.name),
            check["id"],
            check.get("name", ""),
            check["status"],
            " ".join(str(check.get("errorMessage") or check.get("details", {}).get("message") or "").split())[:500],
        )
        for file in sorted(results.rglob("checks.json"))
        for check in json.loads(file.read_text(encoding="utf-8"))
    ]
    return Outcome(tuple(found or [Check("-", "no-results", "", "FAILURE", f"no results under {results}")]))


def report(title: str, problems: Iterable[Check]) -> None:
    """Print these checks under a title, each on a line."""
    for problem in problems:
        print(f"{title} | {problem}")


def _scenario(folder: str) -> str:
    return re.sub(r"^(server|client)-(?=.)|-\d{4}-\d\d-\d\dT.*$", "", folder)


def _suite(name: str, *arguments: str) -> str:
    program = environment(name).program("conformance")
    done = subprocess.run(
        [str(program), *arguments],
        env=node_path(),
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    return done.stdout + done.stderr


def _server_mode(folder: Path, *, direct: bool, era: str) -> tuple[dict[str, Any], bool]:
    summary: dict[str, Any] = {}
    good = True
    with ExitStack() as stack:
        fixture = stack.enter_context(serving(fixture_command(era), folder / "fixture.log"))
        through = None if direct else stack.enter_context(gateway(folder / "gateway", gateway_configuration(fixture)))
        if through is not None:
            through.wait_for_tools("test_simple_text")
        for name in SERVER_RUNS:
            summary[name] = {}
            if era in ("both", "modern" if name == "2026-07-28" else "legacy"):
                ceiling = run_server(name, fixture, folder / f"direct-{name}")
                report(f"{name} direct", ceiling.failures_but_of_tasks)
                summary[name]["direct"] = ceiling.summary()
                good = good and not ceiling.failures_but_of_tasks
            if through is not None:
                outcome = run_server(name, f"{through.url}/mcp", folder / f"gateway-{name}")
                report(f"{name} gateway", outcome.failures)
                summary[name]["gateway"] = outcome.summary()
                good = good and not outcome.failures
    return summary, good


def _client_mode(folder: Path, *, direct: bool) -> tuple[dict[str, Any], bool]:
    summary: dict[str, Any] = {}
    good = True
    for revision, scenarios in CLIENT_SCENARIOS.items():
        for scenario in scenarios:
            outcome = run_client(revision, scenario, folder / f"client-{revision}-{scenario}", direct=direct)
            report(f"{revision} client", outcome.failures)
            summary[f"{revision} {scenario}"] = outcome.summary()
            good = good and not outcome.failures
    return summary, good


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description="The official conformance suite, directly and through the gateway")
    parser.add_argument("--direct", action="store_true", help="without a gateway: what the fixture and client reach")
    parser.add_argument("--mode", choices=("server", "client", "all"), default="all")
    parser.add_argument("--era", choices=("both", "legacy", "modern"), default="both", help="what the fixture speaks")
    parser.add_argument("--keep", type=Path, help="keep all files in this folder")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="conformance-"))
    folder.mkdir(parents=True, exist_ok=True)
    summary: dict[str, Any] = {"files": str(folder)}
    good = True
    if options.mode in ("server", "all"):
        summary["server"], good = _server_mode(folder, direct=options.direct, era=options.era)
    if options.mode in ("client", "all"):
        summary["client"], passed = _client_mode(folder, direct=options.direct)
        good = good and passed
    print(json.dumps(summary, indent=2))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
