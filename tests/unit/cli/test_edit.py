"""Commands that change the configuration file."""

import json
import stat

import pytest

from toolyard.cli.welcome import FIRST_CONFIG
from toolyard.gateway.feed.file import load

CONFIG = """\
# mine
upstreams:
  demo: {builtin: demo}    # keep this
  # and this

servers:
  default:
    tools:
      - "*"   # everything
    names: 'plain'
"""


def upstreams(here, **environ):
    return load(here / "toolyard.yaml", environ=environ, keys={}, revision=1).upstreams


def test_an_upstream_is_added_and_everything_else_in_the_file_stays(toolyard, here):
    (here / "toolyard.yaml").write_text(CONFIG)
    assert toolyard("add", "https://docs.example.com/mcp", "-H", "Authorization: Bearer ${T}", "--name", "docs") == 1
    assert "the environment variable T is not set" in toolyard.err
    assert (here / "toolyard.yaml").read_text() == CONFIG
    assert toolyard("add", "https://docs.example.com/mcp", "-H", "Authorization: Bearer ${T:t}", "--name", "docs") == 0
    text = (here / "toolyard.yaml").read_text()
    for line in CONFIG.splitlines():
        assert line in text
    assert upstreams(here)["docs"].headers[0][1].reveal() == "Bearer t"


def test_entries_come_right_after_the_last_one_and_every_comment_stays_where_it_was(toolyard, here):
    (here / "toolyard.yaml").write_text(FIRST_CONFIG)
    assert toolyard("add", "--", "uvx", "mcp-server-time") == 0
    assert toolyard("add", "https://docs.example.com/mcp", "-H", "A: b") == 0
    added = """\
  time:
    command: uvx
    args:
      - mcp-server-time
  docs:
    url: https://docs.example.com/mcp
    headers:
      A: b
"""
    demo = next(line for line in FIRST_CONFIG.splitlines(keepends=True) if line.startswith("  demo:"))
    assert (here / "toolyard.yaml").read_text() == FIRST_CONFIG.replace(demo, demo + added)


ENTRY = "url: https://docs.example.com/mcp\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("upstreams:\n  # a hint\n\n# about servers\nservers: {}\n",
         f"upstreams:\n  docs:\n    {ENTRY}  # a hint\n\n# about servers\nservers: {{}}\n"),
        ("upstreams:\n    a:\n        command: x\n        args:\n        - y   # why\n"
         "    # last\n# about servers\nservers: {}",
         "upstreams:\n    a:\n        command: x\n        args:\n        - y   # why\n    docs:\n"
         f"        {ENTRY}    # last\n# about servers\nservers: {{}}"),
        ("servers:\n  default:\n    instructions: |\n      hello\n\nupstreams:\n  a:\n"
         "    command: |-\n      x\n\n\n# end\n",
         "servers:\n  default:\n    instructions: |\n      hello\n\nupstreams:\n  a:\n    command: |-\n      x\n"
         f"  docs:\n    {ENTRY}\n\n# end\n"),
        ("upstreams:\n  a: &a\n    command: x\n  b: *a   # same\n# end",
         f"upstreams:\n  a: &a\n    command: x\n  b: *a   # same\n  docs:\n    {ENTRY}# end"),
        ("upstreams:\n  a: {command: x}", f"upstreams:\n  a: {{command: x}}\n  docs:\n    {ENTRY}"),
    ],
)  # fmt: skip
def test_nothing_but_the_new_lines_changes_in_files_of_every_form(toolyard, here, text, wanted):
    (here / "toolyard.yaml").write_text(text)
    assert toolyard("add", "https://docs.example.com/mcp") == 0, toolyard.err
    assert (here / "toolyard.yaml").read_text() == wanted


@pytest.mark.parametrize(
    ("words", "upstream_id", "command"),
    [
        (["--", "uvx", "mcp-server-time"], "time", ("uvx", "mcp-server-time")),
        (
            ["--", "npx", "-y", "@modelcontextprotocol/server-memory@1.2"],
            "memory",
            ("npx", "-y", "@modelcontextprotocol/server-memory@1.2"),
        ),
        (["--env", "A=b", "--", "python", "-m", "mcp_server_git"], "git", ("python", "-m", "mcp_server_git")),
        (["--", "/opt/Thing.py"], "thing", ("/opt/Thing.py",)),
        (["-n", "x", "--", "server"], "x", ("server",)),
    ],
)
def test_a_command_is_added_under_a_name_made_of_it(toolyard, here, words, upstream_id, command):
    assert toolyard("add", *words) == 0
    assert upstreams(here)[upstream_id].command == command
    assert stat.S_IMODE((here / "toolyard.yaml").stat().st_mode) == 0o600


