"""The command `toolyard`. Each command imports what it needs when it runs, so that help and completion stay quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from toolyard.cli.lazy import LazyGroup, Row
from toolyard.kit.errors import PlatformError

HELP_SHOWN = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


class _Commands(LazyGroup):
    rows = (
        Row(
            "up",
            "toolyard.cli.run:up",
            "Run the gateway. Without a configuration file, makes one with a demonstration to try at once.",
        ),
        Row(
            "gateway",
            "toolyard.cli.run:gateway",
            "Run the gateway from a configuration file alone: no control plane beside it, and no database.",
        ),
        Row(
            "add",
            "toolyard.cli.edit:add",
            "Add an upstream to the configuration: a URL, a command, or all servers of a client's file.",
        ),
        Row(
            "import",
            "toolyard.cli.edit:import_clients",
            "Find the MCP servers of Claude, Cursor, VS Code, Codex and Gemini on this machine and take them over.",
        ),
        Row(
            "discover",
            "toolyard.cli.operating:command",
            "Look for MCP servers on hosts, in the files of clients and on a registry.",
            made_of="discovery_run",
        ),
        Row("connect", "toolyard.cli.connect:connect", "Lead an MCP client to this gateway."),
        Row("servers", "toolyard.cli.ask:servers", "List the virtual servers."),
        Row("upstreams", "toolyard.cli.ask:upstreams", "List the upstreams and how each does."),
        Row("tools", "toolyard.cli.ask:tools", "List the tools of a virtual server."),
        Row(
            "call",
            "toolyard.cli.calling:call",
            "Call a tool and print what it answers. The exit code is 1 if the tool reports an error.",
        ),
        Row("resources", "toolyard.cli.ask:resources", "List the resources of a virtual server, or read one."),
        Row("prompts", "toolyard.cli.ask:prompts", "List the prompts of a virtual server, or get one."),
        Row(
            "upstream",
            "toolyard.cli.api_groups:group",
            "One upstream: run it, change it, remove it, register it.",
            "upstream",
        ),
        Row(
            "tool",
            "toolyard.cli.api_groups:group",
            "Tools, resources and prompts: find them, steer them, describe them.",
            "tool",
        ),
        Row("server", "toolyard.cli.api_groups:group", "Virtual servers: which tools are at which URL.", "server"),
        Row("key", "toolyard.cli.api_groups:group", "API keys for virtual servers.", "key"),
        Row("credential", "toolyard.cli.api_groups:group", "Secrets that are used towards upstreams.", "credential"),
        Row("file", "toolyard.cli.api_groups:group", "Uploaded files.", "file"),
        Row("user", "toolyard.cli.api_groups:group", "People of the organization.", "user"),
        Row("member", "toolyard.cli.api_groups:group", "People of other organizations in this one.", "member"),
        Row("account", "toolyard.cli.api_groups:group", "Service accounts and their secrets.", "account"),
        Row("role", "toolyard.cli.api_groups:group", "Roles, and what can be allowed.", "role"),
        Row("grant", "toolyard.cli.api_groups:group", "Single permissions beside roles.", "grant"),
        Row("access", "toolyard.cli.api_groups:group", "Who may do what.", "access"),
        Row("tier", "toolyard.cli.api_groups:group", "Which limits people have.", "tier"),
        Row("org", "toolyard.cli.api_groups:group", "Organizations.", "org"),
        Row("settings", "toolyard.cli.api_groups:group", "Settings and switches that hold at once.", "settings"),
        Row("auth", "toolyard.cli.api_groups:group", "Your own account, logins and tokens.", "auth"),
        Row(
            "platform",
            "toolyard.cli.api_groups:group",
            "The whole installation: accounts, settings, gateways.",
            "platform",
        ),
        Row("login", "toolyard.cli.login:login", "Log in to a Toolyard elsewhere; commands then ask that one."),
        Row("logout", "toolyard.cli.login:logout", "End the login, there and here."),
        Row("whoami", "toolyard.cli.login:whoami", "Say whom commands ask, as whom, and what that one may do."),
        Row(
            "status",
            "toolyard.cli.ask:status",
            "Say whether a gateway is running, and how it does; with --server, what that virtual server says.",
        ),
        Row(
            "doctor",
            "toolyard.cli.doctor:doctor",
            "Say what is wrong here and how to mend it. The exit code is 1 if something is.",
        ),
        Row(
            "stdio",
            "toolyard.cli.run:stdio",
            "Serve one client on standard input and output, for clients that know nothing else.",
        ),
        Row("config"),
        Row("db"),
        Row("version", "toolyard.cli.run:version", "Print the version."),
    )


class _ConfigCommands(LazyGroup):
    rows = (
        Row(
            "validate",
            "toolyard.cli.edit:validate",
            "Check a configuration file, and name every problem by file, line and key.",
        ),
    )


class _DatabaseCommands(LazyGroup):
    rows = (
        Row(
            "upgrade",
            "toolyard.cli.database:upgrade",
            "Bring the database up to this version. A copy of an SQLite file is kept beside it.",
        ),
        Row(
            "downgrade",
            "toolyard.cli.database:downgrade",
            "Take the database back to an earlier migration. A copy of an SQLite file is kept beside it.",
        ),
        Row("current", "toolyard.cli.database:current", "Print which migration the database is at."),
        Row("history", "toolyard.cli.database:history", "List all migrations, the oldest first."),
        Row(
            "backup",
            "toolyard.cli.database:backup",
            "Copy the whole database into a file, with its checksum beside it; also while it is in use.",
        ),
        Row(
            "restore",
            "toolyard.cli.database:restore",
            "Put a backup in the place of the database. What was there is kept beside it (SQLite).",
        ),
        Row(
            "check",
            "toolyard.cli.database:check",
            "Say whether the database is whole and has the tables that this version expects.",
        ),
        Row(
            "reset",
            "toolyard.cli.database:reset",
            "Empty the database and make its tables anew, for development. A copy of an SQLite file is kept beside it.",
        ),
    )


app = typer.Typer(
    name="toolyard",
    cls=_Commands,
    help="One URL for every team or agent; any client, any MCP server behind it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich for the frames around it makes help take twice as long: 128 ms, not 63
    context_settings=HELP_SHOWN,
)
app.add_typer(typer.Typer(cls=_ConfigCommands, help="The configuration file.", no_args_is_help=True), name="config")
app.add_typer(typer.Typer(cls=_DatabaseCommands, help="The control plane's database.", no_args_is_help=True), name="db")


def _print_version(wanted: bool) -> None:
    if wanted:
        from toolyard import __version__

        typer.echo(f"toolyard {__version__}")
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
        from toolyard.cli.output import complain_of_system

        complain_of_system(error)
        return 1
    return 0


def main() -> None:
    """The entry point of the installed command."""
    sys.exit(execute())


if __name__ == "__main__":
    main()
