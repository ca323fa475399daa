"""Reading and writing the configuration files of MCP clients."""

import json
import tomllib
from pathlib import PurePosixPath

import pytest

from toolyard.sources.client_writer import (
    ClientFileCommented,
    Connection,
    entry_for,
    existing_entry,
    snippet,
    with_entry,
)
from toolyard.sources.clients import CLIENTS, ClientFileUnreadable, id_of, read_any, read_entries, user_file

CONNECTION = Connection("http://127.0.0.1:8000/mcp", "mcp_key_x", ("toolyard", "stdio", "--server", "default"))
FILED = [client for client in CLIENTS.values() if client.user]


def fields(client, text):
    return {entry.name: dict(entry.fields) for entry in read_entries(CLIENTS[client], text)}


def test_claude_codes_file_gives_its_own_and_its_projects_servers():
    text = json.dumps(
        {
            "numStartups": 3,
            "mcpServers": {"docs": {"type": "http", "url": "https://d/mcp", "headers": {"A": "${T:-x}"}}},
            "projects": {"/p": {"mcpServers": {"fs": {"type": "stdio", "command": "fs", "args": ["/p"], "env": {}}}}},
        }
    )
    assert fields("claude-code", text) == {
        "docs": {"url": "https://d/mcp", "headers": {"A": "${T:-x}"}},
        "fs": {"command": "fs", "args": ["/p"]},
    }


def test_vs_codes_file_may_have_comments_and_trailing_commas():
    text = '{ // mine\n "servers": {"s": {"type": "sse", "url": "http://h/sse",}, /* x */ "q": {"command": "a//b"},},}'
    assert fields("vscode", text) == {"s": {"url": "http://h/sse", "transport": "sse"}, "q": {"command": "a//b"}}


def test_codexs_toml_gives_headers_with_references_to_its_variables():
    text = """
model = "x"
[mcp_servers.gh]
url = "https://gh/mcp"
bearer_token_env_var = "GH_TOKEN"
http_headers = { X-A = "1" }
env_http_headers = { X-B = "B_VAR" }
[mcp_servers.fs]
command = "fs"
args = ["a"]
enabled = false
[mcp_servers.fs.env]
K = "v"
"""
    assert fields("codex", text) == {
        "gh": {
            "url": "https://gh/mcp",
            "headers": {"X-A": "1", "X-B": "${B_VAR}", "Authorization": "Bearer ${GH_TOKEN}"},
        },
        "fs": {"command": "fs", "args": ["a"], "env": {"K": "v"}, "enabled": False},
    }


def test_geminis_variables_and_milliseconds_become_ours():
    text = json.dumps(
        {"mcpServers": {"g": {"httpUrl": "https://g/$P/mcp", "headers": {"A": "$T ${U}"}, "timeout": 30000}}}
    )
    expected = {"url": "https://g/${P}/mcp", "headers": {"A": "${T} ${U}"}, "timeout": "30000ms"}
    assert fields("gemini", text) == {"g": expected}


def test_entries_that_lead_to_toolyard_itself_are_left_out():
    entries = {client.name: entry_for(client, CONNECTION) for client in CLIENTS.values() if client.format == "json"}
    assert read_any(json.dumps({"mcpServers": {"t": entries["claude-desktop"], "u": entries["cursor"]}})) == []
    assert read_any(json.dumps({"servers": {"t": entries["vscode"]}})) == []


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"mcpServers": }', "[" * 100_000])
def test_a_file_that_is_not_the_clients_is_refused(text):
    with pytest.raises(ClientFileUnreadable):
        read_entries(CLIENTS["cursor"], text)


@pytest.mark.parametrize("text", ["", "{}", '{"mcpServers": []}', '{"mcpServers": {"a": 1}}', "{ }"])
def test_a_file_without_servers_has_none(text):
    assert read_entries(CLIENTS["cursor"], text) == []


