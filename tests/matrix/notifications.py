"""Scenes in which the client is told of something, or gives up."""

from __future__ import annotations

from tests.matrix.client import Seen
from tests.matrix.offers import EXTRA, WATCHED
from tests.matrix.scenes import call, entries, outcome
from tests.matrix.world import Scene
from toolyard.protocol.revisions import META_LOG_LEVEL, MODERN


async def progress(scene: Scene) -> str:
    params = {"name": "progress", "arguments": {}}
    seen = await scene.client.do("tools/call", params, meta={"progressToken": "mine"})
    steps = [{"progressToken": "mine", "progress": n, "total": 3, "message": f"step {n}"} for n in (1, 2, 3)]
    assert seen.of("notifications/progress") == steps
    assert seen.text == "done"
    unasked = await scene.client.do("tools/call", params)
    assert unasked.text == "nobody wanted to know"
    return "same"


async def cancellation(scene: Scene) -> str:
    cancel = await scene.client.begin("tools/call", {"name": "slow", "arguments": {}})
    await scene.until("started", "slow")
    await cancel()
    await scene.until("cancelled", "slow")
    return "same"


def _levels(seen: Seen) -> str:
    lines = seen.of("notifications/message")
    assert all(line["logger"] == "matrix" and line["data"] == f"a line of {line['level']}" for line in lines)
    return " ".join(line["level"] for line in lines)


async def log(scene: Scene) -> str:
    client = await scene.another()
    try:
        if scene.pair.revision == MODERN:
            params = {"name": "log", "arguments": {}}
            seen = await client.do("tools/call", params, meta={META_LOG_LEVEL: "info"})
        else:
            assert (await client.do("logging/setLevel", {"level": "info"})).result == {}
            seen = await call(client, "log")
        assert _levels(seen) == "info error"
        return "from the level asked for"
    finally:
        await client.aclose()


async def log_unasked(scene: Scene) -> str:
    client = await scene.another()
    try:
        levels = _levels(await call(client, "log"))
    finally:
        await client.aclose()
    return {"": "none", "debug info error": "all"}.get(levels, levels)


async def set_level(scene: Scene) -> str:
    client = await scene.another()
    try:
        return outcome(await client.do("logging/setLevel", {"level": "error"}))
    finally:
        await client.aclose()


async def subscription(scene: Scene) -> str:
    async with scene.client.watching(uris=(WATCHED,)) as inbox:
        await scene.until("subscribe", WATCHED)
        assert inbox.watched == ([WATCHED] if scene.pair.revision == MODERN else [])
        await call(scene.client, "touch")
        assert (await inbox.wait("notifications/resources/updated"))["uri"] == WATCHED
    await scene.until("unsubscribe", WATCHED)
    return "on a listen stream" if scene.pair.revision == MODERN else "in the session"


async def missing_subscription(scene: Scene) -> str:
    uri = "note://nowhere"
    if scene.pair.revision != MODERN:
        return outcome(await scene.client.do("resources/subscribe", {"uri": uri}))
    async with scene.client.watching(uris=(uri,)) as inbox:
        return "acknowledged" if inbox.watched else "not acknowledged"


async def _list_changed(scene: Scene, kind: str, key: str) -> str:
    """A notification tells to read the list again, no more: one of an earlier scene's change may come first."""
    method = f"{kind}/list"
    before = {entry[key] for entry in (await entries(scene.client, method))[0]}
    async with scene.client.watching(kind) as inbox:
        await call(scene.client, "change", kind=kind)
        after = before
        while after == before:
            await inbox.wait(f"notifications/{kind}/list_changed")
            after = {entry[key] for entry in (await entries(scene.client, method))[0]}
    assert before ^ after == {EXTRA[kind][key]}
    return "on a listen stream" if scene.pair.revision == MODERN else "in the session"


async def tools_changed(scene: Scene) -> str:
    return await _list_changed(scene, "tools", "name")


async def resources_changed(scene: Scene) -> str:
    return await _list_changed(scene, "resources", "uri")


async def prompts_changed(scene: Scene) -> str:
    return await _list_changed(scene, "prompts", "name")
