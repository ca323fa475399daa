"""Groups whose commands are imported when they run, not when they are listed: help and completion stay quick."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


@dataclass(frozen=True, slots=True)
class Row:
    """One command: its name, where its function is (`module:function`; empty for a group that is there already), and
    the first paragraph of its help. With `made_of`, the function is not the command but makes it, of that and the
    name."""

    name: str
    function: str = ""
    summary: str = ""
    made_of: str = ""


class LazyGroup(TyperGroup):
    """A group with the commands of `rows`, in that order."""

    rows: ClassVar[tuple[Row, ...]] = ()

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = _Commands(self.rows, dict(self.commands))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super(LazyGroup, self._listing()).format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        return super(LazyGroup, self._listing()).shell_complete(ctx, incomplete)

    def _listing(self) -> Self:
        """This group with commands that have no more than a name and a summary."""
        listing = copy.copy(self)
        listing.commands = {
            row.name: TyperCommand(row.name, help=row.summary, short_help=row.summary)
            if row.function
            else self.commands[row.name]
            for row in self.rows
        }
        return listing


class _Commands(MutableMapping[str, Any]):
    """Commands by name, each imported when it is asked for."""

    def __init__(self, rows: tuple[Row, ...], loaded: dict[str, Any]) -> None:
        self._rows = {row.name: row for row in rows}
        self._loaded = loaded

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(self._rows[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError("commands are not taken out of a group")

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._rows, *self._loaded)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in self._loaded


def _load(row: Row) -> Any:
    module, _, name = row.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    if row.made_of:
        return function(row.made_of, row.name)
    return command_of(row.name, function)


def command_of(name: str, function: Any) -> Any:
    """The command that a function is, by its signature."""
    one = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)
    one.command(name)(function)
    return get_command(one)
