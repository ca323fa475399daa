"""Content blocks that a client's revision does not know become text that says what they were.

`audio` came with 2025-03-26, `resource_link` and structured content with 2025-06-18 (key changes of those revisions).
A block of a type that no revision defines is left alone: the client may know it from elsewhere.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from toolyard.protocol.revisions import at_least
from toolyard.protocol.strict_json import encode

Json = dict[str, Any]

_SINCE: Final = {"audio": "2025-03-26", "resource_link": "2025-06-18"}


def blocks_for(revision: str, blocks: list[Any]) -> list[Any]:
    """The same blocks for a legacy client, those its revision does not know as text."""
    return [block_for(revision, block) for block in blocks]


def messages_for(revision: str, messages: list[Any]) -> list[Any]:
    """The same prompt messages for a legacy client, content that its revision does not know as text."""
    return [
        {**message, "content": block_for(revision, message["content"])}
        if isinstance(message, dict) and "content" in message
        else message
        for message in messages
    ]


def block_for(revision: str, block: Any) -> Any:
    """One block for a legacy client: itself, or text where the revision does not know its type."""
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str) or kind not in _SINCE or at_least(revision, _SINCE[kind]):
        return block
    text: Json = {"type": "text", "text": _audio_text(block) if kind == "audio" else _link_text(block)}
    for kept in ("annotations", "_meta"):
        if kept in block:
            text[kept] = block[kept]
    return text


def without_structure(result: Json) -> Json:
    """A new `tools/call` result whose structured content is in a text block instead, unless one says it already
    (2025-06-18 server/tools: servers should repeat it as text)."""
    value = result["structuredContent"]
    plain = {name: member for name, member in result.items() if name != "structuredContent"}
    if not any(_says(block, value) for block in plain["content"]):
        plain["content"] = [*plain["content"], {"type": "text", "text": encode(value).decode()}]
    return plain


def _says(block: Any, value: Any) -> bool:
    text = block.get("text") if isinstance(block, dict) else None
    if not isinstance(text, str):
        return False
    try:
        return bool(msgspec.json.decode(text) == value)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return bool(text == value)


def _audio_text(block: Json) -> str:
    data = block.get("data")
    size = len(data.rstrip("=")) * 3 // 4 if isinstance(data, str) else 0
    return (
        f"[audio of type {block.get('mimeType', 'unknown')}, {size} bytes, which this client's protocol cannot carry]"
    )


def _link_text(block: Json) -> str:
    name = block.get("title") or block.get("name") or "resource"
    parts = [f"[link to a resource] {name}: {block.get('uri', '')}"]
    if block.get("mimeType"):
        parts.append(f"({block['mimeType']})")
    if block.get("description"):
        parts.append(f"- {block['description']}")
    return " ".join(str(part) for part in parts)
