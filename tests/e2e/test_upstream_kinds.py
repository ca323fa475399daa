"""Upstreams of every kind behind the gateway, with real clients: HTTP of both eras, HTTP+SSE, WebSocket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import run
from tests.e2e import servers
from tests.e2e.clients import CLIENTS, Client, addresses, take_tour
from tests.e2e.expectations import ASKED, EVERYTHING, differences
from tests.e2e.tour import WATCHED, Plan
from tests.peers.processes import Gateway, gateway, serving

pytestmark = pytest.mark.slow

# one of each language and era is enough to see what an upstream's own transport changes
FEW = [c for c in CLIENTS if c.label in {"mcp2-http-legacy", "mcp2-http-auto", "ts-client-http-2026-07-28"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Gateway]:
    with ExitStack() as stack:
        upstreams: dict[str, Any] = {
            "web": {"url": stack.enter_context(servers.everything_over("streamableHttp", folder / "web.log"))},
            "stream": {"url": stack.enter_context(servers.everything_over("sse", folder / "stream.log"))},
            "socket": {"url": stack.enter_context(serving(servers.websocket_command(), folder / "socket.log"))},
        }
        for era in ("both", "legacy", "modern"):
            fixture = serving(run.fixture_command(era), folder / f"{era}.log")
            upstreams[era] = {"url": stack.enter_context(fixture)}
        configuration = {
            "upstreams": upstreams,
            "servers": {code: {"tools": [f"{code}/*"], "names": "plain", "access": "open"} for code in upstreams},
        }
        started = stack.enter_context(gateway(folder / "gateway", configuration))
        for code in upstreams:
            tool = "echo" if code in {"web", "stream", "socket"} else "test_simple_text"
            started.wait_for_tools(tool, server=code)
        yield started


def tour(client: Client, running: Gateway, code: str, server: str, folder: Path) -> dict[str, Any]:
    """The facts of that client at that virtual server, behind which stands a `server` of the tour."""
    plan = Plan(
        transport=client.transport,
        mode=client.mode,
        label=client.label,
        workspace=str(folder),
        prefixes={server: ""},
        interactive=client.legacy,
        url=addresses(running, code)[client.transport],
        command=running.command("stdio", "--server", code),
        environ=running.environ,
    )
    return take_tour(client, plan)


def each(clients: list[Client]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", clients, ids=[client.label for client in clients])


@each(FEW)
@pytest.mark.parametrize("code", ["web", "stream"])
def test_a_real_server_reached_over_http_offers_all_it_has(
    code: str, client: Client, running: Gateway, folder: Path
) -> None:
    facts = tour(client, running, code, "everything", folder)
    assert not differences(facts, {**EVERYTHING, **(ASKED if client.legacy else {})})


@each(FEW)
def test_a_server_reached_over_websocket_answers_and_asks(client: Client, running: Gateway, folder: Path) -> None:
    facts = tour(client, running, "socket", "socket", folder)
    asked = {"socket_asks.text": "Hello, Ada!"} if client.legacy else {}
    assert not differences(facts, {"socket.text": "Echo: over a socket", "unknown_tool.code": -32602, **asked})


@pytest.mark.parametrize(
    ("code", "client"),
    [
        *[pytest.param("both", client, id=f"both-{client.label}") for client in CLIENTS],
        *[pytest.param(era, client, id=f"{era}-{client.label}") for era in ("legacy", "modern") for client in FEW],
    ],
)
def test_a_real_client_hears_of_changes_and_then_sees_them(
    code: str, client: Client, running: Gateway, folder: Path
) -> None:
    facts = tour(client, running, code, "fixture", folder)
    expected: dict[str, Any] = {
        "fixture.text": "simple text response",
        "changes.heard": {"tools", "prompts", WATCHED},
        "changes.seen": ["test_dynamic_tool"],
    }
    if client.legacy:
        expected["fixture_asks.text"] = "action=accept"
    assert not differences(facts, expected)
