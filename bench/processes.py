"""Programs that this run starts, what their process trees use, and their end: by their own ids only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ECHO_SCRIPT = "stdio_echo.py"


class DidNotStart(Exception):
    """A program ended, or did not answer in time, while it was awaited."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a process tree, in MiB: `rss` counts shared pages once for each process, `pss` shares them out."""

    rss_mib: float
    pss_mib: float
    processes: int


class Program:
    """One started program and its descendants; stdio upstreams are left out of what it used."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.started_at = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd,
                env={**os.environ, **(env or {})}, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def check_alive(self) -> None:
        """Raises DidNotStart, with the end of the log, when the program has ended."""
        if (code := self._process.poll()) is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise DidNotStart(f"{self.name} ended with code {code}:\n{tail}")

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float, pause_s: float = 0.005) -> float:
        """Seconds from the start until `ready` says so; connection errors count as not ready yet."""
        while True:
            with contextlib.suppress(OSError, EOFError):
                if ready():
                    return time.perf_counter() - self.started_at
            self.check_alive()
            if time.perf_counter() - self.started_at > timeout_s:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise DidNotStart(f"{self.name} was not ready after {timeout_s:.0f} s:\n{tail}")
            time.sleep(pause_s)

    def cpu_s(self) -> float:
        """CPU seconds of the tree so far, stdio upstreams left out, ended children counted with their parent."""
        return sum(_cpu_ticks(pid) for pid in _tree(self.pid) if not _is_echo(pid)) / TICKS_PER_S

    def echo_cpu_s(self) -> float:
        """CPU seconds so far of the stdio upstreams in the tree."""
        return sum(_cpu_ticks(pid) for pid in _tree(self.pid) if _is_echo(pid)) / TICKS_PER_S

    def memory(self) -> Memory:
        members = [pid for pid in _tree(self.pid) if not _is_echo(pid)]
        sizes = [_memory_kib(pid) for pid in members]
        return Memory(sum(size[0] for size in sizes) / 1024, sum(size[1] for size in sizes) / 1024, len(members))

    def descriptors(self) -> int:
        """Open descriptors of the program itself."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def threads(self) -> int:
        """Threads of the program itself."""
        return int(_stat(self.pid)[17])

    def freeze(self) -> None:
        """Stop the whole tree where it is, so that it takes nothing of what another is measured with."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the tree go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in _tree(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, *, grace_s: float = 10.0) -> None:
        """SIGTERM, then SIGKILL; what is left of the tree it had is killed too. Safe to call twice."""
        if self._process.poll() is not None:
            return
        self.thaw()
        family = {pid: _started_ticks(pid) for pid in _tree(self.pid)}
        self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(grace_s)
        for pid, born in family.items():
            if born is not None and _started_ticks(pid) == born:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def core_busy_s(core: int | None) -> float:
    """Seconds that a core (or all of them) has worked since boot, for anybody."""
    label = "cpu" if core is None else f"cpu{core}"
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == label:
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(tick) for tick in ticks[:8])
            return (user + nice + system + irq + softirq + steal) / TICKS_PER_S
    return 0.0


def _tree(root: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents[int(entry.name)] = int(fields[1])
    members = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in members} - members
        if not more:
            return sorted(members)
        members |= more


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_ticks(pid: int) -> int:
    return sum(int(field) for field in _stat(pid)[11:13])


def _started_ticks(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[19] if fields and fields[0] != "Z" else None


def _is_echo(pid: int) -> bool:
    """Whether the process is the echo server itself; a keeper that only names it in its arguments is not."""
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return len(argv) > 1 and b"python" in argv[0] and Path(os.fsdecode(argv[1])).name == ECHO_SCRIPT


def _memory_kib(pid: int) -> tuple[int, int]:
    sizes = {"Rss": 0, "Pss": 0}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in sizes:
                sizes[name] = int(rest.split()[0])
    return sizes["Rss"], sizes["Pss"]
