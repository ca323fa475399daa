"""The command `toolyard`. Each command imports what it needs when it runs, so that help and completion stay quick."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from toolyard.cli import ask, calling, connect, doctor, edit, keys, run
from toolyard.kit.errors import PlatformError

app = typer.Typer(
    name="toolyard",
    help="One URL for every team or agent; any client, any MCP server behind it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
key_app = typer.Typer(help="API keys for virtual servers.", no_args_is_help=True)
config_app = typer.Typer(help="The configuration file.", no_args_is_help=True)

app.command("up")(run.up)
app.command("add")(edit.add)
app.command("import")(edit.import_clients)
app.command("connect")(connect.connect)
app.command("servers")(ask.servers)
app.command("upstreams")(ask.upstreams)
app.command("tools")(ask.tools)
app.command("call")(calling.call)
app.command("resources")(ask.resources)
app.command("prompts")(ask.prompts)
app.add_typer(key_app, name="key")
app.command("status")(ask.status)
app.command("doctor")(doctor.doctor)
app.command("stdio")(run.stdio)
app.add_typer(config_app, name="config")
app.command("version")(run.version)
key_app.command("create")(keys.create)
key_app.command("list")(keys.list_keys)
key_app.command("revoke")(keys.revoke)
key_app.command("rotate")(keys.rotate)
config_app.command("validate")(edit.validate)


def _print_version(wanted: bool) -> None:
    if wanted:
        run.version()
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """One URL for every team or agent; any client, any MCP server behind it."""


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 wrongly used, 130 interrupted."""
    try:
        app(args=arguments, prog_name="toolyard")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except PlatformError as error:
        from toolyard.cli.output import complain

        complain(error)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        from toolyard.cli.output import say

        say(f"error [system]: {error}")
        if error.errno == errno.EADDRINUSE:
            say("  Something else uses that port: stop it, or choose another: toolyard up --port 8001")
        return 1
    return 0


def main() -> None:
    """The entry point of the installed command."""
    sys.exit(execute())


if __name__ == "__main__":
    main()
