"""Scenes of calls that become tasks (the extension `io.modelcontextprotocol/tasks`)."""

from __future__ import annotations

import asyncio

from tests.gateway.rig import LIMIT_S
from tests.matrix.client import Client
from tests.matrix.offers import TASKS, Json
from tests.matrix.scenes import ANSWERS, call, outcome
from tests.matrix.world import Scene
from toolyard.protocol.revisions import MODERN

POLL_S = 0.01
ROOTS = "file:///work file:///play"


async def _poll(client: Client, task_id: str, *statuses: str) -> Json:
    """The task once it has one of these statuses."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            task = (await client.do("tasks/get", {"taskId": task_id})).result
            if task["status"] in statuses:
                return task
            await asyncio.sleep(POLL_S)


async def _with_tasks(scene: Scene) -> Client:
    return await scene.another({**scene.client.capabilities, "extensions": {TASKS: {}}})


async def _task(scene: Scene, tool: str) -> str:
    """A call of a slow tool that asks for the roots: a task where the client knows tasks, else it is waited for."""
    if scene.pair.revision != MODERN:
        seen = await call(scene.client, tool)
        assert seen.text == ROOTS
        assert seen.how == "pushed"
    else:
        client = await _with_tasks(scene)
        try:
            made = (await client.do("tools/call", {"name": tool, "arguments": {}})).result
            assert made["resultType"] == "task"
            task = await _poll(client, made["taskId"], "input_required")
            answers = {key: ANSWERS[asked["method"]] for key, asked in task["inputRequests"].items()}
            await client.do("tasks/update", {"taskId": made["taskId"], "inputResponses": answers})
            task = await _poll(client, made["taskId"], "completed")
            assert task["result"]["content"][0]["text"] == ROOTS
        finally:
            await client.aclose()
    assert scene.noted("executed", tool) == 1
    return "task" if scene.pair.revision == MODERN else "waited for"


async def made(scene: Scene) -> str:
    return await _task(scene, "report")


async def of_upstream(scene: Scene) -> str:
    return await _task(scene, "long")


async def cancelled(scene: Scene) -> str:
    client = await _with_tasks(scene)
    try:
        task_id = (await client.do("tools/call", {"name": "slow", "arguments": {}})).result["taskId"]
        await scene.until("started", "slow")
        await client.do("tasks/cancel", {"taskId": task_id})
        await scene.until("cancelled", "slow")
        await _poll(client, task_id, "cancelled")
        return "same"
    finally:
        await client.aclose()


async def unknown(scene: Scene) -> str:
    client = await _with_tasks(scene)
    try:
        return outcome(await client.do("tasks/get", {"taskId": "nonsense"}))
    finally:
        await client.aclose()


async def undeclared(scene: Scene) -> str:
    return outcome(await scene.client.do("tasks/get", {"taskId": "nonsense"}))
