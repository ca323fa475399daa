"""The Markdown of the repository, and how to take it apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
_FENCE = re.compile(r"^( *)```([a-z]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Snippet:
    """A fenced block: where it is, its language, its text."""

    place: str
    language: str
    text: str


def pages() -> list[Path]:
    """All pages that people read."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def without_fences(text: str) -> str:
    """A page's text without its fenced blocks."""
    return _FENCE.sub("", text)


def snippets(language: str) -> Iterator[Snippet]:
    """The fenced blocks of one language on all pages."""
    for page in pages():
        yield from (snippet for snippet in snippets_of(page) if snippet.language == language)


def snippets_of(page: Path) -> Iterator[Snippet]:
    """The fenced blocks of one page, in their order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        body = re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE)
        yield Snippet(f"{page.relative_to(ROOT)}:{line}", found[2], body)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_fences(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}
