"""Whether arguments fit a tool's schema. Schemas are strangers': nothing they refer to is fetched, and a pattern that
would take for ever is given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import jsonschema_rs

from toolyard.control.base.errors import Invalid
from toolyard.control.base.problems import FieldProblem

MAX_PROBLEMS: Final = 50
_PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)


class SchemaUnusable(Invalid):
    """The tool's own schema is not one that arguments can be checked against."""

    code = "schema_unusable"


def misfits(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[FieldProblem]:
    """What is wrong with arguments. Without a `$schema` it is one of 2020-12, as the MCP specification says. Raises
    SchemaUnusable."""
    try:
        validator = jsonschema_rs.validator_for(
            dict(schema), retriever=_fetch_nothing, pattern_options=_PATTERNS, mask="the value"
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
        raise SchemaUnusable from None
    found: list[FieldProblem] = []
    for one in validator.iter_errors(dict(arguments)):
        at = ".".join(["arguments", *(str(part) for part in one.instance_path)])
        found.append(FieldProblem(at=at, message=one.message))
        if len(found) == MAX_PROBLEMS:
            break
    return found


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError("schemas elsewhere are not fetched")
