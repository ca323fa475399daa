"""Scenes in which an upstream asks something of the client."""

from __future__ import annotations

from collections.abc import Mapping

from tests.matrix.client import Seen
from tests.matrix.deeds import FORM, SAMPLE, SAMPLE_WITH_TOOLS, URL
from tests.matrix.offers import Json
from tests.matrix.scenes import ACCEPTED, ANSWERS, call, outcome
from tests.matrix.world import Scene
from toolyard.protocol.revisions import MODERN


def _is_question(asked: Json, question: Json, *, legacy: bool) -> None:
    """A question arrived as it was asked; only the id of a URL elicitation belongs to the older revision."""
    params = dict(asked.get("params") or {})
    if question.get("params", {}).get("mode") == "url":
        assert ("elicitationId" in params) == legacy
        params.pop("elicitationId", None)
    params.pop("_meta", None)
    assert asked["method"] == question["method"]
    assert params == question.get("params", {})


async def _asked(scene: Scene, seen: Seen, tool_name: str, question: Json, words: str) -> str:
    if not seen.asked:
        assert scene.noted("executed", tool_name) == 0
        return outcome(seen)
    assert len(seen.asked) == 1
    _is_question(seen.asked[0], question, legacy=scene.pair.revision != MODERN)
    assert seen.text == words
    assert scene.noted("executed", tool_name) == 1
    return seen.how


async def form(scene: Scene) -> str:
    return await _asked(scene, await call(scene.client, "ask_form"), "ask_form", FORM, "accept Ada")


async def url(scene: Scene) -> str:
    seen = await call(scene.client, "ask_url", {"elicitation/create": {"action": "accept"}})
    return await _asked(scene, seen, "ask_url", URL, "accept")


async def url_complete(scene: Scene) -> str:
    seen = await call(scene.client, "ask_url", {"elicitation/create": {"action": "accept"}})
    if not seen.asked:
        return outcome(seen)
    completed = seen.of("notifications/elicitation/complete")
    if completed:
        assert completed == [{"elicitationId": seen.asked[0]["params"]["elicitationId"]}]
    return "same" if completed else "dropped"


async def url_required(scene: Scene) -> str:
    seen = await call(scene.client, "needs_url", {"elicitation/create": {"action": "accept"}})
    if seen.asked:
        return f"→ {await _asked(scene, seen, 'needs_url', URL, 'signed in')}"
    assert seen.reply["error"]["data"]["elicitations"][0]["url"] == URL["params"]["url"]
    assert (await call(scene.client, "needs_url")).text == "signed in"
    return outcome(seen)


async def sampling(scene: Scene) -> str:
    return await _asked(scene, await call(scene.client, "ask_sampling"), "ask_sampling", SAMPLE, "tiny: hello")


async def sampling_with_tools(scene: Scene) -> str:
    name = "ask_sampling_with_tools"
    return await _asked(scene, await call(scene.client, name), name, SAMPLE_WITH_TOOLS, "tiny: hello")


async def roots(scene: Scene) -> str:
    seen = await call(scene.client, "ask_roots")
    return await _asked(scene, seen, "ask_roots", {"method": "roots/list"}, "file:///work file:///play")


async def roots_changed(scene: Scene) -> str:
    await call(scene.client, "ask_roots")
    await scene.client.notify("notifications/roots/list_changed")
    if scene.pair.era == "legacy":
        await scene.until("roots changed", None)
        return "same"
    await call(scene.client, "ask_roots")
    assert scene.noted("roots changed", None) == 0
    return "dropped"


async def prompt_asks(scene: Scene) -> str:
    seen = await scene.client.do("prompts/get", {"name": "ask"}, answers=ANSWERS)
    if seen.asked:
        assert seen.result["messages"][0]["content"]["text"] == "Greet Ada"
    return outcome(seen)


async def resource_asks(scene: Scene) -> str:
    seen = await scene.client.do("resources/read", {"uri": "ask://name"}, answers=ANSWERS)
    if seen.asked:
        assert seen.result["contents"][0]["text"] == "Ada"
    return outcome(seen)


async def three_at_once(scene: Scene) -> str:
    seen = await call(scene.client, "ask_three")
    if "elicitation" not in scene.client.capabilities:
        assert not seen.asked
        return outcome(seen)
    assert sorted(q["method"] for q in seen.asked) == ["elicitation/create", "roots/list", "sampling/createMessage"]
    assert seen.text == "Ada tiny 2"
    assert scene.noted("executed", "ask_three") == 1
    return f"3 in {len(seen.keys)} {seen.how}" if seen.keys else f"3 {seen.how}"


async def two_rounds(scene: Scene) -> str:
    seen = await call(scene.client, "ask_twice")
    if not seen.asked:
        return outcome(seen)
    assert len(seen.asked) == 2
    assert seen.text == "Ada Ada"
    assert scene.noted("executed", "ask_twice") == 1
    return f"2 {seen.how}"


async def ahead(scene: Scene) -> str:
    key = "who" if scene.pair.era == "modern" else "elicitation-1"
    params = {"name": "ask_form", "arguments": {}, "inputResponses": {key: ACCEPTED}}
    seen = await scene.client.do("tools/call", params)
    assert seen.asked == []
    assert seen.text == "accept Ada"
    assert scene.noted("executed", "ask_form") == 1
    return "used"


async def declined(scene: Scene) -> str:
    seen = await call(scene.client, "ask_form", {"elicitation/create": {"action": "decline"}})
    if not seen.asked:
        return outcome(seen)
    assert seen.text == "decline None"
    return "same"


async def refused(scene: Scene) -> str:
    no: Mapping[str, Json] = {"sampling/createMessage": {"code": -1, "message": "User rejected sampling request"}}
    seen = await call(scene.client, "ask_sampling", no)
    assert len(seen.asked) == 1
    assert scene.noted("executed", "ask_sampling") == 0
    if "error" in seen.reply:
        assert seen.reply["error"]["message"] == "User rejected sampling request"
    else:
        assert seen.text == "refused with -1"
    return outcome(seen)


async def undeclared(scene: Scene) -> str:
    client = await scene.another({})
    try:
        seen = await call(client, "ask_form")
        assert seen.asked == []
        assert scene.noted("executed", "ask_form") == 0
        return outcome(seen)
    finally:
        await client.aclose()


async def undeclared_rudely(scene: Scene) -> str:
    return await _rudely(scene, {}, "ask_rudely")


async def tools_undeclared_rudely(scene: Scene) -> str:
    return await _rudely(scene, {"sampling": {}}, "ask_for_tools_rudely")


async def _rudely(scene: Scene, capabilities: Json, name: str) -> str:
    client = await scene.another(capabilities)
    try:
        seen = await call(client, name)
        assert seen.asked == []
        assert scene.noted("executed", name) == 0
        return outcome(seen)
    finally:
        await client.aclose()
