"""Trying an upstream before it is saved.

Control never reaches into a gateway: a try is published for a short time as an upstream of an organization that there
is not, so that no virtual server can offer it, and what gateways report of it is the answer. Only what is reached by
URL is tried; programs run as saved and approved revisions only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.control.base.tables import new_id
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Work
from toolyard.control.upstreams.events import TryAsked, TryEnded
from toolyard.control.upstreams.model import TryRow
from toolyard.control.upstreams.store import Tries, all_tries, old_tries, try_of_anybody
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.sealing import Place
from toolyard.kit.secret import Secret

log = get_logger(__name__)
PREFIX: Final = "try:"
LASTS: Final = dt.timedelta(seconds=30)
KEPT: Final = dt.timedelta(hours=1)


def is_try(upstream_id: str) -> bool:
    """Whether a gateway speaks of a try."""
    return upstream_id.startswith(PREFIX)


async def ask(work: Work, vault: Vault, spec: UpstreamSpec) -> TryRow:
    """Have an upstream tried by the gateways. Its secrets are kept sealed, and no longer than its answer."""
    row = TryRow(id=new_id("tr"), wanted={}, expires_at=work.now + LASTS, asked_by=work.caller.id)
    row.organization_id = work.organization_id
    headers = {name: value.reveal() for name, value in spec.headers}
    row.wanted = msgspec.to_builtins(replace(spec, headers=(), env=()))
    row.sealed = await vault.seal(work, _place(row), Secret(msgspec.json.encode(headers).decode()))
    await Tries(work).add(row)
    work.announce(TryAsked(row.id))
    return row


async def try_specs(work: Work, vault: Vault) -> list[UpstreamSpec]:
    """The tries that gateways are to know now, over all organizations."""
    found = []
    for row in await all_tries(work):
        if row.expires_at <= work.now:
            continue
        try:
            secrets = msgspec.json.decode(
                (await vault.open(work, _place(row), row.sealed)).reveal(), type=dict[str, str]
            )
        except PlatformError as error:
            log.error("try_not_published", id=row.id, reason=error.message)
            continue
        wanted = msgspec.convert({**row.wanted, "id": PREFIX + row.id, "organization": PREFIX + row.id}, UpstreamSpec)
        headers = tuple((name, Secret(value)) for name, value in secrets.items())
        found.append(replace(wanted, headers=headers, enabled=True))
    return found


async def try_failed(work: Work, upstream_id: str, code: str | None, message: str | None) -> None:
    """A gateway could not use what was to be tried."""
    row = await _waiting(work, upstream_id)
    if row is not None:
        row.error_code, row.error = code, message
        _end(work, row, "failing")


async def try_succeeded(work: Work, upstream_id: str, found: Mapping[str, Any]) -> None:
    """A gateway has seen what it offers."""
    row = await _waiting(work, upstream_id)
    if row is not None:
        row.found = dict(found)
        _end(work, row, "ready")


async def end_old_tries(work: Work) -> int:
    """End tries whose time is over, and forget old ones; how many were ended. To be called now and then, for work on
    behalf of the platform."""
    ended = 0
    for row in await all_tries(work):
        if row.expires_at <= work.now:
            _end(work, row, "expired")
            ended += 1
    for row in await old_tries(work, work.now - KEPT):
        await work.session.delete(row)
    await work.session.flush()
    return ended


def _end(work: Work, row: TryRow, state: str) -> None:
    row.state, row.answered_at, row.updated_at, row.sealed = state, work.now, work.now, ""
    work.announce(TryEnded(row.id), organization_id=row.organization_id)


async def _waiting(work: Work, upstream_id: str) -> TryRow | None:
    row = await try_of_anybody(work, upstream_id.removeprefix(PREFIX))
    return row if row is not None and row.state == "pending" else None


def _place(row: TryRow) -> Place:
    return Place("upstream_tries", row.id, row.organization_id, "headers")
