"""What the drivers of the two Python SDKs have in common. Plain Python: the SDK's types are given to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from tour import SAMPLE_ANSWER, Json, Plan, Refused, form_answer

MEASURE: Json = {"type": "tool_use", "id": "use-1", "name": "measure", "input": {"what": "table"}}


def plain(model: Any) -> Json:
    """A model of the SDK as the protocol's JSON."""
    return dict(model.model_dump(by_alias=True, mode="json", exclude_none=True))


class Inbox:
    """What reaches the client unasked, and what it answers. `asked` and `logs` are in order of arrival."""

    def __init__(self, types: ModuleType, plan: Plan) -> None:
        self._types = types
        self._plan = plan
        self.asked: list[Json] = []
        self.logs: list[Json] = []
        self.news: asyncio.Queue[str] = asyncio.Queue()

    def callbacks(self) -> Json:
        """What the SDK's client wants to be given."""
        always = {"logging_callback": self._logged, "message_handler": self._noticed}
        if not self._plan.interactive:
            return always
        with_tools = self._types.SamplingCapability(tools=self._types.SamplingToolsCapability())
        return {
            **always,
            "sampling_callback": self._sampled,
            "sampling_capabilities": with_tools,
            "elicitation_callback": self._elicited,
            "list_roots_callback": self._rooted,
        }

    def _note(self, method: str, params: Any) -> Json:
        given = {key: value for key, value in plain(params).items() if key != "_meta"} if params is not None else {}
        self.asked.append({"method": method, "params": given})
        return given

    async def _sampled(self, _: object, params: Any) -> Any:
        given = self._note("sampling/createMessage", params)
        last = given["messages"][-1]["content"]
        if not given.get("tools") or (isinstance(last, dict) and last["type"] == "tool_result"):
            return self._types.CreateMessageResult.model_validate(SAMPLE_ANSWER)
        use = {**SAMPLE_ANSWER, "content": MEASURE, "stopReason": "toolUse"}
        return self._types.CreateMessageResultWithTools.model_validate(use)

    async def _elicited(self, _: object, params: Any) -> Any:
        given = self._note("elicitation/create", params)
        return self._types.ElicitResult.model_validate(form_answer(given))

    async def _rooted(self, _: object) -> Any:
        self._note("roots/list", None)
        return self._types.ListRootsResult.model_validate({"roots": [self._plan.root]})

    async def _logged(self, params: Any) -> None:
        self.logs.append({"level": params.level, "data": params.data})

    async def _noticed(self, message: Any) -> None:
        if (what := told(getattr(message, "root", message))) is not None:
            self.news.put_nowait(what)


def told(notification: Any) -> str | None:
    """What a notification says has changed, if it is one of those."""
    method = getattr(notification, "method", "")
    if method == "notifications/resources/updated":
        return str(notification.params.uri)
    return method.split("/")[1] if method.endswith("/list_changed") else None


class SdkGuide:
    """The tour's guide for a client of a Python SDK: the requests that both make alike."""

    refusal: type[Exception]  # what the SDK raises for a JSON-RPC error

    def __init__(self, types: ModuleType, client: Any, inbox: Inbox) -> None:
        self._types = types
        self._client = client
        self.inbox = inbox

    async def ask(self, request: Awaitable[Any]) -> Json:
        """The request's result as JSON. Raises Refused."""
        try:
            return plain(await request)
        except self.refusal as problem:
            error = problem.error  # type: ignore[attr-defined]
            raise Refused(error.code, error.message, error.data) from problem

    def page_of(self, lister: Callable[..., Awaitable[Any]], cursor: str | None) -> Awaitable[Any]:
        """Ask for one page of a list."""
        return lister(cursor=cursor)

    def address(self, uri: str) -> Any:
        """The URI as the SDK wants it."""
        return uri

    async def pages(self, kind: str, cursor: str | None = None) -> list[list[Json]]:
        """All pages of a list from the cursor on: `tools`, `resources`, `resourceTemplates` or `prompts`."""
        lister = getattr(self._client, f"list_{'resource_templates' if kind == 'resourceTemplates' else kind}")
        found: list[list[Json]] = []
        while True:
            page = await self.ask(self.page_of(lister, cursor))
            found.append(page[kind])
            cursor = page.get("nextCursor")
            if cursor is None:
                return found

    async def _names(self, kind: str, name: str) -> list[str]:
        return [item[name] for page in await self.pages(kind) for item in page]

    async def tools(self) -> list[str]:
        return await self._names("tools", "name")

    async def resources(self) -> list[str]:
        return await self._names("resources", "uri")

    async def templates(self) -> list[str]:
        return await self._names("resourceTemplates", "uriTemplate")

    async def prompts(self) -> list[str]:
        return await self._names("prompts", "name")

    async def call(self, name: str, arguments: Json, progress: list[float] | None = None) -> Json:
        async def seen(value: float, _total: float | None, _message: str | None) -> None:
            assert progress is not None
            progress.append(value)

        return await self.ask(
            self._client.call_tool(name, arguments, progress_callback=None if progress is None else seen)
        )

    async def cancel(self, name: str, arguments: Json, begun: Callable[[], Awaitable[object]]) -> None:
        """Call a tool and take the call back as soon as it has begun."""
        calling = asyncio.ensure_future(self._client.call_tool(name, arguments))
        await begun()
        await self.take_back()
        calling.cancel()
        await asyncio.wait([calling])

    async def take_back(self) -> None:
        """Say that the latest request is cancelled, if dropping it does not say so."""

    async def read(self, uri: str) -> Json:
        return await self.ask(self._client.read_resource(self.address(uri)))

    async def prompt(self, name: str, arguments: dict[str, str]) -> Json:
        return await self.ask(self._client.get_prompt(name, arguments))

    async def complete(self, prompt: str, argument: str, value: str) -> Json:
        ref = self._types.PromptReference(type="ref/prompt", name=prompt)
        return await self.ask(self._client.complete(ref, {"name": argument, "value": value}))

    async def ping(self) -> bool:
        await self.ask(self._client.send_ping())
        return True
