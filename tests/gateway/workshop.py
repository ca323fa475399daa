"""An upstream for tests of tasks: it counts what it was asked to do, what it did, and what it gave up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from tests.gateway.fake_upstream import Fakes, FakeUpstream
from tests.gateway.rig import Reply, Rig, demo, running, snapshot
from tests.unit.contract.making import observed
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, TaskRule, ToolRule
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.errors import UpstreamTimedOut
from toolyard.protocol.tasks import TERMINAL

TASKS: Json = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
ABLE: Json = {**TASKS, "elicitation": {"form": {}}, "sampling": {}, "roots": {}}
NAME: Json = {
    "method": "elicitation/create",
    "params": {"message": "Name?", "requestedSchema": {"type": "object", "properties": {}}},
}
ANN: Json = {"action": "accept", "content": {"name": "Ann"}}
BOB: Json = {"action": "accept", "content": {"name": "Bob"}}
OPEN = ServerSpec("default", access="open", names="plain")
ALWAYS = TaskRule(after_s=0.0)
CALL: Json = {"name": "build", "arguments": {}}
Scene = Callable[[Rig, "Workshop"], Awaitable[None]]


class Workshop:
    """Asks `rounds` of questions one after the other, those of a round together, then waits for `goes_on`, then builds.
    `pushes`: its questions come in mid-call, as those of older revisions do."""

    def __init__(self, *rounds: list[Json], pushes: bool = True, **capabilities: Json) -> None:
        self.rounds = rounds
        self.pushes = pushes
        self.capabilities = capabilities
        self.begun = 0
        self.built: list[Any] = []
        self.given_up = 0
        self.seen: list[Json] = []
        self.wanted: list[bool] = []
        self.fails: Exception | None = None
        self.says: list[Json] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.told = asyncio.Event()

    async def answer(self, call: Call, method: str, params: Json) -> Json:
        self.begun += 1
        self.seen.append(call.client_capabilities)
        self.wanted.append(call.wants_progress)
        try:
            answers = [await self._ask(call, questions) for questions in self.rounds]
            for progress in self.says:
                await call.emit({"method": "notifications/progress", "params": progress})
            self.told.set()
            async with asyncio.timeout_at(call.deadline):
                await self.goes_on.wait()
            if self.fails is not None:
                raise self.fails
        except TimeoutError:
            raise UpstreamTimedOut from None
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        self.built.append(answers)
        return {"content": [{"type": "text", "text": f"built for {answers}"}]}

    async def _ask(self, call: Call, questions: list[Json]) -> list[Json]:
        if self.pushes:
            asked = [call.ask({"mine": question}, held=True) for question in questions]
            return [answer["mine"] for answer in await asyncio.gather(*asked)]
        answers = await call.ask({f"q{n}": question for n, question in enumerate(questions)}, state="s")
        return list(answers.values())


def in_workshop(
    scene: Scene,
    workshop: Workshop | None = None,
    *,
    rule: TaskRule | None = ALWAYS,
    timeout_s: float = 30.0,
    servers: tuple[ServerSpec, ...] = (OPEN,),
    definition: Json | None = None,
    **kwargs: Any,
) -> None:
    """Play a scene with a gateway in front of a workshop whose tool `build` has this task rule."""

    async def run() -> None:
        shop = workshop or Workshop()

        def prepare(fake: FakeUpstream) -> None:
            fake.pushes, fake.answer = shop.pushes, shop.answer

        offers = observed("shop", definition or "build", capabilities={"tools": {}, **shop.capabilities})
        of_demo = demo("shop", tools={"build": ToolRule(task=rule)}, timeout_s=timeout_s)
        changed = replace(of_demo, **kwargs.pop("spec", {}))
        keys = kwargs.pop("keys", ())
        async with running(
            snapshot(changed, servers=servers, keys=keys), make=Fakes(offers, prepare=prepare).make, **kwargs
        ) as rig:
            await scene(rig, shop)

    asyncio.run(run())


async def ask_for(rig: Rig, method: str, task_id: str, capabilities: Json = ABLE, **more: Any) -> Reply:
    """One `tasks/…` request about a task."""
    params = {"taskId": task_id, **more.pop("params", {})}
    return await rig.modern(f"tasks/{method}", params, capabilities=capabilities, **more)


async def created(rig: Rig, capabilities: Json = ABLE, **more: Any) -> str:
    """Call `build`; the id of the task it became."""
    result = (await rig.modern("tools/call", CALL, capabilities=capabilities, **more)).result
    assert result["resultType"] == "task", result
    return str(result["taskId"])


async def until(rig: Rig, task_id: str, *statuses: str, **more: Any) -> Json:
    """The task as soon as it has one of these statuses (or has ended)."""
    async with asyncio.timeout(20):
        while True:
            task: Json = (await ask_for(rig, "get", task_id, **more)).result
            if task["status"] in (statuses or TERMINAL) or task["status"] in TERMINAL:
                return task
            await asyncio.sleep(0.01)
