"""A scriptable MCP server on standard input and output; standard library only.

    fake_stdio_server.py [--era legacy|modern|both] [--log FILE] [--mute-discover] [--die-on-discover] [--die-at-start]

Each tool is one behaviour, good or bad; `--log` gets every line that came in.
"""

import argparse
import json
import os
import sys
import time

MODERN, LEGACY = "2026-07-28", "2025-11-25"
options = argparse.ArgumentParser()
options.add_argument("--era", default="legacy")
options.add_argument("--log")
options.add_argument("--mute-discover", action="store_true")
options.add_argument("--late-discover", action="store_true")
options.add_argument("--die-on-discover", action="store_true")
options.add_argument("--die-at-start", action="store_true")
options.add_argument("--ask-at-start", action="store_true")
options.add_argument("rest", nargs="*")
args = options.parse_args()
held: list = []
asked: dict = {}
listens: list = []
declared: dict = {}


def write(text: str | bytes) -> None:
    sys.stdout.buffer.write(text.encode() if isinstance(text, str) else text)
    sys.stdout.buffer.flush()


def send(message: dict) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")


def reply(request_id: object, result: object) -> None:
    send({"id": request_id, "result": result})


def fail(request_id: object, code: int, message: str) -> None:
    send({"id": request_id, "error": {"code": code, "message": message}})


def text(value: object) -> dict:
    return {"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}]}


def capabilities() -> dict:
    return {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "prompts": {}, "logging": {}}


def on_discover(request_id: object, params: dict) -> None:
    if args.die_on_discover:
        os._exit(1)
    if args.mute_discover:
        return
    if args.late_discover:
        held.append(request_id)
        return
    if args.era == "legacy":
        fail(request_id, -32601, "Method not found")
        return
    info = {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "1"}}
    reply(request_id, {"supportedVersions": [MODERN], "capabilities": capabilities(), "_meta": info,
                       "resultType": "complete", "ttlMs": 0, "cacheScope": "private"})  # fmt: skip


def on_initialize(request_id: object, params: dict) -> None:
    if args.late_discover:
        fail(request_id, -32022, "only modern here")
        args.late_discover = False
        on_discover(held.pop(), {})
        return
    if args.era == "modern":
        fail(request_id, -32601, "no such method")
        return
    declared.update(params["capabilities"])
    reply(request_id, {"protocolVersion": LEGACY, "capabilities": capabilities(), "instructions": "Be kind.",
                       "serverInfo": {"name": "fake", "version": "1"}})  # fmt: skip


def on_listen(request_id: object, params: dict) -> None:
    listens.append((request_id, params["notifications"]))
    send({"method": "notifications/subscriptions/acknowledged",
          "params": {"notifications": params["notifications"],
                     "_meta": {"io.modelcontextprotocol/subscriptionId": request_id}}})  # fmt: skip


TOOLS: dict = {}


def tool(function):
    TOOLS[function.__name__] = function
    return function


@tool
def echo(i, a, p):
    reply(i, text(a))


@tool
def params(i, a, p):
    reply(i, text(p))


@tool
def environment(i, a, p):
    reply(i, text(dict(os.environ)))


@tool
def argv(i, a, p):
    reply(i, text(sys.argv[1:]))


@tool
def pid(i, a, p):
    reply(i, text(str(os.getpid())))


@tool
def declared_capabilities(i, a, p):
    reply(i, text(declared))


@tool
def die(i, a, p):
    sys.stderr.write("last words: " + a.get("words", "") + "\n")
    sys.stderr.flush()
    os._exit(9)


@tool
def never(i, a, p):
    pass


@tool
def hold(i, a, p):
    held.append(i)


@tool
def release(i, a, p):
    while held:
        answered = held.pop()
        reply(answered, text(f"held {answered}"))
    reply(i, text(str(i)))


@tool
def junk(i, a, p):
    write("Welcome to the fake server!\n\x1b[1;32mReady\x1b[0m\n\n   \n[1,2]\n{broken\n")
    write(b'\x00\x01\xff\xfe\n\xc3\n{"jsonrpc": "2.0", "id": "\xc3"}\n')
    write('{"level": "info", "message": "a log line"}\nnull\n42\n"text"\n')
    reply(i, text("after junk"))


