"""The Markdown page of one run's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.rows import ROWS

TARGETS = ("direct", "nginx", "gateway")
COLUMNS = (
    "concurrency", "target", "calls/s", "share of nginx", "p50 ms", "p99 ms", "CPU s per 1,000", "core",
    "RSS MiB", "bad",
)  # fmt: skip
Entry = Mapping[str, Any]


def markdown(results: Entry, raw_name: str) -> str:
    """The whole page; `raw_name` is the file with everything."""
    parts = [_heading(results, raw_name), _promised(results["promised"])]
    parts += [_row(row.title, [cell for cell in results["cells"] if cell["row"] == row.name]) for row in ROWS]
    parts += [_starts(results), _many(results)]
    return "\n".join(part for part in parts if part)


def _heading(results: Entry, raw_name: str) -> str:
    machine, method = results["machine"], results["method"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return f"""# What a call costs

{results["date"]}, commit {results["commit"]}. {machine["cpu"]}, {machine["cores"]} cores, {machine["memory_mib"]} MiB,
{machine["system"]}, kernel {machine["kernel"]}.
{versions}.

{_pinning(machine)}
Figures are medians of {method["rounds"]} rounds of {method["seconds"]} s. The targets of a row take turns in a round.
In brackets: lowest to highest. Every answer is checked against its request. nginx checks the same key and passes
the same bytes to the same upstream. Where wrk and the upstream fill their core before nginx fills its own (see "core"),
throughput says too little of nginx: compare CPU. A `?` marks readings during which other programs took more than
15 % of one of the two cores. Everything: `{raw_name}`.
"""


def _pinning(machine: Entry) -> str:
    if machine["gateway_core"] is None:
        return "Nothing is pinned: the machine has one usable core or no taskset, so the parts disturb one another."
    core, other = machine["gateway_core"], machine["load_core"]
    return f"The measured program is pinned to core {core}; wrk and the upstreams share core {other}."


def _promised(found: Sequence[Entry]) -> str:
    if not found:
        return ""
    lines = ["## Promised figures", "", "| figure | measured | aim | met |", "|---|---|---|---|"]
    for figure in found:
        sign, met = "≥" if figure["at_least"] else "≤", "yes" if figure["met"] else "**no**"
        lines.append(f"| {figure['what']} | {figure['figure']:.2f} | {sign} {figure['aim']:.2f} | {met} |")
    return "\n".join([*lines, ""])


def _row(title: str, entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    lines = [f"## {title}", "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [_line(entry, entries) for entry in sorted(entries, key=_order)]
    return "\n".join([*lines, ""])


def _order(entry: Entry) -> tuple[int, int]:
    return entry["concurrency"], TARGETS.index(entry["target"])


def _line(entry: Entry, entries: Sequence[Entry]) -> str:
    level = entry["concurrency"]
    nginx = next((other["rps"] for other in entries if (other["target"], other["concurrency"]) == ("nginx", level)), 0)
    low, high = entry["spread"]["rps"]
    doubt = " ?" if entry["doubtful"] else ""
    return (
        f"| {level} | {entry['target']} | {entry['rps']:,.0f} ({low:,.0f} to {high:,.0f}){doubt} "
        f"| {_text(entry['rps'] / nginx if nginx else None, '.0%')} | {entry['p50_ms']:.2f} | {entry['p99_ms']:.2f} "
        f"| {_text(entry.get('cpu_s_per_1000'), '.4f')} | {_text(entry.get('core_busy'), '.0%')} "
        f"| {_text(entry.get('rss_mib'), '.0f')} | {entry['bad']} |"
    )


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _starts(results: Entry) -> str:
    lines = [_start_line(name, found) for name, found in _start_entries(results)]
    if sizes := results.get("memory"):
        for name, state in (("the gateway of the tables above, idle", "idle"), ("the same, after all load", "loaded")):
            rss, pss = sizes[f"{state}_rss_mib"], sizes[f"{state}_pss_mib"]
            lines.append(f"| {name} | | | {rss:.0f} | {pss:.0f} | {sizes['processes']} |")
    if not lines:
        return ""
    head = [
        "| start | to the first answered call, s | CPU s | RSS MiB | PSS MiB | processes |",
        "|---|---|---|---|---|---|",
    ]
    note = "Memory is the process tree's, without stdio upstreams. RSS counts shared pages in each process, PSS once."
    return "\n".join(["## Start and memory", "", *head, *lines, "", note, ""])


def _start_line(name: str, found: Entry) -> str:
    spread = f"{found['median_s']:.2f} ({found['lowest_s']:.2f} to {found['highest_s']:.2f})"
    memory = f"{found['rss_mib']:.0f} | {found['pss_mib']:.0f}"
    return f"| {name} | {spread} | {found['cpu_s']:.2f} | {memory} | {found['processes']} |"


def _start_entries(results: Entry) -> list[tuple[str, Entry]]:
    found = []
    if demo := results.get("demonstration"):
        found.append(("nothing configured, demonstration upstream", demo))
    if dead := results.get("dead_upstreams"):
        found.append(("one live upstream", dead["alone"]))
        found.append((f"the same among {dead['dead']} dead upstreams", dead["among"]))
    return found


def _many(results: Entry) -> str:
    many = results.get("capacity")
    if not many:
        return ""
    source = many["source"]
    lines = [
        f"## {many['count']:,} at once",
        "",
        "| open | KiB each | RSS MiB idle | open | ended | open again | descriptors idle | open | left of all |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in many["kinds"]:
        idle, full, ended = kind["idle"], kind["full"], kind["ended"]
        again = full["rss_mib"] + kind["second_round_mib"]
        left = ", ".join(f"{count} {name}" for name, count in kind["left"].items() if count > 0) or "nothing"
        lines.append(
            f"| {kind['title']} | {kind['kib_each']:.1f} | {idle['rss_mib']:.0f} | {full['rss_mib']:.0f} "
            f"| {ended['rss_mib']:.0f} | {again:.0f} | {idle['descriptors']} | {full['descriptors']} | {left} |"
        )
    note = f"""Each row is a gateway of its own. KiB each is what its resident set (RSS) grows by while they are open,
divided by their number. The allocator keeps most of what they leave for the next ones, so RSS stays when they have
ended; opened again they need little more. "Left of all": tasks, descriptors, threads, processes, sessions and parked
calls above what there was before, after all have ended. Measured {source["date"]}, commit {source["commit"]};
everything: `{source["file"]}`."""
    return "\n".join([*lines, "", note, ""])
