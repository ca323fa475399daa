"""A whole Toolyard, managed from the command line: on its own machine, and elsewhere with a login."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("bash"), reason="bash is not here")]
TOOLYARD = f"{sys.executable} -m toolyard.cli.main"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment without anything of the tester's."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("TOOLYARD_")}
    source = os.pathsep.join([str(ROOT / "src"), *filter(None, [own.get("PYTHONPATH")])])
    return {**own, "PYTHONPATH": source, "HOME": str(tmp_path), "TOOLYARD_PORT": "0", "NO_COLOR": "1"}


@pytest.fixture
def terminals(tmp_path: Path, environ: dict[str, str]) -> Iterator[tuple[Terminal, Terminal]]:
    """One on the machine itself, with `toolyard up` behind it, and one elsewhere."""
    machine, away = tmp_path / "machine", tmp_path / "away"
    machine.mkdir()
    away.mkdir()
    up, here, there = Terminal(machine, environ), Terminal(machine, environ), Terminal(away, environ)
    for one in (here, there):
        one.run(f'toolyard() {{ {TOOLYARD} "$@"; }}')
    up.type(f"exec {TOOLYARD} up")
    up.until(r"/ui/setup\?token=")
    yield here, there
    here.close()
    there.close()
    os.kill(json.loads((machine / ".toolyard" / "gateway.json").read_bytes())["pid"], signal.SIGTERM)
    up.close()


def told(terminal: Terminal, command: str) -> object:
    """What a command prints as JSON."""
    return json.loads("\n".join(terminal.run(f"toolyard {command} -o json")))


def test_everything_is_managed_from_the_command_line_here_and_elsewhere(
    terminals: tuple[Terminal, Terminal], tmp_path: Path
) -> None:
    here, there = terminals
    here.run("echo 'four lazy yaks sing' | toolyard user create-admin -u ana --password-stdin")
    here.run("toolyard server create --code research --tools 'demo/*'")
    url = json.loads((tmp_path / "machine" / ".toolyard" / "gateway.json").read_bytes())["url"].removesuffix("/mcp")
    there.run(f"echo 'four lazy yaks sing' | toolyard login {url} -u ana --password-stdin")
    assert "ana" in there.run("toolyard whoami | grep username")[0]
    key = there.run("toolyard key create -s research -n laptop 2>/dev/null")[0]
    there.run(f"export TOOLYARD_URL={url}/mcp/research TOOLYARD_KEY={key}")
    echoed = "for try in 1 2 3 4 5 6 7 8 9; do toolyard call demo__echo text=hello && break; done"
    assert "hello" in there.run(echoed)[-1]
    rows = told(there, "key list")
    assert isinstance(rows, list)
    assert [(one["name"], one["server"], one["state"]) for one in rows] == [("laptop", "research", "active")]
    here.run(f"toolyard key revoke {rows[0]['id']}")
    refused = "for try in 1 2 3 4 5 6 7 8 9; do toolyard call demo__echo text=hello || break; done"
    assert "error [key_refused]" in "\n".join(there.run(refused))
    assert "error [owned_by_file]" in "\n".join(there.run("toolyard upstream delete demo"))
    there.run("toolyard logout")
    assert "error [control_absent]" in "\n".join(there.run("toolyard server list"))
    assert [one["code"] for one in told(here, "server list --all")] == ["default", "research"]  # type: ignore[attr-defined]
