"""The URL of a database, whose password is in no log: it shows as `postgresql://user:****@host/name`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

_SQLITE = re.compile(r"sqlite(?:\+\w+)?://(?:/(?P<path>[^?]+)(?P<query>\?.*)?)?", re.DOTALL)
_SERVER = re.compile(
    r"(?P<kind>[a-z][a-z0-9]*)(?:\+\w+)?://"
    r"(?:(?P<user>[^:@/?#\s]*)(?P<password>:[^@\s]*)?@)?"
    r"(?P<host>[^@/?#\s]*)(?P<name>/[^@?#\s]*)?(?P<query>\?[^\s]*)?"
)
_SUPPORTED = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}


class DatabaseUrl:
    """`kind` is sqlite, postgresql or, unsupported, another scheme; `path` is SQLite's file. Printed, it has no
    password; `reveal()` is for the connection only."""

    __slots__ = ("_shown", "_text", "kind", "path")

    def __init__(self, kind: str, text: str, shown: str, path: Path | None = None) -> None:
        self.kind = kind
        self.path = path
        self._text = text
        self._shown = shown

    @classmethod
    def of_file(cls, path: Path, query: str = "") -> DatabaseUrl:
        """SQLite in a file."""
        return cls("sqlite", f"sqlite:///{path}{query}", f"sqlite:///{path}", path)

    @property
    def supported(self) -> bool:
        return self.kind in _SUPPORTED.values()

    def reveal(self) -> str:
        """The whole URL, without the name of a driver."""
        return self._text

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"DatabaseUrl({self._shown})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DatabaseUrl) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a DatabaseUrl cannot be pickled")


def is_supported(text: str) -> bool:
    """Whether a URL, or a reference to one, may be that of a database that can be used here."""
    scheme, colon, _ = text.partition("://")
    return not colon or scheme.partition("+")[0] in _SUPPORTED


def database_url(text: str, base: Path) -> DatabaseUrl:
    """A URL as people write it, with or without a driver's name; SQLite's files are relative to `base`. Raises
    ValueError, which never repeats it, for what is no such URL."""
    text = text.strip()
    if text.startswith("sqlite"):
        return _of_sqlite(text, base)
    found = _SERVER.fullmatch(text)
    if not found or not (found["host"] or found["name"] or found["query"]):
        raise ValueError(
            "is not a database URL such as postgresql://user:password@host/name or sqlite:///path"
            " (a password's @ is written %40)"
        )
    kind = _SUPPORTED.get(found["kind"], found["kind"])
    whose = f"{found['user']}{':****' if found['password'] else ''}@" if found["user"] is not None else ""
    shown = f"{kind}://{whose}{found['host']}{found['name'] or ''}"
    return DatabaseUrl(kind, f"{kind}://{text.partition('://')[2]}", shown)


def _of_sqlite(text: str, base: Path) -> DatabaseUrl:
    found = _SQLITE.fullmatch(text)
    if not found:
        raise ValueError("is not an SQLite URL such as sqlite:///path/to/file.db")
    if found["path"] in (None, ":memory:"):
        raise ValueError("is a database in memory, which ends with the program: name a file, sqlite:///path/to/file.db")
    return DatabaseUrl.of_file((base / Path(found["path"]).expanduser()).absolute(), found["query"] or "")
