"""Commands that run something: up, gateway, stdio, version."""

from __future__ import annotations

import errno
import os
import platform
import shlex
import shutil
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, say, show
from toolyard.kit.garbage import hold_back

if TYPE_CHECKING:
    from toolyard.cli.place import Place
    from toolyard.cli.welcome import FirstKey
    from toolyard.platform import Started


HostOption = Annotated[
    str | None, typer.Option("--host", help="Address to listen on (default: 127.0.0.1).", show_default=False)
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port", min=0, max=65535, help="Port to listen on; 0 takes a free one (default: 8000).", show_default=False
    ),
]
PublicUrlOption = Annotated[
    str | None,
    typer.Option("--public-url", help="URL under which clients reach the gateway through a proxy.", show_default=False),
]
LogFormatOption = Annotated[str | None, typer.Option("--log-format", help="console, json or auto.", show_default=False)]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, max=64, help="Processes that serve the port together (default: 1).", show_default=False
    ),
]


def up(
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
    public_url: PublicUrlOption = None,
    log_format: LogFormatOption = None,
    workers: WorkersOption = None,
) -> None:
    """Run the gateway. Without a configuration file, makes one with a demonstration to try at once."""
    from toolyard.cli.place import Place, find_place, need_directory

    _check_format(log_format)
    place = find_place(config) or Place(Path.cwd() / "toolyard.yaml")
    need_directory(place.config)
    if not place.config.exists():
        from toolyard.cli.welcome import write_first_config

        write_first_config(place.config)
        say(f"Wrote {place.config}")
    how = {"host": host, "port": port, "public_url": public_url, "log_format": log_format}
    _run(place, config, workers, how)


def gateway(
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
    public_url: PublicUrlOption = None,
    log_format: LogFormatOption = None,
    workers: WorkersOption = None,
) -> None:
    """Run the gateway from a configuration file alone: no control plane beside it, and no database."""
    from toolyard.cli.place import need_place

    _check_format(log_format)
    alone = {"host": host, "port": port, "public_url": public_url, "log_format": log_format, "control": False}
    _run(need_place(config), config, workers, alone)


def _run(place: Place, config: Path | None, workers: int | None, how: dict[str, Any]) -> NoReturn:
    """Run it until it is told to stop, and end with its exit code."""
    from toolyard.cli.welcome import first_key

    _check_free(place)
    with first_key(place) as key, _listening(place, how["host"], how["port"]):
        run = _runner(workers or place.settings.gateway.workers)
        raise typer.Exit(run(place.config, **how, on_started=_welcome(place, key, config)))


def _check_format(log_format: str | None) -> None:
    if log_format not in {None, "console", "json", "auto"}:
        raise typer.BadParameter(f"'{log_format}' is not one of console, json, auto", param_hint="--log-format")


def _runner(workers: int) -> Callable[..., int]:
    """What runs a gateway of that many processes."""
    if workers > 1:
        from toolyard.supervisor import run as run_workers

        return partial(run_workers, workers=workers)
    hold_back()
    from toolyard.platform import run

    return run


def stdio(
    config: ConfigOption = None,
    server: Annotated[str, typer.Option("--server", "-s", help="Code of the virtual server.")] = "default",
) -> None:
    """Serve one client on standard input and output, for clients that know nothing else.

    Carries to the gateway at TOOLYARD_URL (with TOOLYARD_KEY), else to the one that runs here, else runs one itself."""
    from toolyard.cli.place import need_place

    url = os.environ.get("TOOLYARD_URL")
    if url and config is None:
        from toolyard.cli.bridge import bridge_remote

        raise typer.Exit(bridge_remote(url, os.environ.get("TOOLYARD_KEY"), server))
    place = need_place(config)
    if place.running():
        from toolyard.cli.bridge import bridge_local

        raise typer.Exit(bridge_local(place.socket, server))
    from toolyard.platform import run_stdio

    raise typer.Exit(run_stdio(place.config, server))


def version(output: OutputOption = Format.TABLE) -> None:
    """Print the version."""
    from toolyard import __version__

    if output is Format.TABLE:
        typer.echo(f"toolyard {__version__}")
        return
    show({"toolyard": __version__, "python": platform.python_version(), "platform": sys.platform}, output)


def _check_free(place: Place) -> None:
    from toolyard.cli.welcome import AlreadyRunning

    running = place.running()
    if running:
        raise AlreadyRunning(f"a gateway (process {running['pid']}) is already running at {running.get('url')}")


@contextmanager
def _listening(place: Place, host: str | None, port: int | None) -> Iterator[None]:
    """Within the block, an address that cannot be listened on is one clear error. Raises CannotListen."""
    from toolyard.cli.welcome import CannotListen

    gateway = place.settings.gateway
    for path in (gateway.tls_cert, gateway.tls_key):
        if path is not None and not path.is_file():
            raise CannotListen(f"there is no file {path}", mend="Mend gateway.tls in the configuration.")
    try:
        yield
    except ssl.SSLError as error:
        files = f"{gateway.tls_cert} and {gateway.tls_key or 'the key in it'}"
        text = f"{files} are not a certificate (PEM) and its key: {error.reason or error}"
        raise CannotListen(text, mend="Mend gateway.tls in the configuration.") from None
    except OSError as error:
        mend = _mend_of_listening(error, gateway.port if port is None else port)
        if mend is None:
            raise
        where = f"port {gateway.port if port is None else port} of {host or gateway.host}"
        raise CannotListen(f"{where} cannot be listened on: {mend[0]}", mend=mend[1]) from None


def _mend_of_listening(error: OSError, port: int) -> tuple[str, str] | None:
    """(what is wrong, what to do) if the error is about the address to listen on."""
    choose = f"toolyard up --port {port + 1 if 1024 <= port < 65535 else 8000}"
    if error.errno == errno.EADDRINUSE:
        text = f"Stop what uses it, or choose another: {choose} (for good: `gateway: {{port: …}}` in the file)."
        return "another program uses it", text
    if error.errno == errno.EACCES and error.filename is None:
        return "ports below 1024 are for the system's own programs", f"Choose another: {choose}"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return "this machine has no such address", "Choose another: toolyard up --host 127.0.0.1"
    return None


def command_name() -> str:
    """What to type for `toolyard` here: as this process was called, unless the one in PATH is the same."""
    called = Path(sys.argv[0])
    found = shutil.which("toolyard")
    if called.suffix == ".py":
        return f"{shlex.quote(sys.executable)} -m toolyard.cli.main"
    if called.name != "toolyard" or not called.exists() or (found and Path(found).samefile(called)):
        return "toolyard"
    return shlex.quote(sys.argv[0])


def _welcome(place: Place, key: FirstKey, config: Path | None) -> Callable[[Started], None]:
    """Prints how to connect, once the gateway listens."""

    def on_started(started: Started) -> None:
        from toolyard.cli.welcome import Commands, welcome_text

        snapshot = started.loaded.snapshot
        shown = key.show() if "default" in snapshot.servers else None
        typer.echo(
            welcome_text(
                started.url, snapshot, key=shown, config=place.config, commands=Commands(command_name(), config)
            )
        )

    return on_started
