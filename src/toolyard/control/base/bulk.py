"""Several operations in one request, each with its own result: one that fails leaves no trace and stops no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from toolyard.control.base.problems import Problem
from toolyard.control.base.work import Work
from toolyard.kit.errors import PlatformError

Given = TypeVar("Given")
Made = TypeVar("Made")
MAX_ITEMS = 500


class ItemResult(BaseModel, Generic[Made]):
    """What became of one item."""

    index: int
    ok: bool
    item: Made | None = None
    problem: Problem | None = None


class BulkResult(BaseModel, Generic[Made]):
    """What became of all items, in their order."""

    results: list[ItemResult[Made]]
    succeeded: int = Field(description="How many items succeeded.")
    failed: int


async def each(work: Work, items: Sequence[Given], do: Callable[[Given], Awaitable[Made]]) -> BulkResult[Any]:
    """Do something with each item, in a savepoint of its own."""
    results: list[ItemResult[Any]] = []
    for index, item in enumerate(items):
        before = len(work.facts)
        try:
            async with work.session.begin_nested():
                made = await do(item)
        except PlatformError as error:
            del work.facts[before:]
            told = Problem(title=error.message, status=error.status, code=error.code)
            results.append(ItemResult(index=index, ok=False, problem=told))
        else:
            results.append(ItemResult(index=index, ok=True, item=made))
    good = sum(one.ok for one in results)
    return BulkResult(results=results, succeeded=good, failed=len(results) - good)
