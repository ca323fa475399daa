"""What the page on embedding shows, runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, snippets_of

PAGE = ROOT / "docs" / "how-to" / "embed.md"


def test_the_examples_of_the_page_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown = list(snippets_of(PAGE))
    assert len(shown) == 6
    for snippet in shown:
        exec(compile(snippet.text, snippet.place, "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "['demo__add', 'demo__ask_name', 'demo__count', 'demo__echo', 'demo__now']",
        "5 {'sum': 5}",
        "hello",
    ]
    assert "['demo', 'files']" in said
    assert said[-5:] == [
        "20 1",
        "tool_unknown",
        "['sums__add']",
        "There is a tool of that name, but this server does not offer it.",
        "False",
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_chinese_page_shows_the_same() -> None:
    chinese = snippets_of(ROOT / "docs" / "zh" / "embed.md")
    assert [one.text for one in chinese] == [one.text for one in snippets_of(PAGE)]
