"""The API's documents, without the internet."""

from __future__ import annotations

import asyncio
import re

import pytest
from sqlalchemy.engine import URL

from tests.control.api import Api, serving


def shown(url: URL, path: str) -> list[tuple[int, str, str]]:
    """Status, media type and address of a page and of all that it loads."""

    async def run() -> list[tuple[int, str, str]]:
        async with serving(url, []) as api:
            return [
                await loaded(api, one) for one in [path, *re.findall(r'(?:src|href)="([^"]+)"', await text(api, path))]
            ]

    async def text(api: Api, one: str) -> str:
        return (await api.ask("GET", one, who="")).text

    async def loaded(api: Api, one: str) -> tuple[int, str, str]:
        answer = await api.ask("GET", one, who="")
        return answer.status_code, answer.headers["content-type"].partition(";")[0], one

    return asyncio.run(run())


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/api/docs", "/api/redoc"])
def test_a_page_of_the_api_loads_everything_from_here(url: URL, path: str) -> None:
    found = shown(url, path)
    assert len(found) >= 4
    assert {status for status, _, _ in found} == {200}
    assert all(address.startswith("/") and not address.startswith("//") for _, _, address in found)


def test_the_document_names_how_to_authenticate(url: URL) -> None:
    async def run() -> None:
        async with serving(url, []) as api:
            document = (await api.ask("GET", "/api/v1/openapi.json", who="")).json()
            assert document["openapi"].startswith("3.1")
            assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
            assert (await api.ask("GET", "/docs/assets/..%2f..%2f__init__.py", who="")).status_code == 404

    asyncio.run(run())
