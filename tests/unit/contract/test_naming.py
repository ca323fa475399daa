"""Exposed names: unique, allowed by MCP, and never moving."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.contract.making import observed, snap
from toolyard.contract.catalog import build_catalog
from toolyard.contract.given_names import Book, GivenNames
from toolyard.contract.naming import MAX_NAME_CHARS, Names, NameTable, Origin, claims, wanted_name
from toolyard.contract.snapshot import Naming, ServerSpec

VALID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def origin(upstream_id: str, name: str, naming: Naming = "prefixed", server: str = "default") -> Origin:
    return Origin(server, naming, "tool", upstream_id, name)


def assign(*origins: Origin, stored: Names | None = None) -> dict[Origin, str]:
    return settled(GivenNames(stored or {}), *origins)[0]


def settled(given: GivenNames, *origins: Origin) -> tuple[dict[Origin, str], list[str]]:
    """The names of these origins, all of one server and kind, and the collisions."""
    book, of_upstream = Book(*origins[0][:3]), dict[str, dict[Origin, str]]()
    for one in origins:
        of_upstream.setdefault(one.upstream_id, {})[one] = wanted_name(one)
    claimants = [
        claims(tuple(own), {o.name: wanted for o, wanted in own.items()}, given.of_upstream(book, upstream_id))
        for upstream_id, own in of_upstream.items()
    ]
    table = NameTable(given.holders(book))
    names = table.assign(claimants)
    return {o: n[o.name] for c, n in zip(claimants, names, strict=True) for o in c.origins}, table.collisions


def test_a_prefixed_name_is_upstream_and_tool_and_a_plain_one_is_the_tools_own():
    assert wanted_name(origin("docs", "search")) == "docs__search"
    assert wanted_name(origin("docs", "search", "plain")) == "search"


@pytest.mark.parametrize(
    ("name", "exposed"),
    [
        ("a b", "a_b"),
        ("a/b:c", "a_b_c"),
        ("naïve", "na_ve"),
        ("搜索", "__"),
        ("a\nb\x00c", "a_b_c"),
        ("get.it-now_2", "get.it-now_2"),
        ("\ud800", "_"),
    ],
    ids=["blank", "slash", "accent", "chinese", "control", "allowed", "surrogate"],
)
def test_characters_that_mcp_does_not_allow_become_underscores(name, exposed):
    assert wanted_name(origin("u", name, "plain")) == exposed


@pytest.mark.parametrize("naming", ["plain", "prefixed"])
@pytest.mark.parametrize("size", [127, 128, 129, 5000])
def test_a_name_has_at_most_128_characters_and_a_longer_one_gets_a_digest(naming, size):
    prefix = "u__" if naming == "prefixed" else ""
    name = "n" * (size - len(prefix))
    exposed = wanted_name(origin("u", name, naming))
    assert len(exposed) == min(size, MAX_NAME_CHARS)
    assert (exposed == prefix + name) == (size <= MAX_NAME_CHARS)


def test_long_names_that_differ_at_their_end_only_stay_different():
    names = assign(origin("u", "n" * 200 + "a"), origin("u", "n" * 200 + "b"))
    assert len(set(names.values())) == 2


def test_of_two_plain_names_the_earlier_upstreams_stays_and_the_other_is_prefixed_and_reported():
    first, second = origin("a", "echo", "plain"), origin("b", "echo", "plain")
    names, (told,) = settled(GivenNames({}), first, second)
    assert names == {first: "echo", second: "b__echo"}
    assert told == "tool 'echo' of 'b' is exposed as 'b__echo': 'echo' belongs to 'a'"


def test_two_underscores_in_a_name_do_not_make_two_tools_one():
    first, second = origin("a", "b__c"), origin("a__b", "c")
    names = assign(first, second)
    assert names[first] == "a__b__c"
    assert names[second].startswith("a__b__c_")
    assert VALID.fullmatch(names[second])


def test_names_that_are_the_same_once_cleaned_stay_apart():
    names = assign(*(origin("u", name, "plain") for name in ("a b", "a/b", "a_b", "a:b")))
    assert len(set(names.values())) == 4


def test_a_tool_that_is_called_as_a_made_up_name_would_be_does_not_break_anything():
    first, second = origin("a", "echo"), origin("a", "echo")
    assert assign(first, second) == {first: "a__echo"}
    clashing = [origin("a", "x y"), origin("a", "x_y"), origin("a", "x/y")]
    made = assign(*clashing)
    thief = origin("a", made[clashing[1]].removeprefix("a__"))
    names = assign(thief, *clashing)
    assert len(set(names.values())) == 4


def test_a_collision_at_the_full_length_is_resolved_within_it():
    long = "n" * 128
    names = assign(origin("a", long, "plain"), origin("b", long, "plain"), origin("c", long, "plain"))
    assert len(set(names.values())) == 3
    assert all(VALID.fullmatch(n) for n in names.values())


def test_names_stay_when_upstreams_arrive_in_another_order_and_after_a_restart():
    a, b = origin("a", "echo", "plain"), origin("b", "echo", "plain")
    stored = assign(b)
    stored |= assign(b, a, stored=stored)
    assert stored == {b: "echo", a: "a__echo"}
    assert assign(a, b, stored=stored) == stored
    assert assign(a, stored=stored) == {a: "a__echo"}


def test_a_collision_is_still_reported_after_a_restart():
    a, b = origin("a", "echo", "plain"), origin("b", "echo", "plain")
    _, collisions = settled(GivenNames({a: "echo", b: "b__echo"}), a, b)
    assert collisions == ["tool 'echo' of 'b' is exposed as 'b__echo': 'echo' belongs to 'a'"]


def test_nobody_gets_the_name_of_a_tool_that_is_away_while_its_upstream_is_configured():
    servers = (ServerSpec("default", names="plain"),)
    both = snap("a", "b", servers=servers)
    first = build_catalog(both, {"a": observed("a", "echo")}, {})
    without = build_catalog(both, {"a": observed("a"), "b": observed("b", "echo")}, first.names)
    assert list(without.servers["default"].tools) == ["b__echo"]
    assert "'echo' belongs to 'a'" in without.servers["default"].collisions[0]
    stored = {**first.names, **without.names}
    back = build_catalog(both, {"a": observed("a", "echo"), "b": observed("b", "echo")}, stored)
    assert {n: t.upstream_id for n, t in back.servers["default"].tools.items()} == {"echo": "a", "b__echo": "b"}


@pytest.mark.parametrize("gone", ["removed", "switched off", "not offered any more"])
def test_a_name_is_free_again_once_the_operator_has_taken_its_upstream_away(gone):
    servers = (ServerSpec("default", names="plain"),)
    first = build_catalog(snap("a", "b", servers=servers), {"a": observed("a", "echo")}, {})
    if gone == "not offered any more":
        servers = (ServerSpec("default", names="plain", tools=("b/*",)),)
    upstreams = {"removed": ("b",), "switched off": ("b",), "not offered any more": ("a", "b")}[gone]
    then = build_catalog(snap(*upstreams, servers=servers), {"b": observed("b", "echo")}, first.names)
    assert {n: t.upstream_id for n, t in then.servers["default"].tools.items()} == {"echo": "b"}


def test_the_names_of_one_server_and_of_one_kind_of_naming_say_nothing_about_another():
    stored = {origin("a", "echo", "plain", "one"): "odd"}
    assert assign(origin("a", "echo", "plain", "two"), stored=stored) == {origin("a", "echo", "plain", "two"): "echo"}
    assert assign(origin("a", "echo", "prefixed", "one"), stored=stored) == {
        origin("a", "echo", "prefixed", "one"): "a__echo"
    }


tool_names = st.one_of(
    st.text(min_size=1, max_size=140),
    st.sampled_from(["a", "a b", "a_b", "a__b", "b__a", "n" * 126, "n" * 127, "n" * 128, "n" * 129]),
)
upstream_ids = st.sampled_from(["a", "b", "a__b", "n" * 63])
worlds = st.lists(
    st.dictionaries(upstream_ids, st.lists(tool_names, max_size=4, unique=True), max_size=4), min_size=1, max_size=4
)


@settings(max_examples=40)
@given(worlds, st.sampled_from(["plain", "prefixed"]))
def test_every_exposed_name_is_unique_valid_and_stable_whatever_upstreams_come_and_go(moments, naming):
    snapshot = snap("a", "b", "a__b", "n" * 63, servers=(ServerSpec("default", names=naming),))
    stored: dict[Origin, str] = {}
    for offered in moments:
        catalog = build_catalog(snapshot, {u: observed(u, *names) for u, names in offered.items()}, stored)
        assert len(catalog.servers["default"].tools) == sum(len(names) for names in offered.values())
        for source, name in catalog.names.items():
            assert VALID.fullmatch(name)
            assert stored.get(source, name) == name
        stored |= catalog.names
    assert len(set(stored.values())) == len(stored)
