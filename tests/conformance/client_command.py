"""What the conformance suite runs as "the client": a gateway in front of the suite's mock server, and a real client.

    python client_command.py --folder <where to keep its files> [--direct] <url of the mock server>

With `--direct` the client talks to the mock server without a gateway: what the client itself can reach.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.peers.environments import environment
from tests.peers.processes import gateway

DRIVER = Path(__file__).with_name("drive_client.py")
DRIVE_TIMEOUT_S = 80.0

# A tool that each scenario's mock server offers: the gateway is asked once it has seen it.
OFFERED = {
    "tools_call": "add_numbers",
    "elicitation-sep1034-client-defaults": "test_client_elicitation_defaults",
    "sse-retry": "test_reconnection",
    "sep-2322-client-request-state": "test_mrtr_echo_state",
    "http-standard-headers": "test_headers",
    "http-custom-headers": "test_custom_headers",
    "http-invalid-tool-headers": "valid_tool",
    "json-schema-ref-no-deref": "lookup_user",
}


def drive(url: str, *flags: str) -> int:
    """Run the driver against that URL in its own environment. Returns its exit code."""
    python = environment("mcp2").python
    return subprocess.run([str(python), str(DRIVER), url, *flags], timeout=DRIVE_TIMEOUT_S, check=False).returncode


def configuration(mock_url: str) -> dict[str, Any]:
    """A gateway with that one upstream, its names unchanged, open on loopback."""
    return {
        "upstreams": {"mock": {"url": mock_url}},
        "servers": {"default": {"tools": ["*"], "names": "plain", "access": "open"}},
    }


def main() -> int:
    """Drive the scenario that the suite names in the environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("url")
    options = parser.parse_args()
    if options.direct:
        return drive(options.url, "--direct")
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    folder = Path(tempfile.mkdtemp(prefix=f"{scenario}-", dir=options.folder))
    with gateway(folder, configuration(options.url)) as running:
        if scenario in OFFERED:
            running.wait_for_tools(OFFERED[scenario])
        code = drive(f"{running.url}/mcp")
        if code:
            print(running.log_tail(), file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
