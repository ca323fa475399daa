"""A child process as a channel: one JSON message a line on its standard input and output.

The child runs under a keeper (`keeper.py`), which takes its whole process tree down. What the child writes is bounded:
a line at 4 MiB (more ends the child), messages not yet taken at what one read brings (reading pauses meanwhile, and the
pipe fills), its standard error at the last 64 KiB (always drained; a flood is slowed down, never stopped). What is not
a JSON object on a line of its own is skipped and counted. Messages offered within one turn of the loop are written by
one system call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from toolyard.gateway.upstream.channel import MAX_AT_ONCE, ChannelClosed, Ended, Take
from toolyard.gateway.upstream.child_process import Command, KeptProcess
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamExited, UpstreamTooLarge
from toolyard.gateway.upstream.lines import Lines, LineTooLongError
from toolyard.gateway.upstream.stderr_ring import StderrRing

MAX_UNWRITTEN_BYTES = 1024 * 1024
STDERR_BURST_BYTES = 256 * 1024
STDERR_PAUSE_S = 0.05
STOP_S = 5.0
LAST_WORDS_S = 0.5


async def start_child(command: Command) -> ChildChannel:
    """Run `command` under a keeper. Raises UpstreamUnreachable if that cannot be done."""
    channel = ChildChannel(command)
    try:
        await channel.connect()
    except BaseException:
        channel.give_up()
        raise
    return channel


class ChildChannel:
    """The channel to one child. Made by `start_child`, which raises UpstreamUnreachable."""

    sends_whole = True

    def __init__(self, command: Command) -> None:
        self.junk_lines = 0
        self._loop = asyncio.get_running_loop()
        self._lines = Lines(command.max_line_bytes)
        self._stderr = StderrRing(command.name, command.secrets)
        self._stderr_bytes = 0
        self._waiting: deque[bytes] = deque()
        self._reading_paused = False
        self._take: Take | None = None
        self._ended: Ended | None = None
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0
        self._writing_paused = False
        self._senders: list[asyncio.Future[None]] = []
        self._open_streams = 2
        self._input_ended = False
        self._input_closed = False
        self._reason = ""
        self._failure: type[UpstreamError] = UpstreamExited
        self._closed = False
        self._transports: list[Any] = []
        self._process = KeptProcess(command, self._exited)

    async def connect(self) -> None:
        """Take over the pipes."""
        stdin, stdout, stderr = self._process.pipes
        self._stdin, _ = await self._loop.connect_write_pipe(lambda: _Input(self), stdin)
        self._transports.append(self._stdin)
        self._stdin.set_write_buffer_limits(high=MAX_UNWRITTEN_BYTES)
        self._stdout, _ = await self._loop.connect_read_pipe(lambda: _Output(self, self.take_output), stdout)
        self._transports.append(self._stdout)
        self._stderr_pipe, _ = await self._loop.connect_read_pipe(lambda: _Output(self, self.take_errors), stderr)
        self._transports.append(self._stderr_pipe)

    # -- the channel ---------------------------------------------------------------------------------------------------

    @property
    def takes_at_once(self) -> bool:
        return not (self._closed or self._input_ended or self._writing_paused)

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

    def listen(self, take: Take, ended: Ended) -> None:
        self._take, self._ended = take, ended
        self._loop.call_soon(self._hand_over)

    def diagnosis(self) -> str:
        return self._stderr.text()

    async def aclose(self) -> None:
        """Stop the child with everything below it: within 5 s nothing is left."""
        self.stop("it was stopped")
        try:
            if not await self._process.wait(STOP_S):
                self._process.kill()
                await self._process.wait(STOP_S)
        finally:
            self.give_up()

    # -- what the pipes tell -------------------------------------------------------------------------------------------

    def take_output(self, data: bytes) -> None:
        if self._closed:
            return
        try:
            lines = self._lines.feed(data)
        except LineTooLongError:
            self._failure, self._reason = UpstreamTooLarge, "it sent a line that is too long"
            self.give_up()
            return
        for line in lines:
            stripped = line.strip()
            if stripped.startswith(b"{"):
                self._waiting.append(stripped)
            elif stripped:
                self.junk_lines += 1
        if self._waiting and not self._reading_paused:
            self._hand_over()

    def take_errors(self, data: bytes) -> None:
        self._stderr.feed(data)
        if self._stderr_bytes == 0:
            self._loop.call_later(STDERR_PAUSE_S, self._resume_stderr)
        before, self._stderr_bytes = self._stderr_bytes, self._stderr_bytes + len(data)
        if before <= STDERR_BURST_BYTES < self._stderr_bytes:
            self._stderr_pipe.pause_reading()

    def output_ended(self) -> None:
        """One of the two output streams is at its end."""
        self._open_streams -= 1
        self._finish_if_over()
        self.stop("it closed its standard output or error")

    def input_ended(self) -> None:
        """The child reads nothing more."""
        self._input_ended = self._input_closed = True
        self._wake_senders()
        self.stop("it closed its standard input")

    def writing(self, *, paused: bool) -> None:
        """The pipe to the child is full, or has room again."""
        self._writing_paused = paused
        if not paused:
            self._wake_senders()

    def _exited(self) -> None:
        """The process is gone; what it wrote last may still be in the pipes."""
        self._reason = f"its process ended with exit code {self._process.exit_code}"
        self._resume_stderr()
        self._finish_if_over()
        self._loop.call_later(LAST_WORDS_S, self._finish_when_taken)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Give on what was read. While there is more than goes in one turn of the loop, nothing more is read."""
        take, waiting = self._take, self._waiting
        if take is None:
            return
        for _ in range(min(MAX_AT_ONCE, len(waiting))):
            take(waiting.popleft())
        if waiting:
            self._loop.call_soon(self._hand_over)
        elif self._closed and self._ended is not None:
            ended, self._ended = self._ended, None
            ended(ChannelClosed(self._reason, self._failure))
        if bool(waiting) is not self._reading_paused and not self._closed:
            self._reading_paused = bool(waiting)
            (self._stdout.pause_reading if waiting else self._stdout.resume_reading)()

    def _flush(self) -> None:
        if not self._unwritten:
            return
        self._unwritten.append(b"")
        data = b"\n".join(self._unwritten)
        self._unwritten = []
        self._unwritten_bytes = 0
        if not self._input_ended:
            self._stdin.write(data)

    def _resume_stderr(self) -> None:
        paused = self._stderr_bytes > STDERR_BURST_BYTES
        self._stderr_bytes = 0
        if paused and not self._closed:
            self._stderr_pipe.resume_reading()

    def _finish_if_over(self) -> None:
        if self._open_streams <= 0 and self._process.exit_code is not None:
            self.give_up()

    def _finish_when_taken(self) -> None:
        if self._waiting and not self._closed:
            self._loop.call_later(LAST_WORDS_S, self._finish_when_taken)
        else:
            self.give_up()

    def stop(self, reason: str) -> None:
        """Begin an orderly end: what was sent is still delivered, then the child sees the end of its input."""
        if self._closed:
            return
        self._reason = self._reason or reason
        self._flush()
        self._input_ended = True
        self._wake_senders()
        self._stdin.close()
        self._process.ask_to_end()

    def give_up(self) -> None:
        """The channel is over, without waiting: the keeper kills what still lives."""
        if self._closed:
            return
        self._closed = True
        self._input_ended = True
        self._wake_senders()
        self._loop.call_soon(self._hand_over)
        self._process.let_go()
        for transport in self._transports:
            if transport is not self._stdin:
                transport.close()
            elif not self._input_closed:
                transport.abort()

    def _wake_senders(self) -> None:
        senders, self._senders = self._senders, []
        for sender in senders:
            if not sender.done():
                sender.set_result(None)


class _Input(asyncio.BaseProtocol):
    """The pipe to the child's standard input."""

    def __init__(self, channel: ChildChannel) -> None:
        self._channel = channel

    def pause_writing(self) -> None:
        self._channel.writing(paused=True)

    def resume_writing(self) -> None:
        self._channel.writing(paused=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel.input_ended()


class _Output(asyncio.Protocol):
    """A pipe from the child."""

    def __init__(self, channel: ChildChannel, take: Any) -> None:
        self._channel = channel
        self.data_received = take  # type: ignore[method-assign]

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel.output_ended()
