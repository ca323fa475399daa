"""Parked calls: an upstream that asks in mid-call is kept waiting while its modern caller answers by retrying."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.gateway.fake_upstream import Fakes, FakeUpstream
from tests.gateway.rig import LIMIT_S, Rig, a_key, bearer, demo, modern_request, play, running, snapshot
from tests.unit.contract.making import observed
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec
from toolyard.gateway import held
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.call import AskRefused, Call
from toolyard.gateway.held import MAX_AHEAD, MAX_ASKED
from toolyard.gateway.parking import ParkingLimits, places_on
from toolyard.gateway.upstream.errors import UpstreamExited
from toolyard.kit.clock import ManualClock
from toolyard.protocol.errors import RelayedError

ELICIT = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
NAME = {
    "method": "elicitation/create",
    "params": {"message": "Name?", "requestedSchema": {"type": "object", "properties": {}}},
}
ANN = {"action": "accept", "content": {"name": "Ann"}}
TOOL: Json = {"name": "buy", "inputSchema": {"type": "object"}}
OPEN = ServerSpec("default", access="open", names="plain")


class Shop:
    """A legacy upstream that asks in mid-call. It counts what it was asked to do, what it did and what it gave up."""

    def __init__(self, *questions: Json, prompts: bool = False) -> None:
        self.questions = questions or (NAME,)
        self.begun = 0
        self.bought: list[Any] = []
        self.given_up = 0
        self.fails: Exception | None = None
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def answer(self, call: Call, method: str, params: Json) -> Json:
        self.begun += 1
        try:
            answers = [(await call.ask({"mine": question}, held=True))["mine"] for question in self.questions]
            if self.fails is not None:
                raise self.fails
            await call.emit({"method": "notifications/progress", "params": {"progress": 1}})
            await self.goes_on.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        self.bought.append(answers)
        if method == "prompts/get":
            return {"messages": []}
        if method == "resources/read":
            return {"contents": []}
        return {"content": [{"type": "text", "text": f"bought for {answers}"}]}


Scene = Callable[[Rig, Shop], Awaitable[None]]


def in_shop(scene: Scene, shop: Shop | None = None, **kwargs: Any) -> None:
    async def run() -> None:
        opened = shop or Shop()

        def prepare(fake: FakeUpstream) -> None:
            fake.pushes, fake.answer = True, opened.answer

        offers = observed("shop", TOOL, prompts=["greet"], resources=["shop://a"])
        snap = kwargs.pop("snap", None) or snapshot(demo("shop"), servers=(OPEN,))
        async with running(snap, make=Fakes(offers, prepare=prepare).make, **kwargs) as rig:
            await scene(rig, opened)

    asyncio.run(run())


async def buy(rig: Rig, **more: Any) -> Any:
    """One round of the call."""
    params = {"name": "buy", "arguments": {"item": "tea"}, **more.pop("params", {})}
    return await rig.modern("tools/call", params, capabilities=more.pop("capabilities", ELICIT), **more)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def retry(result: Json, **responses: Json) -> Json:
    return {"requestState": result["requestState"], "inputResponses": responses}


def test_a_caller_is_asked_by_input_required_and_its_retry_ends_the_same_call() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig)).result
        assert asked["resultType"] == "input_required"
        assert asked["inputRequests"] == {"elicitation-1": NAME}
        assert len(rig.gateway.parking) == 1
        done = (await buy(rig, params=retry(asked, **{"elicitation-1": ANN}))).result
        assert done["resultType"] == "complete"
        assert done["content"][0]["text"] == f"bought for {[ANN]}"
        assert (shop.begun, shop.bought, shop.given_up) == (1, [[ANN]], 0)
        assert len(rig.gateway.parking) == 0

    in_shop(scene)


@pytest.mark.parametrize(
    ("method", "params"), [("prompts/get", {"name": "greet"}), ("resources/read", {"uri": "shop://a"})]
)
def test_prompts_and_resources_ask_the_same_way(method: str, params: Json) -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await rig.modern(method, params, capabilities=ELICIT)).result
        answered = {**params, **retry(asked, **{"elicitation-1": ANN})}
        assert (await rig.modern(method, answered, capabilities=ELICIT)).result["resultType"] == "complete"
        assert shop.begun == 1

    in_shop(scene)


def test_every_kind_of_question_gets_a_key_of_its_own_and_each_round_a_state_of_its_own() -> None:
    sample = {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 9}}
    roots = {"method": "roots/list"}
    sampled, rooted = {"role": "assistant", "content": {"type": "text", "text": "t"}, "model": "m"}, {"roots": []}

    async def scene(rig: Rig, shop: Shop) -> None:
        first = (await buy(rig)).result
        second = (await buy(rig, params=retry(first, **{"elicitation-1": ANN}))).result
        assert second["inputRequests"] == {"sampling-2": sample}
        third = (await buy(rig, params=retry(second, **{"sampling-2": sampled}))).result
        assert third["inputRequests"] == {"roots-3": roots}
        assert len({r["requestState"] for r in (first, second, third)}) == 3
        await buy(rig, params=retry(third, **{"roots-3": rooted}))
        assert shop.bought == [[ANN, sampled, rooted]]

    in_shop(scene, Shop(NAME, sample, roots))


def test_questions_asked_at_once_travel_together() -> None:
    class Asking(Shop):
        async def answer(self, call: Call, method: str, params: Json) -> Json:
            answers = await asyncio.gather(*(call.ask({"q": NAME}, held=True) for _ in range(3)))
            return {"content": [{"type": "text", "text": str(len(answers))}]}

    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig)).result
        assert list(asked["inputRequests"]) == ["elicitation-1", "elicitation-2", "elicitation-3"]
        some = (await buy(rig, params=retry(asked, **{"elicitation-2": ANN}))).result
        assert list(some["inputRequests"]) == ["elicitation-1", "elicitation-3"]
        rest = {"elicitation-1": ANN, "elicitation-3": {"action": "decline"}}
        assert (await buy(rig, params=retry(some, **rest))).result["content"][0]["text"] == "3"

    in_shop(scene, Asking())


def test_an_upstream_may_choose_the_key_and_an_answer_given_ahead_under_it_is_used_once() -> None:
    hinted = {
        "method": NAME["method"],
        "params": {**NAME["params"], "_meta": {"toolyard/inputKey": "user", "progressToken": 7}},
    }

    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig, params={"inputResponses": {"user": ANN, "other": ANN}})).result
        assert asked["inputRequests"] == {"user": NAME}
        await buy(rig, params=retry(asked, user={"action": "cancel"}))
        assert shop.bought == [[ANN, {"action": "cancel"}]]

    in_shop(scene, Shop(hinted, hinted))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"other": ANN},
        {"elicitation-1": {}},
        {"elicitation-1": {"action": "maybe"}},
        {"elicitation-1": {"roots": []}},
    ],
    ids=["none", "another", "empty", "no-such-action", "of-another-kind"],
)
def test_what_is_no_answer_is_asked_for_again(wrong: Json) -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig)).result
        again = (await buy(rig, params=retry(asked, **wrong))).result
        assert again["inputRequests"] == asked["inputRequests"]
        assert again["requestState"] != asked["requestState"]
        await buy(rig, params=retry(again, **{"elicitation-1": ANN}))
        assert shop.bought == [[ANN]]

    in_shop(scene)


def test_a_state_serves_one_round_and_a_second_use_disturbs_nobody() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        shop.questions = (NAME, NAME)
        first = (await buy(rig)).result
        second = (await buy(rig, params=retry(first, **{"elicitation-1": ANN}))).result
        replayed = await buy(rig, params=retry(first, **{"elicitation-1": ANN}))
        assert replayed.status == 400
        assert replayed.error["data"]["reason"] == "state_refused"
        await buy(rig, params=retry(second, **{"elicitation-2": ANN}))
        assert shop.bought == [[ANN, ANN]]
        used = await buy(rig, params=retry(second, **{"elicitation-2": ANN}))
        assert used.error["data"]["reason"] == "call_lost"
        assert shop.begun == 1

    in_shop(scene)


def test_two_retries_at_once_end_in_one_execution() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig)).result
        shop.goes_on.clear()
        rounds = [asyncio.ensure_future(buy(rig, params=retry(asked, **{"elicitation-1": ANN}))) for _ in range(5)]
        done, _ = await asyncio.wait(rounds, return_when=asyncio.FIRST_COMPLETED)
        shop.goes_on.set()
        replies = await asyncio.gather(*rounds)
        assert sorted(r.status for r in replies) == [200, 400, 400, 400, 400]
        assert done
        assert len(shop.bought) == 1

    in_shop(scene)


@pytest.mark.parametrize(
    "changed",
    [{"arguments": {"item": "coffee"}}, {"name": "other"}],
    ids=["arguments", "name"],
)
def test_a_state_belongs_to_the_calls_own_content(changed: Json) -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig)).result
        other = await buy(rig, params={**retry(asked, **{"elicitation-1": ANN}), **changed})
        assert other.status == 400
        await buy(rig, params=retry(asked, **{"elicitation-1": ANN}))
        assert shop.bought == [[ANN]]

    in_shop(scene)


def test_another_keys_holder_cannot_answer() -> None:
    one, first = a_key()
    two, second = a_key()
    snap = snapshot(demo("shop"), servers=(ServerSpec("default", names="plain"),), keys=(first, second))

    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig, headers=bearer(one))).result
        stolen = await buy(rig, params=retry(asked, **{"elicitation-1": ANN}), headers=bearer(two))
        assert stolen.error["data"]["reason"] == "state_refused"
        await buy(rig, params=retry(asked, **{"elicitation-1": ANN}), headers=bearer(one))
        assert shop.bought == [[ANN]]

    in_shop(scene, snap=snap)


def test_a_call_nobody_comes_back_for_is_given_up_and_a_late_retry_learns_that() -> None:
    clock = ManualClock()

    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig)).result
        clock.advance(30.5)
        rig.gateway.sweep()
        await until(lambda: shop.given_up == 1)
        late = await buy(rig, params=retry(asked, **{"elicitation-1": ANN}))
        assert late.error["code"] == -32602
        assert late.error["data"]["reason"] == "call_lost"
        assert (shop.begun, shop.bought) == (1, [])

    in_shop(scene, clock=clock, bounds=Bounds(parking=ParkingLimits(wait_s=30.0)))


def test_a_caller_that_goes_while_its_call_runs_cancels_it() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig)).result
        shop.goes_on.clear()
        params = {"name": "buy", "arguments": {"item": "tea"}, **retry(asked, **{"elicitation-1": ANN})}
        headers, body = modern_request("tools/call", params, capabilities=ELICIT)
        writer = await rig.send("POST", "/mcp", headers, body)
        await until(lambda: len(rig.gateway.parking) == 0)
        writer.close()
        await until(lambda: shop.given_up == 1)
        assert shop.bought == []

    in_shop(scene)


def test_what_the_upstream_came_to_while_nobody_listened_is_told_at_the_retry() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        class Impatient(Shop):
            async def answer(self, call: Call, method: str, params: Json) -> Json:
                try:
                    async with asyncio.timeout(0.1):
                        await call.ask({"q": NAME}, held=True)
                except TimeoutError:
                    self.bought.append("without a name")
                    raise UpstreamExited from None
                return {"content": []}

        impatient = Impatient()
        rig.gateway.pool.get("shop").answer = impatient.answer  # type: ignore[attr-defined]
        asked = (await buy(rig)).result
        await until(lambda: impatient.bought == ["without a name"])
        told = await buy(rig, params=retry(asked, **{"elicitation-1": ANN}))
        assert told.error["data"]["reason"] == "upstream_exited"

    in_shop(scene)


def test_progress_goes_to_the_round_that_waits() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig, meta={"progressToken": "one"})).result
        reply = await buy(rig, params=retry(asked, **{"elicitation-1": ANN}), meta={"progressToken": "two"})
        assert reply.messages[0]["params"] == {"progressToken": "two", "progress": 1}
        assert reply.result["resultType"] == "complete"

    in_shop(scene)


@pytest.mark.parametrize(("limits", "parked"), [(ParkingLimits(total=2), 2), (ParkingLimits(per_principal=1), 1)])
def test_parked_calls_are_bounded_and_one_too_many_is_given_up(limits: ParkingLimits, parked: int) -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        for _ in range(parked):
            await buy(rig)
        refused = await buy(rig)
        assert refused.status == 503
        assert refused.error["data"]["reason"] == "too_many_parked"
        await until(lambda: shop.given_up == 1)
        assert len(rig.gateway.parking) == parked

    in_shop(scene, bounds=Bounds(parking=limits))


def test_parked_calls_leave_a_quarter_of_an_http_upstreams_connections_to_others() -> None:
    over_http = UpstreamSpec("shop", "mcp-http", url="http://127.0.0.1:9/mcp", max_connections=4)

    async def scene(rig: Rig, shop: Shop) -> None:
        parked = [(await buy(rig)).result for _ in range(3)]
        refused = await buy(rig)
        assert refused.error["data"]["reason"] == "too_many_parked"
        await until(lambda: shop.given_up == 1)
        assert (await buy(rig, params=retry(parked[0], **{"elicitation-1": ANN}))).result["resultType"] == "complete"
        assert (await buy(rig)).result["resultType"] == "input_required"
        assert (await buy(rig)).error["data"]["reason"] == "too_many_parked"

    in_shop(scene, snap=snapshot(over_http, servers=(OPEN,)))


@pytest.mark.parametrize(("connections", "places"), [(1, 0), (2, 1), (4, 3), (100, 75)])
def test_an_upstreams_last_connection_is_never_parked_on(connections: int, places: int) -> None:
    assert places_on(UpstreamSpec("web", "mcp-http", max_connections=connections)) == places
    assert places_on(UpstreamSpec("pipe", "mcp-stdio", max_connections=connections)) is None


def test_a_call_keeps_its_place_while_a_later_round_of_it_runs() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        shop.questions = (NAME,)
        asked = (await buy(rig)).result
        shop.goes_on.clear()
        second = asyncio.ensure_future(buy(rig, params=retry(asked, **{"elicitation-1": ANN})))
        await until(lambda: len(rig.gateway.parking) == 0)
        assert (await buy(rig)).error["data"]["reason"] == "too_many_parked"
        shop.goes_on.set()
        await second
        assert (await buy(rig)).result["resultType"] == "input_required"

    in_shop(scene, bounds=Bounds(parking=ParkingLimits(total=1)))


def test_a_caller_that_offers_nothing_is_not_asked() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        reply = await buy(rig, capabilities={})
        assert reply.error["data"]["reason"] == "ask_refused"
        assert len(rig.gateway.parking) == 0

    in_shop(scene)


def test_a_gateway_that_stops_gives_up_what_it_holds() -> None:
    shop = Shop()

    async def scene(rig: Rig, _: Shop) -> None:
        await buy(rig)

    in_shop(scene, shop)
    assert (shop.given_up, shop.bought) == (1, [])


def test_a_plain_call_of_a_caller_that_could_be_asked_is_never_parked() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        shop.questions = ()
        assert (await buy(rig)).result["content"]
        assert len(rig.gateway.parking) == 0

    in_shop(scene)


def test_the_demonstration_is_not_held() -> None:
    async def scene(rig: Rig) -> None:
        reply = await rig.modern("tools/list", capabilities=ELICIT)
        assert reply.result["tools"]
        assert len(rig.gateway.parking) == 0

    play(scene)


def test_a_modern_caller_is_not_told_what_its_revision_has_no_word_for() -> None:
    async def tells(call: Call, method: str, params: Json) -> Json:
        for name in ("notifications/elicitation/complete", "notifications/of/somebody"):
            await call.emit({"method": name, "params": {"elicitationId": "e"}})
        return {"content": []}

    def prepare(fake: FakeUpstream) -> None:
        fake.pushes, fake.answer = True, tells

    async def run() -> None:
        snap = snapshot(demo("shop"), servers=(OPEN,))
        async with running(snap, make=Fakes(observed("shop", TOOL), prepare=prepare).make) as rig:
            reply = await rig.modern("tools/call", {"name": "buy", "arguments": {}}, capabilities=ELICIT)
            assert [m["method"] for m in reply.messages[:-1]] == ["notifications/of/somebody"]

    asyncio.run(run())


def test_a_retry_that_can_be_asked_less_is_refused_and_the_call_stays_parked() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig)).result
        answered = retry(asked, **{"elicitation-1": ANN})
        for less in ({}, {"elicitation": {}, "sampling": {}, "roots": {}}, {"elicitation": {"form": {}, "url": {}}}):
            refused = await buy(rig, params=answered, capabilities=less)
            assert (refused.status, refused.error["code"]) == (400, -32021)
            required = refused.error["data"]["requiredCapabilities"]
            assert required.items() <= ELICIT.items()
            assert required
        more = {**ELICIT, "sampling": {"tools": {}}, "extensions": {}}
        assert (await buy(rig, params=answered, capabilities=more)).result["resultType"] == "complete"
        assert (shop.begun, shop.bought) == (1, [[ANN]])

    in_shop(scene)


def named(key: str, message: str) -> Json:
    return {"method": "elicitation/create", "params": {"message": message, "_meta": {"toolyard/inputKey": key}}}


def test_an_answer_is_never_that_of_a_later_question_of_the_same_name() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        first = (await buy(rig)).result
        second = (await buy(rig, params=retry(first, sure=ANN))).result
        both = retry(second, sure=ANN, surely=ANN)
        third = (await buy(rig, params=both)).result
        assert third["inputRequests"] == {"sure": {"method": "elicitation/create", "params": {"message": "Again?"}}}
        no = {"action": "decline"}
        assert (await buy(rig, params=retry(third, sure=no))).result["resultType"] == "complete"
        assert shop.bought == [[ANN, ANN, no]]

    in_shop(scene, Shop(named("sure", "Sure?"), named("surely", "Surely?"), named("sure", "Again?")))


PAGE: Json = {"mode": "url", "message": "Sign in", "url": "https://example.com/", "elicitationId": "e"}


class SignedOut(Shop):
    """Has its first caller visit a page before it begins."""

    async def answer(self, call: Call, method: str, params: Json) -> Json:
        if self.fails is not None:
            failure, self.fails = self.fails, None
            raise failure
        return await super().answer(call, method, params)


def test_who_agreed_to_visit_a_page_first_has_answered_no_question_of_the_call() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        shop.fails = RelayedError(-32042, "Sign in first", {"elicitations": [PAGE]})
        (key,) = (await buy(rig)).result["inputRequests"]
        asked = (await buy(rig, params={"inputResponses": {key: {"action": "accept"}}})).result
        assert list(asked["inputRequests"].values()) == [NAME]
        assert (shop.begun, shop.bought) == (1, [])

    in_shop(scene, SignedOut())


def test_little_is_kept_of_what_is_sent_ahead() -> None:
    async def scene(rig: Rig, shop: Shop) -> None:
        asked = (await buy(rig)).result
        for n in range(3):
            many = {f"ahead-{n}-{i}": ANN for i in range(100)}
            asked = (await buy(rig, params=retry(asked, **many))).result
        (parked,) = rig.gateway.parking._parked.values()
        assert len(parked.held._ahead) == MAX_AHEAD
        assert (await buy(rig, params=retry(asked, **{"elicitation-1": ANN}))).result["resultType"] == "complete"

    in_shop(scene)


class Insistent(Shop):
    """Asks again and again without waiting for the answer."""

    async def answer(self, call: Call, method: str, params: Json) -> Json:
        for _ in range(MAX_ASKED):
            asking = asyncio.ensure_future(call.ask({"mine": NAME}, held=True))
            await asyncio.sleep(0)
            asking.cancel()
        with pytest.raises(AskRefused):
            await call.ask({"mine": NAME}, held=True)
        return {"content": []}


def test_an_upstream_cannot_ask_without_end_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "TOGETHER_S", 0.5)  # all questions are asked and taken back before anybody looks

    async def scene(rig: Rig, shop: Shop) -> None:
        assert (await buy(rig)).result["resultType"] == "complete"

    in_shop(scene, Insistent())
