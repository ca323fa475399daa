"""toolyard.yaml into a snapshot: what is understood, and what is said of a broken file."""

import json
import os
from pathlib import Path

import pytest

from toolyard.contract.snapshot import RateLimit, ServerSpec, TaskRule, ToolRule
from toolyard.gateway.feed.file import find_config, load, load_all, load_text
from toolyard.gateway.feed.yaml_marks import ConfigRejected
from toolyard.gateway.upstream.environment import child_environment
from toolyard.policy.keys import Pepper, issue

FILE = Path("/etc/toolyard/toolyard.yaml")


def read(text, **environ):
    return load_text(text, FILE, environ=environ, keys={}, revision=7)


def problems(text, *, host=None, **environ):
    with pytest.raises(ConfigRejected) as rejected:
        load_text(text, FILE, environ=environ, keys={}, revision=1, host=host)
    return [(problem.line, problem.key, problem.message) for problem in rejected.value.problems]


def test_every_field_of_an_upstream_reaches_the_snapshot():
    snapshot = read(
        """
upstreams:
  clock: {command: python, args: [-m, mcp_server_time, 8080], env: {TZ: "${ZONE:UTC}"}, cwd: work, max_processes: 2}
  docs:
    url: https://${DOCS_HOST}/mcp
    headers: {Authorization: "Bearer ${DOCS_TOKEN}"}
    timeout: 500ms
    stateless: yes
    max_connections: 7
    allow_networks: [10.0.0.0/8]
    tls: {verify: false, ca_file: ca.pem}
    tools:
      slow: {timeout: 2m}
      off: false
      gone: {enabled: false}
  old: {url: "http://127.0.0.1:9/sse", transport: sse, enabled: false}
  live: {url: "ws://127.0.0.1:9/"}
  demo: {builtin: demo}
""",
        DOCS_HOST="docs.example",
        DOCS_TOKEN="t0ken",
    ).snapshot
    clock, docs = snapshot.upstreams["clock"], snapshot.upstreams["docs"]
    assert snapshot.revision == 7
    assert (clock.kind, clock.command) == ("mcp-stdio", ("python", "-m", "mcp_server_time", "8080"))
    assert [(name, value.reveal()) for name, value in clock.env] == [("TZ", "UTC")]
    assert (clock.cwd, clock.max_processes, clock.timeout_s) == ("/etc/toolyard/work", 2, 30.0)
    assert (docs.kind, docs.url, docs.timeout_s, docs.isolation) == (
        "mcp-http",
        "https://docs.example/mcp",
        0.5,
        "shared",
    )
    assert [(name, value.reveal()) for name, value in docs.headers] == [("Authorization", "Bearer t0ken")]
    assert (docs.max_connections, docs.allow_networks) == (7, ("10.0.0.0/8",))
    assert (docs.tls_verify, docs.tls_ca_file) == (False, "/etc/toolyard/ca.pem")
    assert docs.tools == {
        "slow": ToolRule(timeout_s=120),
        "off": ToolRule(enabled=False),
        "gone": ToolRule(enabled=False),
    }
    assert (snapshot.upstreams["old"].kind, snapshot.upstreams["old"].enabled) == ("mcp-sse", False)
    assert snapshot.upstreams["live"].kind == "websocket"
    assert (snapshot.upstreams["demo"].kind, snapshot.upstreams["demo"].command) == ("native", ("demo",))


@pytest.mark.parametrize(
    ("fields", "isolation"),
    [
        ("command: x", "per-principal"),
        ("{command: x, stateless: yes}", "shared"),
        ("{command: x, stateless: no}", "per-principal"),
        ("{command: x, isolation: shared, stateless: yes}", "shared"),
        ("{command: x, isolation: per-session, stateless: no}", "per-session"),
        *((f"{{command: x, isolation: {policy}}}", policy) for policy in ("per-call", "per-handle", "per-principal")),
    ],
)
def test_who_shares_a_session_is_said_by_isolation_or_by_its_older_name(fields, isolation):
    assert read(upstream(fields)).snapshot.upstreams["a"].isolation == isolation


def test_an_idle_time_is_taken_and_ten_minutes_without():
    specs = read("upstreams: {a: {command: x, idle: 2m}, b: {command: x}}").snapshot.upstreams
    assert (specs["a"].idle_s, specs["b"].idle_s) == (120.0, 600.0)


