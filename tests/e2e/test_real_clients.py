"""Real clients of every kind, each in an environment of its own, use five real servers behind one URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import servers
from tests.e2e.clients import CLIENTS, MODERN, Client, take_tour
from tests.e2e.tour import Plan
from tests.peers.processes import Gateway, gateway

pytestmark = pytest.mark.slow

PREFIXES = {server: f"{server}__" for server in servers.SERVERS}
Facts = dict[str, Any]


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


def differences(facts: Facts, expected: dict[str, Any]) -> list[str]:
    """What is not as expected, each a line. A set expects that all of it is among the found, a tuple one of it, a
    dict these members, a text that it is contained; everything else must be equal."""
    found: list[str] = []
    for path, wish in expected.items():
        value: Any = facts
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if not _fits(value, wish):
            found.append(f"{path}: {value!r} is not {wish!r} (fact: {facts.get(path.split('.')[0])!r})")
    return found


def _fits(value: Any, wish: Any) -> bool:
    if isinstance(wish, set):
        return isinstance(value, list) and wish <= set(value)
    if isinstance(wish, tuple):
        return value in wish
    if isinstance(wish, str):
        return isinstance(value, str) and wish in value
    return bool(value == wish)


def all_clients(clients: list[Client]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", clients, ids=[client.label for client in clients])


@all_clients(CLIENTS)
def test_a_real_client_calls_tools_of_five_real_servers_behind_one_url(client: Client, facts_of: Any) -> None:
    problems = differences(
        facts_of(client),
        {
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
            "everything.isError": False,
        },
    )
    assert not problems, "\n".join(problems)


@all_clients(CLIENTS)
def test_a_real_client_sees_everything_else_a_server_offers(client: Client, facts_of: Any) -> None:
    facts = facts_of(client)
    problems = differences(
        facts,
        {
            "structured.structured": {"temperature": 33, "conditions": "Cloudy", "humidity": 82},
            "image.types": ["text", "image", "text"],
            "links.links": ["demo://resource/dynamic/blob/1", "demo://resource/dynamic/text/2"],
            "bad_arguments.isError": True,
            "progress.seen": {1, 2},  # some clients drop what comes together with the result
            "progress.text": "completed",
            "resources": {"demo://resource/static/document/features.md"},
            "templates": {"demo://resource/dynamic/text/{resourceId}", "demo://resource/dynamic/blob/{resourceId}"},
            "prompts": {"everything__simple-prompt", "everything__args-prompt", "everything__completable-prompt"},
            "completion.completion": {"values": ["Engineering"], "total": 1, "hasMore": False},
            "read_unknown.code": (-32602, -32002),
            "unknown_tool.code": -32602,
            "ping": True,
        },
    )
    contents = facts["read"].get("contents", [{}])
    if not contents[0].get("text", "").startswith("Resource 7: "):
        problems.append(f"read: {facts['read']}")
    if "Oslo" not in str(facts["prompt"].get("messages")):
        problems.append(f"prompt: {facts['prompt']}")
    assert not problems, "\n".join(problems)


@all_clients(CLIENTS)
def test_a_real_client_is_served_in_its_own_era(client: Client, facts_of: Any) -> None:
    about = facts_of(client)["about"]
    assert about["revision"] == (MODERN if not client.legacy else "2025-11-25")
    if client.mode != MODERN or client.environment != "mcp2":  # that client, pinned, does not ask who the server is
        assert {"tools", "resources", "prompts", "completions"} <= set(about["capabilities"])


@all_clients([client for client in CLIENTS if client.legacy])
def test_a_server_behind_the_gateway_asks_a_real_legacy_client(client: Client, facts_of: Any, workspace: Path) -> None:
    problems = differences(
        facts_of(client),
        {
            "elicitation.isError": False,
            "elicitation.text": "- Name: Ada",
            "sampling.isError": False,
            "sampling.text": "Sampled for the tour",
            "roots.text": f"file://{workspace}",
        },
    )
    assert not problems, "\n".join(problems)
