"""In-process upstreams: the demonstration by its public face, and functions that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import AskRefused, Call, Principal, Suspended
from toolyard.gateway.upstream.errors import UpstreamTimedOut, UpstreamUnreachable
from toolyard.gateway.upstream.native import NativeServer, NativeTool, NativeUpstream
from toolyard.gateway.upstream.native_definitions import error_result, text_result
from toolyard.kit.clock import ManualClock
from toolyard.protocol.errors import RelayedError


class Events:
    def lists_changed(self, upstream_id: str, kind: str) -> None: ...
    def watches_lost(self, upstream_id: str) -> None: ...
    def resource_updated(self, upstream_id: str, principal_id: str | None, params: Json) -> None: ...


class Caller:
    """The caller's side: keeps what it was told, answers what it is asked."""

    def __init__(self, answer: Json | Exception | None = None) -> None:
        self.told: list[Json] = []
        self.asked: list[Mapping[str, Json]] = []
        self.answer = answer

    async def emit(self, message: Json) -> None:
        self.told.append(message)

    async def ask(
        self, requests: Mapping[str, Json], *, state: str | None = None, held: bool = False
    ) -> dict[str, Json]:
        self.asked.append(requests)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {key: self.answer or {} for key in requests}


def demo() -> NativeUpstream:
    spec = UpstreamSpec("demo", "native", command=("demo",))
    return NativeUpstream(spec, events=Events(), clock=ManualClock(1_800_000_000.0))


def run(upstream: NativeUpstream, method: str, params: Json, caller: Caller | None = None, **more: Any) -> Json:
    async def go() -> Json:
        side = caller or Caller()
        deadline = asyncio.get_running_loop().time() + more.pop("seconds", 30.0)
        call = Call(
            Principal("open:x", "open"),
            "x",
            method,
            params,
            "modern",
            "2026-07-28",
            side.emit,
            side.ask,
            deadline,
            **more,
        )
        return await upstream.request(call, method, params)

    return asyncio.run(go())


def call_tool(name: str, arguments: Json, caller: Caller | None = None, **more: Any) -> Json:
    return run(demo(), "tools/call", {"name": name, "arguments": arguments}, caller, **more)


def text(result: Json) -> str:
    return str(result["content"][0]["text"])


def test_the_demonstration_is_observed_whole():
    seen = asyncio.run(demo().observe())
    assert [tool["name"] for tool in seen.tools] == ["echo", "add", "now", "count", "ask_name"]
    assert [resource["uri"] for resource in seen.resources] == ["demo://welcome"]
    assert [template["uriTemplate"] for template in seen.resource_templates] == ["demo://greeting/{name}"]
    assert [prompt["name"] for prompt in seen.prompts] == ["introduce"]
    assert (seen.era, seen.warnings) == ("modern", ())
    assert seen.ttl_ms > 0
    assert "completions" in seen.capabilities


def test_a_built_in_that_does_not_exist_is_unreachable():
    with pytest.raises(UpstreamUnreachable):
        NativeUpstream(UpstreamSpec("x", "native", command=("nothing",)), events=Events(), clock=ManualClock())


def test_echo_says_back_and_add_adds():
    assert text(call_tool("echo", {"text": "hé"})) == "hé"
    result = call_tool("add", {"a": 2, "b": 0.5})
    assert (result["structuredContent"], result["resultType"]) == ({"sum": 2.5}, "complete")


def test_now_tells_the_time_of_the_clock_in_the_zone_asked_for():
    assert text(call_tool("now", {})) == "2027-01-15T08:00:00+00:00"
    assert text(call_tool("now", {"timezone": "Asia/Shanghai"})) == "2027-01-15T16:00:00+08:00"
    assert call_tool("now", {"timezone": "../../etc/passwd"})["isError"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("echo", {}),
        ("echo", {"text": 1}),
        ("echo", {"text": "x" * 100_001}),
        ("echo", {"text": "a", "more": 1}),
        ("add", {"a": True, "b": 1}),
        ("add", {"a": 2**60, "b": 1}),
        ("count", {"to": 101}),
        ("count", {"to": 1.5}),
        ("add", []),
    ],
)
def test_wrong_arguments_are_a_result_that_the_model_can_read(name: str, arguments: Any):
    result = call_tool(name, arguments or {})
    assert result["isError"]
    assert "Invalid arguments" in text(result)


