"""Texts that people write, without characters that no database keeps or no page can show."""

from __future__ import annotations

import math
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue

_LINE_BREAKS = frozenset("\n\r\t")
_MOST = 2**63


def _line(text: str) -> str:
    if any(unicodedata.category(one) in ("Cc", "Cs") for one in text):
        raise ValueError("line breaks and other control characters cannot be in it")
    return text


def _prose(text: str) -> str:
    if any(unicodedata.category(one) in ("Cc", "Cs") and one not in _LINE_BREAKS for one in text):
        raise ValueError("control characters cannot be in it")
    return text


def _json(value: Any) -> Any:
    """Raises ValueError for JSON that not every database keeps, or that nobody can read back."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str) and any(letter == "\0" or unicodedata.category(letter) == "Cs" for letter in one):
            raise ValueError("a text in it has characters that are none")
        if isinstance(one, float) and not math.isfinite(one):
            raise ValueError("a number in it is none")
        if isinstance(one, int) and abs(one) > _MOST:
            raise ValueError("a number in it is too large")
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        if isinstance(one, list):
            waiting += one
    return value


Line = Annotated[str, AfterValidator(_line)]
"""A text on one line: names, titles, patterns."""
Prose = Annotated[str, AfterValidator(_prose)]
"""A text of several lines."""
KeptJson = Annotated[JsonValue, AfterValidator(_json)]
"""A JSON value that comes back as it went in."""


def unset(**more: Any) -> Any:
    """The default of a field of a change that may be left out, and then stays as it is: it has no value of its own. Ask
    `model_fields_set`, or dump with `exclude_unset`."""
    return Field(None, json_schema_extra=lambda schema: _without_default(schema), **more)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)
