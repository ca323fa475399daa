"""A new catalog takes over from the one before what has not changed, and is the same as one made from nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.contract.making import observed, snap, tool, upstream
from toolyard.contract.catalog import Catalog, build_catalog
from toolyard.contract.definitions import Observation
from toolyard.contract.given_names import Book, GivenNames
from toolyard.contract.naming import Origin
from toolyard.contract.snapshot import ServerSpec, TaskRule, ToolRule

UPSTREAMS = [f"u{n:02}" for n in range(30)]
TOOLS = [f"t{n:02}" for n in range(20)]


def whole(upstream_id: str, *tools: Any) -> Observation:
    """An upstream that offers something of each kind."""
    return observed(
        upstream_id,
        *tools,
        prompts=["p"],
        resources=[f"{upstream_id}://1"],
        templates=[f"{upstream_id}://{{x}}"],
    )


def bindings(catalog: Catalog, code: str = "default") -> list[Any]:
    server = catalog.servers[code]
    return [*server.tools.values(), *server.prompts.values(), *server.resources.values(), *server.templates]


def new_bindings(before: Catalog, after: Catalog, code: str = "default") -> list[Any]:
    """Those that were made for `after`."""
    known = {id(b) for b in bindings(before, code)}
    return [b for b in bindings(after, code) if id(b) not in known]


class World:
    """A catalog that follows what is seen, as a gateway's does."""

    def __init__(self, *servers: ServerSpec) -> None:
        self.snapshot = snap(*UPSTREAMS, servers=servers)
        self.seen = {u: whole(u, *TOOLS) for u in UPSTREAMS}
        self.names = GivenNames({})
        self.catalog = build_catalog(self.snapshot, self.seen, self.names)
        self.names = self.names.updated(self.catalog.fresh)

    def next(self) -> tuple[Catalog, Catalog]:
        """The catalog before, and the one that is in force now."""
        before, self.catalog = self.catalog, build_catalog(self.snapshot, self.seen, self.names, self.catalog)
        assert self.catalog == build_catalog(self.snapshot, self.seen, self.names)
        self.names = self.names.updated(self.catalog.fresh)
        return before, self.catalog


def world(*servers: ServerSpec) -> World:
    made = World(*servers)
    made.next()
    return made


def test_a_change_of_one_upstream_makes_its_own_bindings_anew_and_no_others():
    made = world()
    made.seen["u07"] = whole("u07", *TOOLS[1:], tool("t00", title="new"), "another")
    before, after = made.next()
    assert {b.upstream_id for b in new_bindings(before, after)} == {"u07"}
    assert len(new_bindings(before, after)) == len(TOOLS) + 1 + 3
    assert len(bindings(after)) == len(UPSTREAMS) * (len(TOOLS) + 3) + 1


def test_an_upstream_that_changes_is_no_work_to_a_server_that_has_nothing_of_it():
    made = world(ServerSpec("one", tools=("u01/*",)), ServerSpec("two", tools=("u02/*",)))
    made.seen["u02"] = whole("u02", "t")
    before, after = made.next()
    assert after.servers["one"] is before.servers["one"]
    assert after.servers["two"] is not before.servers["two"]


def test_a_snapshot_that_says_the_same_of_a_server_leaves_it_as_it_is():
    made = world()
    made.snapshot = replace(snap(*UPSTREAMS, revision=2), keys={})
    before, after = made.next()
    assert after.snapshot is made.snapshot
    assert after.servers["default"] is before.servers["default"]


def test_an_upstream_that_is_configured_otherwise_is_the_only_one_made_anew():
    made = world()
    specs = [upstream(u, timeout_s=7.0) if u == "u03" else upstream(u) for u in UPSTREAMS]
    made.snapshot = snap(*specs, revision=2)
    before, after = made.next()
    assert {b.upstream_id for b in new_bindings(before, after)} == {"u03"}
    assert after.servers["default"].tools["u03__t00"].timeout_s == 7.0


