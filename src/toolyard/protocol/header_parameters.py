"""`x-mcp-header`: which arguments of a tool are mirrored into `Mcp-Param-…` headers, read from its input schema.

2026-07-28 basic/transports/streamable-http, Schema Extension. An annotation that breaks the rules makes the whole tool
one that must not be offered; the schema's other content is never changed and `$ref` never followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from toolyard.kit.errors import PlatformError

ANNOTATION: Final = "x-mcp-header"
PREFIX: Final = "Mcp-Param-"

_TYPES: Final = frozenset({"string", "integer", "boolean"})
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_NEVER: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "proxy-authorization",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Names whose `Mcp-Param-` form invites a careless intermediary to take it for the real header."""

_ONE_SCHEMA: Final = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_SCHEMA_LISTS: Final = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_SCHEMA_MAPS: Final = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties"})


class InvalidToolHeaders(PlatformError):
    """The tool's schema has an `x-mcp-header` annotation that breaks the rules, so the tool cannot be offered."""

    code: ClassVar[str] = "invalid_tool_headers"
    status: ClassVar[int] = 502


@dataclass(frozen=True, slots=True)
class HeaderParameter:
    """One mirrored argument: the header's name, the chain of property names to the value, the declared type."""

    header: str
    path: tuple[str, ...]
    type: str

    def value_in(self, arguments: Any) -> Any:
        """The value in a call's arguments; None if it is absent or null."""
        value = arguments
        for name in self.path:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value


def header_parameters(input_schema: Any) -> tuple[HeaderParameter, ...]:
    """The mirrored arguments of a tool, in the order of its schema. Raises InvalidToolHeaders."""
    found = [_parameter(path, schema) for path, schema in _positions(input_schema) if ANNOTATION in schema]
    names = [parameter.header.lower() for parameter in found]
    if len(set(names)) != len(names):
        raise InvalidToolHeaders("Two properties are mirrored into one header.")
    return tuple(found)


def _parameter(path: tuple[str, ...] | None, schema: dict[str, Any]) -> HeaderParameter:
    name = schema[ANNOTATION]
    if not path:
        raise InvalidToolHeaders("x-mcp-header stands where no chain of `properties` leads.")
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise InvalidToolHeaders("The value of x-mcp-header is not a header name.")
    if name.lower() in _NEVER:
        raise InvalidToolHeaders(f"{name} may not be used as x-mcp-header.")
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise InvalidToolHeaders(f"x-mcp-header {name} is on a property that is not a string, integer or boolean.")
    return HeaderParameter(PREFIX + name, path, kind)


def _positions(root: Any) -> Iterator[tuple[tuple[str, ...] | None, dict[str, Any]]]:
    """Every schema in `root` with its chain of property names; the chain is None once another keyword was passed.
    Places that hold data (`default`, `enum`, …) are not schemas. An own stack: schemas may be nested deeply."""
    stack: list[tuple[tuple[str, ...] | None, Any]] = [((), root)]
    while stack:
        path, schema = stack.pop()
        if not isinstance(schema, dict):
            continue
        yield path, schema
        stack.extend(reversed(list(_inner(path, schema))))


def _inner(path: tuple[str, ...] | None, schema: dict[str, Any]) -> Iterator[tuple[tuple[str, ...] | None, Any]]:
    for keyword, value in schema.items():
        if keyword == "properties" and isinstance(value, dict):
            for name, inner in value.items():
                yield (None if path is None else (*path, name)), inner
        elif keyword in _ONE_SCHEMA and isinstance(value, dict):
            yield None, value
        elif keyword in _SCHEMA_LISTS and isinstance(value, list):
            yield from ((None, inner) for inner in value)
        elif keyword in _SCHEMA_MAPS and isinstance(value, dict):
            yield from ((None, inner) for inner in value.values())