def test_adding_the_same_twice_takes_another_id_and_a_given_name_is_never_replaced(toolyard, here):
    for _ in range(2):
        assert toolyard("add", "https://docs.example.com/mcp") == 0
    assert list(upstreams(here)) == ["docs", "docs-2"]
    assert toolyard("add", "https://other.example.com/mcp", "--name", "docs") == 1
    assert "already an upstream 'docs'" in toolyard.err


def test_a_clients_file_is_added_whole(toolyard, here):
    servers = {"A B": {"command": "x"}, "c": {"type": "sse", "url": "http://h/sse"}}
    (here / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    assert toolyard("add", "mcp.json") == 0
    assert {name: spec.kind for name, spec in upstreams(here).items()} == {"a-b": "mcp-stdio", "c": "mcp-sse"}


@pytest.mark.parametrize("text", ["# only a comment\n", "", "upstreams:\n", "upstreams: {}\n", '{"upstreams": {}}'])
def test_an_upstream_is_added_to_a_file_that_has_none(toolyard, here, text):
    (here / "toolyard.yaml").write_text(text)
    assert toolyard("add", "https://docs.example.com/mcp") == 0
    assert list(upstreams(here)) == ["docs"]
    assert text.strip().startswith("#") is (here / "toolyard.yaml").read_text().startswith("#")


@pytest.mark.parametrize("text", ["a: [\n", "- a\n", "upstreams: {x: {}}\n"])
def test_a_broken_file_is_not_changed(toolyard, here, text):
    (here / "toolyard.yaml").write_text(text)
    assert toolyard("add", "https://docs.example.com/mcp") == 1
    assert (here / "toolyard.yaml").read_text() == text


@pytest.mark.parametrize("words", [["add"], ["add", "http://h/", "-H", "x"], ["add", "--env", "=", "--", "x"]])
def test_wrong_use_ends_with_2(toolyard, words):
    assert toolyard(*words) == 2


def test_the_servers_of_all_clients_are_taken_over(toolyard, home, here):
    (home / ".cursor").mkdir()
    (home / ".cursor/mcp.json").write_text('{"mcpServers": {"a": {"command": "x"}}}')
    (home / ".codex").mkdir()
    (home / ".codex/config.toml").write_text('[mcp_servers.b]\nurl = "http://h/"\n')
    (home / ".claude.json").write_text("not json")
    assert toolyard("import", "--yes") == 0
    assert list(upstreams(here)) == ["a", "b"]
    assert "Claude Code" in toolyard.err
    assert toolyard("import", "gemini", "--yes") == 0
    assert "Nothing to take over" in toolyard.err
    assert toolyard("import", "notepad") == 2


def test_a_valid_file_is_said_to_be_valid(toolyard, here):
    (here / "toolyard.yaml").write_text(CONFIG)
    assert toolyard("config", "validate") == 0
    assert "is valid: 1 upstreams, 1 servers" in toolyard.err
    assert toolyard("config", "validate", "-o", "json") == 0
    assert json.loads(toolyard.out) == {"valid": True, "upstreams": ["demo"], "servers": ["default"]}


def test_every_problem_of_a_file_is_named_by_file_line_and_key(toolyard, here):
    (here / "x.yaml").write_text("upstreams:\n  a: {urk: 1}\nhots: 1\n")
    assert toolyard("config", "validate", "x.yaml") == 1
    assert "error [config_rejected]" in toolyard.err
    assert f"{here}/x.yaml:2: upstreams.a.urk: unknown key; did you mean 'url'?" in toolyard.err
    assert f"{here}/x.yaml:3: hots: unknown key" in toolyard.err
    assert toolyard("config", "validate", "x.yaml", "-o", "json") == 1
    assert {problem["line"] for problem in json.loads(toolyard.out)["problems"]} == {2, 3}


def test_without_a_file_every_command_says_how_to_get_one(toolyard):
    for words in (["tools"], ["key", "list"], ["config", "validate"], ["connect", "cursor"], ["servers"]):
        assert toolyard(*words) == 1
        assert "error [config_missing]" in toolyard.err
        assert "toolyard up" in toolyard.err
