"""The table of settings, and files of every kind of nonsense."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolyard.gateway.feed.file import load_text, settings_of
from toolyard.gateway.feed.yaml_marks import ConfigRejected
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
