"""One worker process of a gateway that has several: `python -m toolyard.worker ORDERS`, started by the supervisor.

ORDERS is a JSON object. The control socket in it leads to the supervisor. The worker says `r` when it listens and `q`
when it has drained; it is told `d` to drain, `s` to stop at once and `e` to end after draining. When the supervisor is
gone, however it went, the worker goes too, and is out of patience with itself after a few seconds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from toolyard.from_settings import tls_of
from toolyard.gateway.workers.crew import Crew
from toolyard.gateway.workers.worker import Worker
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import TaskOwner
from toolyard.platform import SOCKET_NAME, Process, run_loop, sweep

log = get_logger(__name__)

READY, QUIET = b"r", b"q"
DRAIN, STOP, END = b"d", b"s", b"e"
LAST_S: Final = 10.0


class Orders(msgspec.Struct, frozen=True):
    """What the supervisor tells a worker at its start."""

    config: str
    host: str | None
    port: int
    log_format: str | None
    index: int
    count: int
    control: int
    supervisor: int


@dataclass(slots=True)
class Told:
    """What the supervisor, or a signal, has told this worker so far."""

    drain: asyncio.Event
    stop: asyncio.Event
    end: asyncio.Event

    def take(self, order: bytes) -> None:
        """One order; anything unknown is the end of the supervisor."""
        self.drain.set()
        if order == END:
            self.end.set()
        elif order != DRAIN:
            self.stop.set()
            self.end.set()


def main(arguments: list[str]) -> int:
    """Run one worker until it is told to end; the exit code."""
    orders = msgspec.json.decode(arguments[0], type=Orders)
    control = socket.socket(fileno=orders.control)
    control.set_inheritable(False)  # in a program that this one starts, it would hide that this one has ended
    try:
        process = Process.prepare(
            Path(orders.config),
            dict(os.environ),
            host=orders.host,
            port=orders.port,
            log_format=orders.log_format,
            log_name=f"worker-{orders.index}",
        )
        return run_loop(serve(process, orders, control))
    except (PlatformError, OSError) as error:
        sys.stderr.write(f"worker {orders.index}: {error}\n")
        return 1


async def serve(process: Process, orders: Orders, control: socket.socket) -> int:
    """Serve the port together with the other workers."""
    told = Told(asyncio.Event(), asyncio.Event(), asyncio.Event())
    _listen_to(control, told)
    me = Worker(orders.index, orders.count)
    settings = process.loaded.settings.gateway
    identity = process.identity(me.owner, gives_names=me.index == 0)
    crew = Crew(me, identity, data_dir=settings.data_dir)
    gateway, journal = process.make_gateway(identity, around=crew.making, pid=orders.supervisor, index=me.index)
    crew.join(gateway)
    server = process.make_server(gateway)
    server.on_drain.append(gateway.hub.end_streams)
    tasks = TaskOwner("worker")
    try:
        await server.start(process.host or settings.host, orders.port, tls_of(process.loaded.settings), reuse_port=True)
        gateway.start()
        await crew.start()
        if me.index == 0:
            await server.start_unix(settings.data_dir / SOCKET_NAME)
        for work in (*process.feeds(gateway, crew.sharing.offer), sweep(gateway)):
            tasks.start(work)
        log.info("worker_listening", worker=me.owner, port=orders.port)
        control.send(READY)
        await told.drain.wait()
        await process.drain(server, told.stop)
        with suppress(OSError):
            control.send(QUIET)
        await told.end.wait()
    finally:
        await tasks.aclose()
        await gateway.aclose()
        await server.stop_now()
        await crew.aclose()
        journal.close()
    return 0


def _listen_to(control: socket.socket, told: Told) -> None:
    """Take orders as they come, in a thread: a loop that is stuck must not outlive its supervisor."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.drain.set)

    def listen() -> None:
        while True:
            try:
                order = control.recv(1)
            except OSError:
                order = b""
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(told.take, order)
            if not order:
                threading.Event().wait(LAST_S)
                os._exit(1)

    threading.Thread(target=listen, name="toolyard-control", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
