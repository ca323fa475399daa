"""The Tasks extension: calls that become tasks of the gateway's own, and what their callers do with them."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.rig import Rig
from tests.gateway.workshop import (
    ABLE,
    ANN,
    BOB,
    CALL,
    NAME,
    TASKS,
    Workshop,
    ask_for,
    created,
    in_workshop,
    until,
)
from toolyard.contract.snapshot import TaskRule
from toolyard.gateway.upstream.errors import UpstreamExited
from toolyard.protocol.errors import RelayedError

EXTENSION = "io.modelcontextprotocol/tasks"


def test_a_call_of_a_marked_tool_is_answered_with_a_task_that_completes_with_its_result() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        answer = (await rig.modern("tools/call", CALL, capabilities=TASKS)).result
        assert answer["resultType"] == "task"
        assert answer["status"] == "working"
        assert answer["ttlMs"] == 3_600_000
        assert answer["pollIntervalMs"] > 0
        assert answer["createdAt"].endswith("Z")
        assert not {"result", "error", "inputRequests", "requestState"} & answer.keys()
        working = (await ask_for(rig, "get", answer["taskId"])).result
        assert (working["resultType"], working["status"]) == ("complete", "working")
        shop.goes_on.set()
        done = await until(rig, answer["taskId"])
        assert done["status"] == "completed"
        assert done["result"]["content"][0]["text"] == "built for []"
        assert "resultType" not in done["result"]
        assert done["ttlMs"] >= answer["ttlMs"]
        assert (shop.begun, len(shop.built)) == (1, 1)

    in_workshop(scene)


def test_the_extension_is_declared_where_a_tool_has_a_rule_and_nowhere_else() -> None:
    async def offered(rig: Rig, _shop: Workshop) -> None:
        assert (await rig.modern("server/discover")).result["capabilities"]["extensions"] == {EXTENSION: {}}

    async def not_offered(rig: Rig, _shop: Workshop) -> None:
        assert "extensions" not in (await rig.modern("server/discover")).result["capabilities"]

    in_workshop(offered)
    in_workshop(not_offered, rule=None)


def test_a_caller_that_did_not_declare_the_extension_gets_the_result_itself() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        plain = (await rig.modern("tools/call", CALL, capabilities={"extensions": {"other/one": {}}})).result
        assert plain["resultType"] == "complete"
        session = await rig.initialize()
        call = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": CALL}
        assert (await rig.legacy(call, session)).result["content"][0]["text"] == "built for []"
        assert len(shop.built) == 2

    in_workshop(scene)


@pytest.mark.parametrize("capabilities", [{}, {"extensions": {}}, {"extensions": {"other/one": {}}}])
def test_the_task_methods_name_the_capability_that_a_caller_lacks(capabilities: dict[str, object]) -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        task_id = await created(rig)
        for method in ("get", "update", "cancel"):
            reply = await ask_for(rig, method, task_id, capabilities, params={"inputResponses": {}})
            assert (reply.status, reply.error["code"]) == (400, -32021)
            assert reply.error["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        assert (await ask_for(rig, "get", task_id)).result["status"] == "working"

    in_workshop(scene)


def test_a_tool_that_requires_tasks_refuses_callers_that_know_none_and_does_nothing() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        refused = await rig.modern("tools/call", CALL)
        assert refused.error["code"] == -32021
        assert refused.error["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        session = await rig.initialize()
        call = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": CALL}
        assert (await rig.legacy(call, session)).error["code"] == -32600
        assert shop.begun == 0
        assert (await until(rig, await created(rig)))["status"] == "completed"

    in_workshop(scene, rule=TaskRule(after_s=0.0, required=True))


def test_a_quick_call_of_a_tool_with_a_time_is_answered_at_once_and_a_slow_one_becomes_a_task() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        quick = (await rig.modern("tools/call", CALL, capabilities=TASKS)).result
        assert quick["resultType"] == "complete"
        shop.goes_on.clear()
        task_id = await created(rig, TASKS)
        assert shop.begun == 2
        shop.goes_on.set()
        assert (await until(rig, task_id))["result"]["content"][0]["text"] == "built for []"
        assert (shop.begun, len(shop.built)) == (2, 2)

    in_workshop(scene, rule=TaskRule(after_s=0.2))


def test_a_task_may_take_longer_than_the_tools_time_limit() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        task_id = await created(rig)
        held = await rig.modern("tools/call", CALL)
        assert held.error["data"]["reason"] == "upstream_timeout"
        shop.goes_on.set()
        assert (await until(rig, task_id))["status"] == "completed"

    in_workshop(scene, timeout_s=0.2)


@pytest.mark.parametrize("pushes", [True, False])
def test_what_the_upstream_asks_makes_the_task_wait_for_input(pushes: bool) -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        task_id = await created(rig)
        task = await until(rig, task_id, "input_required")
        ((key, question),) = task["inputRequests"].items()
        assert question["params"]["message"] == "Name?"
        again = (await ask_for(rig, "get", task_id)).result
        assert list(again["inputRequests"]) == [key]
        ack = (await ask_for(rig, "update", task_id, params={"inputResponses": {key: ANN}})).result
        assert ack.keys() <= {"resultType", "_meta"}
        assert ack["resultType"] == "complete"
        assert (await until(rig, task_id))["status"] == "completed"
        assert shop.built == [[[ANN]]]
        assert shop.begun == 1

    in_workshop(scene, Workshop([NAME], pushes=pushes))


@pytest.mark.parametrize("pushes", [True, False])
def test_questions_may_be_answered_one_by_one_and_their_keys_never_come_again(pushes: bool) -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        task_id = await created(rig)
        first = await until(rig, task_id, "input_required")
        one, other = first["inputRequests"]
        await ask_for(rig, "update", task_id, params={"inputResponses": {one: ANN, "unknown": {"ignored": True}}})
        left = (await ask_for(rig, "get", task_id)).result
        assert left["status"] == "input_required"
        assert list(left["inputRequests"]) == [other]
        await ask_for(rig, "update", task_id, params={"inputResponses": {one: BOB, other: BOB}})
        async with asyncio.timeout(20):
            while not (second := (await ask_for(rig, "get", task_id)).result).get("inputRequests"):
                await asyncio.sleep(0.01)
        (third,) = second["inputRequests"]
        assert third not in (one, other)
        await ask_for(rig, "update", task_id, params={"inputResponses": {third: ANN}})
        assert (await until(rig, task_id))["status"] == "completed"
        assert shop.built == [[[ANN, BOB], [ANN]]]

    in_workshop(scene, Workshop([NAME, NAME], [NAME], pushes=pushes))


def test_an_answer_that_is_none_leaves_the_question_open() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        task_id = await created(rig)
        (key,) = (await until(rig, task_id, "input_required"))["inputRequests"]
        for nothing in ({key: {"action": "perhaps"}}, {}, {"other": ANN}):
            await ask_for(rig, "update", task_id, params={"inputResponses": nothing})
        for wrong in ({key: 1}, [], None):
            reply = await ask_for(rig, "update", task_id, params={"inputResponses": wrong})
            assert (reply.status, reply.error["code"]) == (400, -32602)
        assert (await ask_for(rig, "update", task_id)).error["code"] == -32602
        assert (await ask_for(rig, "get", task_id)).result["status"] == "input_required"
        assert shop.built == []

    in_workshop(scene, Workshop([NAME]))


@pytest.mark.parametrize("pushes", [True, False])
def test_a_question_before_the_time_is_asked_of_the_call_and_the_retry_becomes_the_task(pushes: bool) -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        asked = (await rig.modern("tools/call", CALL, capabilities=ABLE)).result
        assert asked["resultType"] == "input_required"
        assert "taskId" not in asked
        (key,) = asked["inputRequests"]
        if not pushes:
            shop.rounds = ()  # what a modern upstream was told comes with the retry
        retry = {**CALL, "inputResponses": {key: ANN}, "requestState": asked["requestState"]}
        task = (await rig.modern("tools/call", retry, capabilities=ABLE)).result
        assert task["resultType"] == "task"
        assert not {"requestState", "inputRequests"} & task.keys()
        shop.goes_on.set()
        assert (await until(rig, task["taskId"]))["status"] == "completed"
        assert len(shop.built) == 1

    in_workshop(scene, Workshop([NAME], pushes=pushes), rule=TaskRule(after_s=0.2))


def test_what_the_upstream_says_of_its_progress_is_the_status_message() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        task_id = await created(rig)
        await shop.told.wait()
        assert (await ask_for(rig, "get", task_id)).result["statusMessage"] == "3 of 4"

    shop = Workshop()
    shop.says = [{"progress": 1, "message": "begun"}, {"progress": 3, "total": 4}]
    in_workshop(scene, shop)


def test_a_call_that_becomes_a_task_later_asks_for_progress_that_its_caller_did_not_ask_for() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.says = [{"progress": 1, "message": "begun"}]
        shop.goes_on.clear()
        answered = await rig.modern("tools/call", CALL, capabilities=TASKS)
        assert answered.result["resultType"] == "task"
        assert shop.wanted == [True]
        assert answered.messages == [answered.message]
        shop.goes_on.set()
        assert (await until(rig, answered.result["taskId"]))["status"] == "completed"

    in_workshop(scene, rule=TaskRule(after_s=0.2))


def test_numbers_that_nobody_can_read_are_no_status_message_and_do_no_harm() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.says = [{"progress": 10**400}, {"progress": 1, "total": 10**400}]
        shop.goes_on.clear()
        task_id = await created(rig)
        await shop.told.wait()
        assert (await ask_for(rig, "get", task_id)).result["statusMessage"] == "1"
        shop.goes_on.set()
        assert (await until(rig, task_id))["status"] == "completed"

    in_workshop(scene)


def test_a_tools_own_failure_completes_the_task_and_a_protocol_error_fails_it() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.fails = RelayedError(-32050, "no more wood", {"wood": 0})
        failed = await until(rig, await created(rig))
        assert failed["status"] == "failed"
        assert failed["error"]["message"] == failed["statusMessage"] == "no more wood"
        assert failed["error"]["data"] == {"wood": 0}
        assert "result" not in failed
        shop.fails = UpstreamExited("gone")
        lost = await until(rig, await created(rig))
        assert lost["error"]["data"]["reason"] == "upstream_exited"

    in_workshop(scene)


def test_a_cancelled_task_is_cancelled_at_its_upstream_and_stays_cancelled() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        task_id = await created(rig)
        await shop.told.wait()
        for _ in range(2):
            ack = (await ask_for(rig, "cancel", task_id)).result
            assert ack.keys() <= {"resultType", "_meta"}
        assert (await until(rig, task_id))["status"] == "cancelled"
        async with asyncio.timeout(20):
            while not shop.given_up:
                await asyncio.sleep(0.01)
        shop.goes_on.set()
        await ask_for(rig, "update", task_id, params={"inputResponses": {}})
        assert (await ask_for(rig, "get", task_id)).result["status"] == "cancelled"
        assert shop.built == []

    in_workshop(scene)


def test_cancelling_a_task_that_has_ended_changes_nothing() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        task_id = await created(rig)
        done = await until(rig, task_id)
        assert (await ask_for(rig, "cancel", task_id)).status == 200
        assert (await ask_for(rig, "get", task_id)).result == done
        assert shop.given_up == 0

    in_workshop(scene)


def test_the_name_header_must_be_the_tasks_id() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        shop.goes_on.clear()
        task_id = await created(rig)
        for method in ("get", "update", "cancel"):
            wrong = await ask_for(rig, method, task_id, headers={"mcp-name": "another"})
            assert (wrong.status, wrong.error["code"]) == (400, -32020)
        assert (await ask_for(rig, "get", task_id)).result["status"] == "working"

    in_workshop(scene)


@pytest.mark.parametrize("method", ["tasks/list", "tasks/result"])
def test_the_old_task_methods_are_not_there(method: str) -> None:
    async def scene(rig: Rig, _shop: Workshop) -> None:
        reply = await rig.modern(method, {"taskId": "t"}, capabilities=TASKS)
        assert (reply.status, reply.error["code"]) == (404, -32601)

    in_workshop(scene)


def test_the_task_parameter_of_the_old_tasks_makes_no_task() -> None:
    async def scene(rig: Rig, _shop: Workshop) -> None:
        reply = await rig.modern("tools/call", {**CALL, "task": {"ttl": 1000}}, capabilities=TASKS)
        assert reply.result["resultType"] == "complete"

    in_workshop(scene, rule=None)


def test_a_tool_that_only_knows_the_old_tasks_is_refused_with_the_reason() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        reply = await rig.modern("tools/call", CALL, capabilities=TASKS)
        assert (reply.error["code"], reply.error["data"]["reason"]) == (-32602, "old_task_required")
        session = await rig.initialize()
        call = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": CALL}
        assert (await rig.legacy(call, session)).error["data"]["reason"] == "old_task_required"
        assert shop.begun == 0

    definition = {"name": "build", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "required"}}
    in_workshop(scene, rule=None, definition=definition)


def test_a_parked_call_whose_retry_knows_tasks_becomes_one_and_is_not_begun_again() -> None:
    async def scene(rig: Rig, shop: Workshop) -> None:
        simple = {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
        asked = (await rig.modern("tools/call", CALL, capabilities=simple)).result
        (key,) = asked["inputRequests"]
        retry = {**CALL, "inputResponses": {key: ANN}, "requestState": asked["requestState"]}
        answer = (await rig.modern("tools/call", retry, capabilities=ABLE)).result
        if answer["resultType"] == "task":
            assert (await until(rig, answer["taskId"]))["status"] == "completed"
        assert (shop.begun, shop.built) == (1, [[[ANN]]])

    in_workshop(scene, Workshop([NAME]))
