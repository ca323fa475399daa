"""Commands for the control plane's database. They work on it directly, also while no gateway runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, say, show
from toolyard.kit.errors import PlatformError

if TYPE_CHECKING:
    from sqlalchemy import URL

    from toolyard.cli.place import Place

CONTROL_SOCKET = "control.sock"


class DatabaseInUse(PlatformError):
    """A control plane runs on this database: stop it first."""

    code = "database_in_use"
    status = 409


class DatabaseDamaged(PlatformError):
    """The database is not as it should be."""

    code = "database_damaged"


def upgrade(
    revision: Annotated[str, typer.Argument(help="The migration to go to.")] = "head", config: ConfigOption = None
) -> None:
    """Bring the database up to this version. A copy of an SQLite file is kept beside it."""
    from toolyard.control.base import migrate

    url = _url(config)
    kept = migrate.upgrade(url, revision)
    _say_where(url, kept)


def downgrade(
    revision: Annotated[str, typer.Argument(help="The migration to go back to, or -1 for the one before.")],
    config: ConfigOption = None,
) -> None:
    """Take the database back to an earlier migration. A copy of an SQLite file is kept beside it."""
    from toolyard.control.base import migrate

    url = _url(config, unused=True)
    kept = migrate.downgrade(url, revision)
    _say_where(url, kept)


def current(config: ConfigOption = None) -> None:
    """Print which migration the database is at."""
    from toolyard.control.base import migrate

    typer.echo(migrate.current(_url(config)) or "empty")


def history(config: ConfigOption = None, output: OutputOption = Format.TABLE) -> None:
    """List all migrations, the oldest first."""
    from toolyard.control.base import migrate

    steps = migrate.history(_url(config))
    rows = [{"revision": one.revision, "title": one.title, "current": one.current} for one in steps]
    show(rows, output, columns=("revision", "title", "current"))


def backup(
    file: Annotated[Path, typer.Argument(help="A file that is not there yet.")], config: ConfigOption = None
) -> None:
    """Copy the whole database into a file, with its checksum beside it; also while it is in use."""
    from toolyard.control.base.backup import back_up

    say(f"backed up to {back_up(_url(config), file)}; the vault key is not in it and has to be kept apart")


def restore(
    file: Annotated[Path, typer.Argument(help="What `toolyard db backup` made.")],
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put a backup in the place of the database. What was there is kept beside it (SQLite)."""
    from toolyard.control.base.backup import check
    from toolyard.control.base.backup import restore as put_back

    url = _url(config, unused=True)
    check(file)
    if not yes:
        typer.confirm(f"Replace the database {url.render_as_string()} by {file}?", abort=True)
    kept = put_back(url, file)
    say(f"restored{f'; what was there is {kept}' if kept else ''}")


def check(config: ConfigOption = None) -> None:
    """Say whether the database is whole and has the tables that this version expects."""
    from toolyard.control.base import migrate
    from toolyard.control.base.backup import integrity

    url = _url(config)
    migrate.check_current(url)
    problems = integrity(url) + migrate.differences(url)
    if problems:
        raise DatabaseDamaged("; ".join(problems[:10]))
    say("the database is whole and at the newest migration")


def reset(
    config: ConfigOption = None, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Empty the database and make its tables anew, for development. A copy of an SQLite file is kept beside it."""
    from toolyard.control.base import migrate

    url = _url(config, unused=True)
    if not yes:
        typer.confirm(f"Delete everything in {url.render_as_string()}?", abort=True)
    kept = migrate.downgrade(url, "base")
    migrate.upgrade(url)
    _say_where(url, kept)


def _url(config: Path | None, *, unused: bool = False) -> URL:
    """The database that the settings name. `unused`: nobody may be using it. Raises DatabaseInUse."""
    from toolyard.cli.place import need_place
    from toolyard.control.base.database import database_url

    place = need_place(config)
    if unused and _is_used(place):
        raise DatabaseInUse
    return database_url(place.settings.database.url.reveal())


def _is_used(place: Place) -> bool:
    from toolyard.cli.place import open_socket

    try:
        open_socket(place.data_dir / CONTROL_SOCKET, timeout_s=1.0).close()
    except OSError:
        return False
    return True


def _say_where(url: URL, kept: Path | None) -> None:
    from toolyard.control.base import migrate

    copy = f"; the copy from before is {kept}" if kept else ""
    say(f"the database is at {migrate.current(url) or 'nothing: it is empty'}{copy}")
