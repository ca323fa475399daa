"""What a crossing to the workshop should have seen, exactly, on each SDK."""

from __future__ import annotations

from typing import Any

from tests.e2e import workshop
from tests.e2e.crossing_facts import FOREIGN_CURSOR, ROOTS_ASKED, listed, page, said, unknown, user
from tests.e2e.expectations import Facts

PRETTY = '{\n  "item": "saw",\n  "grams": 300\n}'
WEIGHED = {"mcp1": PRETTY, "mcp2": PRETTY, "fastmcp": '{"item":"saw","grams":300}'}
FAILED = {
    "mcp1": "Error executing tool fail: The workshop is closed.",
    "mcp2": "Error executing tool fail",
    "fastmcp": "Error calling tool 'fail': The workshop is closed.",
}


def the_workshop(sdk: str, who: str, root: str, *, legacy: bool) -> Facts:
    """Of the workshop on that SDK, seen by a client that can be asked for all there is."""
    parts = [f"workshop://part/{number}" for number in range(1, workshop.STOCK + 1)]
    resources = sorted([workshop.NOTE, "workshop://stamp", *parts])
    shelf = {"uri": "workshop://shelf/4", "mimeType": "text/plain", "text": "Shelf 4 is empty."}
    note = {"uri": workshop.NOTE, "mimeType": "text/plain", "text": "Glue dries overnight."}
    stamp = {"uri": "workshop://stamp", "mimeType": "image/png", "blob": "\x89PNG stamp"}
    names = ("compose", "echo", "extend", "fail", "look", "order", "sign", "stall", "survey", "weigh", "work")
    logs: list[Any] = [f"did step {step}" for step in range(1, workshop.STEPS + 1)]
    if sdk == "fastmcp":
        logs = [{"msg": line, "extra": None} for line in logs]
    changed = ["prompts", "resources", "tools", workshop.NOTE]
    more = {"tools": ["extra"], "prompts": ["extra"], "resources": ["workshop://extra"]}
    extended = {"extended True": 1, "extended False": 1}
    watching: Facts = {"changes": {"heard": changed, "more": more, "heard_again": changed, "as_before": True}}
    if sdk == "fastmcp":  # it serves no subscriptions
        watching = extended = {}
    weighed = {"item": "saw", "grams": 300}
    return {
        "tools": listed(*names),
        "prompts": listed("greeting", "interview"),
        "resourceTemplates": listed("workshop://chest/{who}", "workshop://shelf/{number}"),
        "resources": {"pages": [1000, len(resources) - 1000], "names": resources},
        "bad_cursor": FOREIGN_CURSOR,
        "echo": said("Echo: across", structured={"result": "Echo: across"}),
        "weigh": said(WEIGHED[sdk], structured=weighed),
        "fail": said(FAILED[sdk], error=True),
        "work": said(
            "worked",
            structured={"result": "worked"},
            progress=[1, 2, 3],
            logs=[{"level": "info", "data": line} for line in logs],
        ),
        "read": [note],
        "read_blob": [stamp],
        "read_template": [shelf],
        "read_unknown": _unknown_resource(sdk, legacy=legacy),
        "prompt": [user("Greet Ada kindly.")],
        "prompt_unknown": unknown("prompt"),
        "completion": ["Ada", "Adele"],
        **watching,
        "order": said(
            "3 chairs: accept True",
            asked=[
                workshop.form("How many chairs?", count={"type": "integer"}),
                workshop.form("Really 3 chairs?", sure={"type": "boolean"}),
            ],
        ),
        "sign": said("signing: accept", asked=[page(f"https://example.com/sign/{who}", "Please sign.")]),
        "compose": said("tour-model: Sampled for the tour", asked=_composed(who)),
        "look": said(root, asked=[ROOTS_ASKED]),
        "survey": said(
            "Ada, Sampled for the tour, 1 folder",
            asked=[
                workshop.form("Who are you?", name={"type": "string"}),
                ROOTS_ASKED,
                {"method": "sampling/createMessage", "params": {"messages": [user("Which wood?")], "maxTokens": 5}},
            ],
        ),
        "interview": {
            "result": [user("Greet Ada kindly.")],
            "asked": [workshop.form("Whom shall I greet?", name={"type": "string"})],
        },
        "chest": {
            "result": [{"uri": f"workshop://chest/{who}", "mimeType": "text/plain", "text": "open: True"}],
            "asked": [workshop.form("Open the chest?", sure={"type": "boolean"})],
        },
        "cancelled": "taken back",
        "unknown_tool": unknown("tool"),
        "ping": True,
        "effects": {
            "interviewed": 1,
            "opened": 1,
            "worked": 1,
            "ordered 3": 1,
            "signed": 1,
            "composed": 1,
            "looked": 1,
            "surveyed": 1,
            "stalled": 1,
            "was cancelled": 1,
            **extended,
        },
    }


def _unknown_resource(sdk: str, *, legacy: bool) -> Facts:
    if sdk == "mcp1":
        return {"failed": "Unknown resource: workshop://nowhere", "code": 0}  # all that this SDK says
    words = {"mcp2": "Unknown resource: workshop://nowhere", "fastmcp": "Resource not found: 'workshop://nowhere'"}
    code = -32002 if legacy else -32602
    return {"failed": words[sdk], "code": code, "data": {"uri": "workshop://nowhere"}}


def _composed(who: str) -> list[Facts]:
    question = user(f"How long is the table of {who}?")
    use = {"type": "tool_use", "id": "use-1", "name": "measure", "input": {"what": "table"}}
    result = {"type": "tool_result", "toolUseId": "use-1", "content": [workshop.text("180 cm")]}
    rest = ({"role": "assistant", "content": use}, {"role": "user", "content": result})
    return [workshop.sampling(question), workshop.sampling(question, *rest)]
