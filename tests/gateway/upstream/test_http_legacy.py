"""The legacy driver: sessions kept apart, what servers ask, polling, lost sessions, cancellation, subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.gateway.upstream.fake_http_upstream import Json, Legacy, Reply, Request, error, result, tool
from tests.gateway.upstream.http_rig import Caller, rig, run
from toolyard.gateway.call import AskRefused, ClientGone
from toolyard.gateway.upstream.errors import UpstreamIncomplete, UpstreamInvalid, UpstreamTimedOut
from toolyard.protocol.errors import RelayedError

LEGACY = {"era": "legacy", "revision": "2025-11-25"}
DONE = {"content": [{"type": "text", "text": "done"}]}


def test_definitions_are_observed_and_a_tool_is_called_on_a_session_of_its_own():
    async def work() -> None:
        async with rig(Legacy(), isolation="shared") as r:
            seen = await r.upstream.observe()
            assert (seen.era, seen.revision, seen.instructions, seen.ttl_ms) == ("legacy", "2025-11-25", "Be kind.", 0)
            assert [t["name"] for t in seen.tools] == ["echo"]
            assert (await r.echo())["content"][0]["text"] == "echo"
            own, callers = (request.params["capabilities"] for request in r.fake.of("initialize"))
            assert set(own) == {"elicitation", "roots", "sampling"}
            assert callers == {}
            sent = r.fake.of("tools/call")[0]
            assert (sent.headers["mcp-session-id"], sent.headers["mcp-protocol-version"]) == ("session-2", "2025-11-25")
            assert "_meta" not in sent.params
            assert "mcp-method" not in sent.headers
            names = [request.rpc_method for request in r.fake.requests]
            assert names.index("initialize") < names.index("notifications/initialized") < names.index("tools/list")

    run(work)


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-03-26", "2024-11-05"])
def test_an_older_revision_is_accepted_and_spoken(revision: str):
    async def work() -> None:
        async with rig(Legacy(revision=revision, stateless=True)) as r:
            assert (await r.upstream.observe()).revision == revision
            await r.echo()
            assert r.fake.of("tools/call")[0].headers["mcp-protocol-version"] == revision
            assert "mcp-session-id" not in r.fake.of("tools/call")[0].headers

    run(work)


def test_a_revision_nobody_offered_is_invalid():
    async def work() -> None:
        async with rig(Legacy(revision="1999-01-01")) as r:
            with pytest.raises(UpstreamInvalid):
                await r.echo()

    run(work)


def test_callers_and_capability_sets_have_sessions_of_their_own():
    async def work() -> None:
        server = Legacy()
        async with rig(server) as r:
            await r.echo(isolation="key:1", **LEGACY)
            await r.echo(isolation="key:1", **LEGACY)
            await r.echo(isolation="key:2", **LEGACY)
            await r.echo(isolation="key:2", client_capabilities={"sampling": {}}, **LEGACY)
            used = [request.headers["mcp-session-id"] for request in r.fake.of("tools/call")]
            assert used[0] == used[1]
            assert len(set(used)) == 3
            assert server.sessions[used[3]] == {"sampling": {}}

    run(work)


def test_a_modern_callers_session_declares_what_of_the_caller_can_be_bridged():
    tasks, ui = {"io.modelcontextprotocol/tasks": {}}, {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html"]}}
    offered = {"elicitation": {"form": {}}, "roots": {"listChanged": True}, "extensions": {**tasks, **ui}, "new": {}}

    async def work() -> None:
        server = Legacy()
        async with rig(server) as r:
            await r.echo(client_capabilities=offered, isolation="key:1")
            declared = server.sessions[r.fake.of("tools/call")[0].headers["mcp-session-id"]]
            assert declared == {"elicitation": {"form": {}}, "roots": {}, "extensions": ui}

    run(work)


def test_concurrent_callers_share_one_handshake():
    async def work() -> None:
        async with rig(Legacy(), era_hint="legacy") as r:
            await asyncio.gather(*(r.echo(isolation="key:1", **LEGACY) for _ in range(8)))
            assert len(r.fake.of("initialize")) == 1

    run(work)


async def _talking(request: Request, reply: Reply) -> None:
    token = request.params.get("_meta", {}).get("progressToken")
    await reply.stream()
    await reply.event(
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}
    )
    for level in ("debug", "error"):
        await reply.event(
            {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level, "data": "x"}}
        )
    await reply.event({"jsonrpc": "2.0", "method": "notifications/x", "params": {"y": 1}})
    await reply.event(result(request, DONE))
    await reply.end()


def test_notifications_of_a_calls_stream_reach_it_filtered_by_its_level():
    async def work() -> None:
        async with rig(Legacy(capabilities={"tools": {}, "logging": {}}, handlers={"tools/call": _talking})) as r:
            caller = Caller()
            await r.echo(caller, wants_progress=True, log_level="warning", **LEGACY)
            assert caller.told == [
                {"method": "notifications/progress", "params": {"progress": 1}},
                {"method": "notifications/message", "params": {"level": "error", "data": "x"}},
                {"method": "notifications/x", "params": {"y": 1}},
            ]
            await r.echo(log_level="error", **LEGACY)
            await r.echo(log_level="info", **LEGACY)
            assert [request.params["level"] for request in r.fake.of("logging/setLevel")] == ["warning", "info"]

    run(work)


def test_a_level_that_one_client_chose_takes_nothing_from_one_that_chose_none():
    async def work() -> None:
        async with rig(Legacy(capabilities={"tools": {}, "logging": {}}, handlers={"tools/call": _talking})) as r:
            await r.echo(log_level="debug", log_level_chosen=False, **LEGACY)
            assert r.fake.of("logging/setLevel") == []
            await r.echo(log_level="error", **LEGACY)
            await r.echo(log_level="debug", log_level_chosen=False, **LEGACY)
            assert [request.params["level"] for request in r.fake.of("logging/setLevel")] == ["error", "debug"]

    run(work)


class Asking(Legacy):
    """Asks during each tool call, and answers with what it was told."""

    def __init__(self, method: str = "elicitation/create", **more: Any) -> None:
        super().__init__(handlers={"tools/call": self.ask, "": self.answered}, **more)
        self.method = method
        self.answers: asyncio.Queue[Json] = asyncio.Queue()

    async def ask(self, request: Request, reply: Reply) -> None:
        await reply.stream()
        params = {"message": "?", "requestedSchema": {"type": "object"}}
        await reply.event({"jsonrpc": "2.0", "id": "s1", "method": self.method, "params": params})
        answer = await self.answers.get()
        words = str(answer.get("result", answer.get("error", {}).get("code")))
        await reply.event(result(request, {"content": [{"type": "text", "text": words}]}))
        await reply.end()

    async def answered(self, request: Request, reply: Reply) -> None:
        await reply.whole(202)
        await self.answers.put(request.message)


ELICITING: Json = {"client_capabilities": {"elicitation": {}}, **LEGACY}


async def _accept(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
    return {key: {"action": "accept"} for key in requests}


def test_what_a_server_asks_on_a_calls_stream_is_asked_of_that_caller_and_answered_in_the_session():
    async def work() -> None:
        async with rig(Asking()) as r:
            caller = Caller(_accept)
            final = await r.echo(caller, **ELICITING)
            assert final["content"][0]["text"] == "{'action': 'accept'}"
            assert [next(iter(requests.values()))["method"] for requests, _ in caller.asked] == ["elicitation/create"]
            answer = r.fake.of("")[0]
            assert answer.message["id"] == "s1"
            assert answer.headers["mcp-session-id"] == r.fake.of("tools/call")[0].headers["mcp-session-id"]

    run(work)


@pytest.mark.parametrize(
    ("method", "declared"), [("sampling/createMessage", {"elicitation": {}}), ("elicitation/create", {})]
)
def test_what_the_session_did_not_declare_is_answered_with_method_not_found(method: str, declared: Json):
    async def work() -> None:
        async with rig(Asking(method)) as r:
            caller = Caller(_accept)
            final = await r.echo(caller, client_capabilities=declared, **LEGACY)
            assert final["content"][0]["text"] == "-32601"
            assert caller.asked == []

    run(work)


def test_a_ping_in_the_middle_of_a_call_is_answered():
    async def work() -> None:
        async with rig(Asking("ping")) as r:
            assert (await r.echo(**LEGACY))["content"][0]["text"] == "{}"

    run(work)


class AskingTooMuch(Asking):
    """Asks one hundred questions at once, and one of them again, then answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()

    async def ask(self, request: Request, reply: Reply) -> None:
        await reply.stream()
        for number in (*range(100), 0):
            await reply.event({"jsonrpc": "2.0", "id": number, "method": self.method, "params": {"message": "?"}})
        await self.goes_on.wait()
        await reply.event(result(request, {"content": []}))
        await reply.end()


