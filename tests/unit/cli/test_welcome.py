"""The first key, and what is said at the start."""

import socket
from pathlib import Path

import pytest

from toolyard.cli.place import Place
from toolyard.cli.welcome import FIRST_CONFIG, first_key, welcome_text, write_first_config
from toolyard.contract.snapshot import ServerSpec
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
    text = welcome_text("http://h:1", key=None, server=ServerSpec("default"), config=Path("/c"))
    assert "http://h:1/mcp" in text
    assert "toolyard key create" in text
    assert "mcpServers" not in text


def test_a_port_in_use_is_one_clear_error_and_the_key_that_nobody_saw_is_revoked(toolyard, place, monkeypatch):
    def busy(*_, **__):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            socket.create_server(taken.getsockname())

    monkeypatch.setattr("toolyard.platform.run", busy)
    assert toolyard("up") == 1
    assert "choose another: toolyard up --port" in toolyard.err
    assert in_use(place) == []
