"""What is done for each kind of message. A scene checks the details and returns, in a few words, what became of it."""

from __future__ import annotations

import json
from typing import Any

from tests.matrix.client import Answers, Client, Seen
from tests.matrix.deeds import MEDIA
from tests.matrix.offers import EXTRA, INSTRUCTIONS, PROMPTS, RESOURCES, TEMPLATES, Json, tools_of
from tests.matrix.world import Scene
from toolyard.protocol.revisions import MODERN

ACCEPTED: Json = {"action": "accept", "content": {"name": "Ada"}}
SAMPLED: Json = {"role": "assistant", "content": {"type": "text", "text": "hello"}, "model": "tiny"}
MEMBERS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
ANSWERS: Answers = {
    "elicitation/create": ACCEPTED,
    "sampling/createMessage": SAMPLED,
    "roots/list": {"roots": [{"uri": "file:///work"}, {"uri": "file:///play"}]},
}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def call(client: Client, tool: str, answers: Answers = ANSWERS, **arguments: Any) -> Seen:
    return await client.do("tools/call", {"name": tool, "arguments": arguments}, answers=answers)


def outcome(seen: Seen) -> str:
    """What a request came to that may be refused in several ways."""
    if "error" in seen.reply:
        return f"error {seen.code}"
    return "tool error" if seen.result.get("isError") else seen.how or "answered"


# Beginning


async def begin(scene: Scene) -> str:
    modern = scene.pair.revision == MODERN
    hello = (await scene.client.do("server/discover")).result if modern else scene.client.hello
    assert hello["instructions"] == INSTRUCTIONS
    offered = hello["capabilities"]
    assert offered["tools"] == offered["prompts"] == {"listChanged": True}
    assert offered["resources"] == {"listChanged": True, "subscribe": True}
    assert {"completions", "logging"} <= offered.keys()
    return "server/discover" if modern else "initialize"


async def ping(scene: Scene) -> str:
    return outcome(await scene.client.do("ping"))


async def ping_back(scene: Scene) -> str:
    assert (await call(scene.client, "ping_client")).text == "{}"
    return "answered by the gateway"


async def unknown_method(scene: Scene) -> str:
    return outcome(await scene.client.do("tools/burn"))


async def declared(scene: Scene) -> str:
    seen = json.loads((await call(scene.client, "whoami")).text)["capabilities"]
    seen.pop("extensions", None)
    return "the caller's" if seen == scene.client.capabilities else json.dumps(seen)


async def trace(scene: Scene) -> str:
    params = {"name": "whoami", "arguments": {}}
    seen = await scene.client.do("tools/call", params, meta={"traceparent": TRACE})
    assert json.loads(seen.text)["traceparent"] == TRACE
    return "same"


# Lists


async def entries(client: Client, method: str) -> tuple[list[Json], int]:
    """All entries of a list, and on how many pages they came."""
    found: list[Json] = []
    cursor, pages = None, 0
    while True:
        result = (await client.do(method, {} if cursor is None else {"cursor": cursor})).result
        found += result[MEMBERS[method]]
        cursor, pages = result.get("nextCursor"), pages + 1
        if cursor is None:
            return found, pages


async def _list(scene: Scene, method: str, offered: list[Json], key: str) -> str:
    found, pages = await entries(scene.client, method)
    assert pages > 1
    by_key = {entry[key]: entry for entry in found}
    assert len(by_key) == len(found)
    extra = EXTRA.get(MEMBERS[method], {}).get(key)
    assert by_key.keys() - {extra} == {entry[key] for entry in offered}
    changed = [e[key] for e in offered if by_key[e[key]] != e and "outputSchema" not in e]
    assert changed == []
    return "all, in pages"


async def list_tools(scene: Scene) -> str:
    return await _list(scene, "tools/list", tools_of(scene.pair.era), "name")


async def list_resources(scene: Scene) -> str:
    return await _list(scene, "resources/list", RESOURCES, "uri")


