"""Commands that change one upstream in the configuration file: set, remove."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from toolyard.cli.options import ConfigOption
from toolyard.cli.output import say
from toolyard.cli.upstream import NameArgument


def set_fields(
    name: NameArgument,
    fields: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]…", help="Such as timeout=20s or headers.X-A=b.", show_default=False),
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", "-u", help="Take this key out.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Change an upstream in the configuration file; its comments stay.

    Keys are those of the file: toolyard upstream set docs timeout=20s transport=sse tools.delete_page=off"""
    from toolyard.cli.yaml_fields import field_path, field_value, with_fields

    try:
        changes = [(field_path(key), field_value(value)) for key, value in map(_split, fields or ())]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    absent = [field_path(key) for key in unset or ()]
    if not changes and not absent:
        raise typer.BadParameter("say what to change: KEY=VALUE, or --unset KEY")
    path = _rewrite(config, name, lambda text: with_fields(text, name, changes, absent))
    told = [f"{'.'.join(path)} is set" for path, _ in changes] + [f"{'.'.join(path)} is taken out" for path in absent]
    say(f"Changed '{name}': {', '.join(told)}")
    say(f"in {path}; a running gateway takes it up by itself.")


def remove(name: NameArgument, config: ConfigOption = None) -> None:
    """Take an upstream out of the configuration file; comments stay."""
    from toolyard.cli.yaml_fields import without_upstream

    path = _rewrite(config, name, lambda text: without_upstream(text, name))
    say(f"Removed '{name}'")
    say(f"from {path}; a running gateway lets its calls end and closes it.")


def _rewrite(config: ConfigOption, name: str, change: Callable[[str], str]) -> Path:
    """Write the changed text if it is a valid configuration. Raises UpstreamUnknown, FileNotEditable,
    ConfigRejected."""
    from toolyard.cli.place import need_place
    from toolyard.cli.yaml_edit import upstream_ids, write_config
    from toolyard.gateway.errors import UpstreamUnknown
    from toolyard.gateway.feed.file import read_text

    path = need_place(config).config
    text = read_text(path)
    known = upstream_ids(text)
    if name not in known:
        raise UpstreamUnknown(f"there is no upstream '{name}' in {path}; there are: {', '.join(known) or 'none'}")
    write_config(path, change(text))
    return path


def _split(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise ValueError(f"'{word}' is not a change; write KEY=VALUE")
    return key, value
