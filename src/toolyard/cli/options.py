"""Options that many commands have, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolyard.cli.output import Format

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="The configuration file (default: TOOLYARD_CONFIG, ./toolyard.yaml).", show_default=False
    ),
]
OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How to print: table, json or yaml.")]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", "-s", help="Code of the virtual server (default: default).", show_default=False),
]
