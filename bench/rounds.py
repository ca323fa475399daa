"""The measuring itself: round after round, the contestants of a case taking turns."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.backing import Ground
from bench.calls import request_of
from bench.cases import Case, groups
from bench.contestants.standing import Contestant
from bench.measure import Reading, Target, http_load, measure
from bench.pacing import CONNECTIONS, paced_load
from bench.report import Cell, summarise
from bench.stands import TROUBLE, Stand, Stands, plain_reason, turn

PROBE_S, LONGEST_S = 1, 30
ENOUGH = 2.2
"""How many answers each connection is to get, in a measurement that has to be longer for it."""
HALF = "-half"
Aside = Callable[[Stands], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Method:
    """How often and how long everything is measured."""

    rounds: int
    seconds: int


@dataclass(slots=True)
class Entrant:
    """One contestant in one case: how it is driven, how long one call took, or why it is not measured."""

    stand: Stand
    target: Target | None = None
    half: bool = False
    call_s: float = 0.0
    reason: str = ""

    def seconds(self, level: int, usual: int) -> int:
        """How long a measurement has to be so that slow ones answer at least some calls in it."""
        return max(usual, min(LONGEST_S, math.ceil(self.call_s * level * ENOUGH)))


@dataclass(slots=True)
class Record:
    """What was measured, and what could not be."""

    readings: dict[Cell, list[Reading]] = field(default_factory=lambda: defaultdict(list))
    reasons: dict[Cell, str] = field(default_factory=dict)
    stands: list[dict[str, Any]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def cells(self) -> list[dict[str, Any]]:
        """All cells, those without figures with their reason."""
        without = [
            {"case": cell.case, "contestant": cell.contestant, "concurrency": cell.concurrency, "reason": reason}
            for cell, reason in self.reasons.items()
            if cell not in self.readings
        ]
        return summarise(self.readings) + without


def run_cases(cases: Sequence[Case], ground: Ground, method: Method, aside: Mapping[str, Aside]) -> Record:
    """Measure all cases, group by group. `aside`: what else is to be done while a group stands, by its name."""
    record = Record()
    for group in groups(cases):
        stands = Stands(ground)
        try:
            _run_group(group, stands, method, record)
            if extra := aside.get(group[0].group):
                _take_aside(group[0].group, extra, stands, record)
        finally:
            record.stands += [stand.facts() for stand in stands.found.values()]
            stands.stop()
    return record


def _take_aside(name: str, extra: Aside, stands: Stands, record: Record) -> None:
    """What else is to be measured; if that fails, what was measured before is kept."""
    try:
        record.more.update(extra(stands))
    except TROUBLE as error:
        record.left_out[name] = plain_reason(error, stands.ground.work)
        print(f"{name} LEFT OUT: {record.left_out[name]}", flush=True)


def _run_group(group: Sequence[Case], stands: Stands, method: Method, record: Record) -> None:
    entered = [(case, [_enter(case, one, stands) for one in case.who]) for case in group]
    for case, entrants in entered:
        for entrant in entrants:
            if entrant.reason:
                for level in case.levels:
                    record.reasons[Cell(case.name, entrant.stand.contestant.name, level)] = entrant.reason
    for number in range(method.rounds):
        for case, entrants in entered:
            ready = [entrant for entrant in entrants if not entrant.reason]
            start = number % max(1, len(ready))
            for level in case.levels:
                for entrant in ready[start:] + ready[:start]:
                    _take(case, entrant, level, number, method, stands.ground, record)


def _enter(case: Case, contestant: Contestant, stands: Stands) -> Entrant:
    """Start the contestant if it does not stand, and have it answer for a second."""
    if reason := case.cannot(contestant):
        return Entrant(Stand(contestant, case.backing), reason=reason)
    entrant = Entrant(stands.start(contestant, case.backing))
    standing = entrant.stand.standing
    if standing is None:
        entrant.reason = entrant.stand.reason
        return entrant
    stem = stem_of(stands.ground.work, contestant.name, case.name)
    pages = contestant.family == "toolyard"
    request = request_of(standing, case.kind, case.backing, pages=pages)
    sessions = standing.speaks == "sessions"
    load = http_load(
        stem, request, stands.ground.cores, sessions=sessions, traced=case.traced, may_refuse=case.may_refuse
    )
    entrant.target = Target(contestant.name, load, standing.program)
    entrant.half = contestant in case.half
    try:
        with turn(standing):
            _probe(entrant, case.kind, stands.ground)
    except TROUBLE as error:
        entrant.reason = plain_reason(error, stands.ground.work)
    if entrant.reason:
        print(f"{case.name:14} {contestant.name:30} CANNOT: {entrant.reason}", flush=True)
    return entrant


def _probe(entrant: Entrant, kind: str, ground: Ground) -> None:
    """Let it answer for a second, or for longer if it needs longer; note how long one call takes, or what is wrong."""
    assert entrant.target is not None
    for seconds in (PROBE_S, LONGEST_S):
        reading = measure(entrant.target, 1, seconds, ground.cores, ground.upstream)
        if reading.calls:
            break
    if not reading.calls:
        entrant.reason = f"no answer within {LONGEST_S} s"
    elif reading.bad >= reading.calls:
        entrant.reason = f"wrong answer: {reading.first_bad[:160]}"
        if kind == "progress" and "call 1" in reading.first_bad:
            entrant.reason = "answers, but passes no notifications on"
    entrant.call_s = reading.p50_ms / 1000


def _take(
    case: Case, entrant: Entrant, level: int, number: int, method: Method, ground: Ground, record: Record
) -> None:
    """One measurement. What needs longer than the others is measured in the first round only."""
    seconds = entrant.seconds(level, method.seconds)
    if number and seconds > 2 * method.seconds:
        return
    standing = entrant.stand.standing
    assert standing is not None
    assert entrant.target is not None
    cell = Cell(case.name, entrant.stand.contestant.name, level)
    try:
        with turn(standing):
            reading = measure(entrant.target, level, seconds, ground.cores, ground.upstream)
            if not reading.calls and seconds < LONGEST_S:
                reading = measure(entrant.target, level, LONGEST_S, ground.cores, ground.upstream)
            if not reading.calls:
                record.reasons[cell] = f"no answer within {LONGEST_S} s at this concurrency"
                return
            _keep(cell, reading, entrant, record)
            if entrant.half and level == max(case.levels):
                load = paced_load(
                    stem_of(ground.work, cell.contestant, cell.case), standing.endpoint, reading.rps / 2, ground.cores
                )
                paced = Target(cell.contestant, load, standing.program)
                half = measure(paced, CONNECTIONS, seconds, ground.cores, ground.upstream)
                _keep(Cell(case.name + HALF, cell.contestant, CONNECTIONS), half, entrant, record)
    except TROUBLE as error:
        record.reasons[cell] = plain_reason(error, ground.work)
        print(f"{cell.case:14} {cell.contestant:30} {level:3}  FAILED: {record.reasons[cell]}", flush=True)


def _keep(cell: Cell, reading: Reading, entrant: Entrant, record: Record) -> None:
    record.readings[cell].append(reading)
    entrant.stand.loaded_rss_mib = max(entrant.stand.loaded_rss_mib, reading.rss_mib or 0.0)
    cpu = "" if reading.cpu_s_per_1000 is None else f"  {reading.cpu_s_per_1000:.4f} CPU s/1,000"
    refused = f"  {reading.refused} refused" if reading.refused else ""
    bad = f"{refused}  {reading.bad} BAD: {reading.first_bad}" if reading.bad else refused
    print(f"{cell.case:14} {cell.contestant:30} {cell.concurrency:3}  {reading.rps:9,.0f}/s  "
          f"p50 {reading.p50_ms:.2f} ms  p99 {reading.p99_ms:.2f} ms{cpu}{bad}", flush=True)  # fmt: skip


def stem_of(work: Path, contestant: str, case: str) -> Path:
    """Where the files of one load are."""
    return work / f"load-{contestant}-{case}"
