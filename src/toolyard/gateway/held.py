"""An upstream request that outlives the exchanges of its caller: it runs in a task of its own and may ask.

Whoever carries it on (`parking` between the retries of a modern caller) attaches to it, waits for its result or its
questions, and hands in answers. Nothing is executed twice: there is one request, however many exchanges it takes.

Rules of questions. A question has a key that no other open one has; an upstream may choose it (`_meta` member
`toolyard/inputKey` of what it asks). Questions that come within a moment of each other travel together. An answer that
was given ahead, under the key of a question to come, is used once; the answer to an earlier question is never that of
a later one. What is no answer to the question leaves it open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from toolyard.contract.definitions import Json
from toolyard.gateway.call import AskRefused, Call, Emit, Suspended
from toolyard.kit.errors import PlatformError

TOGETHER_S: Final = 0.025
UNHURRIED_S: Final = 24 * 3600.0
INPUT_KEY: Final = "toolyard/inputKey"
MAX_KEY_CHARACTERS: Final = 128
MAX_AHEAD: Final = 32
MAX_ASKED: Final = 1000

Work = Callable[[Call], Awaitable[Json]]

_KINDS: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
_NOT_FOR_THE_CALLER: Final = frozenset({"progressToken", INPUT_KEY})


class _Question:
    """One question that waits for its answer."""

    __slots__ = ("answer", "request")

    def __init__(self, request: Json) -> None:
        self.request = request
        self.answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()


class HeldCall:
    """One request in progress. `work(call)` does it, with a call whose `emit` and `ask` end here; `left_s` is how long
    the upstream may still take, not counting the time its questions are open."""

    def __init__(self, call: Call, work: Work, *, left_s: float) -> None:
        self.call = call
        self.left_s = left_s
        self._loop = asyncio.get_running_loop()
        self._emit: Emit | None = call.emit
        self._ahead = _first_few(call.input_responses or {})
        self._open: dict[str, _Question] = {}
        self._used: set[str] = set()
        self._asked = 0
        self._patient = False
        self._interrupted = False
        self._news = asyncio.Event()
        inner = replace(
            call,
            emit=self._relay,
            ask=self._ask,
            deadline=self._loop.time() + UNHURRIED_S,
            places=None,
        )
        self._task = self._loop.create_task(_run(work, inner))
        self._task.add_done_callback(self._ended)

    @property
    def ended(self) -> bool:
        """The upstream has answered, or failed."""
        return self._task.done()

    @property
    def failure(self) -> BaseException | None:
        """What an ended request ended with instead of a result."""
        return asyncio.CancelledError() if self._task.cancelled() else self._task.exception()

    def result(self) -> Json:
        """The result of an ended request. Raises what it ended with."""
        return self._task.result()

    @property
    def questions(self) -> dict[str, Json]:
        """The open questions: {key: {"method": …, "params": …}}."""
        return {key: question.request for key, question in self._open.items()}

    def attach(self, emit: Emit | None) -> None:
        """Notifications of the upstream go to `emit` from now on; None drops them."""
        self._emit = emit

    def be_patient(self) -> None:
        """From now on a modern upstream's questions wait for their answers here, too, instead of ending the request,
        and no key is used twice."""
        self._patient = True

    def answer(self, responses: Mapping[str, Json]) -> None:
        """Take answers: to open questions, and ahead of those to come, instead of what was ahead before. What does not
        fit leaves its question open."""
        ahead = {key: response for key, response in responses.items() if key not in self._used}
        if ahead:
            self._ahead = _first_few(ahead)
        for key, response in responses.items():
            question = self._open.get(key)
            if question is not None and _fits(question.request["method"], response):
                del self._open[key]
                question.answer.set_result(response)
                self._news.set()

    def interrupt(self) -> None:
        """Let whoever waits for news look at once, and from now on."""
        self._interrupted = True
        self._news.set()

    async def news(self, known: Collection[str]) -> bool:
        """Wait until the request has ended (True), or its open questions are others than those of the keys `known`, or
        somebody interrupts."""
        while not self._task.done() and not self._interrupted and self._open.keys() == set(known):
            self._news.clear()
            await self._news.wait()
        if self._open and not self._task.done():
            await asyncio.sleep(TOGETHER_S)
        return self._task.done()

    async def proceed(self) -> Json:
        """The result. Raises Suspended with the open questions, UpstreamError, RelayedError, TimeoutError when the
        upstream's time is up (the request goes on until `cancel`)."""
        began = self._loop.time()
        try:
            async with asyncio.timeout(max(0.0, self.left_s)):
                return await self._proceed()
        finally:
            self.left_s -= self._loop.time() - began

    async def _proceed(self) -> Json:
        while not self._task.done():
            self._news.clear()
            if self._open:
                await asyncio.sleep(TOGETHER_S)
                if self._open and not self._task.done():
                    raise Suspended(self.questions, None)
            else:
                await self._news.wait()
        return self._task.result()

    async def cancel(self) -> None:
        """Give the request up: the upstream is told, and this returns when that is done."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _relay(self, notification: Json) -> None:
        emit = self._emit
        if emit is None:
            return
        try:
            await emit(notification)
        except PlatformError:
            if self._emit is emit:
                self._emit = None

    async def _ask(
        self, requests: Mapping[str, Json], *, state: str | None = None, held: bool = False
    ) -> dict[str, Json]:
        if not held and not self._patient:
            raise Suspended(requests, state)
        if len(self._used) + len(requests) > MAX_ASKED:
            raise AskRefused("one call asks too often")
        asked = {name: self._open_question(request, None if held else name) for name, request in requests.items()}
        try:
            return {name: await question.answer for name, (_, question) in asked.items()}
        finally:
            for key, question in asked.values():
                if self._open.get(key) is question:
                    del self._open[key]
                    self._news.set()

    def _open_question(self, request: Json, name: str | None) -> tuple[str, _Question]:
        key, shown = self._keyed(request, name)
        question = _Question(shown)
        ahead = self._ahead.pop(key, None) if name is None else None
        if ahead is not None and _fits(shown["method"], ahead):
            question.answer.set_result(ahead)
        else:
            self._open[key] = question
            self._news.set()
        return key, question

    def _keyed(self, request: Json, hint: str | None) -> tuple[str, Json]:
        """The question's key, and the question as the caller may see it. A modern upstream names its questions."""
        shown: Json = {"method": request["method"]}
        params: Any = request.get("params")
        if isinstance(params, dict):
            meta = params.get("_meta")
            hint = meta.get(INPUT_KEY) if hint is None and isinstance(meta, dict) else hint
            shown["params"] = _for_the_caller(params)
        if not isinstance(hint, str) or not 0 < len(hint) <= MAX_KEY_CHARACTERS or self._is_taken(hint):
            hint = self._new_key(_KINDS.get(request["method"], "input"))
        self._used.add(hint)
        return hint, shown

    def _new_key(self, kind: str) -> str:
        while True:
            self._asked += 1
            if not self._is_taken(key := f"{kind}-{self._asked}"):
                return key

    def _is_taken(self, key: str) -> bool:
        return key in (self._used if self._patient else self._open)

    def _ended(self, task: asyncio.Task[Json]) -> None:
        self._news.set()
        if not task.cancelled():
            task.exception()


async def _run(work: Work, call: Call) -> Json:
    return await work(call)


def _first_few(answers: Mapping[str, Json]) -> dict[str, Json]:
    """As many answers as are kept for questions to come."""
    return dict(islice(answers.items(), MAX_AHEAD))


def _for_the_caller(params: Json) -> Json:
    """The parameters of a pushed request as those of an input request (2026-07-28, basic/patterns/mrtr): there is no
    `elicitationId` in the modern era, and no progress of an answer."""
    shown = {name: value for name, value in params.items() if name not in ("elicitationId", "_meta")}
    meta = params.get("_meta")
    kept = {n: v for n, v in meta.items() if n not in _NOT_FOR_THE_CALLER} if isinstance(meta, dict) else {}
    if kept:
        shown["_meta"] = kept
    return shown


def _fits(method: str, response: Json) -> bool:
    """True if `response` can be the answer to a question of that method (ElicitResult, CreateMessageResult,
    ListRootsResult)."""
    if method == "elicitation/create":
        content = response.get("content")
        return response.get("action") in ("accept", "decline", "cancel") and (
            content is None or isinstance(content, dict)
        )
    if method == "roots/list":
        return isinstance(response.get("roots"), list)
    return isinstance(response.get("content"), dict | list)
