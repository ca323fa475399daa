"""A child process and its keeper, as the gateway holds them: three pipes and a lifeline.

Plain pipes and `Popen`, not the loop's own subprocesses: those are sockets under uvloop, which a child cannot open by
name (`/dev/stderr`), and hide the end of a stream that the child closes. The process is started in the loop's own
thread on purpose, since Linux sends the parent-death signal when the starting *thread* ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolyard.contract.snapshot import UpstreamLimits, UpstreamSpec
from toolyard.gateway.upstream.environment import child_environment
from toolyard.gateway.upstream.errors import UpstreamUnreachable
from toolyard.kit import faults

KEEPER = str(Path(__file__).with_name("keeper.py"))
REAP_S = 0.01


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: arguments as they are, the whole environment, the folder, and what must not be shown of it."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    cwd: str | None
    secrets: tuple[str, ...] = ()
    max_line_bytes: int = UpstreamLimits().event_bytes

    @classmethod
    def of(cls, spec: UpstreamSpec) -> Command:
        """The command of a stdio upstream. Raises RefusedEnvironment, UpstreamUnreachable."""
        environment = child_environment(spec.env, os.environ)
        if not spec.command or any("\0" in part for part in spec.command):
            raise UpstreamUnreachable(f"The command of upstream {spec.id!r} is empty or has a zero byte.")
        secrets = tuple(value.reveal() for _, value in spec.env)
        return cls(spec.id, spec.command, environment, spec.cwd, secrets, spec.limits.event_bytes)

    def found(self) -> bool:
        """True if there is a program of that name, as far as that can be said before the start."""
        if self.cwd is not None and "/" in self.argv[0]:
            return True
        return shutil.which(self.argv[0], path=self.environment.get("PATH")) is not None


class KeptProcess:
    """One started command. `on_exit` is called once, when the keeper has gone and so has everything below it."""

    def __init__(self, command: Command, on_exit: Callable[[], None]) -> None:
        """Start it. Raises UpstreamUnreachable."""
        if not command.found():
            raise UpstreamUnreachable(f"The command of upstream {command.name!r} was not found or cannot be run.")
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._lifeline, theirs = socket.socketpair()
        try:
            faults.hit("child.start")
            self._process = subprocess.Popen(  # noqa: S603 (an argument list of the operator, never a shell)
                [sys.executable, "-I", "-S", KEEPER, str(theirs.fileno()), *command.argv],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=command.environment,
                cwd=command.cwd,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._lifeline.close()
            detail = error.strerror if isinstance(error, OSError) else "its arguments cannot be passed on"
            raise UpstreamUnreachable(f"Upstream {command.name!r} could not be started: {detail}.") from error
        finally:
            theirs.close()
        self._exited = asyncio.Event()
        self._lifeline.settimeout(0)
        self._loop.add_reader(self._lifeline.fileno(), self._lifeline_ended)

    @property
    def pipes(self) -> tuple[object, object, object]:
        """The gateway's ends of standard input, output and error."""
        return self._process.stdin, self._process.stdout, self._process.stderr

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 and more: killed by that signal."""
        return self._process.returncode

    def ask_to_end(self) -> None:
        """Begin an orderly end: it has a few seconds."""
        with suppress(OSError):
            self._lifeline.send(b"q")

    def let_go(self) -> None:
        """Begin an abrupt end, as if the gateway had gone."""
        with suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Kill the keeper; Linux kills the child with it."""
        if self._process.poll() is None:
            self._process.kill()

    async def wait(self, limit_s: float) -> bool:
        """True once it has ended; false if it has not within `limit_s` seconds."""
        try:
            async with asyncio.timeout(limit_s):
                await self._exited.wait()
        except TimeoutError:
            return False
        return True

    def _lifeline_ended(self) -> None:
        self._loop.remove_reader(self._lifeline.fileno())
        self._lifeline.close()
        self._reap()

    def _reap(self) -> None:
        """The keeper closes the lifeline by ending, so this needs a moment at most."""
        if self._process.poll() is None:
            self._loop.call_later(REAP_S, self._reap)
            return
        self._exited.set()
        self._on_exit()
