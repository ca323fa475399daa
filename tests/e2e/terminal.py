"""A shell into which a test types what a page shows."""

from __future__ import annotations

import queue
import re
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

LIMIT_S = 60.0


class Terminal:
    """One bash from beginning to end: variables, functions and the directory last from block to block."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        bash = shutil.which("bash")
        assert bash is not None
        self._shell = subprocess.Popen(
            [bash, "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=dict(environ),
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        self.shown: list[str] = []

    def type(self, text: str) -> None:
        """Enter something; do not wait for it."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(text + "\n")
        self._shell.stdin.flush()

    def run(self, text: str) -> list[str]:
        """Enter something; the lines that it prints until it is done."""
        mark = secrets.token_hex(8)
        self.type(f"{{\n{text}\n}} </dev/null\nprintf '\\n%s\\n' {mark}")
        return [line for line in self._until(mark)[:-1] if line]

    def until(self, pattern: str) -> re.Match[str]:
        """Wait until a line is printed in which `pattern` is found."""
        found = re.search(pattern, self._until(pattern)[-1])
        assert found is not None
        return found

    def close(self) -> None:
        """End the shell, which has nothing left to do, and wait for it."""
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        self._shell.wait(LIMIT_S)
        self._reading.join(LIMIT_S)
        assert self._shell.stdout is not None
        self._shell.stdout.close()

    def _until(self, pattern: str) -> list[str]:
        lines: list[str] = []
        give_up_at = time.monotonic() + LIMIT_S
        while not lines or re.search(pattern, lines[-1]) is None:
            line = self._lines.get(timeout=max(0.1, give_up_at - time.monotonic()))
            assert line is not None, "\n".join(self.shown)
            lines.append(line)
            self.shown.append(line)
        return lines

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line.rstrip())
        self._lines.put(None)
