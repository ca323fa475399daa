"""What the configuration file describes, as rows that nobody can change here.

The file stays the owner: rows follow it at the start and at every change of it. What is already in the database under
the same name is left alone, since the file's is what gateways serve; the caller is told of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.control.base.tables import new_id
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Work
from toolyard.control.upstreams import credentials
from toolyard.control.upstreams.events import UpstreamChanged, UpstreamRegistered, UpstreamRemoved
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.references import own_name, reference
from toolyard.control.upstreams.rules import program_digest
from toolyard.control.upstreams.service import FILE
from toolyard.control.upstreams.store import Credentials, Upstreams
from toolyard.kit.secret import Secret

_SAME: Final = (
    "kind", "url", "cwd", "enabled", "timeout_s", "isolation", "idle_s", "max_connections", "max_processes",
    "tls_verify", "tls_ca_file", "own_tags",
)  # fmt: skip
_LISTS: Final = ("command", "allow_networks", "tags")


@dataclass(frozen=True, slots=True)
class FromFile:
    """One upstream of the configuration file, and where it is described."""

    spec: UpstreamSpec
    file: str
    line: int | None


async def mirror(work: Work, vault: Vault, described: Sequence[FromFile]) -> list[str]:
    """Make the rows of the file those that it describes now; the names that the database has already. For work of the
    platform in the organization that the file describes."""
    store, clashes = Upstreams(work), []
    known = {row.name: row for row in await store.every()}
    for one in described:
        row = known.get(one.spec.id)
        if row is not None and row.owner != FILE:
            clashes.append(row.name)
        elif row is None:
            await _add(work, vault, one)
        else:
            await _follow(work, vault, row, one)
    wanted = {one.spec.id for one in described}
    for row in known.values():
        if row.owner == FILE and row.name not in wanted:
            work.announce(UpstreamRemoved(row.id, row.name))
            await store.remove(row)
    return sorted(clashes)


async def _add(work: Work, vault: Vault, one: FromFile) -> None:
    row = UpstreamRow(id=new_id("up"), name=one.spec.id, owner=FILE, created_by=work.caller.id)
    _apply(row, one)
    _approve(work, row)
    await Upstreams(work).add(row)
    await _keep(work, vault, row, one.spec)
    work.announce(UpstreamRegistered(row.id, row.name))


async def _follow(work: Work, vault: Vault, row: UpstreamRow, one: FromFile) -> None:
    changed = _apply(row, one)
    if changed:
        _approve(work, row)
        await Upstreams(work).changed(row)
    fresh = await _keep(work, vault, row, one.spec)
    await credentials.drop_unused(work, row)
    if fresh or set(changed) - {"file", "line"}:
        work.announce(UpstreamChanged(row.id, tuple(sorted({*changed, *fresh}))))


def _apply(row: UpstreamRow, one: FromFile) -> list[str]:
    columns = {**_columns(row.id, one.spec), "file": one.file, "line": one.line}
    changed = [name for name, value in columns.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, columns[name])
    return changed


def _columns(upstream_id: str, spec: UpstreamSpec) -> dict[str, Any]:
    return {
        **{name: getattr(spec, name) for name in _SAME},
        **{name: list(getattr(spec, name)) for name in _LISTS},
        "headers": {name: reference(own_name(upstream_id, "headers", name)) for name, _ in spec.headers},
        "env": {name: reference(own_name(upstream_id, "env", name)) for name, _ in spec.env},
        "limits": asdict(spec.limits),
        "task_after_s": spec.tasks.after_s,
        "task_required": spec.tasks.required,
    }


def _approve(work: Work, row: UpstreamRow) -> None:
    """Whoever writes the file may run programs."""
    row.approved, row.approved_by, row.approved_at = program_digest(row), FILE, work.now


async def _keep(work: Work, vault: Vault, row: UpstreamRow, spec: UpstreamSpec) -> list[str]:
    """Keep the values that are others than before; which they are."""
    stored = {one.name: one for one in await Credentials(work).belonging_to(row.id)}
    before = await credentials.opened(work, vault, stored.values())
    fresh = []
    fields: Mapping[str, tuple[tuple[str, Secret], ...]] = {"headers": spec.headers, "env": spec.env}
    for field, pairs in fields.items():
        for name, secret in pairs:
            if before.get(own_name(row.id, field, name)) != secret:
                await credentials.keep_own(work, vault, row, field, name, secret)
                fresh.append(field)
    return fresh
