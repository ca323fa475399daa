"""`toolyard upstream set` and `remove`: one upstream in the operator's file is changed, and nothing else."""

import pytest

from toolyard.gateway.feed.file import load

CONFIG = """\
# mine
upstreams:
  # the documents
  docs:
    url: https://docs.example.com/mcp   # theirs
    headers:
      X-Team: blue   # ours
    timeout: '20s'  # long
    tools:
      search: {timeout: 60s}
      delete_page: off
    # end of docs

  # a demonstration
  demo: {builtin: demo}    # keep this
  memory:
    command: npx
    args: [-y, "@modelcontextprotocol/server-memory"]

servers:
  default:
    tools:
      - "*"   # everything
    names: 'plain'
"""


@pytest.fixture
def file(here):
    path = here / "toolyard.yaml"
    path.write_text(CONFIG)
    return path


def spec(file, upstream_id="docs"):
    return load(file, environ={}, keys={}, revision=1).upstreams[upstream_id]


@pytest.mark.parametrize(
    ("words", "before", "after"),
    [
        (["docs", "timeout=30s"], "    timeout: '20s'  # long", "    timeout: 30s  # long"),
        (
            ["docs", "url=https://b.example.com/mcp"],
            "https://docs.example.com/mcp   #",
            "https://b.example.com/mcp   #",
        ),
        (
            ["docs", "headers.X-Key=a: b, c"],
            "      X-Team: blue   # ours\n",
            '      X-Team: blue   # ours\n      X-Key: "a: b, c"\n',
        ),
        (["docs", "tools.search.timeout=5s"], "{timeout: 60s}", "{timeout: 5s}"),
        (["docs", "tools.search.enabled=false"], "{timeout: 60s}", "{timeout: 60s, enabled: false}"),
        (
            ["docs", "tools.search.tags=[read-only, 文档]"],
            "{timeout: 60s}",
            "{timeout: 60s, tags: [read-only, 文档]}",
        ),
        (["docs", "tools.search.task=5s"], "{timeout: 60s}", "{timeout: 60s, task: 5s}"),
        (["docs", "tags=[finance]"], "delete_page: off\n", "delete_page: off\n    tags: [finance]\n"),
        (["docs", "tools.delete_page=on"], "delete_page: off\n", "delete_page: on\n"),
        (["docs", "transport=sse"], "delete_page: off\n", "delete_page: off\n    transport: sse\n"),
        (["docs", "tls.verify=false"], "delete_page: off\n", "delete_page: off\n    tls: {verify: false}\n"),
        (["demo", "enabled=false"], "demo: {builtin: demo}", "demo: {builtin: demo, enabled: false}"),
        (["memory", "args=[-y, other]"], '[-y, "@modelcontextprotocol/server-memory"]', "[-y, other]"),
        (["memory", "env.A=${B:1}"], 'memory"]\n', 'memory"]\n    env: {A: "${B:1}"}\n'),
        (["docs", "--unset", "timeout"], "    timeout: '20s'  # long\n", ""),
        (["docs", "--unset", "headers.X-Team"], "    headers:\n      X-Team: blue   # ours\n", ""),
        (["docs", "--unset", "tools.search.timeout"], "      search: {timeout: 60s}\n", ""),
        (["docs", "-u", "tools"], "    tools:\n      search: {timeout: 60s}\n      delete_page: off\n", ""),
        (
            ["memory", "url=wss://m.example.com", "-u", "command", "-u", "args"],
            '    command: npx\n    args: [-y, "@modelcontextprotocol/server-memory"]\n',
            "    url: wss://m.example.com\n",
        ),
    ],
)
def test_a_field_is_changed_where_it_is_and_everything_else_stays(toolyard, file, words, before, after):
    assert toolyard("upstream", "set", *words) == 0, toolyard.err
    assert CONFIG.count(before) == 1
    assert file.read_text() == CONFIG.replace(before, after)
    assert "a running gateway takes it up by itself" in toolyard.err


