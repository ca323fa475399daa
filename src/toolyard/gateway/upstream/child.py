"""A child process as a channel: one JSON message a line on its standard input and output.

The child runs under a keeper (`keeper.py`), which takes its whole process tree down. What the child writes is bounded:
a line at 4 MiB (more ends the child), messages not yet taken at 1 MiB (then reading pauses, and the pipe fills), its
standard error at the last 64 KiB (always drained; a flood is slowed down, never stopped). What is not a JSON object on
a line of its own is skipped and counted. Messages offered within one turn of the loop are written by one system call.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.upstream.channel import ChannelClosed
from toolyard.gateway.upstream.environment import child_environment
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamExited, UpstreamTooLarge, UpstreamUnreachable
from toolyard.gateway.upstream.stderr_ring import StderrRing
from toolyard.kit import faults

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_WAITING_BYTES = 1024 * 1024
MAX_UNWRITTEN_BYTES = 1024 * 1024
STDERR_BURST_BYTES = 256 * 1024
STDERR_PAUSE_S = 0.05
STOP_S = 5.0
LAST_OUTPUT_S = 0.5
KEEPER = str(Path(__file__).with_name("keeper.py"))


class LineTooLongError(ValueError):
    """A line is longer than allowed."""


class Lines:
    """Cuts a stream of bytes into lines of at most `max_bytes`. `feed` raises LineTooLongError."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        lines = data.split(b"\n")
        tail = lines.pop()
        if lines:
            if self._parts:
                self._parts.append(lines[0])
                lines[0] = b"".join(self._parts)
                self._parts, self._size = [], 0
            if len(lines[0]) > self._max_bytes:
                raise LineTooLongError
        if tail:
            self._parts.append(tail)
            self._size += len(tail)
            if self._size > self._max_bytes:
                raise LineTooLongError
        return lines


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: arguments as they are, the whole environment, the folder, and what must not be shown of it."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    cwd: str | None
    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: UpstreamSpec) -> Command:
        """The command of a stdio upstream. Raises RefusedEnvironment, UpstreamUnreachable."""
        environment = child_environment(spec.env, os.environ)
        if not spec.command or any("\0" in part for part in spec.command):
            raise UpstreamUnreachable("The upstream's command is empty or has a zero byte.")
        secrets = tuple(value.reveal() for _, value in spec.env)
        return cls(spec.id, spec.command, environment, spec.cwd, secrets)


