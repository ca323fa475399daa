"""The matrix: names that mean one thing, and reasons where there can be no figure."""

from __future__ import annotations

from bench.cases import ALL, CORE, ECHO, LIST_1000, QUICK, groups
from bench.contestants.all import BEST, CONTESTANTS, PEERS, named
from bench.installing import PINS


def test_names_of_cases_and_contestants_are_used_once() -> None:
    for cases in (CORE, ALL, QUICK):
        names = [case.name for case in cases]
        assert len(set(names)) == len(names)
    names = [one.name for one in CONTESTANTS]
    assert len(set(names)) == len(names)


def test_every_peer_is_pinned_and_has_a_best_mode() -> None:
    assert {one.environment for one in PEERS} == {one.environment for one in BEST} == set(PINS) - {"node"}


def test_the_core_has_every_best_mode_at_both_concurrencies() -> None:
    for case in (ECHO, LIST_1000):
        assert {one.name for one in BEST} < {one.name for one in case.who}
        assert set(case.levels) == {1, 16}


def test_everything_of_the_core_is_in_the_long_run_too() -> None:
    assert {case.name for case in CORE} <= {case.name for case in ALL}


def test_what_cannot_be_is_said_with_its_reason() -> None:
    by_name = {case.name: case for case in ALL}
    assert by_name["tls"].cannot(named("mcp-proxy")) == "serves stdio upstreams only"
    assert by_name["upstreams-10"].cannot(named("supergateway")) == "serves one upstream"
    assert by_name["list-1000"].cannot(named("supergateway")) is None
    assert by_name["stdio"].cannot(named("nginx")) == "proxies HTTP only"


def test_what_leaves_many_calls_unfinished_stands_apart_from_what_is_measured_afterwards() -> None:
    (crowd,) = [group for group in groups(ALL) if any(case.name == "echo-many" for case in group)]
    assert [case.name for case in crowd] == ["echo-many"]


def test_groups_keep_the_order_of_the_cases() -> None:
    assert [group[0].group for group in groups(CORE)] == ["calls", "large", "lists", "many"]
