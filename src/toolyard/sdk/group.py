"""What the generated method groups stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol


class Caller(Protocol):
    """Sends an operation's request. Raises ApiError, ApiUnreachable, AnswerUnreadable."""

    def value(self, operation_id: str, **arguments: Any) -> Any:
        """What an operation answers."""
        ...

    def items(self, operation_id: str, **arguments: Any) -> Iterator[Any]:
        """The items of all pages of a list."""
        ...


class AsyncCaller(Protocol):
    """The same, awaited."""

    async def value(self, operation_id: str, **arguments: Any) -> Any:
        """What an operation answers."""
        ...

    def items(self, operation_id: str, **arguments: Any) -> AsyncIterator[Any]:
        """The items of all pages of a list."""
        ...


class Group:
    """Operations about one kind of thing."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller


class AsyncGroup:
    """Operations about one kind of thing, awaited."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller
