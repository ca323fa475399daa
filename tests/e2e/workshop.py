"""The workshop: what the servers that nobody here wrote the SDK of offer, said once for each of their SDKs.

`furnish` puts everything into a server through its SDK's own decorators. What the workshop does to the world goes to a
ledger, a file with a line for each effect, so that nothing that a gateway says is needed to count them.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Json = dict[str, Any]
STOCK = 1005  # more parts than one page of a gateway holds
NOTE = "workshop://note"
STEPS = 3


@dataclass(frozen=True, slots=True)
class Ask:
    """What a tool needs of its client before it can go on: requests by key, and what it wants to be told again."""

    requests: Mapping[str, Json]
    state: str | None = None


@dataclass
class Weight:
    """How heavy something is."""

    item: str
    grams: int


@dataclass
class Ledger:
    """Every effect of the workshop on the world, in the order in which it came about."""

    path: Path = field(default_factory=lambda: Path(os.environ["WORKSHOP_LEDGER"]))

    def note(self, who: str, what: str) -> None:
        """Write one line; processes may share the file."""
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(f"{who} {what}\n")


# what a tool makes of the answers and of what it wanted to be told again: a text for the client, or an Ask
Step = Callable[[Mapping[str, Json], str | None], Ask | str]


class Kit(Protocol):
    """What each SDK does its own way."""

    context: Any

    async def settle(self, ctx: Any, step: Step) -> Any: ...
    async def announce(self, ctx: Any, extended: bool) -> None: ...


def furnish(server: Any, kit: Kit, ledger: Ledger) -> None:
    """Put tools, resources and prompts into the server."""
    _plain_tools(server, kit, ledger)
    _asking_tools(server, kit, ledger)
    _asking_contents(server, kit, ledger)
    _contents(server)


def _tool(server: Any, kit: Kit) -> Callable[[Callable[..., Any]], None]:
    def add(function: Callable[..., Any]) -> None:
        if "ctx" in function.__annotations__:
            function.__annotations__["ctx"] = kit.context  # by which an SDK knows where to put it
        server.tool()(function)

    return add


def _plain_tools(server: Any, kit: Kit, ledger: Ledger) -> None:
    tool = _tool(server, kit)

    @tool
    async def echo(message: str) -> str:
        """Says it again."""
        return f"Echo: {message}"

    @tool
    async def weigh(item: str) -> Weight:
        """Weighs something."""
        return Weight(item, 100 * len(item))

    @tool
    async def fail() -> str:
        """Always fails."""
        raise ValueError("The workshop is closed.")

    @tool
    async def work(who: str, ctx: Any) -> str:
        """Works in three steps, and tells of each."""
        ledger.note(who, "worked")
        for step in range(1, STEPS + 1):
            await ctx.report_progress(step, STEPS, f"step {step}")
            await ctx.info(f"did step {step}")
        return "worked"

    @tool
    async def stall(who: str) -> str:
        """Never ends of itself."""
        ledger.note(who, "stalled")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ledger.note(who, "was cancelled")
            raise
        return "never"

    @tool
    async def extend(who: str, on: bool, ctx: Any) -> str:
        """Takes one more tool, prompt and resource in, or out again, and says that the note is another."""
        ledger.note(who, f"extended {on}")
        await kit.announce(ctx, on)
        return "extended"


def _asking_tools(server: Any, kit: Kit, ledger: Ledger) -> None:
    tool = _tool(server, kit)

    @tool
    async def order(who: str, ctx: Any) -> Any:
        """Asks how many, then whether that is meant, and only then orders."""

        def step(answers: Mapping[str, Json], state: str | None) -> Ask | str:
            if state is None and "count" not in answers:
                return Ask({"count": form("How many chairs?", count={"type": "integer"})})
            if "sure" not in answers:
                count = answers["count"].get("content", {}).get("count")
                return Ask({"sure": form(f"Really {count} chairs?", sure={"type": "boolean"})}, f"chairs:{count}")
            count = str(state).removeprefix("chairs:")
            ledger.note(who, f"ordered {count}")
            return f"{count} chairs: {answers['sure']['action']} {answers['sure']['content']['sure']}"

        return await kit.settle(ctx, step)

    @tool
    async def sign(who: str, ctx: Any) -> Any:
        """Has the client's user open a page."""
        page = {"mode": "url", "message": "Please sign.", "url": f"https://example.com/sign/{who}"}

        def step(answers: Mapping[str, Json], _: str | None) -> Ask | str:
            if "page" not in answers:
                return Ask({"page": {"method": "elicitation/create", "params": page}})
            ledger.note(who, "signed")
            return f"signing: {answers['page']['action']}"

        return await kit.settle(ctx, step)

    @tool
    async def compose(who: str, ctx: Any) -> Any:
        """Has the client's model write, and use a tool for it."""
        question = {"role": "user", "content": {"type": "text", "text": f"How long is the table of {who}?"}}

        def step(answers: Mapping[str, Json], _: str | None) -> Ask | str:
            if "measured" not in answers and "asked" not in answers:
                return Ask({"asked": sampling(question)})
            if "measured" not in answers:
                use = answers["asked"]["content"]
                result = {"type": "tool_result", "toolUseId": use["id"], "content": [text("180 cm")]}
                said = {"role": "assistant", "content": use}
                return Ask({"measured": sampling(question, said, {"role": "user", "content": result})})
            ledger.note(who, "composed")
            return f"{answers['measured']['model']}: {answers['measured']['content']['text']}"

        return await kit.settle(ctx, step)

    @tool
    async def look(who: str, ctx: Any) -> Any:
        """Looks which folders the client has."""

        def step(answers: Mapping[str, Json], _: str | None) -> Ask | str:
            if "roots" not in answers:
                return Ask({"roots": {"method": "roots/list"}})
            ledger.note(who, "looked")
            return " ".join(root["uri"] for root in answers["roots"]["roots"])

        return await kit.settle(ctx, step)

    @tool
    async def survey(who: str, ctx: Any) -> Any:
        """Asks for three things at once."""

        def step(answers: Mapping[str, Json], _: str | None) -> Ask | str:
            if len(answers) < 3:
                question = {"role": "user", "content": text("Which wood?")}
                asked = {"method": "sampling/createMessage", "params": {"messages": [question], "maxTokens": 5}}
                name = form("Who are you?", name={"type": "string"})
                return Ask({"name": name, "wood": asked, "roots": {"method": "roots/list"}})
            ledger.note(who, "surveyed")
            folders = len(answers["roots"]["roots"])
            return f"{answers['name']['content']['name']}, {answers['wood']['content']['text']}, {folders} folder"

        return await kit.settle(ctx, step)


