"""The control process: `python -m toolyard.control_main ORDERS`, started and kept by the gateway or its supervisor.

ORDERS is a JSON object. It serves the management API on the Unix socket `control.sock` in the data directory, which
only this user can open, and ends when its parent does, however that went.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec
import uvicorn

from toolyard.gateway.feed.file import load_settings
from toolyard.kit.errors import PlatformError
from toolyard.kit.files import make_private_directory
from toolyard.kit.logs import LogSettings, configure, get_logger
from toolyard.kit.parent import watch_parent
from toolyard.kit.unix_path import bind_private
from toolyard.platform_control import SOCKET_NAME, open_control
from toolyard.settings import Settings

log = get_logger(__name__)
DRAIN_S: Final = 5
BACKLOG: Final = 128
FACTS_NAME: Final = "gateway.json"


class Orders(msgspec.Struct, frozen=True):
    """What the control process is told at its start. `parent_fd`: a socket whose other end the parent holds."""

    config: str
    data_dir: str
    parent_fd: int | None = None
    log_format: str | None = None


def main(arguments: list[str]) -> int:
    """Run the control plane until told to stop; the exit code."""
    orders = msgspec.json.decode(arguments[0], type=Orders)
    config = Path(orders.config)
    settings = load_settings(config, os.environ)
    data_dir = make_private_directory(Path(orders.data_dir))
    _configure_logs(settings, orders, data_dir)
    import uvloop  # noqa: PLC0415

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, data_dir, config if config.is_file() else None, orders.parent_fd))


async def _serve(settings: Settings, data_dir: Path, config: Path | None, parent_fd: int | None) -> int:
    try:
        public_url = _public_url(settings, data_dir)
        control = await open_control(settings, data_dir, public_url, config)
        link = await control.set_up()
    except PlatformError as error:
        log.error("control_not_started", code=error.code, reason=error.message)
        return 1
    served = uvicorn.Config(
        control.app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = uvicorn.Server(served)
    listening = bind_private(data_dir / SOCKET_NAME)
    listening.listen(BACKLOG)
    if parent_fd is not None:
        loop = asyncio.get_running_loop()

        def alone() -> None:
            loop.call_soon_threadsafe(server.handle_exit, signal.SIGTERM, None)

        watch_parent(parent_fd, alone)
    log.info("control_listening", socket=SOCKET_NAME)
    if link is not None:
        sys.stderr.write(f"\nMake the first administrator (the link works once):\n  {public_url}{link}\n\n")
        sys.stderr.flush()
    await server.serve(sockets=[listening])
    return 0 if server.started else 1


def _public_url(settings: Settings, data_dir: Path) -> str:
    """Where clients reach the gateway: as it says itself, if it runs on this machine."""
    gateway = settings.gateway
    if gateway.public_url:
        return gateway.public_url
    try:
        return str(json.loads((data_dir / FACTS_NAME).read_bytes())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"http://{gateway.host}:{gateway.port}"


def _configure_logs(settings: Settings, orders: Orders, data_dir: Path) -> None:
    logs = settings.logging
    configure(
        LogSettings(
            level=logs.level,
            format=orders.log_format or logs.format,
            directory=logs.dir or data_dir / "logs",
            max_bytes=logs.max_file_bytes,
            backups=logs.files,
            name="control",
        )
    )
    for talkative in ("alembic", "uvicorn", "aiosqlite"):  # the last would tell every value of every statement
        logging.getLogger(talkative).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