def test_every_field_of_a_server_reaches_the_snapshot():
    snapshot = read(
        """
upstreams: {a: {builtin: demo}, b: {builtin: demo}}
servers:
  default: {tools: ["a/*", "b/search*"], names: plain, title: T, instructions: I, enabled: false,
            limits: {per_key: 600/min, per_server: 10/s}}
  lab: {tools: "*", access: open}
"""
    ).snapshot
    assert snapshot.servers["default"] == ServerSpec(
        "default", ("a/*", "b/search*"), "plain", "key", False, "T", "I", RateLimit(600, 600), RateLimit(600, 10)
    )
    assert snapshot.servers["lab"] == ServerSpec("lab", access="open")


@pytest.mark.parametrize("text", ["", "upstreams:\n", "upstreams: {}\nservers: {}\n", "# nothing\n"])
def test_without_servers_there_is_a_default_server_over_everything(text):
    assert dict(read(text).snapshot.servers) == {"default": ServerSpec("default", ("*",))}


def test_a_clients_file_is_understood_as_upstreams_with_one_default_server():
    snapshot = read(
        json.dumps(
            {
                "mcpServers": {
                    "GitHub MCP": {"type": "stdio", "command": "npx", "args": ["-y", "gh"], "alwaysAllow": ["x"]},
                    "old": {"type": "sse", "url": "http://h/sse", "disabled": True},
                    "gem": {"httpUrl": "http://h/mcp", "timeout": 5000, "trust": True},
                    "a__b": {"url": "ws://h/"},
                    "a--b": {"command": "x"},
                    "A  B": {"command": "y"},
                    "a-b": {"command": "z"},
                },
                "theme": "dark",
            },
            indent="\t",
        )
    ).snapshot
    assert dict(snapshot.servers) == {"default": ServerSpec("default")}
    assert list(snapshot.upstreams) == ["github-mcp", "old", "gem", "a_b", "a--b", "a-b", "a-b-2"]
    assert snapshot.upstreams["github-mcp"].command == ("npx", "-y", "gh")
    assert (snapshot.upstreams["old"].kind, snapshot.upstreams["old"].enabled) == ("mcp-sse", False)
    assert (snapshot.upstreams["gem"].kind, snapshot.upstreams["gem"].timeout_s) == ("mcp-http", 5.0)
    assert snapshot.upstreams["a_b"].kind == "websocket"


VS_CODE = """{
  // as VS Code keeps it
  "inputs": [{"type": "promptString", "id": "gh-token", "description": "Token", "password": true}],
  "servers": {
    "gh": {"type": "http", "url": "https://gh.example/mcp", "headers": {"Authorization": "Bearer ${input:gh-token}"}},
    "fs": {"type": "stdio", "command": "fs", "args": ["${env:HOME}"]}
  }
}"""


def test_the_form_of_vs_code_is_understood_and_its_inputs_come_from_the_environment():
    snapshot = read(VS_CODE, GH_TOKEN="t", HOME="/home/x").snapshot
    assert dict(snapshot.servers) == {"default": ServerSpec("default")}
    assert snapshot.upstreams["gh"].headers[0][1].reveal() == "Bearer t"
    assert snapshot.upstreams["fs"].command == ("fs", "/home/x")


def test_an_input_of_vs_code_that_is_not_set_says_which_variable_to_set():
    assert problems(VS_CODE, HOME="/") == [
        (
            5,
            "servers.gh.headers.Authorization",
            "the input 'gh-token' cannot be asked for here; set the environment variable GH_TOKEN instead",
        )
    ]


def test_all_problems_of_a_file_are_told_at_once_each_with_its_line_and_key():
    found = problems(
        """upstreams:
  docs: {url: "https://example.com/mcp", headers: {Authorization: "Bearer ${DOCS_TOKEN}"}, timeot: 3}
  bad__id: {builtin: demo}
  none: {}
  both: {command: x, url: "http://h/"}
servers:
  default: {tools: ["docs/*", "dcs/x", "docs"]}
  health: {}
  Lab: {names: both}
gateway:
  port: 99999
"""
    )
    assert [(line, key) for line, key, _ in found] == [
        (2, "upstreams.docs.headers.Authorization"),
        (2, "upstreams.docs.timeot"),
        (3, "upstreams.bad__id"),
        (4, "upstreams.none"),
        (5, "upstreams.both.url"),
        (7, "servers.default.tools[1]"),
        (7, "servers.default.tools[2]"),
        (8, "servers.health"),
        (9, "servers.Lab"),
        (9, "servers.Lab.names"),
        (11, "gateway.port"),
    ]
    assert "did you mean 'timeout'" in found[1][2]
    assert "did you mean 'docs'" in found[5][2]


