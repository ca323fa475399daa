"""The first key, and what is said at the start."""

import errno
import socket
from pathlib import Path

import pytest

from toolyard.cli.place import Place
from toolyard.cli.run import command_name
from toolyard.cli.welcome import FIRST_CONFIG, Commands, first_key, welcome_text, write_first_config
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec
from toolyard.gateway.feed.file import load


@pytest.fixture
def place(here):
    write_first_config(here / "toolyard.yaml")
    return Place(here / "toolyard.yaml")


def in_use(place):
    return [record for record in place.keys().records.values() if not record.disabled]


def test_the_first_configuration_is_valid_and_serves_the_demonstration(place):
    snapshot = load(place.config, environ={}, keys={}, revision=1)
    assert {spec.kind for spec in snapshot.upstreams.values()} == {"native"}
    assert snapshot.servers["default"].access == "key"
    assert place.config.read_text() == FIRST_CONFIG


def test_a_first_key_is_made_once_and_only_the_one_that_was_shown_stays_in_use(place):
    with first_key(place):
        pass
    assert in_use(place) == []
    with first_key(place) as key:
        assert key.show().startswith("mcp_key_")
    assert len(in_use(place)) == 1
    with first_key(place) as key:
        assert key.show() is None
    assert len(in_use(place)) == 1


@pytest.mark.parametrize("text", ["servers: {default: {access: open}}\n", "servers: {team: {}}\n", "broken: [\n"])
def test_no_key_is_made_where_there_is_no_default_server_that_needs_one(place, text):
    place.config.write_text(text)
    with first_key(place) as key:
        assert key.show() is None
    assert in_use(place) == []


def test_without_a_new_key_the_welcome_says_where_keys_are():
    text = welcome(ServerSpec("default"), key=None)
    assert "http://h:1/mcp" in text
    assert "toolyard key create" in text
    assert "mcpServers" not in text


def welcome(*servers, upstreams=(), key="mcp_key_x", commands=Commands()):  # noqa: B008  (frozen)
    snapshot = Snapshot(1, "", {spec.id: spec for spec in upstreams}, {spec.code: spec for spec in servers}, {})
    return welcome_text("http://h:1", snapshot, key=key, config=Path("/c"), commands=commands)


def demo(upstream_id="demo", **fields):
    return UpstreamSpec(upstream_id, "native", command=("demo",), **fields)


@pytest.mark.parametrize(
    ("server", "upstream", "tries"),
    [
        (ServerSpec("default"), demo(), "toolyard call demo__echo text=hello"),
        (ServerSpec("default"), demo("show"), "toolyard call show__echo text=hello"),
        (ServerSpec("default", names="plain"), demo(), "toolyard call echo text=hello"),
        (ServerSpec("default", tools=("*", "!demo/echo")), demo(), None),
        (ServerSpec("default"), demo(enabled=False), None),
        (ServerSpec("default"), UpstreamSpec("time", "mcp-stdio", command=("uvx", "x")), None),
    ],
)
def test_a_call_is_suggested_only_of_a_tool_that_is_there(server, upstream, tries):
    text = welcome(server, upstreams=[upstream])
    assert "Try it:  toolyard tools" in text
    assert (tries in text) if tries else ("text=hello" not in text)


def test_what_is_suggested_names_the_configuration_if_it_was_named_and_the_program_as_it_is_called():
    commands = Commands(".venv/bin/toolyard", Path("/my files/c.yaml"))
    text = welcome(ServerSpec("default"), upstreams=[demo()], commands=commands)
    for words in ("tools", "call demo__echo text=hello", "key create", "connect claude-code --write"):
        assert f".venv/bin/toolyard {words} --config '/my files/c.yaml'" in text


def test_the_program_is_named_as_it_was_called_unless_path_has_the_same(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "toolyard").touch(mode=0o755)
    called = str(tmp_path / "a" / "toolyard")
    monkeypatch.setattr("sys.argv", [called, "up"])
    for path, wanted in ((tmp_path / "a", "toolyard"), (tmp_path / "b", called), (tmp_path / "none", called)):
        monkeypatch.setenv("PATH", str(path))
        assert command_name() == wanted


def test_a_port_in_use_is_one_clear_error_and_the_key_that_nobody_saw_is_revoked(toolyard, place, monkeypatch):
    def busy(*_, **__):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            socket.create_server(taken.getsockname())

    monkeypatch.setattr("toolyard.platform.run", busy)
    assert toolyard("up") == 1
    assert (
        "error [cannot_listen]: port 8000 of 127.0.0.1 cannot be listened on: another program uses it" in toolyard.err
    )
    assert "choose another: toolyard up --port 8001" in toolyard.err
    assert in_use(place) == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "ports below 1024"),
        (OSError(errno.EADDRNOTAVAIL, "cannot assign"), "this machine has no such address"),
        (socket.gaierror(-2, "unknown"), "this machine has no such address"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_one_clear_error(toolyard, place, monkeypatch, error, says):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("toolyard.platform.run", fails)
    assert toolyard("up", "--port", "80") == 1
    assert "error [cannot_listen]: port 80 of 127.0.0.1" in toolyard.err
    assert says in toolyard.err
    assert "hoose another: toolyard up" in toolyard.err


def test_a_certificate_that_is_not_there_or_is_none_is_one_clear_error(toolyard, place):
    place.config.write_text("gateway: {port: 0, tls: {cert: c.pem, key: k.pem}}\n")
    assert toolyard("up") == 1
    assert f"error [cannot_listen]: there is no file {place.config.parent}/c.pem" in toolyard.err
    for name in ("c.pem", "k.pem"):
        (place.config.parent / name).write_text("nothing\n")
    assert toolyard("up") == 1
    assert "are not a certificate (PEM) and its key" in toolyard.err


def test_a_directory_that_is_not_there_is_named_and_not_made(toolyard, here):
    for words in (["up"], ["tools"], ["add", "http://127.0.0.1/"]):
        assert toolyard(*words, "--config", here / "no/such.yaml") == 1
        assert f"error [config_missing]: there is no directory {here}/no" in toolyard.err
    assert not (here / "no").exists()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/y"),
            "error [system]: /x/y: Permission denied\n  Run it as",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "/x: No space left on device\n  Make room"),
        (OSError("odd"), "error [system]: odd\n"),
        (OSError(), "error [system]: OSError\n"),
    ],
)
def test_what_the_system_refuses_is_told_without_a_traceback(toolyard, place, monkeypatch, error, says):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("toolyard.platform.run", fails)
    assert toolyard("up") == 1
    assert says in toolyard.err
    assert "Traceback" not in toolyard.err
