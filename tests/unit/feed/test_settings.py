"""The table of settings, and files of every kind of nonsense."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolyard.gateway.feed.file import load_settings, load_text, settings_of
from toolyard.gateway.feed.yaml_marks import ConfigRejected
from toolyard.kit.quantities import keys
from toolyard.settings import SETTINGS, default_settings, is_loopback

BASE = Path("/etc/toolyard")
VALID = """\
upstreams:
  clock: {command: python, args: [-m, mcp_server_time], env: {A: "${B:c}"}, tools: {x: {timeout: 5s}}}
  docs: {url: "https://example.com/mcp", headers: {Authorization: "Bearer x"}, tls: {verify: true}}
servers:
  default: {tools: ["clock/*"], names: prefixed, limits: {per_key: 600/min}}
gateway: {host: 127.0.0.1, port: 8000, tls: {cert: a, key: b}}
sessions: {idle: 1h}
"""


def test_the_defaults_are_what_the_founding_documents_and_the_limits_say():
    settings = default_settings(BASE)
    assert (settings.gateway.host, settings.gateway.port) == ("127.0.0.1", 8000)
    assert (settings.sessions.idle_s, settings.sessions.max, settings.sessions.per_principal) == (3600, 1000, 50)
    assert (settings.defaults.timeout_s, settings.defaults.max_connections) == (30, 100)
    assert (settings.limits.body_bytes, settings.limits.header_total_bytes) == (4 << 20, 32 << 10)
    assert settings.gateway.data_dir == BASE / ".toolyard"
    assert str(settings.database.url) == f"sqlite:///{BASE}/.toolyard/toolyard.db"
    assert (settings.control.enabled, settings.control.registration, settings.control.reveal_keys) == (
        True,
        False,
        False,
    )
    assert (settings.control.access_token_s, settings.control.login_idle_s, settings.control.login_max_s) == (
        600,
        1800,
        43200,
    )


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_each_setting_is_documented_and_can_be_written_as_its_default_says(setting):
    assert setting.meaning.endswith(".")
    section, *names = setting.key.split(".")
    value = f"'{setting.default}'"
    for name in reversed(names):
        value = f"{{{name}: {value}}}"
    loaded = load_text(f"{section}: {value}\n", BASE / "f", environ={}, keys={}, revision=1)
    assert loaded.settings == default_settings(BASE)


def test_no_two_settings_share_a_key_or_a_variable():
    keys = [setting.key for setting in SETTINGS]
    variables = [name for setting in SETTINGS for name in setting.env]
    assert len(set(keys)) == len(keys)
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("", False), ("example.com", False),
    ],
)  # fmt: skip
def test_only_addresses_of_this_machine_count_as_loopback(host, loopback):
    assert is_loopback(host) is loopback


def test_settings_can_be_found_in_a_file_that_is_broken_elsewhere(tmp_path):
    (tmp_path / "f").write_text("gateway: {data_dir: there, port: x}\nupstreams: {a: {}}\nnonsense: 1\n")
    settings = settings_of(tmp_path / "f", {})
    assert (settings.gateway.data_dir, settings.gateway.port) == (tmp_path / "there", 8000)


EXAMPLES = {
    "text": "some text", "url": "https://tools.example.com", "path": "a/b", "port": "8123", "workers": "3",
    "count": "7", "bytes": "64KiB", "seconds": "90s", "level": "warning", "log format": "json", "list": "a.example",
    "networks": "10.0.0.0/8", "secret": "a-bearer-token-of-some-length", "switch": "true", "command": "cat 'a b'",
    "database": "postgresql://u:p@h/db", "keys": "ab" * 32,
}  # fmt: skip


OPPOSITES = {"control.enabled": "false", "control.aliases": "false"}


def value_of(settings, setting):
    return getattr(getattr(settings, setting.section), setting.field)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_each_setting_comes_from_the_environment_alone_or_from_the_file_and_means_the_same(setting, tmp_path):
    example = OPPOSITES.get(setting.key, EXAMPLES[setting.kind])
    written = f"'{example.replace(chr(39), chr(39) * 2)}'"
    for name in reversed(setting.key.split(".")):
        written = f"{{{name}: {written}}}"
    (tmp_path / "f").write_text(written)
    for variable in setting.env:
        alone = load_settings(tmp_path / "none", {variable: example})
        assert alone == load_settings(tmp_path / "f", {}) == load_settings(tmp_path / "f", {variable: ""})
        assert value_of(alone, setting) != value_of(default_settings(tmp_path), setting)


def test_a_setting_without_a_variable_of_its_own_has_one_of_section_and_name():
    variables = {setting.key: setting.env for setting in SETTINGS}
    assert variables["limits.body"] == ("TOOLYARD_LIMITS_BODY",)
    assert variables["database.pool_size"] == ("TOOLYARD_DATABASE_POOL_SIZE",)
    assert variables["gateway.port"] == ("TOOLYARD_PORT", "PORT")


def test_the_founding_documents_names_of_sections_are_understood(tmp_path):
    (tmp_path / "app.yaml").write_text(
        """
