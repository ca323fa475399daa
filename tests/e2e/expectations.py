"""What the facts of a tour should be, and how they are compared."""

from __future__ import annotations

from typing import Any

Facts = dict[str, Any]
MAX_TOLD = 2000

EVERYTHING: dict[str, Any] = {
    "everything.text": "Echo: hello tour",
    "everything.isError": False,
    "structured.structured": {"temperature": 33, "conditions": "Cloudy", "humidity": 82},
    "image.types": ["text", "image", "text"],
    "links.links": ["demo://resource/dynamic/blob/1", "demo://resource/dynamic/text/2"],
    "bad_arguments.isError": True,
    "progress.seen": {1, 2},  # some clients drop what comes together with the result
    "progress.text": "completed",
    "resources": {"demo://resource/static/document/features.md"},
    "templates": {"demo://resource/dynamic/text/{resourceId}", "demo://resource/dynamic/blob/{resourceId}"},
    "completion.completion": {"values": ["Engineering"], "total": 1, "hasMore": False},
    "read.contents.0.text": "Resource 7: ",
    "read_unknown.code": (-32602, -32002),
    "prompt.messages.0.content.text": "Oslo",
    "unknown_tool.code": -32602,
    "ping": True,
}
ASKED: dict[str, Any] = {
    "elicitation.isError": False,
    "elicitation.text": "- Name: Ada",
    "sampling.isError": False,
    "sampling.text": "Sampled for the tour",
}


def mismatches(facts: Facts, expected: Facts) -> str:
    """What is not exactly as expected, fact by fact, and facts that nobody expected or that are missing."""
    wrong = [name for name in {**expected, **facts} if name not in facts or facts[name] != expected.get(name)]
    told = [f"{name}:\n  was      {_short(facts, name)}\n  expected {_short(expected, name)}" for name in wrong]
    return "\n".join(told)


def _short(facts: Facts, name: str) -> str:
    return repr(facts[name])[:MAX_TOLD] if name in facts else "nothing"


def differences(facts: Facts, expected: dict[str, Any]) -> str:
    """What is not as expected, each on a line. A set expects that all of it is among the found, a tuple one of it, a
    text that it is contained; everything else must be equal."""
    found = []
    for path, wish in expected.items():
        value = _at(facts, path)
        if not _fits(value, wish):
            found.append(f"{path}: {value!r} is not {wish!r} (fact: {facts.get(path.split('.')[0])!r})")
    return "\n".join(found)


def _at(facts: Facts, path: str) -> Any:
    value: Any = facts
    for step in path.split("."):
        if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _fits(value: Any, wish: Any) -> bool:
    if isinstance(wish, set):
        return isinstance(value, list) and wish <= set(value)
    if isinstance(wish, tuple):
        return value in wish
    if isinstance(wish, str):
        return isinstance(value, str) and wish in value
    return bool(value == wish)
