"""The plot for the README: throughput of every contestant on a logarithmic scale, as SVG, light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bench.contestants.all import CONTESTANTS

WIDTH, LEFT, RIGHT, TOP, ROW = 960, 370, 90, 64, 26
STYLE = """
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; } .note { font-size: 12px; fill: #59636e; }
  .grid { stroke: #d1d9e0; } .limit { fill: #8b949e; } .toolyard { fill: #1a7f37; } .peer { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .note { fill: #9198a1; } .grid { stroke: #3d444d; }
    .limit { fill: #6e7681; } .toolyard { fill: #3fb950; } .peer { fill: #4493f8; }
  }
"""


def drawn(results: Mapping[str, Any], case: str = "echo", concurrency: int = 16) -> str:
    """The whole picture of one case, fastest first."""
    cells = [
        cell
        for cell in results["cells"]
        if (cell["case"], cell["concurrency"]) == (case, concurrency) and cell.get("rps")
    ]
    cells.sort(key=lambda cell: -float(cell["rps"]))
    low, high = _decades([float(cell["rps"]) for cell in cells])
    height = TOP + ROW * len(cells) + 44
    body = "\n".join([*_grid(low, high, height), *(_bar(cell, at, low, high) for at, cell in enumerate(cells))])
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" \
height="{height}" role="img" aria-label="Tool calls per second through each gateway on one core">
<style>{STYLE}</style>
<text class="title" x="16" y="24">Tool calls per second on one core, {concurrency} callers (logarithmic)</text>
<text class="note" x="16" y="44">{escape(_origin(results))}</text>
{body}
</svg>
"""


def _origin(results: Mapping[str, Any]) -> str:
    machine = results["machine"]
    return f"{results['date'][:10]}, commit {results['commit']}, {machine['cpu']}, {machine['system']}"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around the values."""
    if not values:
        return 0, 1
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def _x(value: float, low: int, high: int) -> float:
    share = (math.log10(value) - low) / max(1, high - low)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _grid(low: int, high: int, height: int) -> list[str]:
    lines = []
    for power in range(low, high + 1):
        x = _x(10.0**power, low, high)
        lines.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 34}"/>')
        lines.append(f'<text class="note" x="{x:.1f}" y="{height - 16}" text-anchor="middle">{10**power:,}</text>')
    return lines


def _bar(cell: Mapping[str, Any], at: int, low: int, high: int) -> str:
    found = next((one for one in CONTESTANTS if one.name == cell["contestant"]), None)
    title, family = (found.title, found.family) if found else (str(cell["contestant"]), "peer")
    y, rps = TOP + at * ROW, float(cell["rps"])
    end = _x(rps, low, high)
    return (
        f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(title)}</text>'
        f'<rect class="{family}" x="{LEFT}" y="{y + 2}" width="{max(1.0, end - LEFT):.1f}" height="{ROW - 8}" rx="2"/>'
        f'<text x="{end + 6:.1f}" y="{y + 15}">{rps:,.0f}</text>'
    )
