"""Keys on the command line, and clients that are led here and back."""

import json
import socket
import stat

import pytest

from toolyard.gateway.feed.keys import KeyStore
from toolyard.policy.keys import KeyRecord, verify


@pytest.fixture
def config(here):
    (here / "toolyard.yaml").write_text(
        "upstreams: {demo: {builtin: demo}}\nservers: {default: {}, lab: {access: open}, team: {}}\n"
    )
    return here / "toolyard.yaml"


def valid(here, plain):
    store = KeyStore(here / ".toolyard")
    return isinstance(verify(plain, store.records, store.peppers, 2e9), KeyRecord)


def test_a_key_is_printed_alone_on_standard_output_and_is_valid(toolyard, here, config):
    assert toolyard("key", "create", "--name", "ci") == 0
    plain = toolyard.out.strip()
    assert valid(here, plain)
    assert plain not in toolyard.err
    assert toolyard("key", "list", "-o", "json") == 0
    listed = json.loads(toolyard.out)
    assert [(key["server"], key["name"], key["state"]) for key in listed] == [("default", "ci", "valid")]
    assert plain not in toolyard.out


def test_a_revoked_and_a_rotated_key_show_as_such(toolyard, here, config):
    toolyard("key", "create", "-o", "json")
    first = json.loads(toolyard.out)
    assert toolyard("key", "rotate", first["id"], "--grace", "1h", "-o", "json") == 0
    second = json.loads(toolyard.out)
    assert toolyard("key", "revoke", second["id"]) == 0
    assert (valid(here, first["key"]), valid(here, second["key"])) == (False, False)
    toolyard("key", "list", "-o", "json")
    assert [key["state"] for key in json.loads(toolyard.out)] == ["retiring", "disabled"]


def test_a_key_for_a_server_that_is_not_there_is_refused_with_the_nearest(toolyard, config):
    assert toolyard("key", "create", "--server", "teem") == 1
    assert "did you mean 'team'?" in toolyard.err
    assert toolyard("key", "revoke", "nobody") == 1
    assert "error [key_unknown]" in toolyard.err
    assert toolyard("key", "create", "--expires", "soon") == 2


def test_a_key_can_be_made_while_only_the_gateway_knows_the_variables_of_the_file(toolyard, here):
    (here / "toolyard.yaml").write_text("upstreams: {a: {url: '${ONLY_THERE}'}}\n")
    assert toolyard("key", "create", "--server", "any") == 0


def test_what_to_paste_is_shown_without_making_a_key(toolyard, here, config):
    assert toolyard("connect", "vscode", "--server", "team") == 0
    assert json.loads(toolyard.out) == {
        "servers": {
            "toolyard": {
                "type": "http",
                "url": "http://127.0.0.1:8000/mcp/team",
                "headers": {"Authorization": "Bearer YOUR-KEY"},
            }
        }
    }
    assert "toolyard key create --server team" in toolyard.err
    assert not (here / ".toolyard/keys.json").exists()


def test_an_open_server_needs_no_key(toolyard, config):
    assert toolyard("connect", "generic", "--server", "lab") == 0
    assert json.loads(toolyard.out)["mcpServers"]["toolyard"] == {"url": "http://127.0.0.1:8000/mcp/lab"}


FILES = {
    "claude-code": (".claude.json", '{\n    "mcpServers": {"x": {"command": "y"}},\n    "theme": "dark"}'),
    "claude-desktop": (".config/Claude/claude_desktop_config.json", '{"mcpServers": {}}\n'),
    "cursor": (".cursor/mcp.json", None),
    "vscode": (".config/Code/User/mcp.json", '{\n\t"servers": {},\n\t"inputs": []\n}\n'),
    "codex": (".codex/config.toml", '# mine\nmodel = "m"\n'),
    "gemini": (".gemini/settings.json", '{"mcpServers": {"toolyard": {"httpUrl": "http://elsewhere/"}}}'),
}


@pytest.mark.parametrize("client", FILES)
def test_a_client_is_led_here_and_back_to_exactly_what_it_had(toolyard, home, here, config, client):
    name, before = FILES[client]
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if before is not None:
        path.write_text(before)
        path.chmod(0o640)
    assert toolyard("connect", client, "--write") == 0
    written = path.read_text()
    assert "toolyard" in written
    assert stat.S_IMODE(path.stat().st_mode) == (0o600 if before is None else 0o640)
    if client == "claude-desktop":
        assert "stdio" in written
        assert not (here / ".toolyard/keys.json").exists()
    else:
        assert "mcp_key_" in written
    for kept in (here / ".toolyard").rglob("*"):
        assert kept.is_dir() or "mcp_key_" not in kept.read_text()
    assert toolyard("connect", client, "--undo") == 0
    assert (path.read_text() if path.exists() else None) == before
    assert all(record.disabled for record in KeyStore(here / ".toolyard").records.values())
    assert toolyard("connect", client, "--undo") == 1
    assert "error [not_connected]" in toolyard.err


def test_undo_keeps_what_others_changed_since(toolyard, home, config):
    path = home / ".cursor/mcp.json"
    assert toolyard("connect", "cursor", "--write") == 0
    content = json.loads(path.read_text())
    content["mcpServers"]["other"] = {"command": "x"}
    path.write_text(json.dumps(content))
    assert toolyard("connect", "cursor", "--undo") == 0
    assert json.loads(path.read_text()) == {"mcpServers": {"other": {"command": "x"}}}


