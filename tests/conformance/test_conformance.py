"""The official conformance suite in front of the gateway, beside the same suite in front of the fixture alone."""

from __future__ import annotations

from collections.abc import Iterator
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
def fixture_url(folder: Path) -> Iterator[str]:
    with serving(run.fixture_command(), folder / "fixture.log") as url:
        yield url


@pytest.fixture(scope="module")
def gateway_url(folder: Path, fixture_url: str) -> Iterator[str]:
    with gateway(folder / "gateway", run.gateway_configuration(fixture_url)) as running:
        running.wait_for_tools("test_simple_text")
        yield f"{running.url}/mcp"


def lines(checks: list[run.Check]) -> str:
    return "\n".join(map(str, checks))


@pytest.mark.parametrize(("name", "passed"), [("0.1.16", 44), ("2025-11-25", 84)])
def test_the_gateway_passes_every_check_of_the_older_revisions(
    name: str, passed: int, gateway_url: str, folder: Path
) -> None:
    outcome = run.run_server(name, gateway_url, folder / f"gateway-{name}")
    assert not outcome.failures, lines(outcome.failures)
    unpassed = [check for check in outcome.checks if check.status in {"WARNING", "INFO", "SKIPPED"}]
    assert outcome.count("SUCCESS") == passed, lines(unpassed)


def test_the_gateway_fails_no_check_of_the_newest_revision_that_its_upstream_passes(
    gateway_url: str, fixture_url: str, folder: Path
) -> None:
    direct = run.run_server("2026-07-28", fixture_url, folder / "direct-2026-07-28")
    assert not direct.failures, lines(direct.failures)
    outcome = run.run_server("2026-07-28", gateway_url, folder / "gateway-2026-07-28")
    assert not outcome.failures, lines(outcome.failures)
    lost = outcome.worse_than(direct)
    assert not lost, lines(lost)


@pytest.mark.parametrize(("revision", "scenario"), CLIENT_RUNS)
def test_the_gateway_is_a_conforming_client_of_its_upstream(revision: str, scenario: str, folder: Path) -> None:
    outcome = run.run_client(revision, scenario, folder / f"client-{revision}-{scenario}", direct=False)
    assert not outcome.failures, lines(outcome.failures)
    assert outcome.count("SUCCESS") > 0, lines(list(outcome.checks))
