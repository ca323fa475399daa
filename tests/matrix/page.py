"""The page that says what becomes of each kind of message, made of what was seen, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.docs.pages import ROOT
from tests.matrix.kinds import SECTIONS, Kind
from tests.matrix.world import CLIENTS, OLD, OLDER, OVER_WORKERS, PAIRS, UPSTREAMS
from toolyard.protocol.revisions import MODERN

Cell = tuple[str, str]
Outcomes = Mapping[tuple[str, Cell], str]
"""What became of each kind (by its name) in each cell."""

ENGLISH = ROOT / "docs" / "reference" / "compatibility.md"
CHINESE = ROOT / "docs" / "zh" / "compatibility.md"
MADE = "<!-- Made by tests/matrix of what it saw: COMPATIBILITY=write python -m pytest tests/matrix -->\n"
NAMES = {"http": "Streamable HTTP", "sse": "HTTP+SSE", "websocket": "WebSocket", "stdio": "stdio"}
COLUMNS: tuple[Cell, ...] = ((MODERN, "modern"), (MODERN, "legacy"), (OLD, "modern"), (OLD, "legacy"))
LAST: tuple[Cell, ...] = tuple((revision, era) for revision in OLDER for era in ("modern", "legacy"))

WORDS: dict[str, tuple[str, str]] = {
    "same": ("as sent", "原样"),
    "the caller's": ("exactly the client's", "与客户端声明的完全相同"),
    "server/discover": ("`server/discover`", "`server/discover`"),
    "initialize": ("`initialize`", "`initialize`"),
    "answered": ("answered", "应答"),
    "answered by the gateway": ("answered by the gateway", "由网关应答"),
    "all, in pages": ("all, in pages", "全部，分页"),
    "links → text": ("links → text", "链接 → 文本"),
    "audio, links → text": ("audio and links → text", "音频和链接 → 文本"),
    "→ text": ("→ text", "→ 文本"),
    "tool error": ("`isError` result", "`isError` 结果"),
    "→ input_required": ("→ `input_required`", "→ `input_required`"),
    "task": ("a task", "任务"),
    "waited for": ("waited for", "等待结果"),
    "used": ("used, nothing is asked", "直接使用，不再提问"),
    "dropped": ("dropped", "丢弃"),
    "none": ("none", "无"),
    "all": ("what the upstream sends", "上游发送的全部"),
    "from the level asked for": ("from that level on", "该级别及以上"),
    "not acknowledged": ("not acknowledged", "不予确认"),
    "on a listen stream": ("on its listen stream", "在其 listen 流上"),
    "in the session": ("in its session", "在其会话中"),
}
COUNTED: dict[str, tuple[str, str]] = {
    "3 in 1 input_required": ("one `input_required`", "一个 `input_required`"),
    "3 pushed": ("three pushed requests", "三个推送请求"),
    "2 input_required": ("two `input_required`", "两个 `input_required`"),
    "2 pushed": ("two pushed requests", "两个推送请求"),
}
ASKED: dict[str, tuple[str, str]] = {
    "input_required": ("`input_required`", "`input_required`"),
    "pushed": ("pushed request", "推送请求"),
}
SIDES = {"modern": "input_required", "legacy": "pushed"}


def pages(outcomes: Outcomes) -> dict[Path, str]:
    """Both pages with their text."""
    return {ENGLISH: _page(outcomes, 0), CHINESE: _page(outcomes, 1)}


def _page(outcomes: Outcomes, language: int) -> str:
    text = Path(__file__).with_name(("page.en.md", "page.zh.md")[language]).read_text(encoding="utf-8")
    modern, older, what = (("modern", "older", "message"), ("新版", "旧版", "消息"))[language]
    titles = [f"{modern} → {modern}", f"{modern} → {older}", f"{older} → {modern}", f"{older} → {older}"]
    parts = []
    for section in SECTIONS:
        rows = [_row(kind, COLUMNS, outcomes, language) for kind in section[2]]
        parts.append(f"## {section[language]}\n\n" + _table([what, *titles], rows))
    rows = [_row(kind, LAST, outcomes, language) for kind in _kinds() if _differs(kind, outcomes)]
    title = ("Clients of earlier revisions", "更早版本的客户端")[language]
    about = (f"What is different from clients of {OLD}.", f"与 {OLD} 客户端不同之处。")[language]
    titles = [f"{revision} → {(modern, older)[era == 'legacy']}" for revision, era in LAST]
    parts.append(f"## {title}\n\n{about}\n\n" + _table([what, *titles], rows))
    filled = text.format(
        transports=_transports(language), pairs=len(PAIRS), over_workers=len(OVER_WORKERS), tables="\n".join(parts)
    )
    return f"{MADE}\n{filled}"


def _transports(language: int) -> str:
    clients, upstreams = (("clients", "upstreams"), ("客户端", "上游"))[language]
    of, comma = ((", ", ", "), ("，", "、"))[language]
    rows = [
        [f"{clients}{of}{revision}", comma.join(NAMES[t] for t in transports)]
        for revision, transports in CLIENTS.items()
    ]
    names = {"modern": MODERN, "legacy": OLD}
    rows += [[f"{upstreams}{of}{names[era]}", comma.join(NAMES[t] for t in used)] for era, used in UPSTREAMS.items()]
    return _table(list((("who", "over"), ("谁", "传输方式"))[language]), rows)


def _kinds() -> list[Kind]:
    return [kind for section in SECTIONS for kind in section[2]]


def _differs(kind: Kind, outcomes: Outcomes) -> bool:
    return any(outcomes.get((kind.name, (r, era))) != outcomes.get((kind.name, (OLD, era))) for r, era in LAST)


def _row(kind: Kind, cells: tuple[Cell, ...], outcomes: Outcomes, language: int) -> list[str]:
    shown = [_shown(outcomes.get((kind.name, cell)), cell[1], language) for cell in cells]
    return [(kind.name, kind.chinese)[language], *shown]


def _shown(outcome: str | None, era: str, language: int) -> str:
    if outcome is None:
        return "—"
    if error := re.fullmatch(r"error (-?\d+)", outcome):
        return f"{('error', '错误')[language]} `{error[1]}`"
    if outcome in ASKED:
        sent = SIDES[era]
        return (f"{ASKED[sent][language]} → " if sent != outcome else "") + ASKED[outcome][language]
    return {**WORDS, **COUNTED}[outcome][language]


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"
