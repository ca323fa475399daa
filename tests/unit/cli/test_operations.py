"""Every operation of the management API from the command line, and whom commands ask as whom."""

import io
import json
import socketserver
import stat
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import typer.main

from tests.docs.pages import ROOT, snippets_of
from toolyard.cli.api_rows import API_ROWS
from toolyard.cli.main import app
from toolyard.sdk import Client
from toolyard.sdk.operations import OPERATIONS

PYTHON_PAGE = ROOT / "docs" / "how-to" / "use-the-python-client.md"
LOGIN = {"access_token": "at1", "refresh_token": "rt1", "expires_in": 600, "organization_id": "default"}
ITEM = {"id": "xx_00000000000000", "key": "mcp_key_x", "server": "lab", "name": "n", "owner": "database"}


class FakeControl:
    """Keeps what it was asked; answers by `METHOD path`, else with one item or a list of it."""

    def __init__(self):
        self.asked = []
        self.answers = {"GET /auth/me": (200, {"username": "ana"}), "POST /auth/login": (200, LOGIN)}
        control = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                path, _, query = self.path.removeprefix("/api/v1").partition("?")
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                control.asked.append((f"{self.command} {path}", query, body, dict(self.headers.items())))
                status, told = control.answers.get(f"{self.command} {path}", (200, {**ITEM, "items": [ITEM]}))
                content = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, *_):
                pass

            def address_string(self):
                return "here"

        self.handler = Handler

    def on(self, what, told, status=200):
        self.answers[what] = (status, told)

    @property
    def last(self):
        return self.asked[-1]


def serving(server):
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture
def control():
    return FakeControl()


@pytest.fixture
def url(control):
    server = ThreadingHTTPServer(("127.0.0.1", 0), control.handler)
    running = serving(server)
    next(running)
    yield f"http://127.0.0.1:{server.server_port}"
    next(running, None)


@pytest.fixture
def elsewhere(url, toolyard, monkeypatch):
    """The command line with a token for the fake."""
    monkeypatch.setenv("TOOLYARD_URL", url)
    monkeypatch.setenv("TOOLYARD_TOKEN", "t")
    return toolyard


@pytest.fixture
def here_it_runs(control, here):
    """A configuration file whose control plane is the fake."""
    (here / "toolyard.yaml").write_text("upstreams: {demo: {builtin: demo}}\nservers: {default: {}}\n")
    (here / ".toolyard").mkdir(mode=0o700)
    server = socketserver.ThreadingUnixStreamServer(str(here / ".toolyard" / "control.sock"), control.handler)
    running = serving(server)
    next(running)
    yield
    next(running, None)


@pytest.fixture
def typed(monkeypatch):
    """What is on standard input."""

    def give(text):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    return give


SHARED = {
    "keys_create": ["--server", "sv_1", "--json", "{}"],
    "keys_list": [],
    "upstreams_start": ["up_1"],
    "upstreams_stop": ["up_1"],
    "upstreams_restart": ["up_1"],
    "keys_rotate": ["p_key_id"],
}


def words_for(operation, directory):
    """Words of a command line for an operation, with a value for everything that can be given as a word or option."""
    if operation.id in SHARED:
        return SHARED[operation.id]
    words = [f"aa_{name.replace('_', '')}00000000000" for name in operation.path_fields]
    if operation.upload:
        (directory / "f.txt").write_text("content")
        words.append(str(directory / "f.txt"))
    if operation.body is not None and not operation.upload:
        fields = [one.name for one in operation.body.fields]
        words += ["--json", json.dumps({name: name for name in fields} if fields else [1])]
    return words