async def start_child(command: Command) -> ChildChannel:
    """Run `command` under a keeper. Raises UpstreamUnreachable if that cannot be done."""
    faults.hit("child.start")
    if shutil.which(command.argv[0], path=_search_path(command)) is None:
        raise UpstreamUnreachable(f"The command of upstream {command.name!r} was not found or cannot be run.")
    ours, lifeline = os.pipe()
    channel = ChildChannel(command, lifeline)
    try:
        await asyncio.get_running_loop().subprocess_exec(
            lambda: channel,
            *(sys.executable, "-I", "-S", KEEPER, str(ours), *command.argv),
            env=command.environment,
            cwd=command.cwd,
            pass_fds=(ours,),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        channel.give_up()
        detail = error.strerror if isinstance(error, OSError) else "its arguments cannot be passed on"
        raise UpstreamUnreachable(f"Upstream {command.name!r} could not be started: {detail}.") from error
    except asyncio.CancelledError:
        channel.give_up()
        raise
    finally:
        os.close(ours)
    return channel


def _search_path(command: Command) -> str | None:
    if command.cwd and "/" in command.argv[0] and not command.argv[0].startswith("/"):
        return None
    return command.environment.get("PATH")


class ChildChannel(asyncio.SubprocessProtocol):
    """The channel to one child. Made by `start_child`."""

    def __init__(self, command: Command, lifeline: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._lifeline: int | None = lifeline
        self._lines = Lines(MAX_LINE_BYTES)
        self._stderr = StderrRing(command.name, command.secrets)
        self._stderr_bytes = 0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._reading_paused = False
        self._receiver: asyncio.Future[None] | None = None
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0
        self._writing_paused = False
        self._senders: list[asyncio.Future[None]] = []
        self._output_ended = False
        self._input_ended = False
        self._failure: type[UpstreamError] = UpstreamExited
        self._reason = ""
        self._closed = False
        self._lost = asyncio.Event()
        self.junk_lines = 0

    # -- the channel ---------------------------------------------------------------------------------------------------

    def offer(self, message: bytes) -> bool:
        if self._closed or self._input_ended:
            raise ChannelClosed(self._reason or "it takes no more input", self._failure)
        if self._writing_paused:
            return False
        if not self._unwritten:
            self._loop.call_soon(self._flush)
        self._unwritten.append(message)
        self._unwritten_bytes += len(message)
        if self._unwritten_bytes > MAX_UNWRITTEN_BYTES:
            self._flush()
        return True

    async def send(self, message: bytes) -> None:
        while not self.offer(message):
            sender = self._loop.create_future()
            self._senders.append(sender)
            await sender

    async def receive(self) -> bytes:
        while not self._waiting:
            if self._closed:
                raise ChannelClosed(self._reason, self._failure)
            self._receiver = self._loop.create_future()
            await self._receiver
        line = self._waiting.popleft()
        self._waiting_bytes -= len(line)
        if self._reading_paused and not self._waiting:
            self._reading_paused = False
            self._pipe(1).resume_reading()
        return line

    def diagnosis(self) -> str:
        return self._stderr.text()

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._transport.get_pid()

    async def aclose(self) -> None:
        """Stop the child with everything below it: within 5 s nothing is left."""
        self._stop("it was stopped")
        try:
            async with asyncio.timeout(STOP_S):
                await self._lost.wait()
        except TimeoutError:
            self._transport.kill()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._lost.wait()
        finally:
            self.give_up()
            self._transport.close()

    # -- what asyncio tells --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        stdin.set_write_buffer_limits(high=MAX_UNWRITTEN_BYTES)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd != 1:
            self._take_stderr(data)
            return
        if self._closed:
            return
        try:
            lines = self._lines.feed(data)
        except LineTooLongError:
            self._failure = UpstreamTooLarge
            self._end_of_output()
            self._stop("it sent a line that is too long")
            self.give_up()
            return
        self._take_lines(lines)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 0:
            self._input_ended = True
            self._wake_senders()
        elif fd == 1:
            self._end_of_output()
        if fd != 2:
            self._stop("it closed its standard input or output")

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake_senders()

    def process_exited(self) -> None:
        code = self._transport.get_returncode()
        self._reason = f"its process ended with exit code {code}"
        if self._output_ended:
            self.give_up()
        else:
            self._await_last_output()

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up()
        self._lost.set()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _pipe(self, fd: int) -> asyncio.ReadTransport:
        return cast(asyncio.ReadTransport, self._transport.get_pipe_transport(fd))

    def _flush(self) -> None:
        if not self._unwritten:
            return
        self._unwritten.append(b"")
        data = b"\n".join(self._unwritten)
        self._unwritten = []
        self._unwritten_bytes = 0
        if not self._input_ended:
            cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0)).write(data)

    def _take_lines(self, lines: list[bytes]) -> None:
        for line in lines:
            stripped = line.strip()
            if stripped.startswith(b"{"):
                self._waiting.append(stripped)
                self._waiting_bytes += len(stripped)
            elif stripped:
                self.junk_lines += 1
        if self._waiting_bytes > MAX_WAITING_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._pipe(1).pause_reading()
        if self._waiting:
            self._wake_receiver()

    def _take_stderr(self, data: bytes) -> None:
        self._stderr.feed(data)
        if self._stderr_bytes == 0:
            self._loop.call_later(STDERR_PAUSE_S, self._resume_stderr)
        before, self._stderr_bytes = self._stderr_bytes, self._stderr_bytes + len(data)
        if before <= STDERR_BURST_BYTES < self._stderr_bytes:
            self._pipe(2).pause_reading()

    def _resume_stderr(self) -> None:
        paused = self._stderr_bytes > STDERR_BURST_BYTES
        self._stderr_bytes = 0
        if paused and not self._closed:
            self._pipe(2).resume_reading()

    def _end_of_output(self) -> None:
        self._output_ended = True
        if self._transport.get_returncode() is not None:
            self.give_up()

    def _await_last_output(self) -> None:
        """The process is gone; what it wrote last may still be in the pipe."""
        if self._reading_paused and not self._closed:
            self._loop.call_later(LAST_OUTPUT_S, self._await_last_output)
        else:
            self._loop.call_later(LAST_OUTPUT_S, self.give_up)

    def _stop(self, reason: str) -> None:
        """Ask the keeper for an orderly end; the child sees the end of its input."""
        self._reason = self._reason or reason
        self._flush()
        self._input_ended = True
        self._wake_senders()
        if self._lifeline is not None:
            self._close_input()
            with suppress(OSError):
                os.write(self._lifeline, b"q")
        if self._output_ended:
            self._loop.call_later(LAST_OUTPUT_S, self.give_up)

    def _close_input(self) -> None:
        stdin = cast(asyncio.WriteTransport | None, self._transport.get_pipe_transport(0))
        if stdin is not None:
            stdin.close()

    def give_up(self) -> None:
        """The channel is over, without waiting: the end of the lifeline makes the keeper kill what still lives."""
        if not self._closed:
            self._closed = True
            self._input_ended = True
            self._wake_senders()
            self._wake_receiver()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def _wake_receiver(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)

    def _wake_senders(self) -> None:
        senders, self._senders = self._senders, []
        for sender in senders:
            if not sender.done():
                sender.set_result(None)