@pytest.mark.parametrize("change", [{"tools": ("*", "!u03/t01")}, {"names": "plain"}])
def test_other_patterns_and_other_naming_make_a_server_anew(change):
    made = world()
    made.snapshot = snap(*UPSTREAMS, servers=(ServerSpec("default", access="open", **change),), revision=2)
    before, after = made.next()
    assert len(new_bindings(before, after)) >= len(bindings(after)) - 2 * len(UPSTREAMS)


def test_what_is_seen_again_is_the_very_same_but_for_the_times():
    known = whole("a", *TOOLS)
    again = replace(whole("a", *TOOLS), observed_at=9.0, ttl_ms=5, warnings=("w",)).since(known)
    assert (again.observed_at, again.ttl_ms, again.warnings) == (9.0, 5, ("w",))
    assert all(a is b for a, b in zip(again.tools, known.tools, strict=True))
    assert again.digest() == known.digest()
    other = whole("a", *TOOLS[1:])
    assert other.since(known) is other
    assert other.since(None) is other


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), ("1", 1), (None, 0)])
def test_values_that_python_holds_for_equal_are_different_definitions(one, other):
    first, second = (observed("a", tool("t", annotations={"default": value})) for value in (one, other))
    assert first.digest() != second.digest()
    assert second.since(first) is second


def test_the_order_of_members_says_nothing():
    assert observed("a", {"name": "t", "x": 1}).digest() == observed("a", {"x": 1, "name": "t"}).digest()


def test_given_names_share_what_is_not_new_and_never_change():
    first = GivenNames({Origin("s", "plain", "tool", u, "x"): f"{u}x" for u in "abc"})
    second = first.updated({Origin("s", "plain", "tool", "b", "y"): "by"})
    book = Book("s", "plain", "tool")
    parts = [(first.of_upstream(book, u), second.of_upstream(book, u)) for u in "abc"]
    assert [a is b for a, b in parts] == [True, False, True]
    assert (len(first), len(second)) == (3, 4)
    assert dict(second) == {**first, Origin("s", "plain", "tool", "b", "y"): "by"}
    assert second.updated({}) is second
    with pytest.raises(KeyError):
        first[Origin("s", "plain", "tool", "b", "y")]


names = st.lists(st.sampled_from(["a", "a b", "a_b", "b__a", "n" * 128, "n" * 129]), max_size=4, unique=True)
rules = st.sampled_from([{}, {"a": ToolRule(enabled=False)}, {"a b": ToolRule(task=TaskRule(after_s=1.0))}])
offers = st.fixed_dictionaries({"tools": names, "prompts": names, "resources": names, "templates": names})
specs = st.dictionaries(st.sampled_from(["a", "b", "a__b"]), rules, max_size=3)
patterns = st.sampled_from([("*",), ("a/*",), ("*", "!b/a"), ("b",)])
moment = st.tuples(
    specs,
    st.dictionaries(st.sampled_from(["a", "b", "a__b"]), offers),
    patterns,
    st.sampled_from(["plain", "prefixed"]),
)


@settings(max_examples=150)
@given(st.lists(moment, min_size=2, max_size=6), st.booleans())
def test_whatever_was_before_the_catalog_is_the_same_as_one_made_from_nothing(moments, assigns):
    before: Catalog | None = None
    given_names, seen = GivenNames({}), dict[str, Observation]()
    for revision, (configured, offered, chosen, naming) in enumerate(moments, 1):
        for upstream_id, parts in offered.items():
            fresh = observed(
                upstream_id,
                *parts["tools"],
                **{kind: parts[kind] for kind in ("prompts", "resources", "templates")},
                ttl_ms=revision,
            )
            seen[upstream_id] = fresh.since(seen.get(upstream_id))
        servers = (ServerSpec("one", tools=chosen, names=naming), ServerSpec("two", names="plain"))
        snapshot = snap(*(upstream(u, tools=r) for u, r in configured.items()), servers=servers, revision=revision)
        after = build_catalog(snapshot, seen, given_names, before)
        alone = build_catalog(snapshot, seen, dict(given_names))
        assert after == alone
        assert after.names == alone.names
        for server in after.servers.values():
            shown = (*server.resources.values(), *server.templates)
            assert server.resource_owners == {b.upstream_id: b.timeout_s for b in shown}
        if assigns:
            given_names = given_names.updated(after.fresh)
        before = after