@tool
def long_line(i, a, p):
    block = b"x" * 65536
    for _ in range(a["bytes"] // 65536):
        write(block)
    reply(i, text("never seen"))


@tool
def big(i, a, p):
    reply(i, text("y" * a["bytes"]))


@tool
def string_id(i, a, p):
    reply(str(i), text("wrong"))
    reply(float(i), text("wrong"))
    reply(True, text("wrong"))
    reply(None, text("wrong"))
    reply(i, text("right"))


@tool
def twice(i, a, p):
    reply(i, text("first"))
    reply(i, text("second"))


@tool
def ahead(i, a, p):
    for future in range(i + 1, i + 20):
        reply(future, text("before the request"))
    reply(i, text("right"))


@tool
def steal(i, a, p):
    """Answers another call that is in flight: that one is answered, this one is not."""
    reply(held.pop(), text("stolen"))
    reply(i, text("own"))


@tool
def raw(i, a, p):
    write(a["line"].replace("ID", str(i)) + "\n")


@tool
def progress(i, a, p):
    token = p["_meta"]["progressToken"]
    for step in range(a["count"]):
        message = {"progressToken": token, "progress": step, "message": "x" * a.get("size", 0)}
        send({"method": "notifications/progress", "params": message})
    reply(i, text("done"))


@tool
def foreign_progress(i, a, p):
    for token in (9999, str(i), None, "other", True):
        send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
    reply(i, text("done"))


@tool
def logs(i, a, p):
    for level in ("debug", "info", "warning", "error"):
        send({"method": "notifications/message", "params": {"level": level, "data": level}})
    reply(i, text("done"))


@tool
def stderr(i, a, p):
    block = (b"noise " * 1024)[:4096]
    for _ in range(a["bytes"] // 4096):
        os.write(2, block)
    os.write(2, b"\nthe end\n")
    reply(i, text("done"))


@tool
def say(i, a, p):
    sys.stderr.write(a["text"] + "\n")
    sys.stderr.flush()
    reply(i, text("said"))


@tool
def ask(i, a, p):
    ask_id = a.get("ask_id", "s-1")
    asked[ask_id] = i
    send({"id": ask_id, "method": a["method"], "params": a.get("params", {})})


@tool
def answered_at_start(i, a, p):
    reply(i, text(held))


@tool
def change(i, a, p):
    send({"method": "notifications/tools/list_changed"})
    send({"method": "notifications/resources/updated", "params": {"uri": a["uri"]}})
    reply(i, text("changed"))


@tool
def input_required(i, a, p):
    """Asks as a modern server does, until it was asked `rounds` times."""
    done = int((p.get("requestState") or "0").removeprefix("state-"))
    if done < a.get("rounds", 1):
        question = {"method": "elicitation/create", "params": {"message": f"round {done}", "requestedSchema": {}}}
        reply(
            i, {"resultType": "input_required", "inputRequests": {"q": question}, "requestState": f"state-{done + 1}"}
        )
    else:
        reply(i, {"resultType": "complete", **text([done, p.get("inputResponses")])})


@tool
def listening(i, a, p):
    reply(i, text(listens))


@tool
def stop_reading(i, a, p):
    reply(i, text("deaf now"))
    while True:
        time.sleep(600)


@tool
def close_output(i, a, p):
    os.close(1)


@tool
def fault(i, a, p):
    fail(i, a["code"], "as asked")


@tool
def act(i, a, p):
    """Any other tool under one name, so that calls differ in nothing but their arguments."""
    TOOLS[a["do"]](i, a, p)


TOOLS["hasty"] = act


def on_call(request_id: object, params: dict) -> None:
    function = TOOLS.get(params["name"])
    if function is None:
        fail(request_id, -32602, "unknown tool")
    else:
        function(request_id, params.get("arguments", {}), params)


def on_list(request_id: object, params: dict) -> None:
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
    reply(request_id, {"tools": tools, "resultType": "complete", "ttlMs": 5000, "cacheScope": "private"})


METHODS = {
    "server/discover": on_discover,
    "initialize": on_initialize,
    "subscriptions/listen": on_listen,
    "tools/call": on_call,
    "tools/list": on_list,
    "resources/list": lambda i, p: reply(i, {"resources": [{"name": "r", "uri": "fake://r"}]}),
    "resources/templates/list": lambda i, p: reply(i, {"resourceTemplates": []}),
    "prompts/list": lambda i, p: reply(i, {"prompts": []}),
    "logging/setLevel": lambda i, p: reply(i, {}),
    "resources/subscribe": lambda i, p: reply(i, {}),
    "resources/unsubscribe": lambda i, p: reply(i, {}),
}


def main() -> None:
    if args.die_at_start:
        os._exit(1)
    for line in sys.stdin:
        if args.log:
            with open(args.log, "a") as file:
                file.write(line)
        message = json.loads(line)
        if "method" not in message:
            answer = {key: message[key] for key in ("result", "error") if key in message}
            if message["id"] == "at-start":
                held.append(answer)
            else:
                reply(asked.pop(message["id"]), text(answer))
        elif message["method"] == "notifications/initialized" and args.ask_at_start:
            send({"id": "at-start", "method": "roots/list"})
        elif "id" in message:
            handler = METHODS.get(message["method"])
            if handler is None:
                fail(message["id"], -32601, "Method not found")
            else:
                handler(message["id"], message.get("params", {}))


if __name__ == "__main__":
    main()
