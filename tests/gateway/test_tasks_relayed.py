"""Tasks that an upstream makes itself: passed on to callers that know tasks, waited for on behalf of all others.

The upstream is another gateway, over real connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.gateway.rig import BOTH, LIMIT_S, Rig, Stream, a_key, bearer, modern_request, running, snapshot
from tests.gateway.workshop import ABLE, ANN, CALL, NAME, TASKS, Workshop, ask_for, created, in_workshop, until
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, TaskRule, UpstreamSpec
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.errors import UpstreamExited
from toolyard.protocol.errors import MethodNotFound, RelayedError

pytestmark = pytest.mark.slow

OPEN = ServerSpec("default", access="open", names="plain")
BOTH_KINDS = pytest.mark.parametrize("kind", ["mcp-http", "websocket"])
Scene = Callable[[Rig, Rig, Workshop], Awaitable[None]]


def far(rig: Rig, kind: Any = "mcp-http", **changes: Any) -> UpstreamSpec:
    """The gateway of `rig` as an upstream."""
    url = f"http://127.0.0.1:{rig.port}/mcp" if kind == "mcp-http" else f"ws://127.0.0.1:{rig.port}/ws/mcp"
    return UpstreamSpec("far", kind, url=url, **changes)


def in_front(
    scene: Scene,
    workshop: Workshop | None = None,
    *,
    kind: str = "mcp-http",
    servers: tuple[ServerSpec, ...] = (OPEN,),
    keys: Any = (),
    modern_only: bool = False,
    **changes: Any,
) -> None:
    """Play a scene with a gateway in front of one that makes tasks of all calls of `build`. One of both eras is spoken
    to in the caller's; callers of older revisions meet tasks only at one that is `modern_only`."""

    async def both(behind: Rig, shop: Workshop) -> None:
        if modern_only:
            behind.gateway.exchange._legacy.initialize = _not_here  # type: ignore[method-assign]
        async with running(snapshot(far(behind, kind, **changes), servers=servers, keys=keys)) as rig:
            await scene(rig, behind, shop)

    in_workshop(both, workshop)


async def _not_here(*_: Any) -> Any:
    raise MethodNotFound("only the newest revision is spoken here")


