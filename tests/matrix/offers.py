"""What the upstream of the matrix offers: tools, resources, templates, prompts, in pages."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PAGE_SIZE = 8
INSTRUCTIONS = "Ask for anything."
WATCHED = "note://watched"
CAPABILITIES: Json = {
    "tools": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "prompts": {"listChanged": True},
    "completions": {},
    "logging": {},
}
TASKS = "io.modelcontextprotocol/tasks"
MADE_TASKS = ("report", "slow")
"""The tools whose calls the gateway is told to make tasks of, for clients that know tasks."""
_ANY: Json = {"type": "object", "additionalProperties": True}
_WEIGHT: Json = {"type": "object", "properties": {"kg": {"type": "number"}}, "required": ["kg"]}

TOOLS = (
    "echo",
    "media",
    "fail",
    "fault",
    "whoami",
    "progress",
    "log",
    "slow",
    "change",
    "touch",
    "ask_form",
    "ask_url",
    "ask_sampling",
    "ask_sampling_with_tools",
    "ask_roots",
    "ask_three",
    "ask_twice",
    "ask_rudely",
    "ask_for_tools_rudely",
    "report",
)
LEGACY_TOOLS = ("ping_client", "needs_url")
"""What only a server of an older revision can do."""
MODERN_TOOLS = ("long",)

RESOURCES: list[Json] = [
    {"uri": f"note://{number}", "name": f"note {number}", "mimeType": "text/plain"} for number in range(10)
] + [{"uri": WATCHED, "name": "watched"}, {"uri": "ask://name", "name": "asks first"}]
TEMPLATES: list[Json] = [{"uriTemplate": f"page{number}://{{name}}", "name": f"page {number}"} for number in range(9)]
PROMPTS: list[Json] = [
    {"name": f"prompt_{number}", "arguments": [{"name": "name", "required": True}]} for number in range(9)
] + [{"name": "ask"}]
EXTRA: dict[str, Json] = {
    "tools": {"name": "extra", "inputSchema": _ANY},
    "resources": {"uri": "note://extra", "name": "extra"},
    "prompts": {"name": "extra"},
}


def tools_of(era: str) -> list[Json]:
    """The tools of a server of `era`."""
    names = TOOLS + (MODERN_TOOLS if era == "modern" else LEGACY_TOOLS)
    tools: list[Json] = [{"name": name, "description": f"Does {name}", "inputSchema": _ANY} for name in names]
    tools.append({"name": "weigh", "inputSchema": _ANY, "outputSchema": _WEIGHT, "annotations": {"readOnlyHint": True}})
    if era == "modern":
        tools.append({"name": "count", "inputSchema": _ANY, "outputSchema": {"type": "array"}})
    return tools


def page_of(member: str, entries: list[Json], cursor: str | None, size: int) -> Json:
    """The page of `entries` that begins at `cursor`."""
    start = int(cursor or 0)
    page: Json = {member: entries[start : start + size]}
    if start + size < len(entries):
        page["nextCursor"] = str(start + size)
    return page
