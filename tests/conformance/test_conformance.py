"""The official conformance suite in front of the gateway, beside the same suite in front of the fixture alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conformance import run
from tests.peers.processes import gateway, serving

pytestmark = pytest.mark.slow

CLIENT_RUNS = [(revision, scenario) for revision, scenarios in run.CLIENT_SCENARIOS.items() for scenario in scenarios]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance")


@pytest.fixture(scope="module")
def started(folder: Path) -> Iterator[Callable[[str], tuple[str, str]]]:
    """Starts, once each, a fixture server of an era and a gateway in front of it; gives both URLs."""
    with ExitStack() as stack:

        @functools.cache
        def start(era: str, workers: int = 1) -> tuple[str, str]:
            name = f"{era}-{workers}"
            fixture = stack.enter_context(serving(run.fixture_command(era), folder / f"fixture-{name}.log"))
            configuration = run.gateway_configuration(fixture)
            environ = {"TOOLYARD_WORKERS": str(workers)}
            running = stack.enter_context(gateway(folder / f"gateway-{name}", configuration, **environ))
            running.wait_for_tools("test_simple_text")
            return fixture, f"{running.url}/mcp"

        yield start


def lines(checks: list[run.Check]) -> str:
    return "\n".join(map(str, checks))


@pytest.mark.parametrize("name", list(run.SERVER_RUNS))
@pytest.mark.parametrize("era", ["both", "legacy", "modern"])
def test_the_gateway_passes_every_set_whatever_its_upstream_speaks(
    name: str, era: str, started: Callable[[str], tuple[str, str]], folder: Path
) -> None:
    _, url = started(era)
    outcome = run.run_server(name, url, folder / f"{era}-{name}")
    assert not outcome.failures, lines(outcome.failures)
    unpassed = [check for check in outcome.checks if check.status in {"WARNING", "INFO", "SKIPPED"}]
    assert outcome.count("SUCCESS") >= run.PASSED[name], lines(unpassed)


@pytest.mark.parametrize("name", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_three_workers_pass_what_one_process_does(
    name: str, era: str, started: Callable[..., tuple[str, str]], folder: Path
) -> None:
    _, url = started(era, 3)
    outcome = run.run_server(name, url, folder / f"workers-{era}-{name}")
    assert not outcome.failures, lines(outcome.failures)
    assert outcome.count("SUCCESS") >= run.PASSED[name]


@pytest.mark.parametrize("name", list(run.SERVER_RUNS))
def test_the_gateway_fails_no_check_that_its_upstream_of_both_eras_passes(
    name: str, started: Callable[[str], tuple[str, str]], folder: Path
) -> None:
    direct_url, url = started("both")
    direct = run.run_server(name, direct_url, folder / f"direct-{name}")
    assert not direct.failures_but_of_tasks, lines(direct.failures_but_of_tasks)
    outcome = run.run_server(name, url, folder / f"compared-{name}")
    assert not outcome.failures, lines(outcome.failures)
    lost = outcome.worse_than(direct)
    assert not lost, lines(lost)


@pytest.mark.parametrize(("revision", "scenario"), CLIENT_RUNS)
def test_the_gateway_is_a_conforming_client_of_its_upstream(revision: str, scenario: str, folder: Path) -> None:
    outcome = run.run_client(revision, scenario, folder / f"client-{revision}-{scenario}", direct=False)
    assert not outcome.failures, lines(outcome.failures)
    assert outcome.count("SUCCESS") > 0, lines(list(outcome.checks))