async def list_templates(scene: Scene) -> str:
    return await _list(scene, "resources/templates/list", TEMPLATES, "uriTemplate")


async def list_prompts(scene: Scene) -> str:
    return await _list(scene, "prompts/list", PROMPTS, "name")


async def bad_cursor(scene: Scene) -> str:
    return outcome(await scene.client.do("tools/list", {"cursor": "nonsense"}))


# Tools


async def tool(scene: Scene) -> str:
    seen = await call(scene.client, "echo", text="hello", more=[1, {"deep": None}])
    assert seen.result["content"] == [{"type": "text", "text": "hello"}]
    assert seen.result["x-own"] == {"text": "hello", "more": [1, {"deep": None}]}
    assert ("resultType" in seen.result) == (scene.pair.revision == MODERN)
    assert scene.noted("executed", "echo") == 1
    return "same"


async def content(scene: Scene) -> str:
    blocks = (await call(scene.client, "media")).result["content"]
    if blocks == MEDIA:
        return "same"
    assert blocks[:3] == MEDIA[:3]
    assert blocks[4]["type"] == "text"
    assert "note://1" in blocks[4]["text"]
    if blocks[3] == MEDIA[3]:
        return "links → text"
    assert blocks[3]["type"] == "text"
    assert "audio" in blocks[3]["text"]
    return "audio, links → text"


async def _structure(scene: Scene, tool_name: str, value: Any) -> str:
    result = (await call(scene.client, tool_name)).result
    listed = {entry["name"]: entry for entry in (await entries(scene.client, "tools/list"))[0]}
    if "structuredContent" in result:
        assert result["structuredContent"] == value
        assert "outputSchema" in listed[tool_name]
        return "same"
    assert "outputSchema" not in listed[tool_name]
    assert json.loads(result["content"][-1]["text"]) == value
    return "→ text"


async def structured(scene: Scene) -> str:
    return await _structure(scene, "weigh", {"kg": 7})


async def structured_list(scene: Scene) -> str:
    return await _structure(scene, "count", [1, 2, 3])


async def tool_error(scene: Scene) -> str:
    seen = await call(scene.client, "fail")
    assert seen.text == "it did not work"
    return outcome(seen)


async def unknown_tool(scene: Scene) -> str:
    return outcome(await call(scene.client, "nonsense"))


async def upstream_error(scene: Scene) -> str:
    seen = await call(scene.client, "fault")
    assert seen.reply["error"] == {"code": 4711, "message": "out of paper", "data": {"tray": 2}}
    return "same"


# Resources, prompts, completion


async def read(scene: Scene) -> str:
    for uri in ("note://3", "page1://any/thing"):
        (contents,) = (await scene.client.do("resources/read", {"uri": uri})).result["contents"]
        assert contents == {"uri": uri, "mimeType": "text/plain", "text": f"text of {uri}"}
    return "same"


async def missing_resource(scene: Scene) -> str:
    seen = await scene.client.do("resources/read", {"uri": "note://nowhere"})
    assert seen.reply["error"]["data"]["uri"] == "note://nowhere"
    return outcome(seen)


async def prompt(scene: Scene) -> str:
    seen = await scene.client.do("prompts/get", {"name": "prompt_1", "arguments": {"name": "Bo"}})
    assert seen.result["messages"] == [{"role": "user", "content": {"type": "text", "text": "Greet Bo"}}]
    return "same"


async def unknown_prompt(scene: Scene) -> str:
    return outcome(await scene.client.do("prompts/get", {"name": "nonsense"}))


async def completion(scene: Scene) -> str:
    refs: list[Json] = [{"type": "ref/prompt", "name": "prompt_1"}, {"type": "ref/resource", "uri": "page1://{name}"}]
    for ref in refs:
        params = {"ref": ref, "argument": {"name": "name", "value": "an"}}
        found = (await scene.client.do("completion/complete", params)).result["completion"]
        assert found["values"] == ["anna", "anton", ref.get("name") or ref["uri"]]
        assert found["hasMore"] is False
    return "same"
