"""Clients and servers of different eras, none of them written here, meet through the gateway and miss nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import crossing_facts, servers
from tests.e2e.clients import LEGACY, MODERN, Client, addresses, take_tour
from tests.e2e.crossing_facts import FORM, FORM_MEMBERS, LOGS, without_time
from tests.e2e.expectations import Facts, mismatches
from tests.e2e.tour import Plan
from tests.e2e.workshop_facts import the_workshop
from tests.peers.processes import Gateway, gateway, serving

pytestmark = pytest.mark.slow

ROOT = "/home/tour"
MODERN_CLIENTS = [Client("drive_mcp2.py", "mcp2", "http", MODERN), Client("drive_mcp2.py", "mcp2", "stdio", "auto")]
LEGACY_CLIENTS = [Client("drive_mcp1.py", "mcp1", transport, LEGACY) for transport in ("http", "sse", "stdio")]
PAIRS = [
    *[("mcp1", client) for client in MODERN_CLIENTS],
    *[("mcp2", client) for client in LEGACY_CLIENTS],
    *[("fastmcp", client) for client in LEGACY_CLIENTS],
]
EVERYTHING = [f"everything-{client.transport}" for client in MODERN_CLIENTS]  # to each a session of its own
CAPABILITIES = ["completions", "experimental", "logging", "prompts", "resources", "tools"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("across")


@pytest.fixture(scope="module")
def ledger(folder: Path) -> Path:
    return folder / "ledger"


@pytest.fixture(scope="module")
def running(folder: Path, ledger: Path) -> Iterator[Gateway]:
    with ExitStack() as stack:
        recorded = servers.recorded_everything(ledger)
        upstreams: dict[str, Any] = {"everything": {"command": recorded[0], "args": recorded[1:]}}
        for sdk in ("mcp1", "mcp2", "fastmcp"):
            environ = {**os.environ, "WORKSHOP_LEDGER": str(ledger)}
            opened = serving(servers.workshop_command(sdk), folder / f"{sdk}.log", environ)
            upstreams[sdk] = {"url": stack.enter_context(opened)}
        configuration = {
            "upstreams": upstreams,
            "servers": {
                code: {"tools": [f"{code.partition('-')[0]}/*"], "names": "plain", "access": "open"}
                for code in (*EVERYTHING, "mcp1", "mcp2", "fastmcp")
            },
        }
        started = stack.enter_context(gateway(folder / "gateway", configuration))
        for code in configuration["servers"]:
            started.wait_for_tools("echo", server=code)
        yield started


def cross(client: Client, running: Gateway, code: str, ledger: Path) -> Facts:
    """All that the client saw of the server, and all that came of it behind the gateway."""
    plan = Plan(
        transport=client.transport,
        mode=client.mode,
        label=f"{client.label}-at-{code}",
        workspace=ROOT,
        prefixes={},
        interactive=True,
        url=addresses(running, code)[client.transport],
        command=running.command("stdio", "--server", code),
        environ=running.environ,
        walk="everything" if code in EVERYTHING else "workshop",
        watching=code != "fastmcp",
        ledger=str(ledger),
        log_level="debug",
    )
    return dict(without_time(take_tour(client, plan)))


def about(client: Client, code: str, *capabilities: str) -> Facts:
    """What a client is told at the beginning. One pinned to a revision does not ask."""
    if client.mode == MODERN:
        return {"revision": MODERN, "server": None, "capabilities": []}
    revision = "2025-11-25" if client.legacy else MODERN
    return {"revision": revision, "server": f"toolyard/{code}", "capabilities": list(capabilities)}


def check(facts: Facts, expected: Facts) -> None:
    """Fail with what is not as expected, and with nothing else."""
    if wrong := mismatches(facts, expected):
        pytest.fail(wrong, pytrace=False)


@pytest.mark.parametrize("client", MODERN_CLIENTS, ids=[client.label for client in MODERN_CLIENTS])
def test_a_modern_client_has_all_of_a_legacy_server_that_nobody_here_wrote(
    client: Client, running: Gateway, ledger: Path
) -> None:
    code = f"everything-{client.transport}"
    facts = cross(client, running, code, ledger)
    form = facts["elicitation"]["asked"][0]["params"].pop("requestedSchema")
    assert set(form["properties"]) == FORM
    assert {name: form["properties"][name] for name in FORM_MEMBERS} == FORM_MEMBERS
    started, stopped = facts.pop("logs_on"), facts.pop("logs_off")
    assert [log for log in started["logs"] if log["data"] in LOGS] == started["logs"]
    assert len(started["logs"]) == 1
    assert stopped == crossing_facts.said("Stopped simulated logging for session undefined")
    expected = crossing_facts.everything(f"file://{ROOT}")
    check(facts, {"about": about(client, code, *CAPABILITIES), **expected})


@pytest.mark.parametrize(("sdk", "client"), PAIRS, ids=[f"{client.label}-at-{sdk}" for sdk, client in PAIRS])
def test_a_client_has_all_of_a_server_of_the_other_era(
    sdk: str, client: Client, running: Gateway, ledger: Path
) -> None:
    facts = cross(client, running, sdk, ledger)
    assert facts.pop("bad_arguments")["isError"] is True  # the words are pydantic's
    if client.legacy:  # an older client is shown a page with an id
        for question in facts["sign"].get("asked", ()):
            assert len(question["params"].pop("elicitationId")) >= 16
    known = [name for name in CAPABILITIES if name != "logging" or sdk == "fastmcp"]  # the others do not say it
    expected = the_workshop(sdk, f"{client.label}-at-{sdk}", f"file://{ROOT}", legacy=client.legacy)
    check(facts, {"about": about(client, sdk, *known), **expected})
