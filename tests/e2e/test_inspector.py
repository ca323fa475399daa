"""The MCP Inspector's command line, in both eras, at servers of the other one."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import servers
from tests.e2e.clients import LEGACY, MODERN, addresses
from tests.e2e.expectations import Facts, mismatches
from tests.e2e.inspector import Inspector
from tests.peers.processes import Gateway, gateway, serving

pytestmark = pytest.mark.slow

# the server at the end, the Inspector's transport and era
WORKSHOP = [
    ("mcp2", "http", LEGACY),
    ("default", "stdio", "modern"),  # the command line has no room for a server's name, so this one is the default
    ("fastmcp", "sse", LEGACY),
    ("fastmcp", "http", "modern"),
]
TOOLYARD = Path(sys.executable).with_name("toolyard")
REFUSED = {"code": "error", "message": "The upstream asked for input that the caller did not offer to give."}
WEIGHED = {"item": "saw", "grams": 300}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inspected")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Gateway]:
    with ExitStack() as stack:
        recorded = servers.recorded_everything(folder / "ledger")
        upstreams: dict[str, Any] = {"everything": {"command": recorded[0], "args": recorded[1:]}}
        for sdk in ("mcp2", "fastmcp"):
            environ = {**os.environ, "WORKSHOP_LEDGER": str(folder / "ledger")}
            opened = serving(servers.workshop_command(sdk), folder / f"{sdk}.log", environ)
            upstreams[sdk] = {"url": stack.enter_context(opened)}
        behind = {"default": "mcp2", **{code: code for code in upstreams}}
        configuration = {
            "upstreams": upstreams,
            "servers": {
                code: {"tools": [f"{upstream}/*"], "names": "plain", "access": "open"}
                for code, upstream in behind.items()
            },
        }
        started = stack.enter_context(gateway(folder / "gateway", configuration))
        for code in behind:
            started.wait_for_tools("echo", server=code)
        yield started


def inspector(running: Gateway, folder: Path, code: str, transport: str, era: str) -> Inspector:
    url = addresses(running, code)[transport]
    return Inspector(folder, transport, era, url, (str(TOOLYARD), "stdio"), running.environ)


def called(tool: str, **arguments: Any) -> tuple[str, ...]:
    given = [word for name, value in arguments.items() for word in ("--tool-arg", f"{name}={value}")]
    return ("--method", "tools/call", "--tool-name", tool, *given)


def introduced(hello: Any) -> tuple[Any, ...]:
    """The revision that was agreed on, the server's name and what it says of itself; or what else was printed."""
    if "serverInfo" not in hello:
        return (hello,)
    return hello["protocolVersion"], hello["serverInfo"]["name"], hello.get("instructions")


def without_meta(value: Any) -> Any:
    """The same without what a server may say besides: who it is, and how long an answer holds."""
    if isinstance(value, dict):
        return {k: without_meta(v) for k, v in value.items() if k not in ("_meta", "cacheScope", "ttlMs")}
    return value


def each(found: Any, kind: str, take: Callable[[Any], Any]) -> Any:
    """What matters of each item of a list; or what else was printed."""
    return [take(item) for item in found[kind]] if kind in found else found


def check(facts: Facts, expected: Facts) -> None:
    if wrong := mismatches(without_meta(facts), expected):
        pytest.fail(wrong, pytrace=False)


def effects(folder: Path, who: str) -> Counter[str]:
    """What the ledger says that one run has caused."""
    lines = (folder / "ledger").read_text(encoding="utf-8").splitlines()
    return Counter(line.partition(" ")[2] for line in lines if line.startswith(f"{who} "))


