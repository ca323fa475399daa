"""The parts of the page about starts and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.contestants.all import title_of

Entry = Mapping[str, Any]


def stands(results: Entry) -> str:
    """What each contestant took to its first answer, and what it weighed then and under load."""
    lines = [_stand_line(stand) for stand in results["stands"]]
    if not lines:
        return ""
    head = [
        "## Start and memory of all",
        "",
        "| what | before | to the first answered call, s | RSS MiB then | the most under load | processes |",
        "|---|---|---|---|---|---|",
    ]
    note = "Memory is the process tree's, without stdio upstreams. ContextForge starts with its upstreams registered."
    return "\n".join([*head, *lines, "", note, ""])


def _stand_line(stand: Entry) -> str:
    name = f"{title_of(stand['contestant'])} | {stand['backing']}"
    if "reason" in stand:
        return f"| {name} | {stand['reason']} | | | |"
    loaded = stand["loaded_rss_mib"]
    most = "" if loaded is None else f"{loaded:.0f}"
    return f"| {name} | {stand['start_s']:.2f} | {stand['idle_rss_mib']:.0f} | {most} | {stand['processes']} |"


def cold_starts(results: Entry) -> str:
    """Starts measured again and again."""
    found = results.get("cold_starts")
    if not found:
        return ""
    head = ["## Cold starts", "", "| what | to the first answered call, s | lowest | highest | starts |",
            "|---|---|---|---|---|"]  # fmt: skip
    lines = []
    for start in found:
        title = title_of(start["contestant"])
        if "reason" in start:
            lines.append(f"| {title} | {start['reason']} | | | |")
        else:
            figures = f"{start['median_s']:.2f} | {start['lowest_s']:.2f} | {start['highest_s']:.2f}"
            lines.append(f"| {title} | {figures} | {start['repeats']} |")
    return "\n".join([*head, *lines, ""])


def idle_clients(results: Entry) -> str:
    """What clients weigh that have made one call and keep their connection (and session)."""
    found = results.get("idle_clients")
    if not found:
        return ""
    counts = sorted({int(count) for entry in found for count in entry["kib_each"]})
    head = [
        "## Idle clients",
        "",
        f"| KiB each | {' | '.join(f'{count:,} clients' for count in counts)} |",
        "|---" * (len(counts) + 1) + "|",
    ]
    lines = []
    for entry in found:
        cells = [_weight(entry["kib_each"].get(str(count))) for count in counts]
        lines.append(f"| {title_of(entry['contestant'])} | {' | '.join(cells)} |")
    note = """Each client has made one call, which opened a session where the contestant has sessions, and keeps its
connection. What the resident set of the process tree grew by, divided by their number."""
    return "\n".join([*head, *lines, "", note, ""])


def _weight(found: float | str | None) -> str:
    if found is None:
        return ""
    return found if isinstance(found, str) else f"{found:.1f}"


def own_starts(results: Entry) -> str:
    """Toolyard's start with nothing configured, and among dead upstreams."""
    lines = [_start_line(name, found) for name, found in _start_entries(results)]
    if not lines:
        return ""
    head = [
        "| start | to the first answered call, s | CPU s | RSS MiB | PSS MiB | processes |",
        "|---|---|---|---|---|---|",
    ]
    note = "Memory is the process tree's, without stdio upstreams. RSS counts shared pages in each process, PSS once."
    return "\n".join(["## Toolyard's start", "", *head, *lines, "", note, ""])


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


def many(results: Entry) -> str:
    """What sessions, streams and parked calls weigh in Toolyard."""
    found = results.get("capacity")
    if not found:
        return ""
    source = found["source"]
    lines = [
        f"## {found['count']:,} at once",
        "",
        "| open | KiB each | RSS MiB idle | open | ended | open again | descriptors idle | open | left of all |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in found["kinds"]:
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
