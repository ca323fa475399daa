"""The control plane as a child process of `toolyard up`: started beside the gateway, kept alive, ended after it.

The child is a program like any other: it gets its orders as one argument, and holds one end of a socket. When the other
end is gone it goes too (`kit/parent.py`); when its own end is gone it has ended. One that ends by itself is started
again, after a pause that grows while it keeps ending.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import TaskOwner

log = get_logger(__name__)

MODULE: Final = "toolyard.control_main"
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 10.0
STEADY_S: Final = 30.0
END_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class ControlOrders:
    """What the control process is told. It meets the gateway in `data_dir`, whatever the configuration says by then."""

    config: Path
    data_dir: Path
    environ: Mapping[str, str]
    log_format: str | None = None
    module: str = MODULE

    def argument(self, parent_fd: int) -> str:
        """The orders as the program's one argument."""
        told = {
            "config": str(self.config),
            "data_dir": str(self.data_dir),
            "parent_fd": parent_fd,
            "log_format": self.log_format,
        }
        return msgspec.json.encode(told).decode()


class ControlChild:
    """Keeps one control process running, from `start` to `aclose`."""

    def __init__(self, orders: ControlOrders) -> None:
        self._orders = orders
        self._tasks = TaskOwner("control process")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it, and again whenever it ends."""
        self._tasks.start(self._keep())

    async def aclose(self) -> None:
        """End it: gently first, then with force."""
        await self._tasks.aclose()
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, END_S)
        except subprocess.TimeoutExpired:
            log.error("control_killed", pid=process.pid)
            process.kill()
            await asyncio.to_thread(process.wait)

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            try:
                code = await self._run_once()
            except OSError as error:
                log.error("control_not_started", reason=str(error), again_in_s=round(pause_s, 1))
            else:
                pause_s = FIRST_PAUSE_S if now() - began > STEADY_S else pause_s
                log.error("control_ended", exit_code=code, again_in_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _run_once(self) -> int:
        """Start the process and wait for its end; its exit code. Cancelled: it still runs. Raises OSError."""
        ours, process = _start(self._orders)
        self._process = process
        log.info("control_started", pid=process.pid)
        try:
            await _end_of(ours)
        finally:
            ours.close()
        return await asyncio.to_thread(_reap, process)


def _start(orders: ControlOrders) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The process, and our end of its socket. Raises OSError."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    try:
        return ours, subprocess.Popen(  # noqa: S603  (this program itself)
            [sys.executable, "-m", orders.module, orders.argument(theirs.fileno())],
            env={**orders.environ, "TOOLYARD_DATA_DIR": str(orders.data_dir)},
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()


async def _end_of(ours: socket.socket) -> None:
    """Until nobody holds the other end."""
    loop = asyncio.get_running_loop()
    try:
        while await loop.sock_recv(ours, 64):
            pass
    except OSError:
        return


def _reap(process: subprocess.Popen[bytes]) -> int:
    """It holds its end of the socket until it ends; one that let go and lives on is ended."""
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
