"""The keeper takes the whole process tree down, whatever the tree does (attack book STD-08, STD-14)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from .leftovers import alive, eventually

pytestmark = pytest.mark.slow

KEEPER = Path(__file__).parents[3] / "src/toolyard/gateway/upstream/keeper.py"
TREE = Path(__file__).with_name("fake_stdio_tree.py")


def start(*command: str) -> tuple[subprocess.Popen[bytes], int]:
    """The keeper's process and our end of the lifeline."""
    ours, lifeline = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(KEEPER), str(ours), *command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        pass_fds=(ours,), start_new_session=True,
    )  # fmt: skip
    os.close(ours)
    return process, lifeline


def end(process: subprocess.Popen[bytes]) -> int:
    code = process.wait(30)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    return code


def output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def tree() -> tuple[subprocess.Popen[bytes], int, list[int]]:
    process, lifeline = start(sys.executable, str(TREE))
    pids = json.loads(output(process).readline())["pids"]
    assert len(pids) == 4
    assert all(alive(pid) for pid in pids)
    return process, lifeline, pids


def test_the_end_of_the_lifeline_kills_a_detached_tree_that_ignores_sigterm() -> None:
    process, lifeline, pids = tree()
    begun = time.monotonic()
    os.close(lifeline)
    end(process)
    assert not any(alive(pid) for pid in pids)
    assert time.monotonic() - begun < 5.0


def test_an_orderly_stop_kills_a_stubborn_tree_within_five_seconds() -> None:
    process, lifeline, pids = tree()
    begun = time.monotonic()
    os.write(lifeline, b"q")
    end(process)
    assert not any(alive(pid) for pid in pids)
    assert time.monotonic() - begun < 5.0
    os.close(lifeline)


def test_sigterm_to_the_keeper_kills_the_tree() -> None:
    process, lifeline, pids = tree()
    process.send_signal(signal.SIGTERM)
    end(process)
    assert not any(alive(pid) for pid in pids)
    os.close(lifeline)


def test_a_killed_keeper_takes_the_child_with_it() -> None:
    process, lifeline = start("/bin/sleep", "600")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    eventually(lambda: children.read_text() != "", "the keeper starts its child")
    child = int(children.read_text())
    eventually(lambda: Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"/bin/sleep"), "the child runs")
    process.kill()
    end(process)
    eventually(lambda: not alive(child), "the child ends")
    os.close(lifeline)


def test_what_a_child_leaves_behind_when_it_ends_is_killed_too() -> None:
    process, lifeline = start(sys.executable, str(TREE), "--leave")
    pids = json.loads(output(process).readline())["pids"]
    assert end(process) == 3
    assert not any(alive(pid) for pid in pids)
    os.close(lifeline)


@pytest.mark.parametrize(
    ("script", "code"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137), ("", 0)]
)
def test_the_exit_code_of_the_child_is_the_keepers(script: str, code: int) -> None:
    process, lifeline = start(sys.executable, "-c", script)
    assert end(process) == code
    os.close(lifeline)


def test_a_command_that_cannot_be_run_is_named_on_standard_error() -> None:
    process, lifeline = start("/nonexistent/program")
    assert process.stderr is not None
    assert b"cannot run /nonexistent/program" in process.stderr.read()
    assert end(process) == 127
    os.close(lifeline)


def test_the_child_gets_default_signals_and_no_descriptor_but_its_streams() -> None:
    script = (
        "import os; ignored = open('/proc/self/status').read().split('SigIgn:')[1].split()[0]; "
        "print(sorted(os.listdir('/proc/self/fd'))[:-1], ignored)"
    )
    process, lifeline = start("/bin/sh", "-c", f'exec "{sys.executable}" -I -S -c "{script}"')
    descriptors, _, ignored = output(process).read().strip().rpartition(b" ")
    assert end(process) == 0
    os.close(lifeline)
    assert descriptors == b"['0', '1', '2']"
    assert int(ignored, 16) & STANDARD_SIGNALS == python_ignored()


STANDARD_SIGNALS = (1 << 31) - 1
"""The signals with names, 1 to 31; the C library keeps some real-time ones for itself."""


def python_ignored() -> int:
    """Python itself ignores SIGPIPE and SIGXFSZ; nothing more may be ignored."""
    return sum(1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGXFSZ))