def upstream(fields):
    return "upstreams:\n  a:\n    " + fields + "\n"


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        (upstream("url: ftp://h/"), 3, "upstreams.a.url", "is not a URL"),
        (upstream("url: http://user:pw@h/"), 3, "upstreams.a.url", "credentials into headers"),
        (upstream("url: http://h/#x"), 3, "upstreams.a.url", "fragment"),
        (upstream("url: http://h:99999/"), 3, "upstreams.a.url", "ort"),
        (upstream("{url: 'http://h/', timeout: 0}"), 3, "upstreams.a.timeout", "not a time limit"),
        (upstream("{url: 'http://h/', timeout: 601}"), 3, "upstreams.a.timeout", "at most 600 s"),
        (upstream("{url: 'http://h/', timeout: soon}"), 3, "upstreams.a.timeout", "not a duration"),
        (upstream("{url: 'http://h/', headers: {Host: x}}"), 3, "upstreams.a.headers.Host", "set by the gateway"),
        (upstream("{url: 'http://h/', headers: {A b: x}}"), 3, "upstreams.a.headers.A b", "not a header name"),
        (upstream('{url: "http://h/", headers: {A: "x\\r\\ny"}}'), 3, "upstreams.a.headers.A", "line break"),
        (upstream("{url: 'http://h/', headers: {A: 'file:/no/such'}}"), 3, "upstreams.a.headers.A", "/no/such cannot"),
        (upstream("{url: 'http://h/', headers: [x]}"), 3, "upstreams.a.headers", "must be a mapping"),
        (upstream("{url: 'http://h/', env: {A: b}}"), 3, "upstreams.a.env", "together with command"),
        (upstream("{url: 'http://h/', transport: carrier-pigeon}"), 3, "upstreams.a.transport", "is not one of"),
        (upstream("{url: 'ws://h/', transport: sse}"), 3, "upstreams.a.transport", "websocket"),
        (upstream("{url: 'http://h/', transport: websocket}"), 3, "upstreams.a.transport", "ws://"),
        (upstream("{url: 'http://h/', allow_networks: [ten]}"), 3, "upstreams.a.allow_networks", "not a network"),
        (upstream("{url: 'http://h/', stateless: maybe}"), 3, "upstreams.a.stateless", "neither true nor false"),
        (
            upstream("{url: 'http://h/', isolation: alone}"),
            3,
            "upstreams.a.isolation",
            "is not one of shared, per-prin",
        ),
        (upstream("{url: 'http://h/', isolation: shared, stateless: no}"), 3, "upstreams.a.stateless", "contradicts"),
        (upstream("{command: x, isolation: per-call, stateless: yes}"), 3, "upstreams.a.stateless", "contradicts"),
        (upstream("{command: x, idle: 0.5s}"), 3, "upstreams.a.idle", "from 1s to 24h"),
        (upstream("{command: x, idle: 25h}"), 3, "upstreams.a.idle", "from 1s to 24h"),
        (upstream("{url: 'http://h/', tls: {verfy: no}}"), 3, "upstreams.a.tls.verfy", "did you mean 'verify'"),
        (upstream("{url: 'http://h/', tools: {t: {timeout: x}}}"), 3, "upstreams.a.tools.t.timeout", "duration"),
        (upstream("{url: [x]}"), 3, "upstreams.a.url", "single value"),
        (upstream("command: ''"), 3, "upstreams.a.command", "is empty"),
        (upstream("{command: x, max_processes: 0}"), 3, "upstreams.a.max_processes", "whole number from 1"),
        (upstream("{command: x, headers: {A: b}}"), 3, "upstreams.a.headers", "together with url"),
        (upstream("{command: x, env: {A: b, LD_PRELOAD: y}}"), 3, "upstreams.a.env.LD_PRELOAD", "may not be declared"),
        (upstream("{command: x, env: {PATH: y}}"), 3, "upstreams.a.env.PATH", "may not be declared"),
        (upstream("{command: x, env: {A-B: y}}"), 3, "upstreams.a.env.A-B", "not the name of an environment variable"),
        (upstream("url: 'http://169.254.169.254/mcp'"), 3, "upstreams.a.url", "a cloud metadata address"),
        (upstream("url: 'http://[fd00:ec2::254]/'"), 3, "upstreams.a.url", "a cloud metadata address"),
        (upstream("url: 'https://169.254.1.1/'"), 3, "upstreams.a.url", "a link-local address"),
        (upstream("url: 'ws://0.0.0.0/'"), 3, "upstreams.a.url", "a reserved address"),
        (upstream("url: 'http://2130706433/'"), 3, "upstreams.a.url", "four decimal numbers"),
        (upstream("builtin: dmo"), 3, "upstreams.a.builtin", "there is: demo"),
        ("upstreams: [a]\n", 1, "upstreams", "must be a mapping"),
        ("upstream: {}\n", 1, "upstream", "did you mean 'upstreams'"),
        ("servers: {default: {access: public}}\n", 1, "servers.default.access", "key, open"),
        ("servers: {default: {limits: {per_key: lots}}}\n", 1, "servers.default.limits.per_key", "not a rate"),
        ("servers: {default: {limits: {per_kez: 1/s}}}\n", 1, "servers.default.limits.per_kez", "'per_key'"),
        ("servers:\n  info: {}\n", 2, "servers.info", "reserved"),
        ("servers:\n  server: {}\n", 2, "servers.server", "reserved"),
        ("gateway:\n  tls: {crt: x}\n", 2, "gateway.tls.crt", "unknown key"),
        ("logging: {level: loud}\n", 1, "logging.level", "is not one of debug"),
        ("limits: {body: much}\n", 1, "limits.body", "not a size"),
        ("sessions: {idle: 0}\n", 1, "sessions.idle", "more than nothing"),
        ("gateway: {public_url: example.com}\n", 1, "gateway.public_url", "is not a URL"),
        ("gateway: {trusted_proxies: [x]}\n", 1, "gateway.trusted_proxies", "does not appear to be"),
        ("just text\n", 1, "", "must be a mapping"),
    ],
)
def test_a_broken_entry_is_named_by_line_and_key(text, line, key, says):
    found = problems(text)
    assert [(one[0], one[1]) for one in found] == [(line, key)]
    assert says in found[0][2]


