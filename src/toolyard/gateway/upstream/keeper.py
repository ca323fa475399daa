"""Runs one child and makes sure that nothing of it is left when the gateway goes.

A program of its own: `python -I -S keeper.py LIFELINE_FD COMMAND ARG…`, started by the gateway with the child's pipes
as its standard streams. It copies no bytes: the child inherits the pipes, and the keeper closes its own ends. It stands
between the two for one reason, the end:

- the lifeline is a pipe whose other end only the gateway holds. Its end of file means that the gateway is gone, even by
  kill -9; a byte on it means an orderly stop, with more patience;
- the keeper is a subreaper (Linux), so that whatever the child started, however detached, becomes the keeper's own and
  can be found under it in /proc;
- if the child ends by itself, what it left behind is killed too, and the keeper ends with the child's exit code (128
  and the number of the signal that killed it; 127: it could not be started).

Where there is no /proc, the child's process group is killed: best effort. Standard library only, as little as possible.
"""

import ctypes
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ORDERLY_S = (2.0, 1.5)
"""Patience after an orderly stop: for the child to end by itself once its input is closed, and after SIGTERM."""
ABRUPT_S = (0.5, 0.5)
KILL_S = 1.0
CANNOT_RUN = 127
LINUX = sys.platform == "linux"


def main(lifeline: int, command: list[str]) -> int:
    """Run `command` until it ends or the lifeline says so; return the exit code."""
    wakeup, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _note)
    if LINUX:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        _become(command, lifeline, keeper)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    tree = Tree(child, wakeup)
    patience = tree.watch(lifeline)
    tree.stop(patience)
    return tree.exit_code


class Tree:
    """The child and everything that descends from it."""

    def __init__(self, child: int, wakeup: int) -> None:
        self.child = child
        self.exit_code: int = 128 + signal.SIGKILL
        self._ended = False
        self._wakeup = wakeup

    def watch(self, lifeline: int) -> tuple[float, float]:
        """Wait for the end of the child or the lifeline; return how patient to be with what still runs."""
        poll = select.poll()
        poll.register(lifeline, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while not self._reap():
            for fd, _ in poll.poll():
                if fd == lifeline:
                    return ORDERLY_S if os.read(lifeline, 1) else ABRUPT_S
                if signal.SIGTERM in os.read(self._wakeup, 256):
                    return ABRUPT_S
        return 0.0, ABRUPT_S[1]

    def stop(self, patience: tuple[float, float]) -> None:
        """Wait for the child, then SIGTERM to all, then SIGKILL to all until none is left."""
        self._wait(patience[0])
        if self._signal(signal.SIGTERM):
            self._wait(patience[1], everyone=True)
        give_up = time.monotonic() + KILL_S
        while self._signal(signal.SIGKILL) and time.monotonic() < give_up:
            self._wait(0.01, everyone=True)

    def _wait(self, seconds: float, *, everyone: bool = False) -> None:
        until = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        while not self._gone(everyone=everyone) and (left := until - time.monotonic()) > 0:
            for _ in poll.poll(min(left, 0.05) * 1000):
                os.read(self._wakeup, 256)

    def _gone(self, *, everyone: bool) -> bool:
        return self._reap() and not (everyone and self._members())

    def _reap(self) -> bool:
        """Take in all that ended, adopted ones too; true once the child has."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._ended = True
                return True
            if pid == 0:
                return self._ended
            if pid == self.child:
                self._ended = True
                code = os.waitstatus_to_exitcode(status)
                self.exit_code = code if code >= 0 else 128 - code

    def _signal(self, number: int) -> bool:
        """Send a signal to everyone left; false if there was no one."""
        members = self._members()
        for pid in members:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        if not LINUX:
            return self._signal_group(number)
        return bool(members)

    def _signal_group(self, number: int) -> bool:
        try:
            os.killpg(self.child, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _members(self) -> list[int]:
        """Every living descendant of the keeper."""
        if not LINUX:
            return []
        children: dict[int, list[int]] = {}
        for name in os.listdir("/proc"):  # noqa: PTH208 (pathlib costs 10 ms at each start)
            if name.isdigit() and (parent := _parent(name)):
                children.setdefault(parent, []).append(int(name))
        found, queue = [], [os.getpid()]
        while queue:
            below = children.get(queue.pop(), [])
            found += below
            queue += below
        return found


def _parent(pid: str) -> int:
    """The parent of a living process; 0 if it is gone or only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state in b"ZX" else int(parent)


def _become(command: list[str], lifeline: int, keeper: int) -> None:
    """In the forked child: undo what Python and the keeper set up, and turn into the command."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if LINUX:
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(CANNOT_RUN)
        os.close(lifeline)
        os.execvp(command[0], command)  # noqa: S606 (no shell, and that is the point)
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode(errors="replace"))
    finally:
        os._exit(CANNOT_RUN)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _note(number: int, frame: object) -> None:
    """Signals only wake the loop up."""


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
