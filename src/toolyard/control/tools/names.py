"""How tools are kept: keys, labels, and tags as one text. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from toolyard.control.tools.model import LABEL_CHARS

Kind = Literal["tool", "resource", "template", "prompt"]
NAMED_BY: Final[Mapping[Kind, str]] = {"tool": "name", "resource": "uri", "template": "uriTemplate", "prompt": "name"}
LISTED_IN: Final[Mapping[Kind, str]] = {
    "tool": "tools",
    "resource": "resources",
    "template": "resource_templates",
    "prompt": "prompts",
}
_TITLE_CHARS: Final = 500


def key_of(kind: str, name: str) -> str:
    """What stands for a name of any length."""
    return hashlib.sha256(f"{kind}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()


def label_of(name: str) -> str:
    """What a tool is ordered by."""
    return name[:LABEL_CHARS]


def title_of(definition: Mapping[str, Any]) -> str:
    """What people call it, as far as its upstream says."""
    annotations = definition.get("annotations")
    hint = annotations.get("title") if isinstance(annotations, Mapping) else None
    title = next((one for one in (definition.get("title"), hint) if isinstance(one, str)), "")
    return title[:_TITLE_CHARS]


def description_of(definition: Mapping[str, Any]) -> str:
    """What its upstream says of it."""
    text = definition.get("description")
    return text if isinstance(text, str) else ""


def tags_text(tags: Iterable[str]) -> str:
    """Tags as they are kept: `,one,two,`, or nothing. No tag has a comma in it."""
    found = sorted(set(tags))
    return f",{','.join(found)}," if found else ""


def tags_in(text: str) -> list[str]:
    """The tags that are kept so."""
    return [one for one in text.split(",") if one]


def storable(value: Any) -> Any:
    """A JSON value without what not every database keeps: NUL characters and halves of characters."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(storable(name)): storable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value]
    return value
