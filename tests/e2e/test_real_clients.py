"""Real clients of every kind, each in an environment of its own, use five real servers behind one URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import servers
from tests.e2e.clients import CLIENTS, MODERN, Client, take_tour
from tests.e2e.expectations import ASKED, EVERYTHING, Facts, differences
from tests.e2e.tour import Plan
from tests.peers.processes import Gateway, gateway

pytestmark = pytest.mark.slow

PREFIXES = {server: f"{server}__" for server in servers.SERVERS}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return servers.make_workspace(tmp_path_factory.mktemp("e2e") / "workspace")


@pytest.fixture(scope="module")
def running(workspace: Path) -> Iterator[Gateway]:
    configuration = {
        "upstreams": servers.upstreams(workspace),
        "servers": {
            "default": {"tools": ["*"], "names": "prefixed"},
            "lab": {"tools": ["*"], "names": "prefixed", "access": "open"},  # WebSocket clients take a URL only
        },
    }
    with gateway(workspace.parent / "gateway", configuration) as started:
        started.wait_for_tools(
            "clock__convert_time",
            "git__git_log",
            "files__read_text_file",
            "memory__search_nodes",
            "everything__echo",
            server="lab",
        )
        yield started


@pytest.fixture(scope="module")
def key(running: Gateway) -> str:
    return running.key("default")


@pytest.fixture(scope="module")
def facts_of(running: Gateway, key: str, workspace: Path) -> Any:
    """The facts of a client's tour; each client takes it once."""
    taken: dict[Client, Facts] = {}

    def facts(client: Client) -> Facts:
        if client not in taken:
            taken[client] = take_tour(client, plan_of(client, running, key, workspace))
        return taken[client]

    return facts


def plan_of(client: Client, running: Gateway, key: str, workspace: Path) -> Plan:
    """How that client gets to the gateway."""
    addresses = {
        "http": f"{running.url}/mcp",
        "sse": f"{running.url}/sse/default",
        "websocket": f"{running.url}/ws/mcp/lab".replace("http:", "ws:"),
        "stdio": "",
    }
    return Plan(
        transport=client.transport,
        mode=client.mode,
        label=client.label,
        workspace=str(workspace),
        prefixes=PREFIXES,
        interactive=client.legacy,
        url=addresses[client.transport],
        key="" if client.transport == "websocket" else key,
        command=running.command("stdio", "--server", "default"),
        environ={**running.environ, "TOOLYARD_KEY": key},
    )


def all_clients(clients: list[Client]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", clients, ids=[client.label for client in clients])


@all_clients(CLIENTS)
def test_a_real_client_calls_tools_of_five_real_servers_behind_one_url(client: Client, facts_of: Any) -> None:
    expected = {
        "tools": {
            "clock__get_current_time",
            "clock__convert_time",
            "git__git_log",
            "git__git_status",
            "files__read_text_file",
            "files__list_directory",
            "memory__create_entities",
            "memory__search_nodes",
            "everything__echo",
            "everything__get-sum",
        },
        "clock.text": "21:00:00+09:00",
        "git.text": servers.COMMIT,
        "files.text": servers.NOTE,
        "files_refused.isError": True,
        "files_refused.text": "outside allowed directories",
        "memory_create.isError": False,
        "memory.text": client.label,
        "everything.text": "Echo: hello tour",
    }
    assert not differences(facts_of(client), expected)


@all_clients(CLIENTS)
def test_a_real_client_sees_everything_else_a_server_offers(client: Client, facts_of: Any) -> None:
    prompts = {"everything__simple-prompt", "everything__args-prompt", "everything__completable-prompt"}
    assert not differences(facts_of(client), {**EVERYTHING, "prompts": prompts})


@all_clients(CLIENTS)
def test_a_real_client_is_served_in_its_own_era(client: Client, facts_of: Any) -> None:
    expected: dict[str, Any] = {"about.revision": "2025-11-25" if client.legacy else MODERN}
    if client.mode != MODERN or client.environment != "mcp2":  # that client, pinned, does not ask who the server is
        expected["about.capabilities"] = {"tools", "resources", "prompts", "completions"}
    assert not differences(facts_of(client), expected)


@all_clients([client for client in CLIENTS if client.legacy])
def test_a_server_behind_the_gateway_asks_a_real_legacy_client(client: Client, facts_of: Any, workspace: Path) -> None:
    assert not differences(facts_of(client), {**ASKED, "roots.text": f"file://{workspace}"})