async def eventually(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not happened():
            await asyncio.sleep(0.01)


@BOTH_KINDS
def test_an_upstreams_task_is_passed_on_under_a_name_of_the_callers_own(kind: str) -> None:
    async def scene(rig: Rig, behind: Rig, shop: Workshop) -> None:
        declared = (await rig.modern("server/discover")).result["capabilities"]["extensions"]
        assert declared == {"io.modelcontextprotocol/tasks": {}}
        task_id = await created(rig)
        task = await until(rig, task_id, "input_required")
        assert task["taskId"] == task_id
        assert (await ask_for(behind, "get", task_id)).error["data"]["reason"] == "task_unknown"
        (key,) = task["inputRequests"]
        ack = (await ask_for(rig, "update", task_id, params={"inputResponses": {key: ANN}})).result
        assert ack.keys() <= {"resultType", "_meta"}
        done = await until(rig, task_id)
        assert (done["taskId"], done["status"]) == (task_id, "completed")
        assert shop.built == [[[ANN]]]
        assert len(rig.gateway.tasks) == 0

    in_front(scene, Workshop([NAME]), kind=kind)


def test_a_passed_on_task_is_cancelled_at_its_upstream() -> None:
    async def scene(rig: Rig, _behind: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        task_id = await created(rig)
        await shop.told.wait()
        assert (await ask_for(rig, "cancel", task_id)).status == 200
        assert (await until(rig, task_id))["status"] == "cancelled"
        await eventually(lambda: shop.given_up == 1)

    in_front(scene)


def test_nobody_but_its_caller_on_its_server_has_a_passed_on_task() -> None:
    (mine, my_record), (theirs, their_record) = a_key(), a_key()
    servers = (
        ServerSpec("default", names="plain"),
        ServerSpec("other", names="plain", access="open"),
        ServerSpec("empty", tools=("none/*",), access="open"),
    )

    async def scene(rig: Rig, _behind: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        task_id = await created(rig, headers=bearer(mine))
        for method in ("get", "update", "cancel"):
            body = {"inputResponses": {}}
            refused = [
                (await ask_for(rig, method, task_id, params=body, headers=bearer(theirs))).error,
                (await ask_for(rig, method, task_id, params=body, path="/mcp/other")).error,
                (await ask_for(rig, method, task_id, params=body, path="/mcp/empty")).error,
                (await ask_for(rig, method, task_id[:-1], params=body, headers=bearer(mine))).error,
                (
                    await ask_for(rig, method, task_id[:40] + "A" + task_id[41:], headers=bearer(mine), params=body)
                ).error,
            ]
            assert all(error == refused[0] for error in refused), refused
            assert refused[0]["data"]["reason"] == "task_unknown"
        assert (await ask_for(rig, "get", task_id, headers=bearer(mine))).result["status"] == "working"
        shop.goes_on.set()
        assert (await until(rig, task_id, headers=bearer(mine)))["status"] == "completed"

    in_front(scene, servers=servers, keys=(my_record, their_record))


def test_what_the_upstream_says_of_an_unknown_task_is_passed_on() -> None:
    async def scene(rig: Rig, behind: Rig, _shop: Workshop) -> None:
        task_id = await created(rig)
        await until(rig, task_id)
        behind.gateway.tasks._store.forget_expired(1e12)
        behind.journal.flush()
        assert (await ask_for(rig, "get", task_id)).error["code"] == -32602

    in_front(scene)


def test_a_listener_hears_how_a_passed_on_task_ends() -> None:
    async def scene(rig: Rig, _behind: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        task_id = await created(rig)
        wanted = {"notifications": {"taskIds": [task_id]}}
        headers, body = modern_request("subscriptions/listen", wanted, capabilities=TASKS)
        stream = await rig.open("POST", "/mcp", headers, body)
        assert (await stream.message())["params"]["notifications"] == {"taskIds": [task_id]}
        assert (await stream.message())["params"]["status"] == "working"
        shop.goes_on.set()
        told = (await stream.message())["params"]
        while told["status"] == "working":
            told = (await stream.message())["params"]
        assert (told["taskId"], told["status"]) == (task_id, "completed")
        stream.close()

    in_front(scene)


class Unannounced(Workshop):
    """Makes a task without having said that it has any."""

    async def answer(self, call: Call, method: str, params: Json) -> Json:
        shown: Json = {"taskId": "its-own-id", "status": "working", "ttlMs": None}
        if method == "tools/call":
            return {"resultType": "task", **shown}
        assert params["taskId"] == "its-own-id"
        return shown if method == "tasks/get" else {}


def test_a_task_that_nobody_announced_is_passed_on_under_a_name_of_the_callers_own_too() -> None:
    async def scene(rig: Rig, _shop: Workshop) -> None:
        task_id = await created(rig)
        assert "its-own-id" not in task_id
        assert (await ask_for(rig, "get", task_id)).result["taskId"] == task_id
        assert (await ask_for(rig, "get", "its-own-id")).error["data"]["reason"] == "task_unknown"

    in_workshop(scene, Unannounced(), rule=None)


def test_a_gateways_own_rule_makes_one_task_of_an_upstreams_task() -> None:
    async def both(behind: Rig, shop: Workshop) -> None:
        spec = far(behind, tasks=TaskRule(after_s=0.0))
        async with running(snapshot(spec, servers=(OPEN,))) as rig:
            task_id = await created(rig)
            assert len(rig.gateway.tasks) == 1
            (key,) = (await until(rig, task_id, "input_required"))["inputRequests"]
            await ask_for(rig, "update", task_id, params={"inputResponses": {key: ANN}})
            done = await until(rig, task_id)
            assert done["result"]["content"][0]["text"] == f"built for {[[ANN]]}"
            assert shop.begun == 1

    in_workshop(both, Workshop([NAME]))


def test_a_modern_caller_that_knows_no_tasks_gets_the_result_and_its_upstream_is_not_told_of_tasks() -> None:
    async def scene(rig: Rig, behind: Rig, shop: Workshop) -> None:
        assert (await rig.modern("tools/call", CALL)).result["resultType"] == "complete"
        assert len(behind.gateway.tasks) == 0
        assert shop.seen == [{}]

    in_front(scene)


# -- callers of older revisions ----------------------------------------------------------------------------------------


@asynccontextmanager
async def calling(rig: Rig, session: str, **meta: Any) -> AsyncIterator[Stream]:
    """A `tools/call` of an older revision, whose answer is read step by step."""
    params = {**CALL, "_meta": meta} if meta else CALL
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
    stream = await rig.open("POST", "/mcp", headers, json.dumps(message).encode())
    try:
        yield stream
    finally:
        stream.close()


@BOTH_KINDS
def test_a_caller_of_an_older_revision_gets_the_result_of_the_task_and_its_words_as_progress(kind: str) -> None:
    async def scene(rig: Rig, behind: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        async with calling(rig, await rig.initialize(), progressToken="mine") as stream:
            message = await stream.message()
            assert message["method"] == "notifications/progress"
            assert message["params"] == {"progressToken": "mine", "progress": 1, "message": "sawing"}
            assert len(behind.gateway.tasks) == 1
            shop.goes_on.set()
            while "id" not in message:
                message = await stream.message()
            assert message["result"]["content"][0]["text"] == "built for []"
            assert shop.begun == 1

    shop = Workshop()
    shop.says = [{"progress": 1, "message": "sawing"}]
    in_front(scene, shop, kind=kind, modern_only=True)


@BOTH_KINDS
def test_the_questions_of_the_task_are_pushed_to_a_caller_of_an_older_revision(kind: str) -> None:
    async def scene(rig: Rig, _behind: Rig, shop: Workshop) -> None:
        session = await rig.initialize(capabilities={"elicitation": {}})
        async with calling(rig, session) as stream:
            for _ in range(2):
                question = await stream.message()
                assert question["method"] == "elicitation/create"
                answer = {"jsonrpc": "2.0", "id": question["id"], "result": ANN}
                assert (await rig.legacy(answer, session)).status == 202
            result = (await stream.message())["result"]
            assert result["content"][0]["text"] == f"built for {[[ANN], [ANN]]}"
            assert shop.begun == 1

    in_front(scene, Workshop([NAME], [NAME]), kind=kind, modern_only=True)


@BOTH_KINDS
def test_a_task_that_asks_what_the_caller_cannot_answer_ends_the_call_and_the_task(kind: str) -> None:
    async def scene(rig: Rig, behind: Rig, shop: Workshop) -> None:
        session = await rig.initialize(capabilities={"elicitation": {}})
        async with calling(rig, session) as stream:
            question = await stream.message()
            refusal = {"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32000, "message": "nobody is here"}}
            await rig.legacy(refusal, session)
            assert "error" in await stream.message()
            await eventually(lambda: shop.given_up == 1 and len(behind.gateway.tasks) == 0)

    in_front(scene, Workshop([NAME]), kind=kind, modern_only=True)


@BOTH_KINDS
def test_a_cancelled_call_of_an_older_revision_cancels_the_task(kind: str) -> None:
    async def scene(rig: Rig, behind: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        session = await rig.initialize()
        async with calling(rig, session):
            await shop.told.wait()
            await rig.legacy(
                {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}, session
            )
            await eventually(lambda: shop.given_up == 1 and len(behind.gateway.tasks) == 0)

    in_front(scene, kind=kind, modern_only=True)


@BOTH_KINDS
def test_a_task_that_takes_longer_than_the_callers_time_is_cancelled_with_the_call(kind: str) -> None:
    async def scene(rig: Rig, behind: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        async with calling(rig, await rig.initialize()) as stream:
            assert (await stream.rest()).error["data"]["reason"] == "upstream_timeout"
            await eventually(lambda: shop.given_up == 1 and len(behind.gateway.tasks) == 0)

    in_front(scene, timeout_s=1.5, kind=kind, modern_only=True)


@BOTH_KINDS
@pytest.mark.parametrize("failure", [RelayedError(-32050, "no wood", {"wood": 0}), UpstreamExited("gone")])
def test_a_failed_task_is_the_error_of_the_call(failure: Exception, kind: str) -> None:
    async def scene(rig: Rig, _behind: Rig, shop: Workshop) -> None:
        shop.fails = failure
        async with calling(rig, await rig.initialize()) as stream:
            error: Json = (await stream.rest()).error
            assert error["message"] == getattr(failure, "message", "")
            assert shop.begun == 1

    in_front(scene, kind=kind, modern_only=True)


class Slow(Workshop):
    """Does nothing before it is told to begin."""

    def __init__(self, *rounds: list[Json]) -> None:
        super().__init__(*rounds)
        self.begins = asyncio.Event()

    async def answer(self, call: Call, method: str, params: Json) -> Json:
        await self.begins.wait()
        return await super().answer(call, method, params)


def test_an_upstreams_task_that_takes_longer_than_a_rules_time_is_one_task_with_its_result() -> None:
    shop = Slow([NAME])

    async def scene(rig: Rig, _behind: Rig, _shop: Workshop) -> None:
        task_id = await created(rig)
        shop.begins.set()
        (key,) = (await until(rig, task_id, "input_required"))["inputRequests"]
        await ask_for(rig, "update", task_id, params={"inputResponses": {key: ANN}})
        done = await until(rig, task_id)
        assert (done["status"], done["result"]["content"][0]["text"]) == ("completed", f"built for {[[ANN]]}")
        assert shop.begun == 1

    in_front(scene, shop, tasks=TaskRule(after_s=0.2))


def test_an_upstreams_task_that_asks_before_a_rules_time_asks_its_caller_once() -> None:
    async def scene(rig: Rig, _behind: Rig, shop: Workshop) -> None:
        asked = (await rig.modern("tools/call", CALL, capabilities=ABLE)).result
        (key,) = asked["inputRequests"]
        retry = {**CALL, "inputResponses": {key: ANN}, "requestState": asked["requestState"]}
        done = (await rig.modern("tools/call", retry, capabilities=ABLE)).result
        assert done["content"][0]["text"] == f"built for {[[ANN]]}"
        assert shop.begun == 1

    in_front(scene, Workshop([NAME]), tasks=TaskRule(after_s=15.0))