def _asking_contents(server: Any, kit: Kit, ledger: Ledger) -> None:
    async def interview(who: str, ctx: Any) -> Any:
        """Asks for a name before it says how to greet."""

        def step(answers: Mapping[str, Json], _: str | None) -> Ask | str:
            if "name" not in answers:
                return Ask({"name": form("Whom shall I greet?", name={"type": "string"})})
            ledger.note(who, "interviewed")
            return f"Greet {answers['name']['content']['name']} kindly."

        return await kit.settle(ctx, step)

    async def chest(who: str, ctx: Any) -> Any:
        """Asks whether that is meant before it opens."""

        def step(answers: Mapping[str, Json], _: str | None) -> Ask | str:
            if "sure" not in answers:
                return Ask({"sure": form("Open the chest?", sure={"type": "boolean"})})
            ledger.note(who, "opened")
            return f"open: {answers['sure']['content']['sure']}"

        return await kit.settle(ctx, step)

    interview.__annotations__["ctx"] = chest.__annotations__["ctx"] = kit.context
    server.prompt()(interview)
    server.resource("workshop://chest/{who}", mime_type="text/plain")(chest)


def _contents(server: Any) -> None:
    @server.resource(NOTE, mime_type="text/plain")  # type: ignore[untyped-decorator]
    def note() -> str:
        return "Glue dries overnight."

    @server.resource("workshop://stamp", mime_type="image/png")  # type: ignore[untyped-decorator]
    def stamp() -> bytes:
        return b"\x89PNG stamp"

    @server.resource("workshop://shelf/{number}", mime_type="text/plain")  # type: ignore[untyped-decorator]
    def shelf(number: str) -> str:
        return f"Shelf {number} is empty."

    for part in range(1, STOCK + 1):
        server.resource(f"workshop://part/{part}", name=f"part {part}")(_part(part))

    @server.prompt()  # type: ignore[untyped-decorator]
    def greeting(name: str) -> str:
        return f"Greet {name} kindly."


def _part(number: int) -> Callable[[], str]:
    return lambda: f"Part {number}."


def text(words: str) -> Json:
    """A block of text."""
    return {"type": "text", "text": words}


def form(message: str, **properties: Json) -> Json:
    """The request that has the client's user fill in a form."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}


def sampling(*messages: Json) -> Json:
    """The request that has the client's model go on, with one tool at hand."""
    schema = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}
    return {
        "method": "sampling/createMessage",
        "params": {
            "messages": list(messages),
            "systemPrompt": "You are a carpenter.",
            "maxTokens": 50,
            "tools": [{"name": "measure", "description": "Measures something", "inputSchema": schema}],
            "toolChoice": {"mode": "auto"},
        },
    }


def completions(argument: str, value: str) -> list[str]:
    """The names that begin so."""
    return [name for name in ("Ada", "Adele", "Bob") if name.startswith(value)] if argument == "name" else []


def open_doors(app: Any) -> None:
    """Serve the application on a free port until terminated; the first line of output is `{"url": …}`."""
    import uvicorn  # is beside the SDKs; those who only read what the workshop asks do without

    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(json.dumps({"url": f"http://localhost:{listener.getsockname()[1]}/mcp"}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


async def gathered(asks: Mapping[str, Json], push: Callable[[Json], Awaitable[Json]]) -> dict[str, Json]:
    """Push all requests of an Ask at once and return the answers by their keys."""
    return dict(zip(asks, await asyncio.gather(*[push(request) for request in asks.values()]), strict=True))