def test_a_server_that_asks_without_end_is_refused_and_nothing_of_it_is_left_after_the_call():
    async def forever(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        await asyncio.Event().wait()
        return {}

    async def work() -> None:
        server = AskingTooMuch()
        async with rig(server) as r:
            caller = Caller(forever)
            calling = asyncio.ensure_future(r.echo(caller, **ELICITING))
            await r.fake.wait_for("", 84)
            refused = {answer.message["id"] for answer in r.fake.of("")}
            assert refused == set(range(16, 100))
            assert all(answer.message["error"]["code"] == -32603 for answer in r.fake.of(""))
            assert len(caller.asked) == 16
            server.goes_on.set()
            await calling
            await r.fake.wait_for("", 100)
            sessions = [place.session for place in r.upstream._driver._places.values() if place.session]
            assert not any(session.questions._of_nobody or session.calls.running for session in sessions)

    run(work)


class AskingEach(Asking):
    """Asks each call a question of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, asyncio.Future[Json]] = {}

    async def ask(self, request: Request, reply: Reply) -> None:
        question = f"of-{request.message['id']}"
        answer = self.open[question] = asyncio.get_running_loop().create_future()
        await reply.stream()
        await reply.event({"jsonrpc": "2.0", "id": question, "method": self.method, "params": {"message": "?"}})
        words = str((await answer).get("result"))
        await reply.event(result(request, {"content": [{"type": "text", "text": words}]}))
        await reply.end()

    async def answered(self, request: Request, reply: Reply) -> None:
        await reply.whole(202)
        self.open[request.message["id"]].set_result(request.message)


def test_calls_that_wait_for_answers_on_all_connections_for_calls_do_not_keep_the_answers_out():
    async def work() -> None:
        async with rig(AskingEach(), era_hint="legacy", max_connections=4) as r:
            all_wait = asyncio.Event()

            async def accept_when_all_wait(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
                if len(caller.asked) == 3:
                    all_wait.set()
                await all_wait.wait()
                return {key: {"action": "accept"} for key in requests}

            caller = Caller(accept_when_all_wait)
            finals = await asyncio.gather(*(r.echo(caller, **ELICITING) for _ in range(8)))
            assert {final["content"][0]["text"] for final in finals} == {"{'action': 'accept'}"}
            assert r.upstream.status()["http"]["max_connections"] == 4
            assert len(r.fake.of("tools/call")) == 8

    run(work)


def test_a_refused_ask_is_an_error_for_the_server_and_a_failed_one_ends_the_call_with_its_own_failure():
    async def refuse(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        raise AskRefused("no")

    async def work() -> None:
        async with rig(Asking()) as r:
            assert (await r.echo(Caller(refuse), **ELICITING))["content"][0]["text"] == "-32601"

            async def go(requests: Mapping[str, Json], state: str | None) -> Any:
                raise ClientGone

            with pytest.raises(ClientGone):
                await r.echo(Caller(go), **ELICITING)
            await r.fake.wait_for("notifications/cancelled", 1)

    run(work)


def test_a_cancelled_call_is_cancelled_upstream_and_its_question_withdrawn():
    async def work() -> None:
        async with rig(Asking()) as r:
            asked = asyncio.Event()

            async def forever(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
                asked.set()
                await asyncio.Event().wait()
                return {}

            task = asyncio.ensure_future(r.echo(Caller(forever), **ELICITING))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            cancelled = await r.fake.wait_for("notifications/cancelled")
            assert cancelled.params["requestId"] == r.fake.of("tools/call")[0].message["id"]

    run(work)


def test_a_call_that_takes_too_long_ends_in_time_and_is_cancelled_upstream():
    async def hang(request: Request, reply: Reply) -> None:
        await request.gone.wait()

    async def work() -> None:
        async with rig(Legacy(handlers={"tools/call": hang}), era_hint="legacy") as r:
            with pytest.raises(UpstreamTimedOut):
                await r.echo(seconds=0.3, **LEGACY)
            await r.fake.wait_for("notifications/cancelled")

    run(work)


class Polling(Legacy):
    """Ends each POST's stream after a numbered event; the result waits for the resumption `after` polls."""

    def __init__(self, polls: int = 2, **more: Any) -> None:
        super().__init__(handlers={"tools/call": self.start, "GET": self.resume}, **more)
        self.polls = polls
        self.resumed: list[str] = []
        self.call: Request | None = None

    async def start(self, request: Request, reply: Reply) -> None:
        self.call = request
        await reply.stream()
        await reply.event(None, id="e0", retry=1)
        await reply.end()

    async def resume(self, request: Request, reply: Reply) -> None:
        last = request.headers.get("last-event-id")
        if last is None or self.call is None:
            await reply.whole(405)
            return
        self.resumed.append(last)
        await reply.stream()
        if len(self.resumed) < self.polls:
            await reply.event(None, id=f"e{len(self.resumed)}", retry=1)
        else:
            await reply.event(result(self.call, DONE), id="end")
        await reply.end()


def test_a_server_that_ends_its_streams_is_polled_with_the_last_event_id_until_it_answers():
    async def work() -> None:
        server = Polling()
        async with rig(server) as r:
            assert await r.echo(**LEGACY) == DONE
            assert server.resumed == ["e0", "e1"]

    run(work)


@pytest.mark.slow
def test_a_stream_that_breaks_is_resumed_too_and_polling_ends_with_the_deadline():
    async def work() -> None:
        server = Polling(polls=10_000)
        async with rig(server, era_hint="legacy") as r:
            with pytest.raises(UpstreamTimedOut):
                await r.echo(seconds=1.0, **LEGACY)
            assert server.resumed
            await r.fake.wait_for("notifications/cancelled")

    run(work)


def test_a_stream_without_event_ids_that_ends_early_is_incomplete():
    async def stop(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.end()

    async def work() -> None:
        async with rig(Legacy(handlers={"tools/call": stop})) as r:
            with pytest.raises(UpstreamIncomplete):
                await r.echo(**LEGACY)

    run(work)


def test_a_lost_session_is_opened_again_and_only_what_is_safe_is_repeated():
    async def work() -> None:
        server = Legacy(tools=[tool("echo"), tool("look", annotations={"readOnlyHint": True})])
        async with rig(server) as r:
            await r.upstream.observe()
            await r.echo(**LEGACY)
            server.sessions.clear()
            assert (await r.echo(name="look", **LEGACY))["content"][0]["text"] == "look"
            server.sessions.clear()
            with pytest.raises(UpstreamIncomplete):
                await r.echo(**LEGACY)
            assert len([c for c in r.fake.of("tools/call") if c.params["name"] == "echo"]) == 2
            assert (await r.echo(**LEGACY))["content"][0]["text"] == "echo"
            server.sessions.clear()
            assert len((await r.upstream.observe()).tools) == 2

    run(work)


class Streaming(Legacy):
    """Has GET streams; `streams` are those open, by session."""

    def __init__(self, **more: Any) -> None:
        more.setdefault("capabilities", {"tools": {"listChanged": True}, "resources": {"subscribe": True}})
        super().__init__(handlers={"GET": self.listen, **more.pop("handlers", {})}, **more)
        self.streams: dict[str, Reply] = {}
        self.opened = asyncio.Event()

    async def listen(self, request: Request, reply: Reply) -> None:
        await reply.stream()
        self.streams[request.headers["mcp-session-id"]] = reply
        self.opened.set()
        await request.gone.wait()


def note(method: str, **params: Any) -> Json:
    return {"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params}


def test_list_changes_arrive_on_the_gateways_own_get_stream():
    async def work() -> None:
        server = Streaming()
        async with rig(server) as r:
            await r.upstream.observe()
            await server.opened.wait()
            await server.streams["session-1"].event(note("tools/list_changed"))
            await r.events.wait_for(("lists", "tools"))

    run(work)


def test_a_watched_resource_is_subscribed_once_in_its_callers_session_and_its_updates_name_the_owner():
    async def work() -> None:
        server = Streaming()
        async with rig(server, era_hint="legacy") as r:
            call = Caller().call("resources/subscribe", {"uri": "x:1"}, isolation="key:1", **LEGACY)
            await r.upstream.watch(call, "x:1")
            await r.upstream.watch(call, "x:1")
            assert len(r.fake.of("resources/subscribe")) == 1
            await server.opened.wait()
            session_id = r.fake.of("resources/subscribe")[0].headers["mcp-session-id"]
            await server.streams[session_id].event(note("resources/updated", uri="x:1"))
            await r.events.wait_for(("resource", "key:1", {"uri": "x:1"}))
            await r.upstream.unwatch(call, "x:1")
            assert r.fake.of("resources/unsubscribe") == []
            await r.upstream.unwatch(call, "x:1")
            assert len(r.fake.of("resources/unsubscribe")) == 1

    run(work)


def test_watches_are_taken_over_by_the_session_that_replaces_a_lost_one():
    async def work() -> None:
        server = Streaming()
        async with rig(server, era_hint="legacy") as r:
            call = Caller().call("resources/subscribe", {"uri": "x:1"}, isolation="key:1", **LEGACY)
            await r.upstream.watch(call, "x:1")
            server.sessions.clear()
            with pytest.raises(UpstreamIncomplete):
                await r.echo(isolation="key:1", **LEGACY)
            await r.echo(isolation="key:1", **LEGACY)
            assert len(r.fake.of("resources/subscribe")) == 2
            await r.events.wait_for(("resource", "key:1", {"uri": "x:1"}))

    run(work)


def test_an_upstream_that_cannot_subscribe_says_so():
    async def no(request: Request, reply: Reply) -> None:
        await reply.json(error(request, -32601))

    async def work() -> None:
        async with rig(Legacy(handlers={"resources/subscribe": no})) as r:
            with pytest.raises(RelayedError):
                await r.upstream.watch(Caller().call("resources/subscribe", {}, **LEGACY), "x:1")

    run(work)


def test_a_question_on_the_get_stream_goes_to_the_only_running_call_and_to_nobody_if_there_are_two():
    async def work() -> None:
        go = asyncio.Event()

        async def hang(request: Request, reply: Reply) -> None:
            await go.wait()
            await reply.json(result(request, DONE))

        answers: asyncio.Queue[Json] = asyncio.Queue()

        async def answered(request: Request, reply: Reply) -> None:
            await reply.whole(202)
            await answers.put(request.message)

        server = Streaming(handlers={"tools/call": hang, "": answered})
        async with rig(server, era_hint="legacy") as r:
            callers = [Caller(_accept), Caller(_accept)]
            first = asyncio.ensure_future(r.echo(callers[0], **ELICITING))
            await r.fake.wait_for("tools/call")
            await server.opened.wait()
            stream = server.streams["session-1"]
            ask = {"jsonrpc": "2.0", "id": 7, "method": "elicitation/create", "params": {"message": "?"}}
            await stream.event(ask)
            assert (await answers.get())["result"] == {"action": "accept"}
            second = asyncio.ensure_future(r.echo(callers[1], **ELICITING))
            await r.fake.wait_for("tools/call", 2)
            await stream.event({**ask, "id": 8})
            assert (await answers.get())["error"]["code"] == -32601
            await stream.event({"jsonrpc": "2.0", "id": 9, "method": "ping"})
            assert (await answers.get())["result"] == {}
            assert (len(callers[0].asked), len(callers[1].asked)) == (1, 0)
            go.set()
            await asyncio.gather(first, second)

    run(work)


def test_closing_the_upstream_ends_its_sessions_there():
    async def work() -> None:
        server = Legacy()
        async with rig(server) as r:
            await r.echo(**LEGACY)
            await r.echo(isolation="key:1", **LEGACY)
            await r.upstream.aclose()
            assert server.sessions == {}
            assert len(r.fake.of("DELETE")) == 3

    run(work)


def test_changed_roots_are_told_to_the_callers_session_and_open_none():
    async def work() -> None:
        async with rig(Legacy()) as r:
            capabilities: Json = {"roots": {"listChanged": True}}
            fields = {"isolation": "key:1", "client_capabilities": capabilities, **LEGACY}
            caller = Caller().call("notifications/roots/list_changed", {}, **fields)
            await r.upstream.roots_changed(caller)
            assert r.fake.of("initialize") == []
            await r.echo(isolation="key:1", client_capabilities=capabilities, **LEGACY)
            await r.upstream.roots_changed(caller)
            told = await r.fake.wait_for("notifications/roots/list_changed")
            assert told.headers["mcp-session-id"] == r.fake.of("tools/call")[0].headers["mcp-session-id"]

    run(work)
