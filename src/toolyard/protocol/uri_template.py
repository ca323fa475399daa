"""Matching URIs against RFC 6570 templates: levels 1 to 3, and `{name*}` as a path of any length.

A template is a chain of fixed texts and expressions; an expression takes a run of characters that its operator allows.
Theory of operation: from the end of the URI backwards, each link of the chain marks the places from which the rest of
the chain can still be matched; then one walk forward takes the shortest run that ends at a marked place. Time and
memory are the length of the URI times the length of the chain, whatever a template's author wrote: no backtracking.
Like the SDKs, a simple expression takes everything but `/`, `?` and `#`, encoded or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

MAX_TEMPLATE_LENGTH: Final = 2_048
MAX_URI_LENGTH: Final = 8_192
MAX_EXPRESSIONS: Final = 16

Matcher = Callable[[str], dict[str, str] | None]

_CUT: Final = re.compile(r"\{([^{}]*)\}")
_NAME: Final = r"(?:[A-Za-z0-9_.]|%[0-9A-Fa-f]{2})+(?:\*|:[1-9][0-9]{0,3})?"
_EXPRESSION: Final = re.compile(rf"([+#./;?&]?)({_NAME}(?:,{_NAME})*)")
_NAMED_PAIRS: Final = {"?": "&", "&": "&", ";": ";"}
_EXCLUDED: Final = {"": "/?#", "+": "", "#": "", ".": "/?#", "/": "?#", ";": "/?#", "?": "#", "&": "#"}


@dataclass(frozen=True, slots=True)
class _Text:
    """A fixed part of the template."""

    text: str

    def places(self, uri: str, rest: list[bool]) -> list[bool]:
        """From which places of `uri` this part and the rest match; `rest` says the same without this part."""
        size = len(self.text)
        found = [False] * len(rest)
        place = uri.find(self.text)
        while place >= 0:
            found[place] = rest[place + size]
            place = uri.find(self.text, place + 1)
        return found


@dataclass(frozen=True, slots=True)
class _Expression:
    """A variable part: its operator ("" for simple), its variables, and whether one of them is a path (`*`)."""

    operator: str
    names: tuple[str, ...]
    path: bool

    def places(self, uri: str, rest: list[bool]) -> list[bool]:
        """As `_Text.places`: true where a run of allowed characters leads to a place of `rest`."""
        excluded = self._excluded()
        found = list(rest) if self._optional() else [False] * len(rest)
        reachable = False
        for place in range(len(uri) - 1, -1, -1):
            reachable = uri[place] not in excluded and (reachable or rest[place + 1])
            if reachable and self._may_start(uri[place]):
                found[place] = True
        return found

    def end(self, uri: str, start: int, rest: list[bool]) -> int:
        """Where the shortest run from `start` ends, of those that lead to a place of `rest`."""
        if self._optional() and rest[start]:
            return start
        return next(end for end in range(start + 1, len(rest)) if rest[end])

    def values(self, run: str) -> dict[str, str] | None:
        """The variables in a run of characters, decoded; None if the run is none of this expression."""
        if not run:
            return {}
        if self.operator in _NAMED_PAIRS:
            return self._pairs(run[1:].split(_NAMED_PAIRS[self.operator]))
        separator = self.operator if self.operator in ("/", ".") else ","
        body = run if self.operator in ("", "+") else run[1:]
        pieces = [body] if len(self.names) == 1 and (separator == "," or self.path) else body.split(separator)
        if len(pieces) > len(self.names):
            return None
        return {name: unquote(piece) for name, piece in zip(self.names, pieces, strict=False)}

    def _pairs(self, pairs: Iterable[str]) -> dict[str, str] | None:
        values: dict[str, str] = {}
        for pair in pairs:
            name, _, value = pair.partition("=")
            if name not in self.names or name in values:
                return None
            values[name] = unquote(value)
        return values

    def _excluded(self) -> str:
        return "?#" if self.path and self.operator == "" else _EXCLUDED[self.operator]

    def _optional(self) -> bool:
        return self.operator not in ("", "+")

    def _may_start(self, character: str) -> bool:
        return self.operator in ("", "+") or character == self.operator


_Part = _Text | _Expression


def matcher(template: str) -> Matcher:
    """A function from a URI to the variables of `template` in it, decoded, or None if it does not match. A template
    that is malformed, longer than 2,048 characters or of more than 16 expressions matches nothing."""
    parts = _parse(template)
    if parts is None:
        return lambda _uri: None
    head = parts[0].text if parts and isinstance(parts[0], _Text) else ""
    tail = parts[-1].text if parts and isinstance(parts[-1], _Text) else ""

    def match(uri: str) -> dict[str, str] | None:
        if len(uri) > MAX_URI_LENGTH or not uri.startswith(head) or not uri.endswith(tail):
            return None
        return _match(parts, uri)

    return match


def _parse(template: str) -> list[_Part] | None:
    if len(template) > MAX_TEMPLATE_LENGTH:
        return None
    cuts = _CUT.split(template)
    if len(cuts) > 2 * MAX_EXPRESSIONS + 1:
        return None
    parts: list[_Part] = []
    for index, piece in enumerate(cuts):
        if index % 2 == 0:
            if "{" in piece or "}" in piece:
                return None
            if piece:
                parts.append(_Text(piece))
            continue
        expression = _EXPRESSION.fullmatch(piece)
        if expression is None:
            return None
        names = expression.group(2).split(",")
        plain = tuple(name.partition(":")[0].rstrip("*") for name in names)
        parts.append(_Expression(expression.group(1), plain, any(name.endswith("*") for name in names)))
    return parts


def _match(parts: list[_Part], uri: str) -> dict[str, str] | None:
    places = [[False] * len(uri) + [True]]
    for part in reversed(parts):
        places.append(part.places(uri, places[-1]))
    places.reverse()
    if not places[0][0]:
        return None
    values: dict[str, str] = {}
    start = 0
    for part, rest in zip(parts, places[1:], strict=True):
        if isinstance(part, _Text):
            start += len(part.text)
            continue
        end = part.end(uri, start, rest)
        found = part.values(uri[start:end])
        if found is None:
            return None
        values.update(found)
        start = end
    return values