@pytest.mark.slow
@pytest.mark.parametrize("operation_id", list(OPERATIONS))
def test_every_operation_has_a_command_that_asks_for_it(operation_id, elsewhere, control, here):
    group, verb = next(
        (group, verb) for group, rows in API_ROWS.items() for verb, one, _ in rows if one == operation_id
    )
    operation = OPERATIONS[operation_id]
    words = words_for(operation, here)
    assert elsewhere(group, verb, *words) == 0, elsewhere.err
    asked, _, body, headers = control.last
    path = operation.path.removeprefix("/api/v1")
    given = iter(word for word in words if not word.startswith("-"))
    for name in operation.path_fields:
        path = path.replace(f"{{{name}}}", next(given))
    assert asked == f"{operation.method} {path}"
    if not operation.open:
        assert headers["authorization"] == "Bearer t"
    if operation.upload:
        assert b"content" in body
    elif operation.body is not None and operation_id not in SHARED:
        assert json.loads(body) == json.loads(words[-1])
    assert ("idempotency-key" in headers) == operation.keyed


def test_every_group_of_operations_is_listed_by_help():
    commands = typer.main.get_command(app).commands
    assert [group for group in API_ROWS if not hasattr(commands.get(group), "commands")] == []


def test_fields_are_options_and_win_over_the_json(elsewhere, control):
    words = [
        "--name",
        "docs",
        "--no-enabled",
        "--tags",
        "a",
        "--tags",
        "b",
        "--timeout-s",
        "2.5",
        "--json",
        '{"name": "x", "headers": {"A": "b"}}',
    ]
    assert elsewhere("upstream", "create", *words) == 0
    told = {"name": "docs", "enabled": False, "tags": ["a", "b"], "timeout_s": 2.5, "headers": {"A": "b"}}
    assert json.loads(control.last[2]) == told


def test_a_body_comes_from_a_file_or_from_standard_input(elsewhere, control, here, typed):
    (here / "body.json").write_text('{"code": "lab"}')
    assert elsewhere("server", "create", "--json", "@body.json") == 0
    assert json.loads(control.last[2]) == {"code": "lab"}
    typed('[{"name": "a"}]')
    assert elsewhere("upstream", "bulk-create", "--json", "-") == 0
    assert json.loads(control.last[2]) == [{"name": "a"}]


def test_what_is_needed_and_missing_is_said_before_anything_is_asked(elsewhere, control):
    assert elsewhere("server", "create") == 2
    assert "--code" in elsewhere.err
    assert elsewhere("upstream", "bulk-create") == 2
    assert elsewhere("server", "create", "--json", "{") == 2
    assert elsewhere("server", "create", "--json", "@none.json") == 1
    assert control.asked == []


def test_a_secret_is_read_from_a_file_or_standard_input_and_never_an_option(elsewhere, control, here, typed):
    (here / "secret").write_text("s3cret\n")
    assert elsewhere("credential", "put", "token", "--value-file", "secret") == 0
    assert json.loads(control.last[2]) == {"value": "s3cret"}
    typed("other\n")
    assert elsewhere("credential", "put", "token", "--value-file", "-") == 0
    assert json.loads(control.last[2]) == {"value": "other"}
    assert elsewhere("credential", "put", "token") == 2


def test_things_are_found_by_their_names(elsewhere, control):
    control.on("GET /upstreams", {"items": [{"id": "up_1", "name": "docs"}]})
    control.on("GET /users", {"items": [{"id": "us_2", "username": "anabel"}, {"id": "us_1", "username": "ana"}]})
    assert elsewhere("upstream", "get", "docs") == 0
    assert control.last[0] == "GET /upstreams/up_1"
    assert elsewhere("user", "delete", "ana") == 0
    assert control.last[0] == "DELETE /users/us_1"
    assert elsewhere("user", "get", "nobody") == 1
    assert "error [name_unknown]" in elsewhere.err


def test_a_list_is_a_table_and_goes_on_to_its_last_page_if_wanted(elsewhere, control):
    assert elsewhere("server", "list", "--q", "la b", "--limit", "2", "--sort", "-code") == 0
    assert control.last[1] == "limit=2&sort=-code&q=la+b"
    assert elsewhere.out.split()[:2] == ["ID", "NAME"]
    control.on("GET /servers", {"items": [{"id": "a"}], "next_cursor": "c1"})
    assert elsewhere("server", "list") == 0
    assert "--cursor c1" in elsewhere.err
    control.on("GET /servers", {"items": [{"id": "a"}], "next_cursor": None})
    assert elsewhere("server", "list", "--all", "-o", "json") == 0
    assert json.loads(elsewhere.out) == [{"id": "a"}]


