"""YAML and JSON into values that know their line, so that every complaint can name file, line and key.

Only plain data is read: no tags that construct anything, at most 4 MiB, 64 levels, 200 aliases and 200,000 values after
the aliases are followed (so a small file cannot become a large one).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from toolyard.kit.errors import PlatformError

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64
MAX_ALIASES = 200
MAX_VALUES = 200_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(
    _PREFIX + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "value")
)
_OPENING = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_CLOSING = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![^\s,{}\[\]"])//[^\n]*|/\*.*?\*/|\t', re.DOTALL)
_JSON_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file. `line` counts from 1 (0: there is none). `key` is a path: `servers.a.tools[0]`."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigRejected(PlatformError):
    """The configuration is not valid; what was in force stays in force."""

    code = "config_rejected"
    status = 400

    def __init__(self, problems: list[Problem] | tuple[Problem, ...]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems), problems=len(self.problems))


Value: TypeAlias = "str | tuple[Marked, ...] | Mapping[str, Marked] | None"


@dataclass(frozen=True, slots=True)
class Marked:
    """A value and its line. Scalars are kept as the text that was written, since only their reader knows what they
    should be; null is None. An entry of a mapping has the line of its key."""

    value: Value
    line: int


class _Refused(Exception):
    def __init__(self, line: int, message: str) -> None:
        self.line = line
        self.message = message
        super().__init__(message)


def read_marked(text: str, file: str, problems: list[Problem]) -> Marked | None:
    """The content of a file; None if it is empty or cannot be read at all. What is wrong is added to `problems`."""
    source = _plain_json(text) if text.lstrip("\ufeff \t\r\n").startswith(("{", "//", "/*")) else text
    try:
        _check_size(source)
        root = yaml.compose(source, Loader=_LOADER)
        return _Reading(file, problems).mark(root) if root is not None else None
    except _Refused as refused:
        problems.append(Problem(file, refused.line, "", refused.message))
    except UnicodeEncodeError:
        problems.append(Problem(file, 1, "", "is not text in UTF-8"))
    except yaml.YAMLError as error:
        problems.append(Problem(file, _line_of_error(error), "", f"not valid YAML: {_reason(error)}"))
    return None


def _plain_json(text: str) -> str:
    """JSON as editors write it (tabs, comments, surrogate pairs), as text that is YAML too, line for line."""

    def plain(found: re.Match[str]) -> str:
        token = found.group()
        return _JSON_ESCAPE.sub(_one_character, token) if token.startswith('"') else re.sub(r"[^\n]", " ", token)

    return _JSON_TOKEN.sub(plain, text)


def _one_character(escape: re.Match[str]) -> str:
    """A surrogate pair as the character it stands for; any other escape as it is."""
    if escape[1] is None:
        return escape.group()
    return chr(0x10000 + (int(escape[1], 16) - 0xD800) * 0x400 + int(escape[2], 16) - 0xDC00)


def _check_size(text: str) -> None:
    depth = aliases = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        depth += isinstance(event, _OPENING)
        depth -= isinstance(event, _CLOSING)
        aliases += isinstance(event, yaml.AliasEvent)
        line = _line(event.start_mark)
        if depth > MAX_DEPTH:
            raise _Refused(line, f"nested more than {MAX_DEPTH} levels deep")
        if aliases > MAX_ALIASES:
            raise _Refused(line, f"more than {MAX_ALIASES} aliases")
        if count > 2 * MAX_VALUES:
            raise _Refused(line, f"more than {MAX_VALUES} values")


def _line_of_error(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return _line(mark)


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark else 1


def _reason(error: yaml.YAMLError) -> str:
    said = getattr(error, "problem", None) or getattr(error, "reason", None)
    return str(said or "it cannot be parsed")


class _Reading:
    """One pass over the composed nodes of a file."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self._file = file
        self._problems = problems
        self._values = 0

    def mark(self, node: yaml.Node, path: str = "", depth: int = 0, line: int = 0) -> Marked:
        line = line or _line(node.start_mark)
        self._values += 1
        if self._values > MAX_VALUES:
            raise _Refused(line, f"more than {MAX_VALUES} values once its aliases are followed")
        if depth > MAX_DEPTH:
            raise _Refused(line, "an alias contains itself")
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace(_PREFIX, "!!")
            raise _Refused(line, f"the tag '{tag}' is not allowed here; a text that begins with '!' needs quotes")
        if isinstance(node, yaml.MappingNode):
            return Marked(self._mapping(node, path, depth), line)
        if isinstance(node, yaml.SequenceNode):
            items = (self.mark(item, f"{path}[{n}]", depth + 1) for n, item in enumerate(node.value))
            return Marked(tuple(items), line)
        return Marked(None if node.tag == _PREFIX + "null" else str(node.value), line)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Marked]:
        entries: dict[str, Marked] = {}
        merged: dict[str, Marked] = {}
        for key, value in node.value:
            line = _line(key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused(line, "a key must be plain text")
            if key.tag == _PREFIX + "merge":
                merged |= self._merged(value, path, depth)
                continue
            name = str(key.value)
            where = f"{path}.{name}" if path else name
            if name in entries:
                message = f"written twice (the first time in line {entries[name].line})"
                self._problems.append(Problem(self._file, line, where, message))
                continue
            entries[name] = self.mark(value, where, depth + 1, line)
        return {**merged, **entries}

    def _merged(self, node: yaml.Node, path: str, depth: int) -> dict[str, Marked]:
        merged: dict[str, Marked] = {}
        for source in reversed(list(_sources_of_merge(node))):
            value = self.mark(source, path, depth + 1).value
            if not isinstance(value, Mapping):
                raise _Refused(_line(node.start_mark), "'<<' takes a mapping or a list of mappings")
            merged |= value
        return merged


def _sources_of_merge(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    else:
        yield node
