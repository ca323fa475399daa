"""Organizations do not get at each other's things: the matrix of tenants, generated from the route table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select

from tests.control.conftest import KINDS, copied
from tests.control.matrix import OTHER, Asked, answer_to, asked, cases, routes_of, told
from tests.control.tenants import MARKS, ROLES, Tenants, tenants
from toolyard.control.base.declaration import declared_of
from toolyard.control.base.store import Store

pytestmark = pytest.mark.slow

Found = TypeVar("Found")
OF_THE_PLATFORM = ("/organizations", "/platform/", "/gateways")


@dataclass(slots=True)
class Rig:
    """Both organizations in a loop that stays, since nothing that is asked of them changes anything."""

    tenants: Tenants
    runner: asyncio.Runner
    is_sqlite: bool

    def run(self, test: Callable[[Tenants], Awaitable[Found]]) -> Found:
        async def whole() -> Found:
            return await test(self.tenants)

        return self.runner.run(whole())


@pytest.fixture(scope="module", params=KINDS)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("tenants")
    with copied(request, request.param, directory) as url, closing(asyncio.Runner()) as runner:
        made = tenants(url, directory / "data")
        yield Rig(runner.run(made.__aenter__()), runner, request.param == "sqlite")  # type: ignore[arg-type]
        runner.run(made.__aexit__(None, None, None))  # type: ignore[arg-type]


def test_every_route_is_in_the_matrix_and_nothing_else_is(rig: Rig) -> None:
    assert {" ".join(case.split()[:2]) for case in cases()} == routes_of(rig.tenants.plane.control.app)


def test_another_organizations_objects_are_as_unknown_as_any_that_there_are_not(rig: Rig) -> None:
    async def test(tenants: Tenants) -> None:
        unknown = {name: value[:-3] + "zzz" for name, value in tenants.ids["A"].items()}
        for one in (one for one in asked() if one.is_foreign):
            answer = await answer_to(tenants, one)
            assert told(answer) == one.expected, f"{one}: {answer.text}"
            other = await answer_to(tenants, one, unknown)
            assert _without_names(other.text, unknown) == _without_names(answer.text, tenants.ids[one.whose or ""])

    rig.run(test)


def test_no_list_tells_anything_of_another_organization(rig: Rig) -> None:
    async def test(tenants: Tenants) -> int:
        lists = [one for one in asked() if one.method == "GET" and one.whose is None and one.expected == "200"]
        told_of_own = 0
        for one in lists:
            mine = "B" if one.role == "admin_b" else "A"
            text = (await answer_to(tenants, one)).text
            told_of_own += MARKS[mine] in text
            if one.role == "platform" and any(part in one.route for part in OF_THE_PLATFORM):
                continue
            foreign = [MARKS[OTHER[mine]], *tenants.ids[OTHER[mine]].values()]
            assert not [value for value in foreign if value in text], str(one)
        return told_of_own

    assert rig.run(test) > 30


def test_nobody_works_in_an_organization_that_is_not_theirs(rig: Rig) -> None:
    async def test(tenants: Tenants) -> None:
        there = {"toolyard-organization": tenants.ids["B"]["organization_id"]}
        for route in tenants.plane.control.app.router.routes:
            declared = declared_of(route)
            if not isinstance(route, APIRoute) or declared is None or declared.auth != "login":
                continue
            path = route.path.replace(":path}", "}").format(**tenants.ids["B"] | {"key": "registration"})
            for role in ("admin_a", "member_a", "viewer_a"):
                answer = await tenants.ask(role, min(route.methods), path, headers=there)
                assert (answer.status_code, answer.json()["code"]) == (403, "no_organization"), path

    rig.run(test)


@pytest.mark.slow
def test_without_the_stores_scope_the_matrix_fails_and_postgresql_still_hides_the_rows(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "scoped", lambda self: select(self.row))
    foreign = [one for one in asked() if one.is_foreign and not one.is_personal]

    async def test(tenants: Tenants) -> list[Asked]:
        return [one async for one, found in _answers(tenants, foreign) if found != one.expected]

    noticed = rig.run(test)
    if rig.is_sqlite:
        missed = [str(one) for one in foreign if one not in noticed]
        assert len(noticed) >= 0.95 * len(foreign), "\n".join(missed)
    else:
        assert [str(one) for one in noticed] == []


def test_each_role_is_asked_about_everything() -> None:
    roles = [one.role for one in asked()]
    assert {roles.count(role) for role in ROLES} == {len(roles) // len(ROLES)}
    assert len([one for one in asked() if one.is_foreign]) > 150


@pytest.mark.slow
def test_every_route_answers_everybody_as_the_matrix_says(rig: Rig) -> None:
    async def test(tenants: Tenants) -> list[str]:
        return [f"{one}: {found}, not {one.expected}" async for one, found in _answers(tenants, list(asked()))
                if found != one.expected]  # fmt: skip

    assert rig.run(test) == []


async def _answers(tenants: Tenants, wanted: list[Asked]) -> Any:
    for one in wanted:
        yield one, told(await answer_to(tenants, one))


def _without_names(text: str, ids: dict[str, str]) -> str:
    for value in ids.values():
        text = text.replace(value, "…")
    return text
