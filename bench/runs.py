"""The kinds of run: what each measures, in which order, and what it stores."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import cases as the_cases
from bench.backing import LISTED, PLAIN, make_ground
from bench.capacity import capacity
from bench.cases import Case
from bench.contestants.all import EVERYBODY_ONCE, named
from bench.contestants.toolyard import beside_python, help_seconds
from bench.guards import guards
from bench.idle_clients import idle_clients, open_descriptors
from bench.installing import PINS, NotInstalled, installed, node
from bench.list_cost import list_cost
from bench.machine import ROOT, Cores, ToolsMissing, commit, describe
from bench.rounds import Aside, Method, run_cases
from bench.servers import Ports, free_ports
from bench.stands import TROUBLE, Stands, plain_reason
from bench.starts import dead_upstream_starts, demonstration_starts

HELP_RUNS = 11
COLD_STARTS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """One kind of run. `starts` says how often Toolyard's own start is measured; `dead` and `capacity` the same for the
    dead upstreams and the many sessions; `peers_too` adds the peers' cold starts and idle clients."""

    cases: Sequence[Case]
    method: Method
    starts: int
    dead: int
    capacity: int
    peers_too: bool = False


KINDS: Mapping[str, Plan] = {
    "core": Plan(the_cases.CORE, Method(3, 3), starts=5, dead=1, capacity=1),
    "quick": Plan(the_cases.QUICK, Method(2, 2), starts=3, dead=0, capacity=0),
    "all": Plan(the_cases.ALL, Method(3, 3), starts=5, dead=3, capacity=2, peers_too=True),
}


def method_of(options: argparse.Namespace) -> Method:
    """Rounds and seconds, as the options say."""
    plan = KINDS.get(options.what, KINDS["core"])
    return Method(options.rounds or plan.method.rounds, options.seconds or plan.method.seconds)


def run(options: argparse.Namespace, work: Path, cores: Cores) -> dict[str, Any]:
    """All measurements of one kind of run, as the results are stored."""
    toolyard = beside_python()
    if not toolyard.exists():
        raise ToolsMissing(f"There is no {toolyard}. Install the project first (make up), or give --toolyard.")
    plan, method = KINDS[options.what], method_of(options)
    chosen = _chosen(plan.cases, options)
    _install(chosen)
    leave_the_gateways_core(cores)
    began = time.monotonic()
    results: dict[str, Any] = {
        "kind": options.what,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": describe(cores),
        "peers": {name: dict(pin) for name, pin in PINS.items()},
        "method": {"rounds": method.rounds, "seconds": method.seconds},
        "guards": guards(ROOT / "src" / "toolyard"),
        "load_before": os.getloadavg(),
        "left_out": {},
    }
    for name, part in _own_parts(plan, options, toolyard, work, cores).items():
        try:
            results[name] = part()
        except TROUBLE as error:
            results["left_out"][name] = plain_reason(error, work)
            print(f"{name} LEFT OUT: {results['left_out'][name]}", flush=True)
    _measure(chosen, method, work, cores, results, peers_too=plan.peers_too)
    results["took_s"] = round(time.monotonic() - began, 1)
    return results


def _own_parts(
    plan: Plan, options: argparse.Namespace, toolyard: Path, work: Path, cores: Cores
) -> dict[str, Callable[[], object]]:
    """What is measured of Toolyard alone, by its name in the results. One that fails is left out, not the whole run."""
    pinned = cores.pinned(cores.gateway, [str(toolyard)])
    parts: dict[str, Callable[[], object]] = {}
    if plan.starts and not options.no_starts:
        parts["demonstration"] = lambda: demonstration_starts(toolyard, work, cores, plan.starts)
        parts["help_s"] = lambda: _summary(help_seconds(pinned, HELP_RUNS))
    if plan.dead and not options.no_starts:
        parts["dead_upstreams"] = lambda: dead_upstream_starts(toolyard, work, cores, plan.dead)
    if plan.capacity and not options.no_capacity:
        parts["capacity"] = lambda: capacity(toolyard, work, cores, rounds=plan.capacity)
    return parts


def _measure(
    chosen: Sequence[Case], method: Method, work: Path, cores: Cores, results: dict[str, Any], *, peers_too: bool
) -> None:
    ground = make_ground(work, cores, Ports(*free_ports(4)))
    aside: dict[str, Aside] = {"lists": _lists}
    if peers_too:
        open_descriptors()  # before they start: not all of them see to that themselves
        aside["calls"] = _of_everybody
    try:
        record = run_cases(chosen, ground, method, aside)
    finally:
        ground.upstream.stop()
    results.update(record.more, cells=record.cells(), stands=record.stands)
    results["left_out"].update(record.left_out)


def _lists(stands: Stands) -> dict[str, Any]:
    stand = stands.found.get(("toolyard", LISTED.name))
    return {"lists": list_cost(stand.standing, LISTED.tools)} if stand and stand.standing else {}


def _of_everybody(stands: Stands) -> dict[str, Any]:
    """Idle clients of all that stand; then some more starts of each."""
    idle = idle_clients(stands)
    cold: list[dict[str, Any]] = []
    for name in dict.fromkeys(stand.contestant.name for stand in stands.found.values()):
        if name not in EVERYBODY_ONCE:
            continue
        again = Stands(stands.ground)
        found = []
        for _ in range(COLD_STARTS):
            again.found.clear()
            stand = again.start(named(name), PLAIN)
            found.append(stand)
            again.stop()
        seconds = [stand.standing.start_s for stand in found if stand.standing]
        entry = _summary(seconds) if seconds else {"reason": found[0].reason}
        cold.append({"contestant": name, **entry})
    return {"idle_clients": idle, "cold_starts": cold}


def _summary(seconds: Sequence[float]) -> dict[str, Any]:
    return {
        "repeats": len(seconds),
        "median_s": statistics.median(seconds),
        "lowest_s": min(seconds),
        "highest_s": max(seconds),
    }


def _chosen(cases: Sequence[Case], options: argparse.Namespace) -> list[Case]:
    """The cases, contestants and levels that the options leave."""
    names, who = ([word for word in text.split(",") if word] for text in (options.cases, options.who))
    levels = [int(level) for level in options.levels.split(",") if level]
    found = []
    for case in cases:
        if names and case.name not in names:
            continue
        entrants = tuple(one for one in case.who if not who or one.name in who)
        left = tuple(level for level in case.levels if not levels or level in levels)
        if entrants and left:
            found.append(replace(case, who=entrants, levels=left))
    return found


def _install(cases: Sequence[Case]) -> None:
    """Install what is going to be compared, before anything is timed. What cannot be is named in its rows later."""
    wanted = dict.fromkeys(one.environment for case in cases for one in case.who if one.environment)
    for name in wanted:
        try:
            if "npm" in PINS[name]:
                node()
            installed(name)
        except NotInstalled as error:
            print(f"{name} cannot be installed: {error}", flush=True)


def leave_the_gateways_core(cores: Cores) -> None:
    """This process and what it starts stay off the gateway's core; what is measured is put there by name."""
    if cores.load is not None:
        os.sched_setaffinity(0, {cores.load})
