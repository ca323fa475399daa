"""All exposed names that were given so far, in the order in which a catalog asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from toolyard.contract.naming import Kind, Names, Origin
from toolyard.contract.snapshot import Naming

_NONE: Final[Mapping[str, str]] = {}
_NOBODY: Final[Mapping[str, Origin]] = {}


class Book(NamedTuple):
    """Which names belong together: no two of one book may be the same."""

    server: str
    naming: Naming
    kind: Kind


class _Page(NamedTuple):
    """One book: the names by upstream and by what it calls its tool, and who was given each name last."""

    by_upstream: dict[str, dict[str, str]]
    holders: dict[str, Origin]


class GivenNames(Mapping[Origin, str]):
    """Names by origin. Never changes: `updated` makes another, which has the very same parts where nothing is new, so
    that whoever worked from a part sees at once whether it is still good."""

    def __init__(self, names: Names, books: dict[Book, _Page] | None = None) -> None:
        """`names`, added to `books`."""
        self._books = {} if books is None else books
        self._add(names)

    def updated(self, fresh: Names) -> GivenNames:
        """These names and the fresh ones."""
        if not fresh:
            return self
        return GivenNames(fresh, dict(self._books))

    def of_upstream(self, book: Book, upstream_id: str) -> Mapping[str, str]:
        """The exposed names of an upstream's tools or prompts, by its own names for them."""
        page = self._books.get(book)
        return page.by_upstream.get(upstream_id, _NONE) if page is not None else _NONE

    def holders(self, book: Book) -> Mapping[str, Origin]:
        """Who was given each name last."""
        page = self._books.get(book)
        return page.holders if page is not None else _NOBODY

    def __getitem__(self, origin: Origin) -> str:
        return self.of_upstream(Book(*origin[:3]), origin.upstream_id)[origin.name]

    def __iter__(self) -> Iterator[Origin]:
        for book, page in self._books.items():
            for upstream_id, names in page.by_upstream.items():
                for name in names:
                    yield Origin(*book, upstream_id, name)

    def __len__(self) -> int:
        return sum(len(names) for page in self._books.values() for names in page.by_upstream.values())

    def _add(self, fresh: Names) -> None:
        """Add names to books, and to parts of them, that nobody else has."""
        by_part: dict[tuple[str, ...], dict[Origin, str]] = {}
        for origin, exposed in fresh.items():
            by_part.setdefault(origin[:4], {})[origin] = exposed
        own: set[Book] = set()
        for part, names in by_part.items():
            book, upstream_id = Book(*next(iter(names))[:3]), part[3]
            page = self._books.get(book, _Page({}, {}))
            if book not in own:
                page = self._books[book] = _Page(dict(page.by_upstream), dict(page.holders))
                own.add(book)
            before = page.by_upstream.get(upstream_id, _NONE)
            page.by_upstream[upstream_id] = {**before, **{o.name: exposed for o, exposed in names.items()}}
            page.holders.update({exposed: o for o, exposed in names.items()})
