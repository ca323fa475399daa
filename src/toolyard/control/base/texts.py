"""Texts that people write, without characters that no database keeps or no page can show."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, Field

_LINE_BREAKS = frozenset("\n\r\t")


def _line(text: str) -> str:
    if any(unicodedata.category(one) in ("Cc", "Cs") for one in text):
        raise ValueError("line breaks and other control characters cannot be in it")
    return text


def _prose(text: str) -> str:
    if any(unicodedata.category(one) in ("Cc", "Cs") and one not in _LINE_BREAKS for one in text):
        raise ValueError("control characters cannot be in it")
    return text


Line = Annotated[str, AfterValidator(_line)]
"""A text on one line: names, titles, patterns."""
Prose = Annotated[str, AfterValidator(_prose)]
"""A text of several lines."""


def unset(**more: Any) -> Any:
    """The default of a field of a change that may be left out, and then stays as it is: it has no value of its own. Ask
    `model_fields_set`, or dump with `exclude_unset`."""
    return Field(None, json_schema_extra=lambda schema: _without_default(schema), **more)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)
