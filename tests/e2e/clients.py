"""The real clients of the tour: which driver, in which environment, over which transports and in which modes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.e2e.tour import Plan
from tests.peers.environments import environment, node, node_path
from tests.peers.processes import Gateway

HERE = Path(__file__).resolve().parent
TOUR_TIMEOUT_S = 300.0
MODERN = "2026-07-28"
LEGACY = "legacy"


class TourFailed(Exception):
    """A client could not even take the tour; the text has what it wrote."""


@dataclass(frozen=True, slots=True)
class Client:
    """One real client: the driver's file, its environment, how it travels and what it negotiates."""

    driver: str
    environment: str
    transport: str
    mode: str

    @property
    def label(self) -> str:
        """A name for this client that is also a word."""
        return f"{self.environment}-{self.transport}-{self.mode}"

    @property
    def legacy(self) -> bool:
        """Whether the client speaks an older revision only."""
        return self.mode == LEGACY


def _family(driver: str, peer: str, transports: str, modes: tuple[str, ...]) -> list[Client]:
    return [Client(driver, peer, transport, mode) for mode in modes for transport in transports.split()]


CLIENTS = [
    *_family("drive_mcp2.py", "mcp2", "http stdio", ("auto", MODERN, LEGACY)),
    Client("drive_mcp2.py", "mcp2", "sse", LEGACY),
    *_family("drive_mcp1.py", "mcp1", "http sse stdio websocket", (LEGACY,)),
    *_family("drive_ts_client.mjs", "ts-client", "http stdio", (MODERN, LEGACY)),
    *_family("drive_ts_sdk.mjs", "ts-sdk", "http sse stdio websocket", (LEGACY,)),
]


def addresses(gateway: Gateway, code: str) -> dict[str, str]:
    """Where a client of each transport finds that virtual server."""
    return {
        "http": f"{gateway.url}/mcp/{code}",
        "sse": f"{gateway.url}/sse/{code}",
        "websocket": f"{gateway.url}/ws/mcp/{code}".replace("http:", "ws:"),
        "stdio": "",
    }


def take_tour(client: Client, plan: Plan) -> dict[str, Any]:
    """Run the client's driver in its own environment and return its facts. Raises TourFailed."""
    given = json.dumps(asdict(plan))
    if client.driver.endswith(".py"):
        command = [str(environment(client.environment).python), str(HERE / client.driver), given]
    else:
        command = [str(node()), str(HERE / client.driver), given, str(environment(client.environment).folder)]
    try:
        done = subprocess.run(
            command, env=node_path(), capture_output=True, text=True, timeout=TOUR_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise TourFailed(f"{client.label}: no end after {TOUR_TIMEOUT_S:.0f} s\n{late.stderr}") from late
    if done.returncode or not done.stdout.strip():
        raise TourFailed(f"{client.label}: exit code {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))