@pytest.mark.parametrize("client", FILED, ids=lambda client: client.name)
def test_writing_an_entry_and_taking_it_out_again_leaves_everything_else(client):
    entry = entry_for(client, CONNECTION)
    before = {
        "json": json.dumps(
            {"other": {"x": [1, "é"]}, client.section: {"mine": {"command": "x"}}}, indent=4, ensure_ascii=False
        )
        + "\n",
        "toml": '# my model\nmodel = "x"\n\n[mcp_servers.mine]\ncommand = "x" # keep\n',
    }[client.format]
    written = with_entry(client, before, "toolyard", entry)
    assert existing_entry(client, written, "toolyard") == entry
    assert existing_entry(client, written, "mine") == {"command": "x"}
    assert with_entry(client, written, "toolyard", entry) == written
    assert with_entry(client, written, "toolyard", None) == before


@pytest.mark.parametrize("client", CLIENTS.values(), ids=lambda client: client.name)
def test_what_is_shown_for_pasting_is_what_would_be_written_into_an_empty_file(client):
    entry = entry_for(client, CONNECTION)
    text = snippet(client, "toolyard", entry)
    content = tomllib.loads(text) if client.format == "toml" else json.loads(text)
    assert content == {client.section: {"toolyard": entry}}
    assert with_entry(client, "", "toolyard", entry) == text


def test_each_client_gets_the_form_of_entry_it_understands():
    entries = {client.name: entry_for(client, CONNECTION) for client in CLIENTS.values()}
    bearer = {"Authorization": "Bearer mcp_key_x"}
    url = CONNECTION.url
    assert entries == {
        "claude-code": {"type": "http", "url": url, "headers": bearer},
        "claude-desktop": {"command": "toolyard", "args": ["stdio", "--server", "default"]},
        "cursor": {"url": url, "headers": bearer},
        "vscode": {"type": "http", "url": url, "headers": bearer},
        "codex": {"url": url, "http_headers": bearer},
        "gemini": {"httpUrl": url, "headers": bearer},
        "generic": {"url": url, "headers": bearer},
    }
    assert entry_for(CLIENTS["cursor"], Connection(url, None, ())) == {"url": url}


def test_a_file_with_comments_is_not_written():
    with pytest.raises(ClientFileCommented):
        with_entry(CLIENTS["vscode"], '{ // mine\n "servers": {} }', "toolyard", {"url": "x"})


def test_a_toml_entry_in_another_form_is_not_replaced_by_guessing():
    text = 'mcp_servers = { toolyard = { url = "x" } }\n'
    with pytest.raises(ClientFileUnreadable):
        with_entry(CLIENTS["codex"], text, "toolyard", {"url": "y"})


def test_subtables_of_a_toml_entry_go_with_it():
    text = (
        '[mcp_servers.toolyard]\nurl = "x"\n[mcp_servers.toolyard.http_headers]\nA = "b"\n[mcp_servers.z]\nurl = "z"\n'
    )
    assert with_entry(CLIENTS["codex"], text, "toolyard", None) == '[mcp_servers.z]\nurl = "z"\n'


@pytest.mark.parametrize(
    ("client", "platform", "path"),
    [
        ("claude-code", "linux", "/h/.claude.json"),
        ("claude-desktop", "linux", "/h/.config/Claude/claude_desktop_config.json"),
        ("claude-desktop", "darwin", "/h/Library/Application Support/Claude/claude_desktop_config.json"),
        ("cursor", "darwin", "/h/.cursor/mcp.json"),
        ("vscode", "freebsd14", "/h/.config/Code/User/mcp.json"),
        ("codex", "linux", "/h/.codex/config.toml"),
        ("gemini", "linux", "/h/.gemini/settings.json"),
    ],
)
def test_each_clients_file_is_where_that_client_keeps_it(client, platform, path):
    assert user_file(CLIENTS[client], PurePosixPath("/h"), platform) == PurePosixPath(path)


def test_a_name_becomes_an_id_that_is_not_taken():
    assert id_of("GitHub MCP", ()) == "github-mcp"
    assert id_of("a__b", ("a_b",)) == "a_b-2"
    assert id_of("天气", ()) == "upstream"
    assert len(id_of("x" * 200, ())) <= 63
