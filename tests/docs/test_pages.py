"""What the pages show is true: links lead somewhere, configurations load, commands exist."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.docs.pages import ROOT, Snippet, anchors, pages, snippets, without_fences
from toolyard.cli.main import app
from toolyard.gateway.feed.file import load_text
from toolyard.gateway.feed.yaml_marks import ConfigRejected
from toolyard.kit.interpolate import references

TREES = ("src", "tests", "docs")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(\$ )?(\w+=\S+ )*(\.venv/bin/)?toolyard ")
CREDENTIAL_FILE = re.compile(r"\bfile:([\w.-]+(?:/[\w.-]+)*)")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    broken = []
    for link in LINK.findall(without_fences(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_source_file_that_is_named_exists(page: Path) -> None:
    files = [str(path.relative_to(ROOT)) for tree in TREES for path in (ROOT / tree).rglob("*.py")]
    named = re.findall(r"`([a-z0-9_/]+\.py)`", without_fences(page.read_text(encoding="utf-8")))
    assert [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)] == []


@pytest.mark.parametrize("snippet", list(snippets("yaml")), ids=lambda snippet: snippet.place)
def test_every_configuration_that_is_shown_loads(snippet: Snippet, tmp_path: Path) -> None:
    for name in CREDENTIAL_FILE.findall(snippet.text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a-secret-of-some-length\n")
    environ = dict.fromkeys(references(snippet.text), "https://value.example.com")
    loaded = load_text(snippet.text, tmp_path / "toolyard.yaml", environ=environ, keys={}, revision=1)
    assert loaded.snapshot.servers


@pytest.mark.parametrize("snippet", list(snippets("json")), ids=lambda snippet: snippet.place)
def test_every_json_that_is_shown_is_json(snippet: Snippet) -> None:
    assert isinstance(json.loads(snippet.text), (dict, list))


CLIENT_FILES = [snippet for snippet in snippets("json") if '"mcpServers"' in snippet.text]


@pytest.mark.parametrize("snippet", CLIENT_FILES, ids=lambda snippet: snippet.place)
def test_every_client_file_that_is_shown_can_be_a_configuration(snippet: Snippet, tmp_path: Path) -> None:
    environ = dict.fromkeys(references(snippet.text), "https://value.example.com")
    loaded = load_text(snippet.text, tmp_path / "mcp.json", environ=environ, keys={}, revision=1)
    assert loaded.snapshot.upstreams


@pytest.mark.parametrize("snippet", [*snippets("sh"), *snippets("console")], ids=lambda snippet: snippet.place)
def test_every_toolyard_command_that_is_shown_exists_with_its_options(snippet: Snippet) -> None:
    for line in snippet.text.splitlines():
        if COMMAND.match(line):
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while "=" in words[0]:
                words.pop(0)
            assert _unknown_words(words[1:]) == [], line


def _unknown_words(words: list[str]) -> list[str]:
    """What of a command line `toolyard` would not know."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return words[:1]
        command = command.commands[words.pop(0)]
    known = {name for one in command.params for name in one.opts} | {"--help", "-h"}
    own = words[: words.index("--")] if "--" in words else words
    return [word for word in own if word.startswith("-") and len(word) > 1 and word not in known]


def test_a_broken_configuration_would_be_noticed(tmp_path: Path) -> None:
    with pytest.raises(ConfigRejected):
        load_text("upstreams: {a: {comand: x}}", tmp_path / "toolyard.yaml", environ={}, keys={}, revision=1)


def test_an_option_that_does_not_exist_would_be_noticed() -> None:
    assert _unknown_words(["up", "--prot", "1"]) == ["--prot"]
    assert _unknown_words(["upp"]) == ["upp"]
