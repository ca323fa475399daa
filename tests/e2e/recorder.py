"""Stands between a gateway and a stdio server and notes in a ledger which calls reached that server. Plain Python.

    recorder.py LEDGER COMMAND [ARGUMENT …]

A call whose arguments say `who` makes the line `<who> called <tool>`, its cancellation `<who> cancelled <tool>`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import IO, Any


class Recorder:
    """Notes what passes from the gateway to the server."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._calls: dict[Any, str] = {}

    def see(self, message: dict[str, Any]) -> None:
        """Note one message, if it is of those that count."""
        params = message.get("params") or {}
        if message.get("method") == "tools/call" and "who" in (arguments := params.get("arguments") or {}):
            self._calls[message["id"]] = f"{arguments['who']} %s {params['name']}\n"
            self._note(self._calls[message["id"]] % "called")
        elif message.get("method") == "notifications/cancelled" and params.get("requestId") in self._calls:
            self._note(self._calls[params["requestId"]] % "cancelled")

    def _note(self, line: str) -> None:
        with self._ledger.open("a", encoding="utf-8") as lines:
            lines.write(line)


def relay(source: IO[bytes], target: IO[bytes], recorder: Recorder) -> None:
    """Pass every line on until there are no more."""
    for line in source:
        recorder.see(json.loads(line))
        target.write(line)
        target.flush()


def main() -> int:
    """Run the server between the gateway's pipes until the gateway closes them."""
    with subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE) as server:
        assert server.stdin is not None
        try:
            relay(sys.stdin.buffer, server.stdin, Recorder(Path(sys.argv[1])))
        except BrokenPipeError:
            pass  # the server has ended; so do we
        finally:
            server.stdin.close()
    return server.returncode


if __name__ == "__main__":
    raise SystemExit(main())