@pytest.mark.parametrize(("code", "transport", "era"), WORKSHOP)
def test_the_inspector_of_either_era_works_with_a_modern_only_server(
    code: str, transport: str, era: str, running: Gateway, folder: Path
) -> None:
    who = f"inspector-{code}-{era}"
    facts = inspector(running, folder, code, transport, era).run_all(
        {
            "hello": ("--method", "initialize"),
            "tools": ("--method", "tools/list"),
            "prompts": ("--method", "prompts/list"),
            "templates": ("--method", "resources/templates/list"),
            "weigh": called("weigh", item="saw"),
            "work": called("work", who=who),
            "fail": called("fail"),
            "order": called("order", who=who),
            "read": ("--method", "resources/read", "--uri", "workshop://note"),
            "nowhere": ("--method", "resources/read", "--uri", "workshop://nowhere"),
            "prompt": ("--method", "prompts/get", "--prompt-name", "greeting", "--prompt-args", "name=Ada"),
            "no_prompt": ("--method", "prompts/get", "--prompt-name", "no-such-prompt"),
        }
    )
    fast = code == "fastmcp"
    facts["hello"] = introduced(facts["hello"])
    failed = "Error calling tool 'fail': The workshop is closed." if fast else "Error executing tool fail"
    nowhere = "Resource not found: 'workshop://nowhere'" if fast else "Unknown resource: workshop://nowhere"
    facts["tools"] = each(facts["tools"], "tools", lambda tool: tool["name"])
    facts["templates"] = each(facts["templates"], "resourceTemplates", lambda template: template["uriTemplate"])
    facts["prompts"] = each(
        facts["prompts"], "prompts", lambda one: (one["name"], [a["name"] for a in one["arguments"]])
    )
    facts["prompt"] = each(facts["prompt"], "messages", lambda message: message)
    name = "toolyard" if code == "default" else f"toolyard/{code}"
    names = ["compose", "echo", "extend", "fail", "look", "order", "sign", "stall", "survey", "weigh", "work"]
    weighed = '{"item":"saw","grams":300}' if fast else '{\n  "item": "saw",\n  "grams": 300\n}'
    expected = {
        "hello": (MODERN if era == "modern" else "2025-11-25", name, "Ask before you saw."),
        "tools": names,
        "prompts": [("greeting", ["name"]), ("interview", ["who"])],
        "templates": ["workshop://chest/{who}", "workshop://shelf/{number}"],
        "weigh": {"content": [text(weighed)], "structuredContent": WEIGHED, "isError": False},
        "work": {"content": [text("worked")], "structuredContent": {"result": "worked"}, "isError": False},
        "fail": {
            "code": 5,
            "error": {"code": "tool_is_error", "message": "Tool 'fail' returned isError:true."},
            "result": {"content": [text(failed)], "isError": True},
        },
        "order": {"code": 1, "error": REFUSED},
        "read": {"contents": [{"uri": "workshop://note", "mimeType": "text/plain", "text": "Glue dries overnight."}]},
        "nowhere": {"code": 1, "error": {"code": "error", "message": nowhere}},
        "prompt": [{"role": "user", "content": text("Greet Ada kindly.")}],
        "no_prompt": {
            "code": 1,
            "error": {"code": "error", "message": "This server exposes no prompt of that name."},
        },
    }
    check(facts, expected)
    assert effects(folder, who) == {"worked": 1}


def test_the_inspector_of_the_modern_era_works_with_a_legacy_server(running: Gateway, folder: Path) -> None:
    facts = inspector(running, folder, "everything", "http", "modern").run_all(
        {
            "hello": ("--method", "initialize"),
            "resources": ("--method", "resources/list"),
            "structured": called("get-structured-content", location="Chicago", who="inspector"),
            "long": called("trigger-long-running-operation", duration=0.2, steps=2, who="inspector"),
            "asks": called("trigger-elicitation-request", who="inspector"),
            "prompt": ("--method", "prompts/get", "--prompt-name", "args-prompt", "--prompt-args", "city=Oslo"),
            "nowhere": ("--method", "resources/read", "--uri", "demo://resource/nowhere"),
        }
    )
    facts["hello"] = introduced(facts["hello"])[:2]
    facts["resources"] = each(facts["resources"], "resources", lambda resource: resource["mimeType"])
    expected = {
        "hello": (MODERN, "toolyard/everything"),
        "resources": ["text/markdown"] * 7,
        "structured": {
            "content": [text('{"temperature":36,"conditions":"Light rain / drizzle","humidity":82}')],
            "structuredContent": {"temperature": 36, "conditions": "Light rain / drizzle", "humidity": 82},
        },
        "long": {"content": [text("Long running operation completed. Duration: 0.2 seconds, Steps: 2.")]},
        "asks": {
            "code": 5,
            "error": {"code": "tool_is_error", "message": "Tool 'trigger-elicitation-request' returned isError:true."},
            # the server has that tool only for sessions that can be asked, and this client cannot
            "result": {
                "content": [text("MCP error -32602: Tool trigger-elicitation-request not found")],
                "isError": True,
            },
        },
        "prompt": {"messages": [{"role": "user", "content": text("What's weather in Oslo?")}]},
        "nowhere": {
            "code": 1,
            "error": {"code": "error", "message": "MCP error -32602: Resource demo://resource/nowhere not found"},
        },
    }
    check(facts, expected)
    assert effects(folder, "inspector") == {
        "called get-structured-content": 1,
        "called trigger-long-running-operation": 1,
        "called trigger-elicitation-request": 1,
    }


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}
