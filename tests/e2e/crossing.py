"""The crossing: what a client of one era does with a server of another, and exactly what it then saw. Plain Python.

Where the tour looks whether things work, the crossing notes everything that reached the client: each question with its
parameters, each step of progress, each line of a log, each change. The ledger tells what happened behind the gateway.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from sdk_guide import SdkGuide
from tour import HEAR_TIMEOUT_S, LONG, Json, Plan, Refused, Walk
from tour import take as take_tour

LEDGER_TIMEOUT_S = 30.0
BLOCKS = ["text", "data", "mimeType", "uri", "resource"]  # of a content block, what may tell a client something


class Crossing(Walk):
    """Walks through everything of one server and collects exact facts."""

    def __init__(self, guide: SdkGuide, plan: Plan) -> None:
        super().__init__()
        self._guide: Any = guide
        self._plan = plan
        self._who = plan.label
        self._named = plan.walk == "everything"  # its tools let anything pass

    async def walk(self) -> Json:
        """All steps of the one server behind the URL."""
        server = self._plan.walk
        await self._note("about", self._guide.about())
        await self._lists()
        steps = {"everything": self._everything, "workshop": self._workshop}
        await steps[server]()
        await self._note("unknown_tool", self._guide.call("no_such_tool", {}))
        await self._note("ping", self._guide.ping())
        self.facts["effects"] = dict(Counter(self._effects()))
        return self.facts

    async def _lists(self) -> None:
        for kind, name in (
            ("tools", "name"),
            ("prompts", "name"),
            ("resourceTemplates", "uriTemplate"),
            ("resources", "uri"),
        ):
            await self._note(kind, self._names(kind, name))
        await self._note("bad_cursor", self._guide.pages("tools", "no cursor of anybody's"))

    async def _names(self, kind: str, name: str) -> Json:
        pages = await self._guide.pages(kind)
        return {"pages": [len(page) for page in pages], "names": sorted(item[name] for page in pages for item in page)}

    async def _read(self, uri: str) -> Any:
        return (await self._guide.read(uri))["contents"]

    async def _prompt(self, name: str, /, **arguments: str) -> Any:
        return (await self._guide.prompt(name, arguments))["messages"]

    async def _complete(self, prompt: str, argument: str, value: str) -> Any:
        return (await self._guide.complete(prompt, argument, value))["completion"]["values"]

    async def _call(self, name: str, /, **arguments: Any) -> Json:
        """A call's result, with everything that reached the client because of it."""
        inbox = self._guide.inbox
        asked, logs = len(inbox.asked), len(inbox.logs)
        progress: list[float] = []
        given = {**({"who": self._who} if self._named else {}), **arguments}
        result = await self._guide.call(name, given, progress)
        seen: Json = {"content": [_told(block) for block in result["content"]], "isError": bool(result.get("isError"))}
        if "structuredContent" in result:
            seen["structured"] = result["structuredContent"]
        questions = sorted(inbox.asked[asked:], key=lambda one: str(one["method"]))
        heard = {"progress": progress, "asked": questions, "logs": inbox.logs[logs:]}
        return {**seen, **{kind: value for kind, value in heard.items() if value}}

    async def _asked_by(self, step: Awaitable[Any]) -> Json:
        """What came of a step, and what the client was asked for it."""
        before = len(self._guide.inbox.asked)
        return {"result": await step, "asked": self._guide.inbox.asked[before:]}

    async def _everything(self) -> None:
        call = self._call
        # 350 ms after a session began this server asks for the roots: that should fall into a call, and into this one
        await self._note("settled", call("trigger-long-running-operation", duration=2, steps=1))
        await self._note("echo", call("echo", message="across"))
        await self._note("structured", call("get-structured-content", location="Chicago"))
        await self._note("links", call("get-resource-links", count=2))
        await self._note("annotated", call("get-annotated-message", messageType="success", includeImage=False))
        await self._note("embedded", call("get-resource-reference", resourceType="Text", resourceId=7))
        await self._note("bad_arguments", call("get-sum", a="no number"))
        await self._note("long", call("trigger-long-running-operation", **LONG))
        await self._note("logs_on", call("toggle-simulated-logging"))
        await self._note("logs_off", call("toggle-simulated-logging"))
        await self._note("read", self._read("demo://resource/static/document/features.md"))
        await self._note("read_template", self._read("demo://resource/dynamic/blob/7"))
        await self._note("read_unknown", self._read("demo://resource/nowhere"))
        await self._note("prompt", self._prompt("args-prompt", city="Oslo", state="Norway"))
        await self._note("prompt_embedded", self._prompt("resource-prompt", resourceType="Text", resourceId="7"))
        await self._note("prompt_unknown", self._prompt("no-such-prompt"))
        await self._note("completion", self._complete("completable-prompt", "department", "S"))
        await self._note("updated", self._updated())
        if self._plan.interactive:
            await self._note("elicitation", call("trigger-elicitation-request"))
            page = {"url": "https://example.com/open", "message": "Please open.", "elicitationId": "page-1"}
            await self._note("elicitation_url", call("trigger-url-elicitation", **page))
            await self._note("elicitation_error", call("trigger-url-elicitation", **page, errorPath=True))
            await self._note("sampling", call("trigger-sampling-request", prompt="across?", maxTokens=20))
            await self._note("roots", call("get-roots-list"))
        cancelled = "trigger-long-running-operation"
        await self._note("cancelled", self._cancel(cancelled, f"called {cancelled}", f"cancelled {cancelled}"))

    async def _updated(self) -> str:
        """Have the server announce a resource's change while the client watches it."""
        uri = "demo://resource/dynamic/text/5"
        async with self._guide.watching(uri) as news:
            await self._guide.call("toggle-subscriber-updates", {"who": self._who})
            async with asyncio.timeout(HEAR_TIMEOUT_S):
                heard = str(await news.get())
            await self._guide.call("toggle-subscriber-updates", {"who": self._who})
        return heard

    async def _workshop(self) -> None:
        call = self._call
        await self._note("echo", call("echo", message="across"))
        await self._note("weigh", call("weigh", item="saw"))
        await self._note("fail", call("fail"))
        await self._note("bad_arguments", call("weigh", weight=1))
        await self._note("work", call("work", who=self._who))
        await self._note("read", self._read("workshop://note"))
        await self._note("read_blob", self._read("workshop://stamp"))
        await self._note("read_template", self._read("workshop://shelf/4"))
        await self._note("read_unknown", self._read("workshop://nowhere"))
        await self._note("prompt", self._prompt("greeting", name="Ada"))
        await self._note("prompt_unknown", self._prompt("no-such-prompt"))
        await self._note("completion", self._complete("greeting", "name", "Ad"))
        if self._plan.watching:
            await self._note("changes", self._changes())
        if self._plan.interactive:
            for name in ("order", "sign", "compose", "look", "survey"):
                await self._note(name, call(name, who=self._who))
            await self._note("interview", self._asked_by(self._prompt("interview", who=self._who)))
            await self._note("chest", self._asked_by(self._read(f"workshop://chest/{self._who}")))
        await self._note("cancelled", self._cancel("stall", "stalled", "was cancelled"))

    async def _changes(self) -> Json:
        """Have lists and a resource changed while the client watches: what it heard, and what it then saw."""
        before = await self._everything_named()
        async with self._guide.watching("workshop://note") as news:
            heard, extended = await self._extend(news, on=True)
            heard_again, at_last = await self._extend(news, on=False)
        more = {kind: sorted(extended[kind] - before[kind]) for kind in before}
        return {"heard": heard, "more": more, "heard_again": heard_again, "as_before": at_last == before}

    async def _extend(self, news: asyncio.Queue[str], *, on: bool) -> tuple[list[str], dict[str, set[str]]]:
        """Take more in, or out: what the client hears of it until its lists tell the same, and those lists."""
        await self._guide.call("extend", {"who": self._who, "on": on})
        heard: set[str] = set()
        async with asyncio.timeout(HEAR_TIMEOUT_S):
            while True:
                heard.add(await news.get())
                named = await self._everything_named()
                if len(heard) == 4 and all(any("extra" in name for name in names) == on for names in named.values()):
                    return sorted(heard), named

    async def _everything_named(self) -> dict[str, set[str]]:
        kinds = ("tools", "prompts", "resources")
        while True:
            try:
                return {kind: set(await getattr(self._guide, kind)()) for kind in kinds}
            except Refused as refusal:  # the list changed between two of its pages: that is read from the beginning
                if refusal.data != {"reason": "cursor_invalid"}:
                    raise

    async def _cancel(self, name: str, begun: str, ended: str) -> str:
        """Take a call back when it runs behind the gateway, and wait until that has come through."""
        before = Counter(self._effects())[begun]
        slow = {"who": self._who, "duration": 60, "steps": 2} if name != "stall" else {"who": self._who}
        await self._guide.cancel(name, slow, lambda: self._wait_for(begun, before + 1))
        await self._wait_for(ended, 1)
        return "taken back"

    async def _wait_for(self, effect: str, count: int) -> None:
        give_up = time.monotonic() + LEDGER_TIMEOUT_S
        while Counter(self._effects())[effect] < count:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{effect!r} did not come about; what did: {self._effects()}")
            await asyncio.sleep(0.02)

    def _effects(self) -> list[str]:
        """What the ledger says that this client has caused."""
        ledger = Path(self._plan.ledger)
        lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []
        return [what for who, _, what in (line.partition(" ") for line in lines) if who == self._who]


def _told(block: Json) -> Any:
    """What one block of content says: a text as it is, anything else by its members that matter."""
    if block["type"] == "text":
        return block["text"]
    return {"type": block["type"], **{key: block[key] for key in BLOCKS if key in block}}


async def take(guide: SdkGuide, plan: Plan) -> None:
    """Walk the walk that the plan names and print the facts as the last line of standard output."""
    if plan.walk == "tour":
        await take_tour(guide, plan)
    else:
        print(json.dumps(await Crossing(guide, plan).walk()), flush=True)
