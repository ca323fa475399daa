"""Real processes: a gateway of one worker or several, with a control process beside it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gateway.rig import modern_request
from tests.gateway.test_process import LIMIT_S, wait
from toolyard.gateway.feed.keys import KeyStore

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "upstreams:\n  mine: {builtin: demo}\ngateway: {drain: 5s}\n"


class Together:
    """The gateway's processes, and its control process."""

    def __init__(self, directory: Path, child: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self.child = child

    @property
    def port(self) -> int:
        facts = json.loads((self.directory / ".toolyard" / "gateway.json").read_bytes())
        return int(facts["url"].rsplit(":", 1)[1])

    def ask(self, method: str, path: str, headers: Any = None, body: bytes | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def control(self) -> int:
        """The control process, when it answers through the gateway."""
        wait(lambda: self.ask("GET", "/api/me")[0] == 200)
        return int(self.ask("GET", "/api/me")[1]["pid"])

    def tools(self, key: str) -> list[int]:
        """What each of some connections gets for a list of the published server's tools."""
        headers, body = modern_request("tools/list", {})
        asked = [self.ask("POST", "/mcp/team", {**headers, "authorization": f"Bearer {key}"}, body) for _ in range(8)]
        return [status if status != 200 or answer["result"]["tools"] else 0 for status, answer in asked]


@contextmanager
def together(workers: int) -> Iterator[Together]:
    directory = Path(tempfile.mkdtemp(prefix="ty-"))
    (directory / "toolyard.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "tests.gateway.control_beside", str(directory / "toolyard.yaml"), str(workers)]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with (directory / "out.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, env=environ)
    try:
        wait(lambda: (directory / ".toolyard" / "gateway.json").exists() or child.poll() is not None)
        yield Together(directory, child)
    finally:
        child.kill()
        child.wait()
        shutil.rmtree(directory)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_published_serves_in_every_worker_and_outlives_the_control_process(workers: int) -> None:
    with together(workers) as both:
        first = both.control()
        key, _ = KeyStore(both.directory / ".toolyard").create("team", now=1.0)
        assert both.ask("POST", "/api/publish")[0] == 200
        wait(lambda: set(both.tools(key)) == {200})
        os.kill(first, signal.SIGKILL)
        assert set(both.tools(key)) == {200}
        second = both.control()
        assert second != first
        assert set(both.tools(key)) == {200}
        both.child.send_signal(signal.SIGTERM)
        assert both.child.wait(LIMIT_S) == 0
        assert (both.directory / ".toolyard" / "ended").read_text() == str(second)
        assert not psutil.pid_exists(second)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_gateway_that_is_killed_leaves_no_control_process_behind(workers: int) -> None:
    with together(workers) as both:
        control = both.control()
        both.child.kill()
        both.child.wait()
        wait(lambda: (both.directory / ".toolyard" / "ended").exists())
        wait(lambda: not psutil.pid_exists(control))