def test_a_refusal_is_told_with_the_apis_own_code(elsewhere, control):
    control.on(
        "DELETE /credentials/token", {"title": "Something uses it.", "status": 409, "code": "credential_used"}, 409
    )
    assert elsewhere("credential", "delete", "token") == 1
    assert elsewhere.err.startswith("error [credential_used]: Something uses it.")


def test_a_login_is_kept_for_its_owner_only_and_used_until_it_is_ended(toolyard, control, url, home, typed):
    typed("four lazy yaks\n")
    assert toolyard("login", url, "--username", "ana", "--password-stdin") == 0, toolyard.err
    kept = home / ".config" / "toolyard" / "logins.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "four lazy yaks" not in kept.read_text()
    assert toolyard("whoami", "-o", "json") == 0
    assert json.loads(toolyard.out) == {"at": url, "username": "ana"}
    assert control.last[3]["authorization"] == "Bearer at1"
    assert toolyard("logout") == 0
    assert control.last[0] == "POST /auth/logout"
    assert toolyard("whoami") == 1
    assert "error [control_absent]" in toolyard.err


def test_an_access_token_that_has_ended_is_renewed_and_kept(toolyard, control, url, typed):
    control.on("POST /auth/login", {**LOGIN, "expires_in": 20})
    control.on("POST /auth/refresh", {**LOGIN, "access_token": "at2", "refresh_token": "rt2"})
    typed("p\n")
    toolyard("login", url, "-u", "ana", "--password-stdin", "--profile", "lab")
    logins = _aged()
    assert toolyard("org", "list", "--profile", "lab") == 0, toolyard.err
    assert control.last[3]["authorization"] == "Bearer at2"
    assert logins.kept_login("lab").refresh == "rt2"
    assert toolyard("org", "list", "--profile", "lab") == 0
    assert [one[0] for one in control.asked].count("POST /auth/refresh") == 1
    control.on("POST /auth/refresh", {"title": "No.", "status": 401, "code": "not_logged_in"}, 401)
    _aged()
    assert toolyard("org", "list", "--profile", "lab") == 1
    assert "error [login_ended]" in toolyard.err
    assert "toolyard login" in toolyard.err


def test_an_address_that_is_none_is_refused_and_one_without_tls_is_warned_of(toolyard, control, url, typed):
    assert toolyard("login", "tools.example.com", "-u", "ana", "--password-stdin") == 2
    assert "https://" in toolyard.err
    typed("p\n")
    assert toolyard("login", "http://tools.invalid", "-u", "ana", "--password-stdin") == 1
    assert "warning: tools.invalid is asked without TLS" in toolyard.err
    assert "error [api_unreachable]" in toolyard.err
    assert control.asked == []


def test_what_a_tool_says_cannot_steer_the_terminal(elsewhere, control):
    control.on("GET /tools/to_1/documentation", "text \x1b[2J")
    assert elsewhere("tool", "documentation", "to_1") == 0
    assert "\x1b" not in elsewhere.out


def _aged():
    """Let the kept access token have ended."""
    from dataclasses import replace

    from toolyard.cli import logins

    logins.keep("lab", replace(logins.kept_login("lab"), ends_at=0.0))
    return logins


def test_beside_a_running_control_plane_one_is_its_operator(toolyard, control, here_it_runs, typed):
    assert toolyard("server", "list") == 0, toolyard.err
    assert control.last[3]["toolyard-operator"] == "1"
    assert "authorization" not in control.last[3]
    typed("four lazy yaks\n")
    assert toolyard("user", "create-admin", "-u", "root", "--password-stdin") == 0, toolyard.err
    assert control.last[0] == "POST /platform/users"
    assert json.loads(control.last[2]) == {"username": "root", "password": "four lazy yaks", "platform_admin": True}


