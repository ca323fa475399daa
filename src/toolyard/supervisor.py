"""Several gateway processes on one port: started, kept alive and taken down together.

The supervisor serves nothing itself. It holds the port by a socket that does not listen, so that it stays the gateway's
while workers come and go; the system spreads connections over the workers' own listening sockets (SO_REUSEPORT). A
worker that ends is started again, after a pause that grows while it keeps ending. Draining is one movement: every
worker finishes what its clients wait for, and only when all have do they end, since each may need what another owns.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from toolyard.from_settings import tls_of
from toolyard.gateway.identity import load_seal_key
from toolyard.gateway.journal import Journal
from toolyard.gateway.workers.operations import forget_stopped
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import TaskOwner
from toolyard.platform import (
    FACTS_NAME,
    JOURNAL_NAME,
    OnStarted,
    Process,
    Started,
    Stopping,
    environment,
    remove_own_facts,
    run_loop,
    write_facts,
)

log = get_logger(__name__)

START_LIMIT_S: Final = 60.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 10.0
STEADY_S: Final = 30.0
MORE_THAN_DRAIN_S: Final = 5.0
END_S: Final = 20.0


class WorkersUnsupported(PlatformError):
    """Several workers need a system on which processes can share a port (SO_REUSEPORT)."""

    code: ClassVar[str] = "workers_unsupported"


class WorkerStartFailed(PlatformError):
    """A worker of the gateway could not start; what it wrote says why."""

    code: ClassVar[str] = "worker_start_failed"


def run(
    config: Path,
    *,
    workers: int,
    host: str | None = None,
    port: int | None = None,
    public_url: str | None = None,
    log_format: str | None = None,
    control: bool = True,
    on_started: OnStarted = lambda _started: None,
) -> int:
    """Run a gateway of several workers in the foreground until SIGTERM or SIGINT; the exit code. `control`: with a
    control plane, if the settings want one. Raises ConfigRejected, WorkersUnsupported, WorkerStartFailed, ssl.SSLError,
    and OSError for an address that cannot be listened on."""
    environ = environment(public_url, control=control)
    process = Process.prepare(config, environ, host=host, port=port, log_format=log_format, log_name="supervisor")
    tls_of(process.loaded.settings)
    held = reserve(process.host or process.loaded.settings.gateway.host, process.wanted_port())
    try:
        return run_loop(Supervisor(process, workers, held[0].getsockname()[1], log_format).run(on_started))
    finally:
        for one in held:
            one.close()


def reserve(host: str, port: int) -> list[socket.socket]:
    """Sockets that keep every address of `host` on one port for this user's processes that share it. Raises OSError if
    somebody listens there, WorkersUnsupported."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise WorkersUnsupported
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    held: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            wanted = (address[0], held[0].getsockname()[1] if held else address[1], *address[2:])
            _socket_at(family, kind, protocol, wanted, shared=False).close()
            held.append(_socket_at(family, kind, protocol, wanted, shared=True))
    except OSError:
        for one in held:
            one.close()
        raise
    return held


def _socket_at(family: int, kind: int, protocol: int, address: tuple[object, ...], *, shared: bool) -> socket.socket:
    one = socket.socket(family, kind, protocol)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


