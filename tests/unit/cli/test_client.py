"""The command line's MCP client against answers of every kind, over a Unix socket."""

import http.server
import json
import socketserver
import threading
from pathlib import Path

import pytest

from toolyard.cli.client import (
    GatewayAbsent,
    GatewayClient,
    GatewayUnreachable,
    KeyRefused,
    OperatorOnly,
    RemoteError,
    Target,
)
from toolyard.cli.output import complain


class FakeGateway(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers each request with the next of `answers`: (status, content type, body); keeps what was asked."""

    daemon_threads = True

    def __init__(self, path):
        super().__init__(str(path), Handler)
        self.asked = []
        self.answers = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, self.headers, json.loads(body) if body else None))
        status, kind, answer = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815  (the name that http.server calls)

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway(tmp_path):
    with FakeGateway(tmp_path / "gateway.sock") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(gateway):
    return GatewayClient(Target(socket=Path(gateway.server_address)))


def reply(**message):
    return (200, "application/json", json.dumps({"jsonrpc": "2.0", "id": 1, **message}).encode())


def stream(*messages):
    events = "".join(f": beat\r\n\r\nevent: message\r\ndata: {json.dumps(message)}\r\n\r\n" for message in messages)
    return (200, "text/event-stream", events.encode())


def test_a_request_carries_the_envelope_and_the_mirrored_headers(gateway, client):
    gateway.answers = [reply(result={"ok": 1})]
    assert client.request("team", "tools/call", {"name": "天气", "arguments": {}}) == {"ok": 1}
    path, headers, body = gateway.asked[0]
    assert path == "/mcp/team"
    assert headers["MCP-Protocol-Version"] == body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"]
    assert headers["Mcp-Method"] == body["method"] == "tools/call"
    assert headers["Mcp-Name"] == "=?base64?5aSp5rCU?="
    assert body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] == {}


def test_notifications_of_a_stream_come_before_its_result(gateway, client):
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
    gateway.answers = [stream(progress, progress, {"jsonrpc": "2.0", "id": 1, "result": {"done": True}})]
    seen = []
    assert client.request(None, "tools/call", {"name": "x"}, on_notification=seen.append) == {"done": True}
    assert seen == [progress, progress]
    assert gateway.asked[0][2]["params"]["_meta"]["progressToken"] == 1


def test_a_list_is_read_to_its_last_page(gateway, client):
    gateway.answers = [
        reply(result={"tools": [{"name": "a"}], "nextCursor": "2"}),
        reply(result={"tools": [{"name": "b"}]}),
    ]
    assert [tool["name"] for tool in client.list_all(None, "tools/list", "tools")] == ["a", "b"]
    assert gateway.asked[1][2]["params"]["cursor"] == "2"


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (reply(error={"code": -32602, "message": "no such thing"}), RemoteError, "no such thing"),
        ((404, *reply(error={"code": -32601, "message": "gone"})[1:]), RemoteError, "gone"),
        (stream({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "late"}}), RemoteError, "late"),
        ((401, "application/json", b'{"error": "x"}'), KeyRefused, "key"),
        ((404, "text/plain", b"nothing here"), RemoteError, "status 404: nothing here"),
        ((200, "application/json", b"<html>"), RemoteError, "not JSON"),
        ((200, "application/json", b"[]"), GatewayUnreachable, "ended before the result"),
        ((200, "application/json", b""), RemoteError, "not JSON"),
        (stream({"jsonrpc": "2.0", "method": "notifications/progress"}), GatewayUnreachable, "ended before the result"),
    ],
)
def test_an_answer_that_is_no_result_is_one_clear_error(gateway, client, answer, error, says):
    gateway.answers = [answer]
    with pytest.raises(error, match=says):
        client.request(None, "tools/list", {})


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply(error={"code": 429, "message": "slow", "data": {"reason": "rate_limited", "retry_after_s": 1.5}}),
         "error [rate_limited]: slow\n  Try again in 1.5 s; the limit is"),
        ((404, *reply(error={"code": 404, "message": "no such", "data": {"reason": "server_unknown"}})[1:]),
         "error [server_unknown]: no such\n  See the codes with `toolyard servers`"),
        (reply(error={"code": -32603, "message": "gone", "data": {"reason": "upstream_unreachable"}}),
         "error [upstream_unreachable]: gone\n  See what is wrong with `toolyard upstreams`"),
        ((421, "application/json", b'{"error": {"code": "host_refused", "message": "not here"}}'),
         "error [host_refused]: not here\n  Add the name to `gateway.allowed_hosts`"),
        (reply(error={"code": -32000, "message": "odd\x1b[2J", "data": {"reason": "\x1b[2J"}}),
         "error [remote_error]: odd\ufffd[2J\n"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_with_the_gateways_own_code_and_what_to_do(gateway, client, capsys, answer, told):
    gateway.answers = [answer]
    with pytest.raises(RemoteError) as raised:
        client.request(None, "tools/call", {"name": "x"})
    complain(raised.value)
    assert told in capsys.readouterr().err


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "string", "x-mcp-header": "N"}}}
LIST = reply(result={"tools": [{"name": "echo", "inputSchema": SCHEMA}]})
SAID = reply(result={"content": [{"type": "text", "text": "said"}]})
LIMITED = reply(error={"code": 429, "message": "slow", "data": {"reason": "rate_limited"}})


def refused(code, **data):
    return reply(error={"code": code, "message": "no", "data": data})


@pytest.fixture
def called(gateway, toolyard, here, monkeypatch):
    """Runs `toolyard call` against the fake gateway with these answers: (exit code, methods asked, last arguments)."""
    monkeypatch.setattr("toolyard.cli.ask.reach", lambda _: GatewayClient(Target(socket=Path(gateway.server_address))))

    def run(answers, *words):
        gateway.answers, gateway.asked[:] = list(answers), []
        code = toolyard("call", *words)
        bodies = [body for _, _, body in gateway.asked]
        return code, [body["method"] for body in bodies], bodies[-1]["params"].get("arguments")

    return run


def test_a_call_whose_arguments_have_their_types_is_one_request(called):
    once = ["tools/call"]
    assert called([SAID], "echo", "--json", '{"a": 1}') == (0, once, {"a": 1})
    assert called([SAID], "echo", "a:=[1]") == (0, once, {"a": [1]})
    assert called([SAID], "echo") == (0, once, {})


def test_a_call_with_words_asks_for_their_types_and_goes_on_without_if_it_must(called):
    both = ["tools/list", "tools/call"]
    assert called([LIST, SAID], "echo", "a=1") == (0, both, {"a": "1"})
    assert called([LIMITED, SAID], "echo", "a=1", "b=x") == (0, both, {"a": 1, "b": "x"})


def test_a_tool_that_wants_headers_is_called_again_with_them(called, gateway):
    answers = [refused(-32020), LIST, SAID]
    assert called(answers, "echo", "--json", '{"n": "v"}')[:2] == (0, ["tools/call", "tools/list", "tools/call"])
    assert gateway.asked[-1][1]["Mcp-Param-N"] == "v"


def test_an_unknown_tool_is_told_with_the_names_that_are_near(called, toolyard):
    answers = [refused(-32602, reason="tool_unknown"), LIST]
    assert called(answers, "ecko", "--json", "{}")[:2] == (1, ["tools/call", "tools/list"])
    assert "error [tool_unknown]: the virtual server has no tool 'ecko'; did you mean echo?" in toolyard.err
    assert called([refused(-32602, reason="tool_unknown"), LIMITED], "ecko")[0] == 1
    assert "error [tool_unknown]: no" in toolyard.err


def test_a_refused_call_is_not_repeated(called, toolyard):
    assert called([LIMITED], "echo", "--json", "{}")[:2] == (1, ["tools/call"])
    assert "error [rate_limited]: slow" in toolyard.err


TAGGED = reply(
    result={
        "tools": [
            {"name": "pay", "description": "Pays", "_meta": {"toolyard/tags": ["finance", "writes"]}},
            {"name": "show", "_meta": {"toolyard/tags": ["finance"], "vendor": 1}},
            {"name": "strange", "_meta": {"toolyard/tags": "finance"}},
            {"name": "plain"},
        ]
    }
)


@pytest.fixture
def listed(gateway, toolyard, here, monkeypatch):
    """Runs `toolyard tools` against the fake gateway with these words: what it printed."""
    monkeypatch.setattr("toolyard.cli.ask.reach", lambda _: GatewayClient(Target(socket=Path(gateway.server_address))))

    def run(*words, answer=TAGGED):
        gateway.answers = [answer]
        assert toolyard("tools", *words) == 0
        return toolyard.out

    return run


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["pay", "show", "strange", "plain"]),
        (["--tag", "finance"], ["pay", "show"]),
        (["--tag", "finance", "--tag", "writes"], ["pay"]),
        (["--tag", "Finance"], []),
    ],
)
def test_tools_are_listed_by_their_tags(listed, words, names):
    assert [one["name"] for one in json.loads(listed(*words, "-o", "json"))] == names


def test_tools_keep_their_form_for_programs_and_show_their_tags_to_people(listed):
    assert json.loads(listed("--tag", "writes", "-o", "json")) == [json.loads(TAGGED[2])["result"]["tools"][0]]
    heading, pay, *_ = listed().splitlines()
    assert (heading.split(), pay.split()) == (["NAME", "TAGS", "DESCRIPTION"], ["pay", "finance,", "writes", "Pays"])
    assert "TAGS" not in listed(answer=LIST)


def test_a_tag_that_no_tool_has_is_told_with_those_there_are(listed, toolyard):
    listed("--tag", "finnance")
    assert "No tool is tagged so; there are: finance, writes." in toolyard.err
    listed("--tag", "finance", answer=LIST)
    assert "there are: no tags" in toolyard.err


def test_a_socket_without_a_gateway_is_an_absent_gateway(tmp_path):
    with pytest.raises(GatewayAbsent):
        GatewayClient(Target(socket=tmp_path / "none.sock")).request(None, "ping", {})


def test_a_socket_deep_in_long_directories_is_reached(tmp_path):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    short = tmp_path / "s"
    short.symlink_to(deep)
    with FakeGateway(short / "gateway.sock") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        server.answers = [reply(result={})]
        assert GatewayClient(Target(socket=deep / "gateway.sock")).request(None, "x", {}) == {}
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("url", "server", "path"),
    [
        ("http://h:1", None, "/mcp"),
        ("http://h:1/", "team", "/mcp/team"),
        ("http://h:1/mcp/alpha", None, "/mcp/alpha"),
        ("http://h:1/mcp/alpha", "beta", "/mcp/beta"),
        ("http://h:1/base/mcp", "default", "/base/mcp"),
        ("http://h:1/base", "a/b", "/base/mcp/a%2Fb"),
    ],
)
def test_the_path_of_a_server_follows_from_the_url(url, server, path):
    assert Target(url=url).path(server) == path


def test_operators_answers_come_through_the_socket_only(gateway, client):
    gateway.answers = [(200, "application/json", b'[{"id": "x"}]')]
    assert client.operator("/operator/upstreams") == [{"id": "x"}]
    with pytest.raises(OperatorOnly):
        GatewayClient(Target(url="http://127.0.0.1:1")).operator("/operator/upstreams")


@pytest.mark.parametrize("url", ["ftp://h", "h:1", "http://", "http://127.0.0.1:1"])
def test_a_url_that_leads_nowhere_is_named(url):
    with pytest.raises(GatewayUnreachable):
        GatewayClient(Target(url=url)).request(None, "ping", {})
