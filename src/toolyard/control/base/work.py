"""One piece of work: a transaction, on behalf of somebody, in one organization. Committed at the edge, nowhere else."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from toolyard.control.base.caller import Caller
from toolyard.control.base.database import EVERYBODY, Database, for_organization
from toolyard.control.base.facts import Fact, FactRow
from toolyard.kit.clock import Clock

Listener = Callable[[tuple[Fact, ...]], None]


@dataclass(slots=True)
class Work:
    """What services and stores are given. `organization_id` is the tenant scope of every statement in it."""

    session: AsyncSession
    caller: Caller
    now: dt.datetime
    facts: list[Fact] = field(default_factory=list)

    @property
    def organization_id(self) -> str:
        return self.caller.organization_id

    async def widen(self) -> None:
        """From here on, this transaction reaches the rows of all organizations; for work of the platform only. The
        stores' own scope stays as it is."""
        assert self.caller.platform or not self.caller.organization_id
        await for_organization(self.session, EVERYBODY)

    def announce(self, fact: Fact, *, organization_id: str | None = None) -> None:
        """Write a fact into this transaction; listeners hear it once it is committed. `organization_id`: whose it is,
        if not that of this work; EVERYBODY if nobody's."""
        self.facts.append(fact)
        owner = organization_id or self.organization_id
        said: dict[str, Any] = {one.name: getattr(fact, one.name) for one in fields(fact)}
        self.session.add(
            FactRow(
                organization_id=None if owner in ("", EVERYBODY) else owner,
                name=fact.name,
                subject=fact.id,
                said=said,
                publishes=fact.publishes,
                actor=f"{self.caller.kind}:{self.caller.id}",
                at=self.now,
            )
        )


class Works:
    """Where work is begun: the one owner of transactions. Routes, jobs and start-up code all begin here."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Have `listener` called with the facts of each transaction right after its commit. It must not raise."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def read(self, caller: Caller, *, heavy: bool = False, steady: bool = False) -> AsyncIterator[Work]:
        """Work that changes nothing. `steady`: all of its statements see the database as it was at the first."""
        async with self.database.reading(scope_of(caller), heavy=heavy, steady=steady) as session:
            yield Work(session, caller, self.now())

    @asynccontextmanager
    async def write(self, caller: Caller) -> AsyncIterator[Work]:
        """Work that is durable when the block ends, or did not happen when it raises."""
        async with self.database.writing(scope_of(caller)) as session:
            work = Work(session, caller, self.now())
            yield work
        self.told(work)

    def told(self, work: Work) -> None:
        """Tell the listeners what has been committed."""
        if work.facts:
            facts = tuple(work.facts)
            for listener in self._listeners:
                listener(facts)

    def now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.clock.wall(), dt.UTC)


def scope_of(caller: Caller) -> str:
    """The organization that the database compares rows with: that of the caller, or all for the platform itself."""
    return caller.organization_id or EVERYBODY