def test_writing_twice_makes_one_entry_with_one_valid_key_and_one_undo(toolyard, home, here, config):
    path = home / ".codex/config.toml"
    path.parent.mkdir()
    path.write_text("# mine\n")
    for _ in range(2):
        assert toolyard("connect", "codex", "--write") == 0
    assert path.read_text().count("[mcp_servers.toolyard]") == 1
    assert sum(not record.disabled for record in KeyStore(here / ".toolyard").records.values()) == 1
    assert toolyard("connect", "codex", "--undo") == 0
    assert path.read_text() == "# mine\n"


def test_a_file_with_comments_is_left_alone_and_no_key_is_made(toolyard, home, here, config):
    path = home / ".cursor/mcp.json"
    path.parent.mkdir()
    path.write_text('{ // mine\n "mcpServers": {} }')
    assert toolyard("connect", "cursor", "--write") == 1
    assert "error [client_file_commented]" in toolyard.err
    assert not (here / ".toolyard/keys.json").exists()


def test_the_projects_file_is_written_on_request(toolyard, here, config):
    assert toolyard("connect", "claude-code", "--write", "--project") == 0
    assert "mcp_key_" in (here / ".mcp.json").read_text()
    assert toolyard("connect", "claude-desktop", "--write", "--project") == 1


def test_wrong_use_of_connect_ends_with_2(toolyard, config):
    assert toolyard("connect", "notepad") == 2
    assert toolyard("connect", "cursor", "--write", "--undo") == 2
    assert toolyard("connect") == 2


def test_the_doctor_names_what_is_wrong_and_how_to_mend_it(toolyard, here, home):
    (here / "toolyard.yaml").write_text(
        "upstreams:\n  a: {command: no-such-program}\n  b: {url: 'http://127.0.0.1:1/'}\n  c: {command: 'npx -y x'}\n"
        "  d: {builtin: demo}\n  e: {command: x, enabled: false}\nservers: {default: {tools: ['a/*']}}\n"
    )
    toolyard("key", "list")
    (here / ".toolyard/pepper").chmod(0o644)
    assert toolyard("doctor", "-o", "json") == 1
    findings = {finding["check"]: finding for finding in json.loads(toolyard.out) if finding["state"] != "warn"}
    assert findings["upstream a"]["mend"].startswith("install it")
    assert "cannot be reached" in findings["upstream b"]["finding"]
    assert "under `args`" in findings["upstream c"]["mend"]
    assert (findings["upstream d"]["state"], findings["upstream e"]["state"]) == ("ok", "ok")
    assert findings["data directory"]["mend"] == f"chmod 600 {here}/.toolyard/pepper"
    assert toolyard("doctor") == 1
    assert "→ chmod 600" in toolyard.out


@pytest.mark.slow
def test_the_doctor_connects_where_the_gateway_would_and_nowhere_else(toolyard, here):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        (here / "toolyard.yaml").write_text(
            f"upstreams:\n  a: {{url: 'http://127.0.0.1:{port}/'}}\n  b: {{url: 'http://ip6-localhost.invalid:1/'}}\n"
            f"  c: {{url: 'https://127.0.0.1:{port}/'}}\n"
        )
        toolyard("doctor", "-o", "json")
        findings = {finding["check"]: finding for finding in json.loads(toolyard.out)}
        assert findings["upstream a"]["finding"] == f"127.0.0.1:{port} accepts connections"
        assert "cannot be reached" in findings["upstream b"]["finding"]
        assert findings["upstream c"]["state"] == "fail"
    (here / "toolyard.yaml").write_text("upstreams: {a: {url: 'http://169.254.169.254/mcp'}}\n")
    assert toolyard("doctor") == 1
    assert "a cloud metadata address" in toolyard.out


def test_the_doctor_names_an_upstream_of_which_no_server_offers_anything(toolyard, here):
    (here / "toolyard.yaml").write_text(
        "upstreams: {demo: {builtin: demo}, other: {builtin: demo}, out: {builtin: demo}}\n"
        "servers: {default: {tools: ['d*/*', '*/echo', '!out/*']}}\n"
    )
    toolyard("doctor", "-o", "json")
    warned = [finding["check"] for finding in json.loads(toolyard.out) if finding["state"] == "warn"]
    assert "upstream out" in warned
    assert not {"upstream demo", "upstream other"} & set(warned)


def test_the_doctor_tells_the_problems_of_a_broken_file_and_of_a_missing_one(toolyard, here):
    assert toolyard("doctor") == 1
    assert "there is no toolyard.yaml here" in toolyard.out
    (here / "toolyard.yaml").write_text("upstreams: {a: {url: '${NOT_SET}'}}\n")
    assert toolyard("doctor") == 1
    assert "NOT_SET is not set" in toolyard.out


def test_the_doctor_tells_a_data_directory_that_is_a_file(toolyard, here, config):
    (here / ".toolyard").touch()
    assert toolyard("doctor") == 1
    assert f"{here}/.toolyard is not a directory" in toolyard.out
