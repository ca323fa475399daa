"""What a server says otherwise of a tool: its name, what it shows, whether it is on, how long it may take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.contract.making import observed, served, snap, tool
from toolyard.contract.catalog import Catalog, ServerCatalog, build_catalog
from toolyard.contract.given_names import GivenNames
from toolyard.contract.snapshot import Override, ServerSpec, ToolRule

DOCS = observed("docs", tool("search", description="old", annotations={"readOnlyHint": True, "title": "S"}), "read")


def named(server: ServerCatalog) -> dict[str, str]:
    return {f"{b.namespace}/{b.upstream_name}": name for name, b in server.tools.items()}


def test_a_tool_is_shown_under_the_name_title_description_and_annotations_that_the_server_gives_it():
    override = Override("find it!", "Find", "new", {"destructiveHint": False, "title": "F"}, timeout_s=3.0)
    server = served(DOCS, overrides={"docs/search": override, "docs/nothing": Override("x")})
    binding = server.tools["find_it_"]
    assert (binding.upstream_name, binding.timeout_s) == ("search", 3.0)
    assert binding.definition == {
        "name": "find_it_",
        "title": "Find",
        "description": "new",
        "inputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True, "title": "F", "destructiveHint": False},
    }
    assert named(server) == {"docs/search": "find_it_", "docs/read": "docs__read"}
    assert server.collisions == ()
    assert DOCS.tools[0]["description"] == "old"


def test_a_tool_is_off_where_the_server_says_so_and_off_everywhere_where_its_upstream_does():
    server = served(DOCS, overrides={"docs/search": Override(enabled=False)})
    assert (list(server.tools), server.disabled_tools) == (["docs__read"], {"docs__search"})
    spec = snap("docs").upstreams["docs"]
    off = snap(type(spec)("docs", "mcp-http", tools={"search": ToolRule(enabled=False)}), servers=(
        ServerSpec("default", overrides={"docs/search": Override(enabled=True)}),
    ))  # fmt: skip
    assert "docs__search" in build_catalog(off, {"docs": DOCS}, {}).servers["default"].disabled_tools


def test_of_two_tools_for_which_one_name_is_chosen_the_first_gets_it():
    server = served(DOCS, overrides={"docs/search": Override("it"), "docs/read": Override("it")})
    assert named(server) == {"docs/read": "it", "docs/search": "docs__search"}
    assert len(server.collisions) == 1


class World:
    """A server whose overrides change while names stay given."""

    def __init__(self) -> None:
        self.given = GivenNames({})
        self.before: Catalog | None = None
        self.collisions: tuple[str, ...] = ()

    def with_overrides(self, **names: str) -> dict[str, str]:
        overrides = {f"docs/{own}": Override(name) for own, name in names.items()}
        snapshot = snap("docs", "new", servers=(ServerSpec("default", overrides=overrides),))
        seen = {"docs": DOCS, "new": observed("new", "search")}
        catalog = build_catalog(snapshot, seen, self.given, self.before)
        assert catalog == build_catalog(snapshot, seen, self.given)
        self.given = self.given.updated(catalog.fresh)
        self.before = catalog
        self.collisions = catalog.servers["default"].collisions
        return named(catalog.servers["default"])


def test_a_chosen_name_that_another_tool_has_is_not_taken_and_reported():
    world = World()
    before = world.with_overrides()
    assert world.with_overrides(search="docs__read") == before
    assert world.collisions == ("tool 'search' of 'docs' is exposed as 'docs__search': 'docs__read' belongs to 'docs'",)


def test_without_its_chosen_name_a_tool_has_the_name_again_that_it_had_before():
    world = World()
    before = world.with_overrides()
    assert world.with_overrides(search="it")["docs/search"] == "it"
    assert world.with_overrides() == before


def test_two_tools_can_change_names_with_each_other():
    world = World()
    world.with_overrides()
    swapped = world.with_overrides(search="docs__read", read="docs__search")
    assert (swapped["docs/search"], swapped["docs/read"]) == ("docs__read", "docs__search")


NAMES = st.sampled_from(["docs__search", "docs__read", "new__search", "it", "that"])


@given(st.lists(st.dictionaries(st.sampled_from(["search", "read"]), NAMES), max_size=6))
def test_whatever_names_are_chosen_every_tool_has_one_of_its_own_and_no_other_tool_moves(steps):
    world = World()
    world.with_overrides()
    for chosen in steps:
        names = world.with_overrides(**chosen)
        assert len(set(names.values())) == len(names) == 3
        assert names["new/search"] == "new__search"
        for own in {"search", "read"} - set(chosen):
            assert names[f"docs/{own}"] == f"docs__{own}"
