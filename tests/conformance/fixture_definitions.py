"""What the fixture server offers, as plain data: the names and contents that the conformance suite looks for."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PIXEL_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SILENT_WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="

STATIC_TEXT = "test://static-text"
STATIC_BINARY = "test://static-binary"
WATCHED = "test://watched-resource"
TEMPLATE = "test://template/{id}/data"


def text(value: str) -> Json:
    """One text content block."""
    return {"type": "text", "text": value}


def image() -> Json:
    """One image content block: a PNG of one pixel."""
    return {"type": "image", "data": PIXEL_PNG, "mimeType": "image/png"}


def embedded(uri: str, mime_type: str, value: str) -> Json:
    """One embedded text resource."""
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": value}}


def form(message: str, properties: Json, required: list[str] | None = None) -> Json:
    """The parameters of a form elicitation."""
    schema: Json = {"type": "object", "properties": properties}
    if required is not None:
        schema["required"] = required
    return {"message": message, "requestedSchema": schema}


def elicit(message: str, **properties: Json) -> Json:
    """An elicitation request in which every property must be answered."""
    return {"method": "elicitation/create", "params": form(message, properties, list(properties))}


def sample(prompt: str, max_tokens: int) -> Json:
    """A sampling request of one user message."""
    message = {"role": "user", "content": text(prompt)}
    return {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": max_tokens}}


ROOTS: Json = {"method": "roots/list", "params": {}}
STRING: Json = {"type": "string"}
BOOLEAN: Json = {"type": "boolean"}

DEFAULTS_FORM = form(
    "Please check these details",
    {
        "name": {"type": "string", "description": "User name", "default": "John Doe"},
        "age": {"type": "integer", "description": "User age", "default": 30},
        "score": {"type": "number", "description": "User score", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "description": "Verified or not", "default": True},
    },
    [],
)


def _titled(**titles: str) -> list[Json]:
    return [{"const": value, "title": title} for value, title in titles.items()]


ENUMS_FORM = form(
    "Please choose from each list",
    {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {"type": "string", "oneOf": _titled(value1="First", value2="Second", value3="Third")},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {"type": "array", "items": {"anyOf": _titled(value1="First", value2="Second", value3="Third")}},
    },
    [],
)

FULL_SCHEMA: Json = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": STRING, "city": STRING},
        }
    },
    "properties": {
        "name": STRING,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": STRING,
        "email": STRING,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

REGION_SCHEMA: Json = {
    "type": "object",
    "properties": {"region": {"type": "string", "description": "Also sent as a header", "x-mcp-header": "Region"}},
}

RESOURCES: list[Json] = [
    {"uri": STATIC_TEXT, "name": "static-text", "description": "Unchanging text", "mimeType": "text/plain"},
    {"uri": STATIC_BINARY, "name": "static-binary", "description": "An unchanging picture", "mimeType": "image/png"},
    {"uri": WATCHED, "name": "watched-resource", "description": "Can be subscribed to", "mimeType": "text/plain"},
]
TEMPLATES: list[Json] = [
    {"uriTemplate": TEMPLATE, "name": "template", "description": "Data by id", "mimeType": "application/json"}
]


def prompt(name: str, description: str, *arguments: str) -> Json:
    """A prompt's definition; every argument is required."""
    listed = [{"name": argument, "description": f"The {argument}", "required": True} for argument in arguments]
    return {"name": name, "description": description, "arguments": listed}


PROMPTS: list[Json] = [
    prompt("test_simple_prompt", "Takes nothing"),
    prompt("test_prompt_with_arguments", "Says its arguments", "arg1", "arg2"),
    prompt("test_prompt_with_embedded_resource", "Brings a resource", "resourceUri"),
    prompt("test_prompt_with_image", "Brings a picture"),
    prompt("test_input_required_result_prompt", "Asks for context first"),
]
DYNAMIC_PROMPT = prompt("test_dynamic_prompt", "Comes and goes")