NAMES = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY",
         "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_authorities_and_proxies_may_be_declared_and_reach_the_program(name):
    spec = read(upstream(f"{{command: x, env: {{{name}: there}}}}")).snapshot.upstreams["a"]
    assert child_environment(spec.env, {name: "not inherited", "PATH": "/bin"})[name] == "there"
    assert name not in child_environment((), {name: "not inherited"})


def test_an_address_that_needs_consent_is_taken_with_it():
    text = "{{url: 'http://{0}/', allow_networks: [{0}]}}"
    for address in ("169.254.169.254", "169.254.1.1"):
        assert read(upstream(text.format(address))).snapshot.upstreams["a"].allow_networks == (f"{address}/32",)
    for url in ("http://127.0.0.1/", "http://10.1.2.3/", "http://localhost:1/"):
        assert read(upstream(f"url: '{url}'")).snapshot.upstreams["a"].url == url


@pytest.mark.parametrize(
    "tools", ['["demo/*", "!demo/ask_name"]', '["*", "!test/*"]', '["te*/x", "d?mo/y"]', '["*/search"]', "[]"]
)
def test_patterns_may_leave_out_and_name_several_upstreams(tools):
    text = (
        f"upstreams: {{demo: {{builtin: demo}}, test: {{builtin: demo}}}}\nservers: {{default: {{tools: {tools}}}}}\n"
    )
    assert read(text).snapshot.servers["default"].tools == tuple(json.loads(tools))


