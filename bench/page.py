"""The Markdown page of one run's results."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import page_memory
from bench.cases import ALL, CORE
from bench.contestants.all import CONTESTANTS, title_of
from bench.figures import multiples

COLUMNS = (
    "callers", "what", "calls/s", "share of nginx", "p50 ms", "p99 ms", "p99.9 ms", "MiB/s", "CPU s per 1,000",
    "its core", "load's core", "bad",
)  # fmt: skip
NGINX = ("nginx", "nginx-legacy")
Entry = Mapping[str, Any]


def markdown(results: Entry, raw_name: str) -> str:
    """The whole page; `raw_name` is the file with everything."""
    parts = [_heading(results, raw_name), _what_was_on(results), _promised(results["promised"]), _multiples(results)]
    parts += [_table(table, results["cells"]) for table in _tables()]
    parts += [
        _left_out(results.get("left_out", {})),
        page_memory.stands(results),
        page_memory.cold_starts(results),
        page_memory.idle_clients(results),
        page_memory.own_starts(results),
        page_memory.many(results),
        _remarks(results),
    ]
    return "\n".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class _Table:
    """One table there may be; `alike` and `note` as `bench.cases.Case` has them."""

    name: str
    title: str
    alike: bool = True
    note: str = ""


def _tables() -> list[_Table]:
    """All tables there may be, each once."""
    found: dict[str, _Table] = {}
    for case in (*CORE, *ALL):
        found.setdefault(case.name, _Table(case.name, case.title, case.alike, case.note))
        if case.half:
            title = f"{case.title}: half of what 16 callers reached, sent by the clock"
            found.setdefault(f"{case.name}-half", _Table(f"{case.name}-half", title))
    return list(found.values())


def _heading(results: Entry, raw_name: str) -> str:
    machine, method = results["machine"], results["method"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return f"""# What a call costs

{results["date"]}, commit {results["commit"]}. {machine["cpu"]}, {machine["cores"]} cores, {machine["memory_mib"]} MiB,
{machine["system"]}, kernel {machine["kernel"]}.
{textwrap.fill(versions, 118)}.

{_pinning(machine)}
Figures are medians of {method["rounds"]} rounds of {method["seconds"]} s (longer, and once, where a call takes longer);
all contestants of a table stand at the same time and take turns, those that wait are stopped. In brackets: lowest to
highest. Every answer is checked against its request. CPU is that of the whole process tree, stdio upstreams left out.
nginx and HAProxy check the same key and pass the same bytes to the same upstream. Where the load and the upstream fill
their core before a proxy fills its own, throughput says too little of the proxy: compare CPU. A `?` marks readings
during which other programs took more than 15 % of one of the two cores. Everything: `{raw_name}`.
"""


def _pinning(machine: Entry) -> str:
    if machine["gateway_core"] is None:
        return "Nothing is pinned: the machine has one usable core or no taskset, so the parts disturb one another."
    core, other = machine["gateway_core"], machine["load_core"]
    return f"What is measured is pinned to core {core}; the load generator and the upstreams share core {other}."


def _what_was_on(results: Entry) -> str:
    on = results["guards"]
    text = f"""In Toolyard was on, as its code says: interceptors {", ".join(on["interceptors"]) or "(not found)"};
edge guard ({", ".join(on["edge"])}); strict decoding; wire limits {", ".join(on["wire_limits"])}. The bench's
configuration adds rates per key and per server, and limits in flight, all above what can be reached."""
    return textwrap.fill(text, 120) + "\n"


def _promised(found: Sequence[Entry]) -> str:
    if not found:
        return ""
    lines = ["## Promised figures", "", "| figure | measured | aim | met |", "|---|---|---|---|"]
    for figure in found:
        sign, met = "≥" if figure["at_least"] else "≤", "yes" if figure["met"] else "**no**"
        lines.append(f"| {figure['what']} | {figure['figure']:.2f} | {sign} {figure['aim']:.2f} | {met} |")
    return "\n".join([*lines, ""])


def _multiples(results: Entry) -> str:
    found = multiples(results)
    if not found:
        return ""
    head = ["## Beside the peers (echo, 16 callers)", "", "| peer | Toolyard's throughput | its CPU per call |",
            "|---|---|---|"]  # fmt: skip
    lines = [f"| {title_of(name)} | {faster:,.0f} × | {cheaper:,.0f} × Toolyard's |" for name, faster, cheaper in found]
    return "\n".join([*head, *lines, ""])


def _table(table: _Table, cells: Sequence[Entry]) -> str:
    entries = [cell for cell in cells if cell["case"] == table.name]
    if not entries:
        return ""
    lines = [f"## {table.title}", "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [_line(entry, entries if table.alike else ()) for entry in sorted(entries, key=_order)]
    return "\n".join([*lines, "", *([table.note, ""] if table.note else ())])


def _order(entry: Entry) -> tuple[int, int]:
    names = [contestant.name for contestant in CONTESTANTS]
    return entry["concurrency"], names.index(entry["contestant"]) if entry["contestant"] in names else len(names)


def _line(entry: Entry, entries: Sequence[Entry]) -> str:
    level, title = entry["concurrency"], title_of(entry["contestant"])
    if "rps" not in entry:
        return f"| {level} | {title} | {entry['reason'].replace('|', '/').replace(chr(10), ' ')} |" + " |" * (
            len(COLUMNS) - 3
        )
    low, high = entry["spread"]["rps"]
    doubt = " ?" if entry["doubtful"] else ""
    figures = (
        f"{_number(entry['rps'])} ({_number(low)} to {_number(high)}){doubt}",
        _text(_share(entry, entries), ".1%"),
        f"{entry['p50_ms']:.2f}",
        f"{entry['p99_ms']:.2f}",
        f"{entry['p999_ms']:.2f}",
        _number(entry["mib_per_s"]),
        _text(entry.get("cpu_s_per_1000"), ".4f"),
        _text(entry.get("core_busy"), ".0%"),
        _text(entry.get("load_busy"), ".0%"),
        _wrong(entry),
    )
    return f"| {level} | {title} | {' | '.join(figures)} |"


def _share(entry: Entry, entries: Sequence[Entry]) -> float | None:
    """Of nginx's throughput in the same table at the same concurrency."""
    for other in entries:
        if other["contestant"] in NGINX and other["concurrency"] == entry["concurrency"] and other.get("rps"):
            return float(entry["rps"]) / float(other["rps"])
    return None


def _wrong(entry: Entry) -> str:
    """Wrong answers, and how many calls were refused, if any were."""
    refused = entry.get("refused")
    return f"{entry['bad']} ({refused:,} refused)" if refused else str(entry["bad"])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _left_out(reasons: Mapping[str, str]) -> str:
    """What failed of what is measured beside the tables."""
    if not reasons:
        return ""
    lines = [f"- `{name}`: {reason}" for name, reason in reasons.items()]
    return "\n".join(["## Left out", "", *lines, ""])


def _remarks(results: Entry) -> str:
    shown = {cell["contestant"] for cell in results["cells"]}
    lines = [f"- {one.title}: {one.remark}." for one in CONTESTANTS if one.name in shown and one.remark]
    if not lines:
        return ""
    if not any(name.endswith("-memoised") for name in shown):
        return "\n".join(["## What each does of a gateway's work", "", *lines, ""])
    note = """`TLS context memoised` is the peer with a small start-up file that keeps `ssl.create_default_context`'s
results, which it otherwise makes anew for every call."""
    return "\n".join(["## What each does of a gateway's work", "", *lines, "", note, ""])
