"""What an upstream may ask of a caller, and the rounds of questions that a modern upstream answers a request with.

2026-07-28, basic/patterns/mrtr: the answer `input_required` carries questions and/or a state; the same request is sent
again with the answers and the unchanged state, until the answer is complete. Only what the caller declared on this very
request may be asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, Suspended
from toolyard.gateway.upstream.errors import UpstreamInvalid
from toolyard.protocol.convert import INPUT_REQUIRED, INTERACTIVE
from toolyard.protocol.error_rules import URL_ELICITATION_REQUIRED
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.revisions import PROGRESS_TOKEN
from toolyard.protocol.tasks import TASK, declares_tasks, without_tasks

MAX_ROUNDS = 10
MAX_QUESTIONS = 32

_CAPABILITY = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}

_WITH_TOOLS = frozenset({"tools", "toolChoice"})
"""What sampling has only towards clients that declared `sampling.tools` (2025-11-25 and 2026-07-28, client/sampling):
all others would leave it out without a word."""

_VARIANTS: Mapping[str, tuple[Json, ...]] = {
    "elicitation/create": ({"mode": "form"}, {"mode": "url"}),
    "sampling/createMessage": ({}, {"tools": []}),
    "roots/list": ({},),
}

LISTING_CAPABILITIES: Json = {"elicitation": {"form": {}, "url": {}}, "roots": {}, "sampling": {}}
"""What the gateway's own session declares to a legacy upstream: some servers list a tool only to clients that could be
asked by it. Nobody is behind that session, so whatever the upstream asks on it is refused."""

NO_ROOTS: Json = {"roots": []}

SendRound = Callable[[Json], Awaitable[Json]]


def may_ask(client_capabilities: Mapping[str, Any], method: str, params: Any) -> bool:
    """True if a caller that declared `client_capabilities` can be asked `method` with `params` (kinds and modes)."""
    capability = _CAPABILITY.get(method)
    declared = client_capabilities.get(capability) if capability else None
    if not isinstance(declared, dict):
        return False
    if capability == "sampling":
        return "tools" in declared or not (isinstance(params, dict) and not _WITH_TOOLS.isdisjoint(params))
    if capability == "roots":
        return True
    mode = params.get("mode", "form") if isinstance(params, dict) else "form"
    return "url" in declared if mode == "url" else "form" in declared or "url" not in declared


def undeclared(client_capabilities: Mapping[str, Any], needed: Mapping[str, Any]) -> Json:
    """What of `needed` a caller that declared `client_capabilities` cannot be asked, as capabilities."""
    missing = {
        capability
        for method, capability in _CAPABILITY.items()
        for params in _VARIANTS[method]
        if may_ask(needed, method, params) and not may_ask(client_capabilities, method, params)
    }
    return {name: needed[name] for name in sorted(missing)}


def question(method: str, params: Any) -> Json:
    """What a legacy upstream asks, as the caller is asked it. A progress token is left out: what a client tells of its
    progress has no way back to the upstream, so no client is invited to tell it (and modern ones cannot)."""
    meta = params.get("_meta") if isinstance(params, dict) else None
    if isinstance(meta, dict) and PROGRESS_TOKEN in meta:
        rest = {name: value for name, value in meta.items() if name != PROGRESS_TOKEN}
        params = {name: value for name, value in params.items() if name != "_meta"} | ({"_meta": rest} if rest else {})
    return {"method": method} if params is None else {"method": method, "params": params}


def legacy_capabilities(call: Call) -> Json:
    """What a session with a legacy upstream declares for this caller: exactly the caller's, as far as they can be
    bridged. A modern caller never announces that its roots changed, and tasks are another wire before 2026-07-28."""
    if call.era == "legacy":
        return call.client_capabilities
    declared: Json = {k: v for k in ("elicitation", "sampling") if (v := call.client_capabilities.get(k)) is not None}
    if "roots" in call.client_capabilities:
        declared["roots"] = {}
    extensions = without_tasks(call.client_capabilities).get("extensions")
    if extensions:
        declared["extensions"] = extensions
    return declared


def ask_for_urls(call: Call, error: RelayedError) -> None:
    """Raises Suspended where `error` is an older upstream's way to have a modern caller visit pages first (2025-11-25
    client/elicitation, URLElicitationRequiredError): nothing has run, so the caller visits them and calls again. One
    that has declined gets the error. The keys are none that a call's own questions have: who agreed to visit a page has
    answered nothing else."""
    if error.rpc_code != URL_ELICITATION_REQUIRED or call.era != "modern" or not isinstance(error.data, dict):
        return
    wanted, answered = error.data.get("elicitations"), call.input_responses or {}
    questions: dict[str, Json] = {}
    for number, one in enumerate(wanted[:MAX_QUESTIONS] if isinstance(wanted, list) else (), 1):
        if not isinstance(one, dict) or not may_ask(call.client_capabilities, "elicitation/create", one):
            return
        params = {k: v for k, v in one.items() if k != "elicitationId"}
        questions[f"url-{number}"] = {"method": "elicitation/create", "params": params}
    declined = any(answered[key].get("action") in ("decline", "cancel") for key in questions if key in answered)
    if questions and not declined:
        raise Suspended(questions, None)


async def run_rounds(call: Call, send: SendRound) -> Json:
    """Send the request of `call` to a modern upstream until its answer is complete, and return that.

    `send(extra)` does one request whose params are the call's plus `extra` (`inputResponses`, `requestState`). Raises
    UpstreamInvalid for questions that may not be asked and after ten rounds, and what `send` and `call.ask` raise.
    """
    answers, state = call.input_responses, call.upstream_state
    for _ in range(MAX_ROUNDS + 1):
        result = await send(_extra(answers, state))
        kind = result.get("resultType", "complete")
        if kind == "complete":
            return result
        if kind != INPUT_REQUIRED:
            return _extension_result(call, result)
        if call.method not in INTERACTIVE:
            raise UpstreamInvalid("The upstream asked for input where nobody can be asked.")
        questions, state = _questions(call, result)
        answers = await call.ask(questions, state=state)
    raise UpstreamInvalid(f"The upstream asked for input more than {MAX_ROUNDS} times for one call.")


def _extra(answers: dict[str, Json] | None, state: str | None) -> Json:
    extra: Json = {}
    if answers is not None:
        extra["inputResponses"] = answers
    if state is not None:
        extra["requestState"] = state
    return extra


def _questions(call: Call, result: Json) -> tuple[dict[str, Json], str | None]:
    questions, state = result.get("inputRequests", {}), result.get("requestState")
    if not isinstance(questions, dict) or not (state is None or isinstance(state, str)):
        raise UpstreamInvalid("The upstream asked for input in a form that is not valid.")
    if (not questions and state is None) or len(questions) > MAX_QUESTIONS:
        raise UpstreamInvalid("The upstream asked for no input, or for too much.")
    for question in questions.values():
        method = question.get("method") if isinstance(question, dict) else None
        if not isinstance(method, str) or not may_ask(call.client_capabilities, method, question.get("params")):
            raise UpstreamInvalid("The upstream asked for input that the caller did not offer to give.")
    return questions, state


def _extension_result(call: Call, result: Json) -> Json:
    """A result type of an extension is passed on only to a caller that declared extensions (basic, result types)."""
    declared = call.client_capabilities.get("extensions")
    if result.get("resultType") == TASK and not (
        call.method == "tools/call" and declares_tasks(call.client_capabilities)
    ):
        declared = None
    if isinstance(result.get("resultType"), str) and declared:
        return result
    raise UpstreamInvalid("The upstream answered with a result type that was not negotiated.")