@pytest.mark.parametrize(
    ("tools", "key", "says"),
    [
        ('["demo/*", "!dmo/x"]', "tools[1]", "there is no upstream 'dmo'; did you mean 'demo'?"),
        ('["demo/*", "te*/x"]', "tools[1]", "there is no upstream 'te*'; there are: demo"),
        ('["demo/*", "!*"]', "tools[1]", "is not a tool pattern"),
        ('["demo/*", "!demo"]', "tools[1]", "is not a tool pattern"),
        ('["!demo/ask_name"]', "tools", "only leaves tools out"),
    ],
)
def test_a_pattern_that_names_nothing_is_named(tools, key, says):
    found = problems(f"upstreams: {{demo: {{builtin: demo}}}}\nservers:\n  default:\n    tools: {tools}\n")
    assert [one[:2] for one in found] == [(4, f"servers.default.{key}")]
    assert says in found[0][2]


TAGGED = """\
upstreams:
  docs:
    builtin: demo
    tags: [read-only, 文档, read-only]
    tools: {echo: {tags: text}, add: {enabled: off}}
  bank: {builtin: demo, tools: {pay: {tags: [finance]}}}
  fast: {builtin: demo, own_tags: true}
servers:
  default:
    tools: PATTERNS
"""


def test_tags_of_upstreams_and_tools_are_read_each_once_and_in_order():
    upstreams = read(TAGGED.replace("PATTERNS", "['*']")).snapshot.upstreams
    assert (upstreams["docs"].tags, upstreams["docs"].own_tags) == (("read-only", "文档"), False)
    assert upstreams["docs"].tools == {"echo": ToolRule(tags=("text",)), "add": ToolRule(enabled=False)}
    assert (upstreams["fast"].tags, upstreams["fast"].own_tags) == ((), True)


@pytest.mark.parametrize("tag", ["", " a", "a*", "a/b", "a,b", "[a]", "a\\nb", "a\\u202eb", "n" * 65])
@pytest.mark.parametrize("entry", ["{{builtin: demo, tags: [{}]}}", "{{builtin: demo, tools: {{x: {{tags: [{}]}}}}}}"])
def test_what_cannot_be_a_tag_is_named(entry, tag):
    found = problems(f"upstreams:\n  a: {entry.format(chr(34) + tag + chr(34))}\n")
    assert [(line, key.endswith(".tags")) for line, key, _ in found] == [(2, True)]
    assert "tag" in found[0][2]


def test_more_tags_than_anybody_reads_are_too_many():
    assert "32 are the most" in problems(f"upstreams: {{a: {{builtin: demo, tags: {list(range(33))}}}}}\n")[0][2]


@pytest.mark.parametrize(
    "patterns",
    ["[tag:finance]", "['tag:text', '!tag:finance']", "[docs/tag:read-*]", "['*/tag:文档']", "[tag:whatever]"],
)
def test_patterns_may_choose_by_tag(patterns):
    assert read(TAGGED.replace("PATTERNS", patterns)).snapshot.servers["default"].tools


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("bank/tag:finanse", "nothing is tagged 'finanse' here; did you mean 'finance'?"),
        ("!bank/tag:text", "nothing is tagged 'text' here; those that an upstream gives count with its `own_tags"),
        ("dcs/tag:text", "there is no upstream 'dcs'; did you mean 'docs'?"),
        ("tag:", "is not a tool pattern"),
        ("bank/tag:", "is not a tool pattern"),
        ("tag:bank/finance", "is not a tool pattern"),
    ],
)
def test_a_tag_that_nothing_can_have_is_named(pattern, says):
    found = problems(TAGGED.replace("PATTERNS", json.dumps(["*", pattern])))
    assert [one[:2] for one in found] == [(10, "servers.default.tools[1]")]
    assert says in found[0][2]


def test_other_tags_are_another_configuration():
    digests = {read(TAGGED.replace("PATTERNS", "['*']").replace("[finance]", tags)).snapshot.digest for tags in "abb"}
    assert len(digests) == 2


def test_a_pattern_that_leaves_out_without_quotes_is_told_to_be_quoted():
    assert "needs quotes" in problems("servers: {default: {tools: ['*', !demo/ask_name ]}}\n")[0][2]