def test_count_reports_progress_only_to_a_caller_that_wants_it():
    caller = Caller()
    result = call_tool("count", {"to": 3, "interval_ms": 0}, caller, wants_progress=True)
    assert [message["params"]["progress"] for message in caller.told] == [1, 2, 3]
    assert all("progressToken" not in message["params"] for message in caller.told)
    assert text(result) == "1, 2, 3"
    quiet = Caller()
    call_tool("count", {"to": 2, "interval_ms": 0}, quiet)
    assert quiet.told == []


def test_ask_name_asks_the_caller_and_greets():
    caller = Caller({"action": "accept", "content": {"name": "Ada"}})
    result = call_tool("ask_name", {}, caller, client_capabilities={"elicitation": {}})
    assert text(result) == "Hello, Ada!"
    assert caller.asked[0]["name"]["method"] == "elicitation/create"
    declined = call_tool("ask_name", {}, Caller({"action": "decline"}), client_capabilities={"elicitation": {}})
    assert text(declined) == "No name was given."


def test_ask_name_takes_the_answer_that_a_retry_brought_without_asking_again():
    caller = Caller()
    brought = {"name": {"action": "accept", "content": {"name": "Grace"}}}
    result = call_tool("ask_name", {}, caller, client_capabilities={"elicitation": {}}, input_responses=brought)
    assert text(result) == "Hello, Grace!"
    assert caller.asked == []


def test_ask_name_is_suspended_by_a_modern_caller_and_refused_without_the_capability():
    with pytest.raises(Suspended):
        call_tool("ask_name", {}, Caller(Suspended({}, None)), client_capabilities={"elicitation": {}})
    assert call_tool("ask_name", {}, Caller())["isError"]
    assert call_tool("ask_name", {}, Caller(AskRefused("no")), client_capabilities={"elicitation": {}})["isError"]


def test_resources_are_read_by_uri_and_by_template():
    welcome = run(demo(), "resources/read", {"uri": "demo://welcome"})
    assert "Welcome" in welcome["contents"][0]["text"]
    greeting = run(demo(), "resources/read", {"uri": "demo://greeting/Ada"})
    assert greeting["contents"][0] == {"uri": "demo://greeting/Ada", "mimeType": "text/plain", "text": "Hello, Ada!\n"}


def test_the_prompt_is_rendered_and_its_argument_completed():
    prompt = run(demo(), "prompts/get", {"name": "introduce", "arguments": {"language": "Deutsch"}})
    assert "Stelle" in prompt["messages"][0]["content"]["text"]
    ref = {"type": "ref/prompt", "name": "introduce"}
    done = run(demo(), "completion/complete", {"ref": ref, "argument": {"name": "language", "value": "e"}})
    assert done["completion"] == {"values": ["English", "Español"], "total": 2, "hasMore": False}


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("tools/call", {"name": "nothing"}, -32602),
        ("resources/read", {"uri": "demo://nothing"}, -32602),
        ("prompts/get", {"name": "nothing"}, -32602),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "nothing"}}, -32602),
        ("resources/subscribe", {"uri": "demo://welcome"}, -32601),
        ("nothing/list", {}, -32601),
    ],
)
def test_what_does_not_exist_is_an_error_of_the_protocol(method: str, params: Json, code: int):
    with pytest.raises(RelayedError) as caught:
        run(demo(), method, params)
    assert caught.value.rpc_code == code


def with_tool(function: Any) -> NativeUpstream:
    server = NativeServer({"name": "t", "version": "1"}, tools=(NativeTool("t", "", {"type": "object"}, function),))
    return NativeUpstream(UpstreamSpec("t", "native"), events=Events(), clock=ManualClock(), server=server)


def test_a_function_that_raises_gives_an_error_result_without_its_words():
    async def broken(call: Call, arguments: Json) -> Json:
        raise ValueError("SEKRET-ENV-1")

    result = run(with_tool(broken), "tools/call", {"name": "t"})
    assert result["isError"]
    assert "SEKRET" not in str(result)


def test_a_function_that_never_ends_is_cut_at_the_deadline():
    async def endless(call: Call, arguments: Json) -> Json:
        await asyncio.Event().wait()
        return text_result("")

    upstream = with_tool(endless)
    with pytest.raises(UpstreamTimedOut):
        run(upstream, "tools/call", {"name": "t"}, seconds=0.05)
    assert upstream.status()["running"] == 0


def test_a_result_the_function_made_is_returned_as_it_is():
    async def fails(call: Call, arguments: Json) -> Json:
        return error_result("no") | {"_meta": {"x/y": 1}}

    assert run(with_tool(fails), "tools/call", {"name": "t"})["_meta"] == {"x/y": 1}