app: {name: "MCPS.ONE", version: "2.0.0", environment: "${ENVIRONMENT:development}", debug: "${DEBUG:true}"}
server: {host: "${HOST:0.0.0.0}", port: "${PORT:8000}", workers: 1}
database: {url: "${DATABASE_URL:sqlite:///./data/mcps.db}", echo: false, pool_size: 5}
logging: {level: "${LOG_LEVEL:INFO}", dir: "${LOG_DIR:./data/logs}"}
mcp: {timeout: "${MCP_TIMEOUT:30}", max_connections: "${MCP_MAX_CONNECTIONS:100}"}
"""
    )
    settings = load_settings(tmp_path / "app.yaml", {"MCP_TIMEOUT": "31", "DATABASE_URL": "postgresql://u:p@h/mcps_db"})
    app = settings.app
    assert (app.name, app.version, app.environment, app.debug) == ("MCPS.ONE", "2.0.0", "development", True)
    assert (settings.gateway.host, settings.gateway.port) == ("0.0.0.0", 8000)
    assert settings.database.url.reveal() == "postgresql://u:p@h/mcps_db"
    assert (settings.database.echo, settings.database.pool_size) == (False, 5)
    assert (settings.logging.level, settings.logging.dir) == ("info", tmp_path / "data/logs")
    assert (settings.defaults.timeout_s, settings.defaults.max_connections) == (31, 100)


def complaints(path, environ):
    with pytest.raises(ConfigRejected) as rejected:
        load_settings(path, environ)
    return [(problem.file, problem.line, problem.key) for problem in rejected.value.problems]


def test_what_cannot_be_read_is_told_with_its_place_and_without_its_secrets(tmp_path):
    (tmp_path / "f").write_text(
        "database:\n  url: postgresql://u:pa55@w@h/db\ncontrol:\n  vault_key: pa55word\n  x: 1\n"
    )
    with pytest.raises(ConfigRejected) as rejected:
        load_settings(tmp_path / "f", {"TOOLYARD_CONTROL_REGISTRATION": "perhaps"})
    told = str(rejected.value)
    assert "pa55" not in told
    for place in ("f:2: database.url", "f:4: control.vault_key", "f:5: control.x", "TOOLYARD_CONTROL_REGISTRATION: "):
        assert place in told


def test_a_database_that_is_not_supported_is_refused_only_by_those_who_need_it(tmp_path):
    environ = {"TOOLYARD_DATABASE_URL": "mysql://u:p@h/db"}
    assert not load_settings(tmp_path / "none", {**environ, "TOOLYARD_CONTROL": "off"}).database.url.supported
    place = ("environment variable TOOLYARD_DATABASE_URL", 0, "database.url")
    assert complaints(tmp_path / "none", environ) == [place]


def test_a_database_of_another_program_in_the_environment_is_passed_over(tmp_path):
    found = load_settings(tmp_path / "none", {"DATABASE_URL": "mysql://u:p@h/db"}).database.url
    assert found.reveal() == f"sqlite:///{tmp_path}/.toolyard/toolyard.db"


def test_a_switch_of_other_programs_is_passed_over_where_it_means_something_else(tmp_path):
    def debug(**environ):
        return load_settings(tmp_path / "none", environ).app.debug

    assert [debug(DEBUG="true"), debug(DEBUG="express:*"), debug(DEBUG="0")] == [True, False, False]
    assert debug(DEBUG="true", TOOLYARD_DEBUG="no") is False
    assert complaints(tmp_path / "none", {"TOOLYARD_DEBUG": "express:*"})[0][2] == "app.debug"


def test_secrets_may_be_in_files_of_their_own(tmp_path):
    (tmp_path / "url").write_text("postgresql://u:p@h/db\n")
    (tmp_path / "key").write_text("ab" * 32 + "\n" + "cd" * 32 + "\n")
    environ = {"DATABASE_URL": "file:url", "TOOLYARD_VAULT_KEY": f"file:{tmp_path}/key"}
    settings = load_settings(tmp_path / "none", environ)
    assert settings.database.url.reveal() == "postgresql://u:p@h/db"
    assert keys(settings.control.vault_key.reveal()) == (b"\xab" * 32, b"\xcd" * 32)


@pytest.mark.parametrize("written", ["[cat, '/run/a b', 'x,y']", "\"cat '/run/a b' x,y\""])
def test_a_command_is_a_list_or_is_divided_as_a_shell_would(tmp_path, written):
    (tmp_path / "f").write_text(f"control: {{vault_key_command: {written}}}")
    assert load_settings(tmp_path / "f", {}).control.vault_key_command == ("cat", "/run/a b", "x,y")


def read(text):
    try:
        load_text(text, BASE / "f", environ={}, keys={}, revision=1)
    except ConfigRejected as rejected:
        return rejected.problems
    return ()


@given(st.text())
@example("\ud800")
@example("a: &a\n  <<: *a\n")
@example("<<: 1\n")
@example("upstreams: {a: {url: 'http://[', headers: {}}}")
@example("upstreams: {a: {url: 'http://h:x/'}}")
def test_any_text_is_a_configuration_or_has_a_problem(text):
    assert all(problem.message for problem in read(text))


@given(st.integers(0, len(VALID) - 1), st.text("{}[]:,'\"&*!|>%@`#-\n\t ab1$~?", max_size=4), st.integers(0, 12))
def test_a_valid_file_with_a_piece_replaced_is_a_configuration_or_has_a_problem(place, piece, length):
    assert all(problem.message for problem in read(VALID[:place] + piece + VALID[place + length :]))


scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**12), st.floats(), st.text(max_size=8))
names = st.sampled_from(
    ["url", "command", "args", "env", "headers", "tools", "timeout", "enabled", "tls", "builtin", "transport", "cwd",
     "servers", "upstreams", "gateway", "limits", "access", "names", "per_key", "mcpServers", "type", "disabled",
     "allow_networks", "host", "port", "a"]
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=20,
)


@given(st.dictionaries(names, trees, max_size=4))
def test_any_tree_of_known_names_is_a_configuration_or_has_a_problem(tree):
    import yaml

    assert all(problem.message for problem in read(yaml.safe_dump(tree, allow_unicode=True)))