def test_the_token_for_metrics_comes_from_a_variable_or_a_file_and_is_never_shown(tmp_path):
    assert read("").settings.gateway.metrics_token is None
    token = "SEKRET-metrics-token"
    settings = read("gateway: {metrics_token: '${T}'}\n", T=token).settings
    assert settings.gateway.metrics_token.reveal() == token
    assert token not in repr(settings)
    assert read("", TOOLYARD_METRICS_TOKEN=token).settings.gateway.metrics_token.reveal() == token
    (tmp_path / "token").write_text(token + "\n")
    path = tmp_path / "toolyard.yaml"
    path.write_text("gateway: {metrics_token: 'file:token'}\n")
    loaded = load_all(path, environ={}, keys={}, revision=1)
    assert loaded.settings.gateway.metrics_token.reveal() == token
    assert loaded.files == (tmp_path / "token",)


@pytest.mark.parametrize(
    ("value", "says"),
    [("short", "16 characters"), ("has a blank in its middle", "bearer token"), ("file:/no/such", "cannot be read"),
     ("file:/dev/null", "not a file")],
)  # fmt: skip
def test_a_token_for_metrics_that_cannot_be_one_is_named_without_it(value, says):
    found = problems("gateway:\n  metrics_token: '${T}'\n", T=value)
    assert [one[:2] for one in found] == [(2, "gateway.metrics_token")]
    assert says in found[0][2]
    assert "blank in" not in found[0][2]


def test_an_empty_file_for_the_token_is_no_token_but_a_problem(tmp_path):
    (tmp_path / "token").touch()
    assert "empty" in problems(f"gateway: {{metrics_token: 'file:{tmp_path}/token'}}\n")[0][2]


def test_open_access_is_refused_unless_the_gateway_listens_on_loopback():
    text = "servers:\n  lab: {access: open}\n"
    assert read(text).snapshot.servers["lab"].access == "open"
    assert read("gateway: {host: '::1'}\n" + text).snapshot.servers["lab"].access == "open"
    assert problems("gateway: {host: 0.0.0.0}\n" + text)[0][:2] == (3, "servers.lab.access")
    assert problems(text, TOOLYARD_HOST="192.0.2.1")[0][:2] == (2, "servers.lab.access")
    assert problems(text, host="0.0.0.0")[0][:2] == (2, "servers.lab.access")


def test_the_environment_overrides_the_file_and_the_first_variable_wins():
    text = "gateway: {host: 127.0.0.2, port: '${P:1}'}\nsessions: {max: 5}\nlogging: {level: error}\n"
    assert (read(text).settings.gateway.host, read(text).settings.gateway.port) == ("127.0.0.2", 1)
    settings = read(text, HOST="h1", TOOLYARD_HOST="h2", PORT="9", MCP_MAX_SESSIONS="6", LOG_LEVEL="debug").settings
    assert (settings.gateway.host, settings.gateway.port) == ("h2", 9)
    assert (settings.sessions.max, settings.logging.level) == (6, "debug")


def test_a_variable_that_cannot_be_read_is_named():
    with pytest.raises(
        ConfigRejected, match=r"^environment variable PORT: gateway\.port: 'http' is not a whole number"
    ):
        read("", PORT="http")


def test_timeouts_and_connections_not_written_come_from_the_founding_variables():
    snapshot = read(upstream("url: http://h/"), MCP_TIMEOUT="12", MCP_MAX_CONNECTIONS="3").snapshot
    assert (snapshot.upstreams["a"].timeout_s, snapshot.upstreams["a"].max_connections) == (12.0, 3)


def test_lists_of_settings_are_read_as_lists_or_with_commas():
    settings = read("gateway: {allowed_hosts: [a.example, b.example], trusted_proxies: 10.0.0.1}\n").settings
    assert settings.gateway.allowed_hosts == ("a.example", "b.example")
    assert settings.gateway.trusted_proxies == ("10.0.0.1/32",)
    assert read("", TOOLYARD_ALLOWED_HOSTS="a, b").settings.gateway.allowed_hosts == ("a", "b")


def test_the_data_directory_is_beside_the_file_unless_set():
    assert read("").settings.gateway.data_dir == Path("/etc/toolyard/.toolyard")
    assert read("", TOOLYARD_DATA_DIR="/var/x").settings.gateway.data_dir == Path("/var/x")


