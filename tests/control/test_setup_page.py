"""The set-up link: the first administrator, once, with no scripts and no default password."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.control.whole import Whole, whole
from toolyard.control.console.setup_page import PATH

PASSWORD = "four lazy yaks sing"


def tried(url: URL, tmp_path: Path, test: Callable[[Whole], Awaitable[None]]) -> None:
    async def run() -> None:
        async with whole(url, tmp_path / "data") as one:
            await test(one)

    asyncio.run(run())


async def token_of(one: Whole) -> str:
    link = await one.control.set_up()
    assert link is not None
    return link.partition("=")[2]


def test_the_link_makes_the_first_administrator_who_can_log_in(url: URL, tmp_path: Path) -> None:
    async def test(one: Whole) -> None:
        assert (await one.http.get("/")).headers["location"] == PATH
        token = await token_of(one)
        page = await one.http.get(PATH, params={"token": token})
        assert (page.status_code, token in page.text, "<script" in page.text) == (200, True, False)
        given = {"token": token, "username": "ada", "password": PASSWORD}
        assert (await one.http.post(PATH, data=given)).status_code == 201
        entered = await one.http.post("/api/v1/auth/login", json={"username": "ada", "password": PASSWORD})
        assert entered.json()["user"]["platform_admin"] is True
        assert await one.control.set_up() is None
        assert (await one.http.post(PATH, data={**given, "username": "eve"})).status_code == 409
        assert (await one.http.get(PATH)).status_code == 410
        assert (await one.http.get("/")).headers["location"] == "/docs"

    tried(url, tmp_path, test)


@pytest.mark.parametrize(
    "wrong", [{"token": "guessed"}, {"password": "short"}, {"username": ""}], ids=["token", "password", "name"]
)
def test_what_is_wrong_is_said_in_the_form_and_nobody_is_made(url: URL, tmp_path: Path, wrong: dict[str, str]) -> None:
    async def test(one: Whole) -> None:
        given = {"token": await token_of(one), "username": "<b>ada", "password": PASSWORD, **wrong}
        answer = await one.http.post(PATH, data=given)
        assert answer.status_code >= 400
        assert 'role="alert"></p>' not in answer.text
        assert "<b>ada" not in answer.text
        assert given["password"] not in answer.text
        assert await one.control.set_up() is not None

    tried(url, tmp_path, test)
