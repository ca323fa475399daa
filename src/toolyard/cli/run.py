"""Commands that run something: up, stdio, version."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, say, show

if TYPE_CHECKING:
    from toolyard.cli.place import Place
    from toolyard.cli.welcome import FirstKey
    from toolyard.platform import Started


def up(
    config: ConfigOption = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port to listen on; 0 takes a free one [default: 8000].", show_default=False
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(help="URL under which clients reach the gateway through a proxy.", show_default=False),
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="console, json or auto.", show_default=False)] = None,
) -> None:
    """Run the gateway. Without a configuration file, makes one with a demonstration to try at once."""
    from toolyard.cli.place import Place, find_place
    from toolyard.cli.welcome import first_key
    from toolyard.platform import run

    if log_format not in {None, "console", "json", "auto"}:
        raise typer.BadParameter(f"'{log_format}' is not one of console, json, auto", param_hint="--log-format")
    place = find_place(config) or Place(Path.cwd() / "toolyard.yaml")
    if not place.config.exists():
        from toolyard.cli.welcome import write_first_config

        write_first_config(place.config)
        say(f"Wrote {place.config}")
    _check_free(place)
    with first_key(place) as key:
        raise typer.Exit(
            run(
                place.config,
                host=host,
                port=port,
                public_url=public_url,
                log_format=log_format,
                on_started=_welcome(place, key),
            )
        )


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


def _welcome(place: Place, key: FirstKey) -> Callable[[Started], None]:
    """Prints how to connect, once the gateway listens."""

    def on_started(started: Started) -> None:
        from toolyard.cli.welcome import welcome_text

        server = started.loaded.snapshot.servers.get("default")
        typer.echo(welcome_text(started.url, key=key.show() if server else None, server=server, config=place.config))

    return on_started
