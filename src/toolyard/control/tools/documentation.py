"""What people read about a tool, made of its definition: Markdown. Pure.

The texts are an upstream's own. They are shown as text: whatever could become markup or a heading of ours is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

MAX_PROPERTIES: Final = 200
MAX_DEPTH: Final = 4
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>#|!])")
_HINTS: Final = {
    "readOnlyHint": "changes nothing",
    "destructiveHint": "may destroy something",
    "idempotentHint": "may be repeated without further effect",
    "openWorldHint": "reaches out into an open world",
}
_BOUNDS: Final = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "format")


def document(kind: str, name: str, description: str, definition: Mapping[str, Any]) -> str:
    """The page of one tool, resource, template or prompt."""
    return "\n".join(_page(kind, name, description, definition)).rstrip() + "\n"


def _page(kind: str, name: str, description: str, definition: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {_text(name)}"
    title = definition.get("title")
    if isinstance(title, str) and title and title != name:
        yield from ("", f"**{_text(title)}**")
    yield from ("", _text(description, lines=True), "")
    if kind == "tool":
        yield from _hints(definition)
        yield from _fields("Arguments", definition.get("inputSchema"))
        yield from _fields("Result", definition.get("outputSchema"))
        yield from _example(name, definition.get("inputSchema"))
    elif kind == "prompt":
        yield from _prompt_arguments(definition.get("arguments"))
    else:
        yield f"- MIME type: {_code(definition.get('mimeType') or 'not said')}"


def _hints(definition: Mapping[str, Any]) -> Iterator[str]:
    annotations = definition.get("annotations")
    said = annotations if isinstance(annotations, Mapping) else {}
    lines = [
        f"- {text}: {'yes' if said[key] else 'no'}" for key, text in _HINTS.items() if isinstance(said.get(key), bool)
    ]
    if lines:
        yield from ("What its upstream says of it, unproved:", "", *lines, "")


def _fields(heading: str, schema: object) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    yield from (f"## {heading}", "")
    rows = list(_rows(schema, "", 0))[:MAX_PROPERTIES]
    if not rows:
        yield from ("None.", "")
        return
    yield from ("| name | type | needed | what it is |", "|---|---|---|---|")
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _rows(schema: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, str, str, str]]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or depth >= MAX_DEPTH:
        return
    required = schema.get("required")
    needed = set(filter(lambda one: isinstance(one, str), required)) if isinstance(required, list) else set()
    for name, about in properties.items():
        one = about if isinstance(about, Mapping) else {}
        yield _code(prefix + name), _code(_type(one)), "yes" if name in needed else "no", _about(one)
        items = one.get("items")
        inner, mark = (items, "[].") if isinstance(items, Mapping) else (one, ".")
        yield from _rows(inner, f"{prefix}{name}{mark}", depth + 1)


def _type(schema: Mapping[str, Any]) -> str:
    said = schema.get("type")
    if isinstance(said, list):
        return " or ".join(map(str, said))
    if said == "array" and isinstance(items := schema.get("items"), Mapping):
        return f"array of {_type(items)}"
    if isinstance(said, str):
        return said
    choices = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(choices, list):
        return " or ".join(dict.fromkeys(_type(one) for one in choices if isinstance(one, Mapping)))
    return "any"


def _about(schema: Mapping[str, Any]) -> str:
    parts = []
    if isinstance(text := schema.get("description"), str):
        parts.append(_text(text))
    if isinstance(values := schema.get("enum"), list):
        parts.append("one of " + ", ".join(_code(_json(one)) for one in values[:50]))
    if "default" in schema:
        parts.append(f"default {_code(_json(schema['default']))}")
    parts += [f"{name} {_code(_json(schema[name]))}" for name in _BOUNDS if name in schema]
    return "; ".join(parts)


def _example(name: str, schema: object) -> Iterator[str]:
    arguments = _sample(schema, 0) if isinstance(schema, Mapping) else {}
    call = {"tool_name": name, "arguments": arguments if isinstance(arguments, dict) else {}}
    text = json.dumps(call, indent=2, ensure_ascii=False, default=str).replace("```", "` ` `")
    yield from ("## Example", "", "`POST /api/v1/tools/call`", "", "```json", text, "```")


def _sample(schema: Mapping[str, Any], depth: int) -> Any:
    """A value that fits, as far as a glance tells; only what is needed."""
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if isinstance(values := schema.get(key), list) and values:
            return values[0]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        properties, needed = schema.get("properties"), schema.get("required")
        if depth >= MAX_DEPTH or not isinstance(properties, Mapping) or not isinstance(needed, list):
            return {}
        return {
            name: _sample(one, depth + 1)
            for name in needed[:MAX_PROPERTIES]
            if isinstance(name, str) and isinstance(one := properties.get(name), Mapping)
        }
    plain: dict[object, Any] = {"string": "…", "integer": 1, "number": 1.0, "boolean": True, "array": [], "null": None}
    return plain.get(kind if isinstance(kind, str) else None, "…")


def _prompt_arguments(arguments: object) -> Iterator[str]:
    found = [one for one in arguments if isinstance(one, Mapping)] if isinstance(arguments, list) else []
    yield from ("## Arguments", "")
    if not found:
        yield "None."
        return
    yield from ("| name | needed | what it is |", "|---|---|---|")
    for one in found[:MAX_PROPERTIES]:
        text = one.get("description")
        needed = "yes" if one.get("required") is True else "no"
        yield f"| {_code(str(one.get('name', '')))} | {needed} | {_text(text) if isinstance(text, str) else ''} |"


def _text(text: str, *, lines: bool = False) -> str:
    escaped = _MARKUP.sub(r"\\\1", text)
    return escaped.strip() if lines else " ".join(escaped.split())


def _code(text: object) -> str:
    return "`" + " ".join(str(text).replace("`", "'").replace("|", "\\|").split()) + "`"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:200]
