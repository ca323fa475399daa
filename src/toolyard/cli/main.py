"""The `toolyard` command."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)
key_app = typer.Typer()
app.add_typer(key_app, name="key")
Config = Annotated[Path, typer.Option("--config")]


@app.command()
def up(
    config: Config = Path("toolyard.yaml"),
    host: Annotated[str | None, typer.Option()] = None,
    port: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Run a gateway."""
    from toolyard.platform import run

    raise typer.Exit(run(config, host=host, port=port))


@key_app.command()
def create(
    server: str = "default",
    config: Config = Path("toolyard.yaml"),
    output: Annotated[str, typer.Option("-o")] = "json",
) -> None:
    """Create a key."""
    import os

    from toolyard.gateway.feed.keys import KeyStore
    from toolyard.platform import data_dir_of

    plain, record = KeyStore(data_dir_of(config, os.environ)).create(server, now=time.time())
    print(json.dumps({"key": plain, "id": record.id}))


@app.command()
def stdio(config: Config = Path("toolyard.yaml"), server: str = "default") -> None:
    """Serve one client on standard input and output."""
    from toolyard.platform import run_stdio

    raise typer.Exit(run_stdio(config, server))


def main() -> None:
    app()


if __name__ == "__main__":
    main()