def test_a_credential_can_be_kept_in_a_file_of_its_own(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    (tmp_path / "toolyard.yaml").write_text(
        "upstreams:\n  a: {url: 'http://h/', headers: {A: 'file:token', B: 'file:" + str(tmp_path) + "/token'}}\n"
    )
    snapshot = load(tmp_path / "toolyard.yaml", environ={}, keys={}, revision=1)
    assert [value.reveal() for _, value in snapshot.upstreams["a"].headers] == ["s3cret", "s3cret"]


def test_a_digest_is_the_same_for_the_same_content_and_shows_no_secret():
    text = upstream("{url: 'http://h/', headers: {A: '${T}'}}")
    first, again, other = read(text, T="x"), read("# moved\n" + text, T="x"), read(text, T="y")
    assert first.snapshot.digest == again.snapshot.digest
    assert first.snapshot.digest != other.snapshot.digest
    assert "SEKRET" not in repr(read(text, T="SEKRET-UP-1"))


def test_a_new_key_changes_the_digest():
    _, record = issue("default", "", Pepper(1, b"p" * 32), now=0)
    with_key = load_text("", FILE, environ={}, keys={record.id: record}, revision=1)
    assert with_key.snapshot.digest != read("").snapshot.digest


def test_no_secret_of_the_environment_appears_in_a_complaint():
    found = problems(upstream('{url: "http://h/", headers: {A: "${T}", Host: "${T}"}}'), T="SEKRET-UP-1\n")
    assert len(found) == 2
    assert "SEKRET" not in str(found)


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [(b"a: \xff\n", 1, "UTF-8"), (b"\n\n\xfe", 3, "UTF-8"), (b"#" * (4 * 2**20 + 1), 0, "larger than 4 MiB")],
)
def test_a_file_that_is_not_text_or_too_large_is_refused(tmp_path, content, line, says):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ConfigRejected) as rejected:
        load_all(tmp_path / "f", environ={}, keys={}, revision=1)
    assert rejected.value.problems[0].line == line
    assert says in rejected.value.problems[0].message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigRejected, match="cannot be read: No such file"):
        load(tmp_path / "no.yaml", environ={}, keys={}, revision=1)


def test_the_founding_documents_file_is_found_where_there_is_no_toolyard_yaml(tmp_path):
    assert find_config(tmp_path) is None
    (tmp_path / "config").mkdir()
    (tmp_path / "config/app.yaml").write_text('server: {host: "${HOST:127.0.0.1}", port: "${PORT:8001}"}\n')
    assert find_config(tmp_path) == tmp_path / "config/app.yaml"
    loaded = load_all(tmp_path / "config/app.yaml", environ={}, keys={}, revision=1)
    assert (loaded.settings.gateway.host, loaded.settings.gateway.port) == ("127.0.0.1", 8001)
    (tmp_path / "toolyard.yaml").touch()
    assert find_config(tmp_path) == tmp_path / "toolyard.yaml"


def test_reading_a_configuration_leaves_the_environment_alone():
    before = dict(os.environ)
    read("upstreams: {a: {command: x, env: {A: b}}}\n")
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("off", TaskRule()),
        ("always", TaskRule(after_s=0.0)),
        ("required", TaskRule(after_s=0.0, required=True)),
        ("2s", TaskRule(after_s=2.0)),
    ],
)
def test_when_a_call_becomes_a_task_is_said_for_an_upstream_and_for_a_tool(written, rule):
    both = read(f"upstreams: {{a: {{builtin: demo, tasks: {written}, tools: {{t: {{task: {written}}}, u: on}}}}}}")
    spec = both.snapshot.upstreams["a"]
    assert (spec.tasks, spec.tools["t"].task, spec.tools["u"].task) == (rule, rule, None)


@pytest.mark.parametrize(
    ("fields", "key", "says"),
    [
        ("tasks: sometimes", "upstreams.a.tasks", "not one of off, always, required, nor a duration"),
        ("tasks: 40s", "upstreams.a.tasks", "ends after 30 s"),
        ("timeout: 5s, tools: {t: {task: 5s}}", "upstreams.a.tools", "a call of t ends after 5 s"),
        ("tools: {t: {timeout: 2s, task: 3s}}", "upstreams.a.tools", "a call of t ends after 2 s"),
    ],
)
def test_a_task_rule_that_means_nothing_is_named(fields, key, says):
    ((_line, found, message),) = problems(f"upstreams: {{a: {{builtin: demo, {fields}}}}}")
    assert found == key
    assert says in message
