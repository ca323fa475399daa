"""The promised figures: each with what was measured, its aim, and whether it is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

AIM_DELAY_S = 0.5
AIM_KIB_EACH = 40
PEERS_ARE_NOT = ("nginx", "haproxy", "toolyard")
Entry = Mapping[str, Any]


class Cells:
    """The cells of a run by what they are of."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._found = {
            (entry["case"], entry["contestant"], entry["concurrency"]): entry for entry in entries if "rps" in entry
        }

    def of(self, case: str, contestant: str, concurrency: int = 16) -> Entry | None:
        """One cell, if it was measured."""
        return self._found.get((case, contestant, concurrency))

    def fastest_peer(self, case: str, concurrency: int = 16) -> Entry | None:
        """The peer with the highest throughput, whichever mode it is in, among those that gave no wrong answer."""
        peers = [
            entry
            for (of, name, level), entry in self._found.items()
            if of == case and level == concurrency and not name.startswith(PEERS_ARE_NOT) and not entry["bad"]
        ]
        return max(peers, key=lambda entry: float(entry["rps"]), default=None)

    def ratio(self, what: str, above: tuple[str, str], below: tuple[str, str], level: int = 16) -> float | None:
        """A median over another, of two cells of the same concurrency; None where one was not measured."""
        return ratio(self.of(*above, level), self.of(*below, level), what)


def ratio(above: Entry | None, below: Entry | None, what: str) -> float | None:
    """One figure of a cell over that of another, if both are there."""
    if above is None or below is None or not above.get(what) or not below.get(what):
        return None
    return float(above[what]) / float(below[what])


def promised(results: Entry) -> list[dict[str, Any]]:
    """All promised figures that this run measured."""
    cells = Cells(results["cells"])
    found = [
        *_of_calls(cells),
        *_latencies(cells),
        *_ways(cells),
        *_lists(results, cells),
        *_starts(results),
        *_of_many(results.get("capacity")),
    ]
    return [figure for figure in found if figure is not None]


def multiples(results: Entry) -> list[tuple[str, float, float]]:
    """For each peer: Toolyard's throughput over its own at concurrency 16, and its CPU for a call over Toolyard's."""
    cells = Cells(results["cells"])
    own = cells.of("echo", "toolyard")
    found = []
    for entry in results["cells"]:
        if entry["case"] == "echo" and entry["concurrency"] == 16 and not entry["contestant"].startswith(PEERS_ARE_NOT):
            faster, cheaper = ratio(own, entry, "rps"), ratio(entry, own, "cpu_s_per_1000")
            if faster and cheaper:
                found.append((entry["contestant"], faster, cheaper))
    return found


def _of_calls(cells: Cells) -> list[dict[str, Any] | None]:
    toolyard, nginx = ("echo", "toolyard"), ("echo", "nginx")
    traced, traced_nginx = ("traced", "toolyard"), ("traced", "nginx")
    peer = cells.fastest_peer("echo")
    name = f" ({peer['contestant']})" if peer else ""
    where = "concurrency 16"
    return [
        _at_least(f"throughput, share of nginx's, {where}", cells.ratio("rps", toolyard, nginx), 0.45),
        _at_most(f"CPU per call, multiple of nginx's, {where}", cells.ratio("cpu_s_per_1000", toolyard, nginx), 3),
        _at_least(f"the same throughput with a traceparent of its own in every request, share of nginx's, {where}",
                  cells.ratio("rps", traced, traced_nginx), 0.45),
        _at_most(f"the same CPU per call with a traceparent of its own in every request, multiple of nginx's, {where}",
                 cells.ratio("cpu_s_per_1000", traced, traced_nginx), 3),
        _at_least(f"throughput, multiple of the fastest Python or Node peer{name}, {where}",
                  ratio(cells.of(*toolyard), peer, "rps"), 12),
    ]  # fmt: skip