def test_an_administrator_is_made_by_the_operator_only(elsewhere, control, typed):
    typed("p\n")
    assert elsewhere("user", "create-admin", "-u", "root", "--password-stdin") == 1
    assert "error [operator_needed]" in elsewhere.err
    assert control.asked == []


def test_a_configuration_whose_control_plane_is_away_is_never_mistaken_for_another(toolyard, control, url, here, typed):
    typed("p\n")
    toolyard("login", url, "-u", "ana", "--password-stdin")
    (here / "toolyard.yaml").write_text("upstreams: {demo: {builtin: demo}}\n")
    assert toolyard("server", "list") == 1
    assert "error [control_absent]" in toolyard.err
    assert toolyard("server", "list", "--profile", "default") == 0


def test_keys_of_the_control_planes_servers_are_made_there_and_those_of_the_files_here(toolyard, control, here_it_runs):
    control.on("GET /servers", {"items": [{"id": "sv_1", "code": "lab"}]})
    control.on("POST /servers/sv_1/keys", {"id": "k1", "server": "lab", "key": "mcp_key_there"}, 201)
    assert toolyard("key", "create", "-s", "lab", "-n", "ci", "--tool", "a*", "--expires", "1d") == 0, toolyard.err
    assert toolyard.out.strip() == "mcp_key_there"
    body = json.loads(control.last[2])
    assert (body["name"], body["tools"], "expires_at" in body) == ("ci", ["a*"], True)
    assert toolyard("key", "create", "-s", "default", "-o", "json") == 0, toolyard.err
    of_file = json.loads(toolyard.out)
    control.on("GET /keys", {"items": [{"id": "k1", "server": "lab", "name": "ci"}]})
    assert toolyard("key", "list", "-o", "json") == 0
    assert [one["id"] for one in json.loads(toolyard.out)] == ["k1", of_file["id"]]
    asked = len(control.asked)
    assert toolyard("key", "revoke", of_file["id"]) == 0
    assert len(control.asked) == asked
    assert toolyard("key", "rotate", "k1", "--grace", "1h", "-o", "json") == 0, toolyard.err
    assert (control.last[0], json.loads(control.last[2])) == ("POST /keys/k1/rotate", {"grace_s": 3600.0})


def test_an_upstream_of_the_control_plane_is_stopped_there_and_one_of_the_file_at_the_gateway(
    toolyard, control, here_it_runs
):
    control.on("GET /upstreams", {"items": [{"id": "up_1", "name": "docs", "owner": "database"}]})
    assert toolyard("upstream", "stop", "docs") == 0, toolyard.err
    assert control.last[0] == "POST /upstreams/up_1/stop"
    control.on("GET /upstreams", {"items": [{"id": "up_2", "name": "demo", "owner": "file"}]})
    assert toolyard("upstream", "stop", "demo") == 1
    assert "error [gateway_absent]" in toolyard.err


@pytest.mark.parametrize("words", [["upstream", "--help"], ["server", "create", "--help"], ["login", "--help"]])
def test_help_does_without_an_http_client(words):
    import subprocess

    code = (
        f"import sys, toolyard.cli.main as main; main.execute({words!r});"
        "assert not {'rich', 'msgspec', 'asyncio', 'httpx2', 'fastapi', 'pydantic', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)


def test_the_page_about_the_python_client_shows_what_works(control, url, capsys):
    first, second = [one.text for one in snippets_of(PYTHON_PAGE) if one.language == "python"]
    control.on("POST /servers", {"id": "sv_1", "url": "https://tools.example.com/mcp/research"}, 201)
    control.on("GET /tools", {"items": [{"name": "search", "enabled": True}]})
    exec(first.replace("https://tools.example.com", url), {})
    assert capsys.readouterr().out.splitlines() == ["https://tools.example.com/mcp/research mcp_key_x", "search True"]
    told = {"title": "No.", "status": 422, "code": "invalid", "errors": [{"at": "body.url", "message": "no URL"}]}
    control.on("POST /upstreams", told, 422)
    with Client(url, token="t") as asking:
        exec(second, {"toolyard": asking})
    assert capsys.readouterr().out == "422 invalid [('body.url', 'no URL')]\n"
