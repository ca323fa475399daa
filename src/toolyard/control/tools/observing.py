"""Taking in what gateways saw upstreams offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolyard.contract.definitions import definition_digest
from toolyard.control.base.caller import the_system
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.tools.events import ToolsObserved
from toolyard.control.tools.model import DefinitionRow, ObservedRow, ToolRow
from toolyard.control.tools.names import (
    LISTED_IN,
    NAMED_BY,
    Kind,
    description_of,
    key_of,
    label_of,
    storable,
    title_of,
)
from toolyard.control.tools.store import Definitions, Observed, Tools, hold
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.states import moment, record_counts, teller, upstream_told_of
from toolyard.control.upstreams.tries import is_try, try_succeeded

Json = dict[str, Any]
_SHOWN_OF_A_TRY = 200


@dataclass(frozen=True, slots=True)
class _Seen:
    kind: Kind
    name: str
    digest: str
    content: Json


async def record_observations(work: Work, records: Sequence[Mapping[str, Any]]) -> None:
    """Take in several. For work on behalf of the platform."""
    for record in records:
        await record_observation(work, record)


async def record_observation(work: Work, record: Mapping[str, Any]) -> None:
    """Take in what a gateway saw an upstream offer: a record of kind "observation". One of an upstream that is not
    there is passed over. For work on behalf of the platform."""
    upstream_id = record.get("upstream")
    if not isinstance(upstream_id, str):
        return
    seen = _seen(record)
    if is_try(upstream_id):
        await try_succeeded(work, upstream_id, {"server": storable(record.get("server_info")), **_names(seen)})
        return
    row = await upstream_told_of(work, upstream_id)
    if row is not None:
        inside = _within(work, row.organization_id)
        await hold(inside)
        await _take(inside, row, record, seen)


def _within(work: Work, organization_id: str) -> Work:
    """The same work, within one organization."""
    return replace(work, caller=the_system(organization_id))


async def _take(work: Work, upstream: UpstreamRow, record: Mapping[str, Any], seen: Sequence[_Seen]) -> None:
    at = moment(record.get("observed_at")) or work.now
    store = Observed(work)
    whole = await store.of(upstream.id)
    digest = str(record.get("digest", ""))[:100]
    same = whole is not None and whole.digest == digest
    if whole is None:
        whole = ObservedRow(id=new_id("ob"), upstream_id=upstream.id, digest=digest, seen_at=at)
        _describe(whole, record)
        await store.add(whole)
    elif not same:
        whole.digest = digest
        _describe(whole, record)
    whole.seen_at = at
    await store.changed(whole)
    await record_counts(work, upstream, {LISTED_IN[kind]: _count(seen, kind) for kind in LISTED_IN}, at, teller(record))
    if not same:
        await _compare(work, upstream, seen)


async def _compare(work: Work, upstream: UpstreamRow, seen: Sequence[_Seen]) -> None:
    await _keep_definitions(work, seen)
    tools = Tools(work)
    known = await tools.known_of(upstream.id)
    fresh = {key_of(one.kind, one.name): one for one in seen}
    added = [key for key in fresh if key not in known]
    changed = [key for key, row in known.items() if key in fresh and _differs(row, fresh[key])]
    gone = [key for key, row in known.items() if key not in fresh and row.gone_at is None]
    for key in added:
        row = ToolRow(id=new_id("to"), upstream_id=upstream.id, kind=fresh[key].kind, key=key, first_seen_at=work.now)
        row.organization_id, row.created_at = upstream.organization_id, work.now
        work.session.add(row)
        known[key] = row
    for key in (*added, *changed):
        _say(work, known[key], fresh[key])
    for key in gone:
        known[key].gone_at = known[key].updated_at = work.now
    if added or changed or gone:
        work.announce(ToolsObserved(upstream.id, len(added), len(changed), len(gone)))
    await tools.flush()


async def _keep_definitions(work: Work, seen: Sequence[_Seen]) -> None:
    store = Definitions(work)
    wanted = {one.digest: one for one in seen}
    for digest in wanted.keys() - await store.known(list(wanted)):
        one = wanted[digest]
        row = DefinitionRow(id=new_id("de"), digest=digest, kind=one.kind, content=one.content)
        row.organization_id = work.organization_id
        row.created_at = row.updated_at = work.now
        work.session.add(row)
    await store.flush()


def _say(work: Work, row: ToolRow, one: _Seen) -> None:
    row.name, row.label, row.digest = one.name, label_of(one.name), one.digest
    row.title, row.description = title_of(one.content), description_of(one.content)
    row.gone_at, row.changed_at, row.updated_at = None, work.now, work.now


def _differs(row: ToolRow, one: _Seen) -> bool:
    return row.digest != one.digest or row.gone_at is not None


def _describe(whole: ObservedRow, record: Mapping[str, Any]) -> None:
    whole.era, whole.revision = str(record.get("era", ""))[:20], str(record.get("revision", ""))[:40]
    server = record.get("server_info")
    whole.server = storable(server) if isinstance(server, dict) else {}
    whole.instructions = storable(record.get("instructions") or "")


def _seen(record: Mapping[str, Any]) -> list[_Seen]:
    found: dict[tuple[str, str], _Seen] = {}
    for kind, member in LISTED_IN.items():
        listed = record.get(member)
        for entry in listed if isinstance(listed, list) else []:
            name = entry.get(NAMED_BY[kind]) if isinstance(entry, dict) else None
            if isinstance(name, str) and name:
                kept = storable(name)
                found[kind, kept] = _Seen(kind, kept, definition_digest(kind, entry), storable(entry))
    return list(found.values())


def _names(seen: Sequence[_Seen]) -> Json:
    return {LISTED_IN[kind]: [one.name for one in seen if one.kind == kind][:_SHOWN_OF_A_TRY] for kind in LISTED_IN}


def _count(seen: Sequence[_Seen], kind: Kind) -> int:
    return sum(one.kind == kind for one in seen)
