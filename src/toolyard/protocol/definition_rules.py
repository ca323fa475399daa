"""Definitions of tools, prompts and resources as each revision knows them.

Small members that an older client just ignores (title, annotations, vendors' own) stay. What goes is what would be
invalid there, promise something that revision cannot keep, or weigh without use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from toolyard.protocol.revisions import MODERN, at_least

Json = dict[str, Any]

LISTED: Final = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
"""The member that holds the definitions in the result of each list method."""


def definition_for(revision: str, method: str, definition: Any) -> Any:
    """One entry of the list that `method` answers with, as a client of `revision` may see it."""
    if not isinstance(definition, dict):
        return definition
    rules = _TOOL_RULES if method == "tools/list" else _OTHER_RULES
    for rule in rules:
        definition = rule(revision, definition)
    return definition


def implementation_for(revision: str, info: Json) -> Json:
    """`serverInfo` or `clientInfo` as a peer of `revision` may see it."""
    return icons_rule(revision, info)


def icons_rule(revision: str, definition: Json) -> Json:
    """Icons came with 2025-11-25 and may be long data URIs."""
    return definition if at_least(revision, "2025-11-25") else _without(definition, "icons")


def execution_rule(revision: str, tool: Json) -> Json:
    """`execution` speaks of the core tasks of 2025-11-25, which no other revision has."""
    return tool if revision == "2025-11-25" else _without(tool, "execution")


def output_schema_rule(revision: str, tool: Json) -> Json:
    """Before 2025-06-18 there is no structured content; before 2026-07-28 it is an object, and so says its schema."""
    if revision == MODERN or "outputSchema" not in tool:
        return tool
    schema = tool["outputSchema"]
    describes_object = isinstance(schema, dict) and schema.get("type") == "object"
    if describes_object and at_least(revision, "2025-06-18"):
        return {**tool, "outputSchema": _plain_properties(schema)}
    return _without(tool, "outputSchema")


def input_schema_rule(revision: str, tool: Json) -> Json:
    """Before 2026-07-28 the schema of a property is an object, not `true` or `false`."""
    schema = tool.get("inputSchema")
    if revision == MODERN or not isinstance(schema, dict):
        return tool
    plain = _plain_properties(schema)
    return tool if plain is schema else {**tool, "inputSchema": plain}


_Rule = Callable[[str, Json], Json]
_TOOL_RULES: Final[tuple[_Rule, ...]] = (icons_rule, execution_rule, output_schema_rule, input_schema_rule)
_OTHER_RULES: Final[tuple[_Rule, ...]] = (icons_rule,)


def _plain_properties(schema: Json) -> Json:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not any(isinstance(inner, bool) for inner in properties.values()):
        return schema
    plain = {name: _plain_schema(inner) for name, inner in properties.items()}
    return {**schema, "properties": plain}


def _plain_schema(schema: Any) -> Any:
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    return schema


def _without(definition: Json, member: str) -> Json:
    if member not in definition:
        return definition
    return {name: value for name, value in definition.items() if name != member}
