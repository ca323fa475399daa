"""List results: pages in one order, the same bytes every time, and cursors that only their own list takes."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.fake_upstream import Fakes
from tests.gateway.rig import Rig, play, snapshot
from tests.unit.contract.making import observed, served, snap, tool
from toolyard.contract.catalog import Catalog, ServerCatalog, build_catalog
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec
from toolyard.gateway.assembly import MANY_DEFINITIONS
from toolyard.gateway.errors import CursorInvalid
from toolyard.gateway.lists import PAGE_BYTES, PAGE_SIZE, Lists
from toolyard.policy.authorize import Allow
from toolyard.protocol.convert import definition_for
from toolyard.protocol.revisions import MODERN

ALLOWED = Allow()
MANY = [f"t{n:04}" for n in range(1250)]


def lists(key: bytes = b"k" * 32) -> Lists:
    return Lists(key, definition_for)


@cache
def many() -> ServerCatalog:
    """2,500 tools of two upstreams, and as many of everything else."""
    parts = [
        observed(
            upstream_id,
            *MANY,
            prompts=MANY,
            resources=[f"{upstream_id}://{n}" for n in MANY],
            templates=[f"{upstream_id}://{n}/{{x}}" for n in MANY],
        )
        for upstream_id in ("a", "b")
    ]
    return served(*parts)


def names(page: Json, member: str = "tools", key: str = "name") -> list[str]:
    return [entry[key] for entry in msgspec.json.decode(page[member])]


LISTS = [
    ("tools/list", "tools", "name"),
    ("prompts/list", "prompts", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
]


@pytest.mark.parametrize(("method", "member", "key"), LISTS, ids=[method for method, _, _ in LISTS])
def test_a_list_of_2500_comes_in_pages_each_entry_once_in_one_order(method, member, key):
    made, server, found, cursor, sizes = lists(), many(), [], None, []
    while True:
        page = made.page(server, ALLOWED, method, {"cursor": cursor} if cursor else {}, MODERN, "key:1")
        found += names(page, member, key)
        sizes.append(len(names(page, member, key)))
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert sizes == [PAGE_SIZE, PAGE_SIZE, 500]
    assert found == sorted(found)
    assert len(set(found)) == 2500


@pytest.mark.parametrize("count", [0, 1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1])
def test_there_is_a_cursor_only_where_there_is_more(count):
    server = served(observed("a", *(f"t{n:04}" for n in range(count))))
    page = lists().page(server, ALLOWED, "tools/list", {}, MODERN, "key:1")
    assert len(names(page)) == min(count, PAGE_SIZE)
    assert ("nextCursor" in page) == (count > PAGE_SIZE)


def test_a_page_is_the_same_bytes_every_time_and_after_a_restart():
    first = lists()
    again = served(observed("a", *MANY), observed("b", *MANY))
    pages = [first.page(many(), ALLOWED, "tools/list", {}, MODERN, "key:1") for _ in range(3)]
    pages.append(lists().page(again, ALLOWED, "tools/list", {}, MODERN, "key:1"))
    assert len({msgspec.json.encode(page) for page in pages}) == 1


def test_what_is_added_to_one_answer_is_not_in_the_next():
    made, server = lists(), many()
    made.page(server, ALLOWED, "tools/list", {}, MODERN, "key:1")["_meta"] = {"mine": 1}
    assert "_meta" not in made.page(server, ALLOWED, "tools/list", {}, MODERN, "key:1")


@dataclass(frozen=True)
class AllowSome(Allow):
    """A decision as a later policy may make it."""

    view: str = ""


class Shaped(Lists):
    """Lists that count the definitions they shape."""

    def __init__(self, **more: Any) -> None:
        self.count = 0
        super().__init__(b"k" * 32, self._count, **more)

    def _count(self, revision: str, method: str, definition: Json) -> Json:
        self.count += 1
        shaped: Json = definition_for(revision, method, definition)
        return shaped

    def shapes(self, server: ServerCatalog, allowed: Allow = ALLOWED, principal: str = "key:1") -> int:
        """How many definitions were shaped for one answer."""
        before = self.count
        self.page(server, allowed, "tools/list", {}, MODERN, principal)
        return self.count - before


def test_a_list_is_made_once_for_everybody_who_is_allowed_the_same_and_anew_for_others():
    made, server = Shaped(), served(observed("a", "x", "y"))
    assert [made.shapes(server, principal=f"key:{n}") for n in range(3)] == [2, 0, 0]
    assert [made.shapes(server, AllowSome(view="half")) for _ in range(2)] == [2, 0]
    assert [made.shapes(server, AllowSome(view="none")), made.shapes(server)] == [2, 0]


def test_a_cursor_of_another_class_of_callers_still_is_only_its_principals():
    made, server = lists(), many()
    page = made.page(server, AllowSome(view="half"), "tools/list", {}, MODERN, "key:1")
    with pytest.raises(CursorInvalid):
        made.page(server, ALLOWED, "tools/list", {"cursor": page["nextCursor"]}, MODERN, "key:2")


def test_what_was_made_of_a_catalog_goes_with_it():
    made, one, two = lists(), ServerSpec("one"), ServerSpec("two")
    seen = {"a": observed("a", *MANY)}
    catalog = build_catalog(snap("a", servers=(one, two)), seen, {})
    for server in catalog.servers.values():
        made.page(server, ALLOWED, "tools/list", {}, MODERN, "key:1")
    both = made.bytes
    made.keep_only(Catalog(catalog.snapshot, {"one": catalog.servers["one"]}))
    assert 0 < made.bytes < both
    made.keep_only(Catalog(catalog.snapshot, {}))
    assert made.bytes == 0


def test_a_catalog_that_changes_takes_its_lists_along():
    fakes = Fakes(observed("a", *MANY))
    open_to_all = snapshot(UpstreamSpec("a", "mcp-http"), servers=(ServerSpec("default", access="open"),))

    async def scene(rig: Rig) -> None:
        assert "a__new" not in [t["name"] for t in (await rig.modern("tools/list")).result["tools"]]
        assert rig.gateway.lists.bytes > 0
        rig.gateway.observed(observed("a", "new"))
        assert rig.gateway.lists.bytes == 0
        assert [t["name"] for t in (await rig.modern("tools/list")).result["tools"]] == ["a__new"]

    play(scene, open_to_all, make=fakes.make)


def test_an_upstream_with_very_many_tools_is_served_as_any_other():
    many, more = observed("a", *MANY), observed("a", *MANY, "zz")
    assert many.count > MANY_DEFINITIONS
    fakes = Fakes(many)
    open_to_all = snapshot(UpstreamSpec("a", "mcp-http"), servers=(ServerSpec("default", access="open"),))

    async def scene(rig: Rig) -> None:
        first = (await rig.modern("tools/list")).result
        rest = (await rig.modern("tools/list", {"cursor": first["nextCursor"]})).result
        assert len(first["tools"]) + len(rest["tools"]) == len(MANY)
        fakes["a"].offers = more
        await rig.gateway.pool.look_now("a")
        assert "a__zz" in rig.gateway.holder.current.servers["default"].tools
        assert (await rig.modern("tools/list", {"cursor": first["nextCursor"]})).error["code"] == -32602

    play(scene, open_to_all, make=fakes.make)


def test_no_more_bytes_are_kept_than_allowed_and_the_longest_unused_go_first():
    one, two, three = (served(observed(u, "x" * 100)) for u in "abc")
    by_code = [replace(s, spec=replace(s.spec, code=c)) for s, c in zip((one, two, three), "abc", strict=True)]
    size = len(lists().page(one, ALLOWED, "tools/list", {}, MODERN, "key:1")["tools"])
    made = Shaped(kept_bytes=2 * size)
    assert [made.shapes(by_code[n]) for n in (0, 1, 0, 2, 0, 1)] == [1, 1, 0, 1, 0, 1]
    assert made.bytes == 2 * size
    tiny = Shaped(kept_bytes=size - 1)
    assert [tiny.shapes(one), tiny.shapes(one), tiny.bytes] == [1, 1, 0]


def test_a_page_ends_before_it_is_too_large_for_another_gateway_to_read():
    large = [tool(f"t{n}", description="d" * 1_000_000) for n in range(7)]
    made, server, found, params, sizes = lists(), served(observed("a", *large)), [], {}, []
    while True:
        page = made.page(server, ALLOWED, "tools/list", params, MODERN, "key:1")
        sizes.append(len(page["tools"]))
        found += names(page)
        if "nextCursor" not in page:
            break
        params = {"cursor": page["nextCursor"]}
    assert max(sizes) <= PAGE_BYTES
    assert len(sizes) == 3
    assert found == [f"a__t{n}" for n in range(7)]
    huge = served(observed("a", tool("t", description="d" * (PAGE_BYTES + 1)), "u"))
    assert names(made.page(huge, ALLOWED, "tools/list", {}, MODERN, "key:1")) == ["a__t"]


def test_every_revision_gets_its_own_shape():
    shown = tool("x", icons=[{"src": "https://x"}], outputSchema={"type": "array"})
    made, server = lists(), served(observed("a", shown))
    modern = msgspec.json.decode(made.page(server, ALLOWED, "tools/list", {}, MODERN, "key:1")["tools"])
    oldest = msgspec.json.decode(made.page(server, ALLOWED, "tools/list", {}, "2024-11-05", "key:1")["tools"])
    assert modern == [{**shown, "name": "a__x"}]
    assert oldest == [{**tool("x"), "name": "a__x"}]


def cursor_of(server: ServerCatalog, method: str = "tools/list", made: Lists | None = None) -> str:
    cursor = (made or lists()).page(server, ALLOWED, method, {}, MODERN, "key:1")["nextCursor"]
    assert isinstance(cursor, str)
    return cursor


def test_a_cursor_serves_again_and_after_definitions_changed_but_no_name_did():
    made, server = lists(), many()
    cursor = cursor_of(server, made=made)
    changed = served(observed("a", *(tool(n, title="new") for n in MANY)), observed("b", *MANY))
    for catalog in (server, server, changed):
        assert names(made.page(catalog, ALLOWED, "tools/list", {"cursor": cursor}, MODERN, "key:1"))[0] == "a__t1000"


def refused(server: ServerCatalog, cursor: Any, method: str = "tools/list", made: Lists | None = None) -> None:
    with pytest.raises(CursorInvalid):
        (made or lists()).page(server, ALLOWED, method, {"cursor": cursor}, MODERN, "key:1")


@pytest.mark.parametrize(
    "cursor", ["", "0", "1000", "MTAwMA==", pytest.param("x" * 10_000, id="long"), "é", 7, True, [], {}]
)
def test_a_cursor_that_was_never_given_is_refused(cursor):
    refused(served(observed("a", "x")), cursor)


def test_a_cursor_of_another_list_server_key_or_changed_list_is_refused():
    server = many()
    cursor = cursor_of(server)
    refused(server, cursor, method="prompts/list")
    with pytest.raises(CursorInvalid):
        lists().page(server, ALLOWED, "tools/list", {"cursor": cursor}, MODERN, "key:2")
    refused(server, cursor, made=lists(b"o" * 32))
    refused(served(observed("a", *MANY), observed("b", *MANY[:-1])), cursor)
    refused(served(observed("a", *MANY), observed("b", *MANY, "new")), cursor)
    seen = {"a": observed("a", *MANY), "b": observed("b", *MANY)}
    other = build_catalog(snap("a", "b", servers=(ServerSpec("other"),)), seen, {}).servers["other"]
    refused(other, cursor)


def test_every_character_of_a_cursor_matters():
    made, server = lists(), served(observed("a", *(f"t{n:04}" for n in range(PAGE_SIZE + 1))))
    cursor = cursor_of(server, made=made)
    for place, character in enumerate(cursor):
        for other in {"A", "=", "-", " ", chr(ord(character) ^ 1)} - {character}:
            refused(server, cursor[:place] + other + cursor[place + 1 :], made=made)


@given(st.binary(max_size=40))
def test_no_bytes_are_a_cursor_but_those_given(raw):
    server = served(observed("a", "x"))
    refused(server, base64.urlsafe_b64encode(raw).decode())
    refused(server, base64.urlsafe_b64encode(raw[:16].ljust(16, b"\0") + b"1000").decode())


def test_clients_of_both_eras_page_through_2500_tools_and_a_forged_cursor_is_invalid_params():
    fakes = Fakes(observed("a", *MANY), observed("b", *MANY))
    snapshot_of_two = snapshot(
        *(UpstreamSpec(i, "mcp-http") for i in "ab"), servers=(ServerSpec("default", access="open"),)
    )

    async def scene(rig: Rig) -> None:
        session = await rig.initialize()

        async def legacy(params: Json) -> Any:
            return await rig.legacy({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}, session)

        async def modern(params: Json) -> Any:
            return await rig.modern("tools/list", params)

        for ask, status in ((modern, 400), (legacy, 200)):
            found, params = [], {}
            while True:
                reply = await ask(params)
                assert (await ask(params)).message == reply.message
                found += [t["name"] for t in reply.result["tools"]]
                if "nextCursor" not in reply.result:
                    break
                params = {"cursor": reply.result["nextCursor"]}
            assert found == [f"{u}__{n}" for u in "ab" for n in MANY]
            wrong = await ask({"cursor": "forged"})
            assert (wrong.status, wrong.error["code"], wrong.error["data"]["reason"]) == (
                status,
                -32602,
                "cursor_invalid",
            )

    play(scene, snapshot_of_two, make=fakes.make)