class Child:
    """One started worker process, and what it has said."""

    def __init__(self, orders: Callable[[int], bytes], environ: dict[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603  (this program itself)
                [sys.executable, "-m", "toolyard.worker", orders(theirs.fileno())],
                env=environ,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError:
            self._control.close()
            raise
        finally:
            theirs.close()
        self._control.settimeout(0)
        self.ready = asyncio.Event()
        self.quiet = asyncio.Event()
        self.ended = asyncio.Event()
        self._drains = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, order: bytes) -> None:
        """Send an order; one that is gone does not hear it."""
        self._drains = self._drains or order == b"d"
        with suppress(OSError):
            self._control.send(order)

    async def watch(self) -> int:
        """Hear what it says until it has ended; its exit code. One that has drained without being told, since somebody
        sent it a signal, needs to wait for no other: it may end."""
        loop = asyncio.get_running_loop()
        try:
            while said := await self._hear(loop):
                if b"r" in said:
                    self.ready.set()
                if b"q" in said:
                    self.quiet.set()
                    if not self._drains:
                        self.tell(b"e")
            return await asyncio.to_thread(self._reap)
        finally:
            self._control.close()
            self.quiet.set()
            self.ended.set()

    def kill(self) -> None:
        """End it at once. Its upstreams' programs end by themselves."""
        if self._process.poll() is None:
            self._process.kill()

    async def _hear(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._control, 64)
        except OSError:
            return b""

    def _reap(self) -> int:
        """The worker holds its end of the control socket until it ends."""
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Supervisor:
    """Keeps `count` workers on `port`."""

    def __init__(self, process: Process, count: int, port: int, log_format: str | None) -> None:
        self._process = process
        self._count = count
        self._port = port
        self._log_format = log_format
        self._children: dict[int, Child] = {}
        self._stopping = False
        self._tasks = TaskOwner("supervisor")

    async def run(self, on_started: OnStarted) -> int:
        """Start the workers, keep them until told to stop, take them down. Raises WorkerStartFailed."""
        signals = Stopping()
        control = self._process.control_child()
        settings = self._process.loaded.settings.gateway
        load_seal_key(settings.data_dir)
        Journal(settings.data_dir / JOURNAL_NAME).close()
        forget_stopped(settings.data_dir)
        try:
            first = [self._tasks.start(self._keep(index)) for index in range(self._count)]
            if not await self._all_ready(first, signals):
                return 0
            started = Started(self._process.url(self._port), self._port, self._process.loaded, settings.data_dir)
            write_facts(started)
            log.info("listening", url=started.url, workers=self._count)
            on_started(started)
            if control is not None:
                control.start()
            await signals.first.wait()
            await self._drain(signals.second)
        finally:
            self._stopping = True
            await self._end()
            await self._tasks.aclose()
            if control is not None:
                await control.aclose()
            forget_stopped(settings.data_dir)
            remove_own_facts(settings.data_dir / FACTS_NAME)
        return 0

    async def _all_ready(self, keeping: list[asyncio.Task[None]], signals: Stopping) -> bool:
        """Wait until every worker listens; False if told to stop before. Raises WorkerStartFailed."""
        await asyncio.sleep(0)
        children = tuple(self._children.values())
        if len(children) < self._count:
            raise WorkerStartFailed
        ready = asyncio.ensure_future(_all(child.ready for child in children))
        ended = [asyncio.ensure_future(child.ended.wait()) for child in children]
        told = asyncio.ensure_future(signals.first.wait())
        waiting: set[asyncio.Future[Any]] = {ready, told, *ended, *keeping}
        try:
            done, _ = await asyncio.wait(waiting, timeout=START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (ready, told, *ended):
                one.cancel()
        if told in done:
            return False
        if ready not in done:
            raise WorkerStartFailed
        return True

    async def _keep(self, index: int) -> None:
        """Keep one worker running, also through a time in which the system has no room for a process."""
        pause_s = FIRST_PAUSE_S
        while not self._stopping:
            began = time.monotonic()
            try:
                child = self._children[index] = Child(lambda control: self._orders(index, control), self._environ())
            except OSError as error:
                log.error("worker_not_started", worker=index, reason=str(error), again_in_s=round(pause_s, 1))
            else:
                code = await child.watch()
                if self._stopping:
                    return
                pause_s = FIRST_PAUSE_S if time.monotonic() - began > STEADY_S else pause_s
                log.error("worker_ended", worker=index, pid=child.pid, exit_code=code, again_in_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    def _orders(self, index: int, control: int) -> bytes:
        process = self._process
        orders = {
            "config": str(process.config),
            "host": process.host or process.loaded.settings.gateway.host,
            "port": self._port,
            "log_format": self._log_format,
            "index": index,
            "count": self._count,
            "control": control,
            "supervisor": os.getpid(),
        }
        return msgspec.json.encode(orders)

    def _environ(self) -> dict[str, str]:
        """A worker that is started again meets the others, also when the configuration names another data directory or
        address by then."""
        return {**self._process.environ, "TOOLYARD_DATA_DIR": str(self._process.loaded.settings.gateway.data_dir)}

    async def _drain(self, at_once: asyncio.Event) -> None:
        """Let every worker finish what its clients wait for, then let all end."""
        self._stopping = True
        limit_s = self._process.loaded.settings.gateway.drain_s + MORE_THAN_DRAIN_S
        log.info("draining", limit_s=limit_s)
        children = tuple(self._children.values())
        for child in children:
            child.tell(b"d")
        quiet = asyncio.ensure_future(_all(child.quiet for child in children))
        again = asyncio.ensure_future(at_once.wait())
        waited: set[asyncio.Future[Any]] = {quiet, again}
        await asyncio.wait(waited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (quiet, again):
            waiting.cancel()
        await asyncio.gather(quiet, again, return_exceptions=True)
        for child in children:
            child.tell(b"s" if at_once.is_set() else b"e")

    async def _end(self) -> None:
        """Wait for all workers to end; one that does not is killed."""
        children = [child for child in self._children.values() if not child.ended.is_set()]
        for child in children:
            child.tell(b"e" if child.quiet.is_set() else b"s")
        try:
            async with asyncio.timeout(END_S):
                await _all(child.ended for child in children)
        except TimeoutError:
            log.error("workers_killed", pids=[child.pid for child in children if not child.ended.is_set()])
            for child in children:
                child.kill()
            await _all(child.ended for child in children)


async def _all(events: Iterable[asyncio.Event]) -> None:
    """Until each of them is set."""
    for event in tuple(events):
        await event.wait()
