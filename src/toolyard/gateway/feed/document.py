"""A configuration file being read: fields are taken out of it, and everything wrong with it is collected."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from toolyard.gateway.feed.yaml_marks import Marked, Problem
from toolyard.kit.interpolate import ReferenceBroken, expand

T = TypeVar("T")


class Document:
    """The file's name, its directory, the environment for its references; the problems found so far, and the further
    `files` that were read."""

    def __init__(self, path: Path, environ: Mapping[str, str], problems: list[Problem]) -> None:
        self.file = str(path)
        self.base = path.absolute().parent
        self.environ = environ
        self.problems = problems
        self.files: list[Path] = []

    def complain(self, line: int, key: str, message: str) -> None:
        self.problems.append(Problem(self.file, line, key, message))

    def path(self, text: str) -> Path:
        """A path that is written in the file: relative ones are relative to it."""
        return self.base / Path(text).expanduser()

    def text(self, node: Marked, key: str) -> str | None:
        """A scalar with its references expanded; None for null, and where a problem was found."""
        if node.value is None:
            return None
        if not isinstance(node.value, str):
            self.complain(node.line, key, "must be a single value")
            return None
        try:
            return expand(node.value, self.environ)
        except ReferenceBroken as error:
            self.complain(node.line, key, error.message)
            return None

    def parsed(self, node: Marked, key: str, parse: Callable[[str], T]) -> T | None:
        """A scalar as `parse` reads it; ValueError becomes a problem."""
        text = self.text(node, key)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.complain(node.line, key, str(error))
            return None

    def texts(self, node: Marked, key: str) -> tuple[str, ...]:
        """A list of scalars; one scalar counts as a list of one."""
        if node.value is None:
            return ()
        if isinstance(node.value, str):
            one = self.text(node, key)
            return () if one is None else (one,)
        if not isinstance(node.value, tuple):
            self.complain(node.line, key, "must be a list")
            return ()
        read = (self.text(item, f"{key}[{n}]") for n, item in enumerate(node.value))
        return tuple(text for text in read if text is not None)

    def section(self, node: Marked, key: str) -> Section:
        """A mapping; anything else is a problem and counts as an empty one."""
        if isinstance(node.value, Mapping):
            return Section(self, node.value, key, node.line)
        if node.value is not None:
            self.complain(node.line, key, "must be a mapping of keys to values")
        return Section(self, {}, key, node.line)


class Section:
    """One mapping of a document. Every field that is asked for counts as known; `close` complains about the others."""

    def __init__(self, document: Document, entries: Mapping[str, Marked], key: str, line: int) -> None:
        self.document = document
        self.key = key
        self.line = line
        self._entries = entries
        self._known: set[str] = set()

    def path(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name

    def __contains__(self, name: str) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.value is not None

    def items(self) -> Iterator[tuple[str, Marked]]:
        """All entries, for mappings whose keys are names that the operator chose."""
        self._known.update(self._entries)
        return iter(self._entries.items())

    def take(self, *names: str) -> Marked | None:
        """The entry of the first of `names` that is there and not null."""
        self._known.update(names)
        return next((self._entries[name] for name in names if name in self), None)

    def text(self, *names: str) -> str | None:
        node = self.take(*names)
        return self.document.text(node, self.path(names[0])) if node else None

    def parsed(self, name: str, parse: Callable[[str], T], default: T) -> T:
        node = self.take(name)
        value = self.document.parsed(node, self.path(name), parse) if node else None
        return default if value is None else value

    def texts(self, name: str) -> tuple[str, ...] | None:
        node = self.take(name)
        return self.document.texts(node, self.path(name)) if node else None

    def section(self, name: str) -> Section:
        """The mapping under `name`; an empty one where there is none."""
        return self.document.section(self.take(name) or Marked({}, self.line), self.path(name))

    def complain(self, name: str, message: str) -> None:
        entry = self._entries.get(name)
        self.document.complain(entry.line if entry else self.line, self.path(name) if name else self.key, message)

    def close(self) -> None:
        """Complain about every key that nobody asked for, with the known one it may have been meant for."""
        for name in self._entries:
            if name not in self._known:
                self.complain(name, unknown_key(name, self._known))


def unknown_key(name: str, known: set[str]) -> str:
    """ "unknown key", with the nearest known one."""
    near = difflib.get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(sorted(known))}"
    return f"unknown key; {hint}"
