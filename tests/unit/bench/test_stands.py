"""What stands ends with its run, and trouble is told in one line that names nothing of the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.backing import PLAIN, Ground
from bench.client import Endpoint
from bench.contestants.standing import Contestant, Standing
from bench.machine import Cores
from bench.processes import DidNotStart, Memory, Program
from bench.servers import Ports
from bench.stands import Stand, Stands, plain_reason

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def ground(tmp_path: Path, upstream: Program) -> Ground:
    return Ground(tmp_path, Cores(None, None), Ports(1, 2), upstream, tmp_path / "authority.pem")


def sleeping(tmp_path: Path, name: str) -> Program:
    return Program(name, SLEEPER, tmp_path / f"{name}.log")


class Stubborn(Program):
    """Interrupted while it is being ended."""

    def stop(self, *, grace_s: float = 10.0) -> None:
        super().stop(grace_s=grace_s)
        raise SystemExit("ended by SIGTERM")


def fails(contestant: Contestant, ground: Ground, _backing: object, _number: int) -> Standing:
    raise DidNotStart(
        f"{contestant.title} ended with code 1:\nsee {ground.work}/log and https://registry.example/simple"
    )


def test_all_are_ended_though_the_run_is_interrupted_while_it_ends_them(tmp_path: Path) -> None:
    programs = [Stubborn("first", SLEEPER, tmp_path / "first.log"), sleeping(tmp_path, "second")]
    stands = Stands(ground(tmp_path, programs[0]))
    for program in programs:
        contestant = Contestant(program.name, program.name, "peer", fails)
        standing = Standing(program, Endpoint(1), "stateless", "", 0.1, Memory(1.0, 1.0, 1))
        stands.found[program.name, PLAIN.name] = Stand(contestant, PLAIN, standing)
        program.freeze()
    with pytest.raises(SystemExit):
        stands.stop()
    for program in programs:
        with pytest.raises(DidNotStart):
            program.check_alive()


def test_what_does_not_start_is_a_stand_with_a_reason(tmp_path: Path) -> None:
    upstream = sleeping(tmp_path, "upstream")
    try:
        stand = Stands(ground(tmp_path, upstream)).start(Contestant("peer", "A peer", "peer", fails), PLAIN)
    finally:
        upstream.stop()
    assert stand.standing is None
    assert stand.reason == "A peer ended with code 1: see …/log and …"
    assert stand.facts() == {"contestant": "peer", "backing": "plain", "reason": stand.reason}


def test_a_reason_has_no_paths_of_the_machine_and_no_bars(tmp_path: Path) -> None:
    upstream = sleeping(tmp_path, "upstream")
    upstream.stop()
    reason = plain_reason(OSError("cannot read /usr/lib/python3/x.py | line 1"), tmp_path)
    assert reason == "cannot read … / line 1"
