"""What a crossing to server-everything should have seen, exactly, and the words for such facts."""

from __future__ import annotations

import base64
import re
from typing import Any

from tests.e2e.expectations import Facts
from tests.peers.environments import environment

DOCS = "node_modules/@modelcontextprotocol/server-everything/dist/docs"
TIME = re.compile(r"\b\d{1,2}:\d{2}:\d{2}( [AP]M)?")  # server-everything tells the time in its resources
LOGS = {  # one of them, at random
    *(f"{level}-level message" for level in ("Debug", "Info", "Notice", "Warning", "Error", "Critical", "Emergency")),
    "Alert level-message",
}
FOREIGN_CURSOR = {
    "failed": "This cursor was not issued for this list, or the list has changed since: begin again without a cursor.",
    "code": -32602,
    "data": {"reason": "cursor_invalid"},
}
ROOTS_ASKED: Facts = {"method": "roots/list", "params": {}}


def said(*content: Any, error: bool = False, **more: Any) -> Facts:
    """What a client sees of a call."""
    return {"content": list(content), "isError": error, **more}


def unknown(kind: str) -> Facts:
    """The gateway's own answer to a name that it does not know."""
    message = f"This server exposes no {kind} of that name."
    return {"failed": message, "code": -32602, "data": {"reason": f"{kind}_unknown"}}


def listed(*names: str) -> Facts:
    """A list of one page."""
    return {"pages": [len(names)], "names": sorted(names)}


def without_time(value: Any) -> Any:
    """The same with every time of day replaced by TIME, also in blobs."""
    if isinstance(value, dict):
        blob = {"blob": base64.b64decode(value["blob"]).decode("latin-1")} if "blob" in value else {}
        return {key: without_time(member) for key, member in {**value, **blob}.items()}
    if isinstance(value, list):
        return [without_time(member) for member in value]
    return TIME.sub("TIME", value) if isinstance(value, str) else value


def user(words: str) -> Facts:
    """What a user says."""
    return {"role": "user", "content": {"type": "text", "text": words}}


def page(url: str, message: str) -> Facts:
    """The question that has the client's user visit a page."""
    return {"method": "elicitation/create", "params": {"mode": "url", "message": message, "url": url}}