def test_what_was_set_is_in_force_and_no_value_is_printed(toolyard, file):
    assert toolyard("upstream", "set", "docs", "headers.Authorization=Bearer s3cret", "enabled=no") == 0
    assert "s3cret" not in toolyard.out + toolyard.err
    assert "headers.Authorization is set, enabled is set" in toolyard.err
    changed = spec(file)
    assert (dict(changed.headers)["Authorization"].reveal(), changed.enabled) == ("Bearer s3cret", False)


@pytest.mark.parametrize(
    ("transport", "url", "kind"),
    [
        ("sse", None, "mcp-sse"),
        ("http", None, "mcp-http"),
        ("websocket", "wss://docs.example.com/mcp", "websocket"),
        ("auto", None, "mcp-http"),
    ],
)
def test_the_transport_of_an_upstream_is_switched(toolyard, file, transport, url, kind):
    more = [f"url={url}"] if url else []
    assert toolyard("upstream", "set", "docs", f"transport={transport}", *more) == 0, toolyard.err
    assert spec(file).kind == kind


def test_an_upstream_is_switched_from_a_url_to_a_program_and_back(toolyard, file):
    assert toolyard("upstream", "set", "docs", "command=docs-server", "-u", "url", "-u", "headers") == 0, toolyard.err
    assert (spec(file).kind, spec(file).command) == ("mcp-stdio", ("docs-server",))
    assert toolyard("upstream", "set", "docs", "url=https://docs.example.com/mcp", "-u", "command") == 0, toolyard.err
    assert spec(file).kind == "mcp-http"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["docs", "timeout=never"], 1, "config_rejected"),
        (["docs", "colour=blue"], 1, "config_rejected"),
        (["docs", "transport=websocket"], 1, "config_rejected"),
        (["docs", "-u", "url"], 1, "config_rejected"),
        (["docs", "-u", "cwd"], 1, "docs.cwd is not in the file"),
        (["docs", "timeout.x=1"], 1, "file_not_editable"),
        (["nobody", "timeout=1s"], 1, "there are: docs, demo, memory"),
        (["docs"], 2, "say what to change"),
        (["docs", "timeout"], 2, "write KEY=VALUE"),
        (["docs", "args=[a"], 2, "neither a list"),
    ],
)
def test_a_change_that_is_wrong_is_refused_and_changes_nothing(toolyard, file, words, code, said):
    assert toolyard("upstream", "set", *words) == code
    assert said in toolyard.err
    assert file.read_text() == CONFIG


def test_a_file_whose_form_does_not_allow_the_change_is_left_alone(toolyard, file):
    shared = CONFIG.replace("timeout: '20s'  # long", "timeout: &limit 20s") + "defaults: {timeout: *limit}\n"
    file.write_text(shared)
    assert toolyard("upstream", "set", "docs", "timeout=1s") == 1
    assert file.read_text() == shared


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("demo", "  demo: {builtin: demo}    # keep this\n"),
        (
            "memory",
            '  memory:\n    command: npx\n    args: [-y, "@modelcontextprotocol/server-memory"]\n',
        ),
    ],
)
def test_an_upstream_is_removed_and_everything_else_stays(toolyard, file, name, gone):
    assert toolyard("upstream", "remove", name) == 0
    assert file.read_text() == CONFIG.replace(gone, "")
    assert f"Removed '{name}'" in toolyard.err


def test_all_upstreams_can_be_removed_and_another_added(toolyard, file):
    for name in ("docs", "demo", "memory"):
        assert toolyard("upstream", "remove", name) == 0, toolyard.err
    assert load(file, environ={}, keys={}, revision=1).upstreams == {}
    assert toolyard("upstream", "remove", "demo") == 1
    assert "[upstream_unknown]" in toolyard.err
    assert toolyard("add", "--", "uvx", "mcp-server-time") == 0
    assert spec(file, "time").command == ("uvx", "mcp-server-time")