def _latencies(cells: Cells) -> list[dict[str, Any] | None]:
    own, nginx = cells.of("echo", "toolyard", 1), cells.of("echo", "nginx", 1)
    over = own["p50_ms"] - nginx["p50_ms"] if own and nginx else None
    half = cells.of("echo-half", "toolyard", 64)
    tail = half["p99_ms"] / half["p50_ms"] if half and half["p50_ms"] else None
    return [
        _at_most("median latency at concurrency 1 over nginx's, ms", over, 0.15),
        _at_most("p99 at half load, multiple of the median", tail, 3),
    ]


def _ways(cells: Cells) -> list[dict[str, Any] | None]:
    bridge = cells.fastest_peer("stdio")
    name = f" ({bridge['contestant']})" if bridge else ""
    return [
        _at_least("2025-11-25 with sessions, share of the throughput of 2026-07-28",
                  cells.ratio("rps", ("legacy", "toolyard-legacy"), ("echo", "toolyard")), 0.8),
        _at_least(f"stdio upstream, multiple of the best stdio bridge{name}",
                  ratio(cells.of("stdio", "toolyard"), bridge, "rps"), 12),
        _at_least("results of 1 MiB, share of nginx's bytes per second",
                  cells.ratio("mib_per_s", ("mega", "toolyard"), ("mega", "nginx")), 0.6),
        _at_least("the same for each second of CPU",
                  cells.ratio("cpu_s_per_1000", ("mega", "nginx"), ("mega", "toolyard")), 0.6),
        _at_most("two workers, CPU per call, multiple of one's",
                 cells.ratio("cpu_s_per_1000", ("workers", "toolyard-workers"), ("echo", "toolyard")), 1.1),
        _at_least("throughput with 10,000 tools and 100 upstreams, share of that with 10 and 1",
                  cells.ratio("rps", ("upstreams-100", "toolyard"), ("upstreams-1", "toolyard")), 0.9),
    ]  # fmt: skip


def _lists(results: Entry, cells: Cells) -> list[dict[str, Any] | None]:
    lists = results.get("lists") or {}
    again = cells.of("list-1000", "toolyard", 16)
    of = "tools/list of 1,000 tools from 20 upstreams"
    return [
        _at_most(f"{of}, the first time, ms until the client has all of it", lists.get("first_ms"), 2),
        _at_most(f"{of}, again, ms of CPU (its sending included)", again["cpu_s_per_1000"] if again else None, 0.2),
    ]


def _starts(results: Entry) -> list[dict[str, Any] | None]:
    demo, dead = results.get("demonstration"), results.get("dead_upstreams")
    helped = results.get("help_s")
    found = [
        _at_most("start to first answered call, s", demo["median_s"] if demo else None, 0.5),
        _at_most("`toolyard --help`, s", helped["median_s"] if helped else None, 0.1),
        _at_most("memory of an idle gateway process (RSS after the first call), MiB",
                 demo["rss_mib"] if demo else None, 60),
    ]  # fmt: skip
    if dead:
        delay_s = dead["among"]["median_s"] - dead["alone"]["median_s"]
        found.append(_at_most(f"delay of the start by {dead['dead']} dead upstreams, s", delay_s, AIM_DELAY_S))
    return found


def _of_many(many: Entry | None) -> list[dict[str, Any] | None]:
    """Memory for each client, session, stream and parked call, and what was left of all of them."""
    if not many:
        return []
    found = [
        _at_most(f"memory for each of {many['count']:,}, KiB: {kind['title']}", kind["kib_each"],
                 kind.get("aim_kib", AIM_KIB_EACH))
        for kind in many["kinds"]
    ]  # fmt: skip
    left = sum(max(0, count) for kind in many["kinds"] for count in kind["left"].values())
    return [*found, _at_most("tasks, descriptors, threads, processes left after them", left, 0)]


def _at_least(what: str, figure: float | None, aim: float) -> dict[str, Any] | None:
    if figure is None:
        return None
    return {"what": what, "figure": figure, "aim": aim, "at_least": True, "met": figure >= aim}


def _at_most(what: str, figure: float | None, aim: float) -> dict[str, Any] | None:
    if figure is None:
        return None
    return {"what": what, "figure": figure, "aim": aim, "at_least": False, "met": figure <= aim}
