"""Runs the fast tests on every CPython >= 3.11 that can be found, other than the one running this."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROBE = "import json,sys,platform; print(json.dumps([platform.python_implementation(), list(sys.version_info[:2]), sys._base_executable or sys.executable, getattr(sys, '_is_gil_enabled', lambda: True)()]))"


def candidates() -> list[str]:
    """Interpreters on PATH and those of pyenv."""
    named = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [str(p) for p in sorted(pyenv.glob("3.*/bin/python3"))] if pyenv.is_dir() else []
    return [c for c in (*named, *found) if c]


def interpreters() -> dict[tuple[int, int], str]:
    """One interpreter for each version >= 3.11."""
    chosen: dict[tuple[int, int], str] = {}
    for candidate in candidates():
        probe = subprocess.run([candidate, "-c", PROBE], capture_output=True, text=True, check=False)
        if probe.returncode != 0:
            continue
        implementation, version, executable, gil = json.loads(probe.stdout)
        key = (version[0], version[1])
        if implementation == "CPython" and gil and key >= (3, 11) and key != sys.version_info[:2]:
            chosen.setdefault(key, executable)
    return chosen


def main() -> int:
    others = interpreters()
    if not others:
        print("no other CPython >= 3.11 on this machine")
    for (major, minor), executable in sorted(others.items()):
        venv = ROOT / ".venvs" / f"py{major}{minor}"
        print(f"--- CPython {major}.{minor}", flush=True)
        if not (venv / "bin" / "python").exists():
            subprocess.run([executable, "-m", "venv", str(venv)], check=True)
        python = str(venv / "bin" / "python")
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[dev]"], cwd=ROOT, check=True
        )
        subprocess.run(
            [python, "-m", "pytest", "-m", "not slow", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider"],
            cwd=ROOT,
            check=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