def everything(root: str) -> Facts:
    """Of server-everything behind the gateway, seen by a modern client that can be asked for all there is."""
    files = sorted(path.name for path in (environment("servers").folder / DOCS).iterdir())
    features = (environment("servers").folder / DOCS / "features.md").read_text(encoding="utf-8")
    text_7 = {"uri": "demo://resource/dynamic/text/7", "mimeType": "text/plain"}
    text_7["text"] = "Resource 7: This is a plaintext resource created at TIME"
    long = "Long running operation completed. Duration: {} seconds, Steps: {}."
    asked_form = {"mode": "form", "message": "Please provide inputs for the following fields:"}
    return {
        "tools": listed(
            *("echo", "get-annotated-message", "get-env", "get-resource-links", "get-resource-reference"),
            *("get-roots-list", "get-structured-content", "get-sum", "get-tiny-image", "gzip-file-as-resource"),
            *("simulate-research-query", "toggle-simulated-logging", "toggle-subscriber-updates"),
            *("trigger-elicitation-request", "trigger-long-running-operation", "trigger-sampling-request"),
            "trigger-url-elicitation",
        ),
        "prompts": listed("args-prompt", "completable-prompt", "resource-prompt", "simple-prompt"),
        "resourceTemplates": listed(*(f"demo://resource/dynamic/{kind}/{{resourceId}}" for kind in ("blob", "text"))),
        "resources": listed(*(f"demo://resource/static/document/{name}" for name in files)),
        "bad_cursor": FOREIGN_CURSOR,
        "settled": said(
            long.format(2, 1),
            progress=[1],
            asked=[ROOTS_ASKED],
            logs=[{"level": "info", "data": "Roots updated: 1 root(s) received from client"}],
        ),
        "echo": said("Echo: across"),
        "structured": said(
            '{"temperature":36,"conditions":"Light rain / drizzle","humidity":82}',
            structured={"temperature": 36, "conditions": "Light rain / drizzle", "humidity": 82},
        ),
        "links": said(
            "Here are 2 resource links to resources available in this server:",
            *(
                {"type": "resource_link", "mimeType": "text/plain", "uri": f"demo://resource/dynamic/{which}"}
                for which in ("blob/1", "text/2")
            ),
        ),
        "annotated": said("Operation completed successfully"),
        "embedded": said(
            "Returning resource reference for Resource 7:",
            {"type": "resource", "resource": text_7},
            "You can access this resource using the URI: demo://resource/dynamic/text/7",
        ),
        "bad_arguments": said(
            "MCP error -32602: Input validation error: Invalid arguments for tool get-sum: "
            "Invalid input: expected number, received string at a\n"
            "Invalid input: expected number, received undefined at b",
            error=True,
        ),
        "long": said(long.format(0.6, 3), progress=[1, 2, 3]),
        "read": [{"uri": "demo://resource/static/document/features.md", "mimeType": "text/markdown", "text": features}],
        "read_template": [
            {
                "uri": "demo://resource/dynamic/blob/7",
                "mimeType": "text/plain",
                "blob": "Resource 7: This is a base64 blob created at TIME",
            }
        ],
        "read_unknown": {"failed": "MCP error -32602: Resource demo://resource/nowhere not found", "code": -32602},
        "prompt": [user("What's weather in Oslo, Norway?")],
        "prompt_embedded": [
            user("This prompt includes the Text resource with id: 7. Please analyze the following resource:"),
            {"role": "user", "content": {"type": "resource", "resource": text_7}},
        ],
        "prompt_unknown": unknown("prompt"),
        "completion": ["Sales", "Support"],
        "updated": "demo://resource/dynamic/text/5",
        "elicitation": said(
            "✅ User provided the requested information!",
            "User inputs:\n- Name: Ada\n- Agreed to terms: true\n- Favorite Integer: 7",
            '\nRaw result: {\n  "action": "accept",\n  "content": {\n    "name": "Ada",\n    "check": true,\n'
            '    "integer": 7\n  }\n}',
            asked=[{"method": "elicitation/create", "params": asked_form}],  # and the form, see FORM
        ),
        "elicitation_url": said(*_opened(), asked=[page("https://example.com/open", "Please open.")]),
        "elicitation_error": said(
            *_opened(),
            asked=[
                page(
                    "https://modelcontextprotocol.io",
                    "Open this link to satisfy the prerequisite, then retry the request.",
                ),
                page("https://example.com/open", "Please open."),  # the call itself, once the first page is visited
            ],
        ),
        "sampling": said(
            'LLM sampling result: \n{\n  "model": "tour-model",\n  "stopReason": "endTurn",\n  "role": "assistant",\n'
            '  "content": {\n    "type": "text",\n    "text": "Sampled for the tour"\n  }\n}',
            asked=[
                {
                    "method": "sampling/createMessage",
                    "params": {
                        "messages": [user("Resource trigger-sampling-request context: across?")],
                        "systemPrompt": "You are a helpful test server.",
                        "temperature": 0.7,
                        "maxTokens": 20,
                    },
                }
            ],
        ),
        "roots": said(
            f"Current MCP Roots (1 total):\n\n1. tour\n   URI: {root}\n\nNote: This server demonstrates the roots "
            "protocol capability but doesn't actually access files. The roots are provided by the MCP client and can "
            "be used by servers that need file system access."
        ),
        "cancelled": "taken back",
        "unknown_tool": unknown("tool"),
        "ping": True,
        "effects": {
            "called trigger-long-running-operation": 3,
            "cancelled trigger-long-running-operation": 1,
            "called echo": 1,
            "called get-structured-content": 1,
            "called get-resource-links": 1,
            "called get-annotated-message": 1,
            "called get-resource-reference": 1,
            "called get-sum": 1,
            "called toggle-simulated-logging": 2,
            "called toggle-subscriber-updates": 2,
            "called trigger-elicitation-request": 1,
            "called trigger-url-elicitation": 3,  # one of them was refused until a page had been visited
            "called trigger-sampling-request": 1,
            "called get-roots-list": 1,
        },
    }


# the members of server-everything's form, and one of each kind of them whole
FORM = {
    *("name", "check", "firstLine", "email", "homepage", "birthdate", "integer", "number"),
    *("untitledSingleSelectEnum", "untitledMultipleSelectEnum"),
    *("titledSingleSelectEnum", "titledMultipleSelectEnum", "legacyTitledEnum"),
}
FORM_MEMBERS: Facts = {
    "name": {"title": "String", "type": "string", "description": "Your full, legal name"},
    "titledSingleSelectEnum": {
        "type": "string",
        "title": "Titled Single Select Enum",
        "description": "Choose your favorite hero",
        "oneOf": [
            {"const": "hero-1", "title": "Superman"},
            {"const": "hero-2", "title": "Green Lantern"},
            {"const": "hero-3", "title": "Wonder Woman"},
        ],
        "default": "hero-1",
    },
}


def _opened() -> tuple[str, str]:
    return (
        "✅ User completed the URL elicitation flow.\nElicitation ID: page-1\nURL: https://example.com/open",
        '\nRaw result: {\n  "action": "accept"\n}',
    )
