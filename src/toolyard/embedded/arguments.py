"""Arguments looked at before a tool is called: what is certainly wrong is told at once.

Only what every reader of JSON Schema agrees on is judged (members that are required, plain types of members); the rest
is the tool's own to judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from toolyard.contract.definitions import Json

_FITS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "number": lambda value: _is_number(value),
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, Mapping),
    "null": lambda value: value is None,
}


def fault_in_arguments(arguments: Mapping[str, object], schema: Json) -> str | None:
    """What is wrong with the arguments of a tool, or None."""
    required = schema.get("required")
    missing = [name for name in required if name not in arguments] if isinstance(required, list) else []
    if missing:
        return f"'{missing[0]}' is missing"
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return None
    for name, value in arguments.items():
        wanted = _types(properties.get(name))
        if wanted and not any(_FITS[one](value) for one in wanted):
            return f"'{name}' must be of type {' or '.join(wanted)}"
    if schema.get("additionalProperties") is False and "patternProperties" not in schema:
        unknown = [name for name in arguments if name not in properties]
        if unknown:
            return f"there is no '{unknown[0]}'; there are: {', '.join(properties) or 'none'}"
    return None


def _types(schema: object) -> list[str]:
    """The types that a value may have; none where that is not plain."""
    said = schema.get("type") if isinstance(schema, Mapping) else None
    types = said if isinstance(said, list) else [said]
    known = [one for one in types if isinstance(one, str) and one in _FITS]
    return known if len(known) == len(types) else []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
