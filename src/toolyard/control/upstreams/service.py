"""Registering, changing and steering upstreams.

What an upstream needs is looked at before anything is written. Programs run only as somebody who may has approved them:
a changed program is a new one. Steering is desired state; what came of it is told by gateways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import func, select

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.control.base.errors import Conflict, Forbidden, Invalid, ReadOnlyHere
from toolyard.control.base.etags import check_match
from toolyard.control.base.problems import FieldProblem
from toolyard.control.base.tables import new_id
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Work
from toolyard.control.identity.model import DEFAULT_ORGANIZATION
from toolyard.control.upstreams import credentials
from toolyard.control.upstreams.errors import ExecForbidden, NetworkForbidden, NothingToApprove, NotTriedThisWay
from toolyard.control.upstreams.events import (
    UpstreamApproved,
    UpstreamChanged,
    UpstreamRegistered,
    UpstreamRemoved,
    UpstreamRestarted,
    UpstreamStarted,
    UpstreamStopped,
)
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.references import is_template, names_in, own_name, reference
from toolyard.control.upstreams.rules import (
    BY_URL,
    PROGRAM_FIELDS,
    STDIO,
    Bounds,
    Finding,
    credentials_of,
    error,
    form,
    is_approved,
    leads_inside,
    machine,
    origin,
    program_digest,
)
from toolyard.control.upstreams.specs import spec_of
from toolyard.control.upstreams.store import Credentials, Upstreams
from toolyard.kit.secret import Secret

FILE: Final = "file"
_WITH_SECRETS: Final = ("headers", "env")


@dataclass(frozen=True, slots=True)
class Checked:
    """An upstream, and what was found when it was looked at."""

    row: UpstreamRow
    findings: list[Finding]


@dataclass(slots=True)
class _Given:
    """What somebody wants changed. Values of headers and variables that are secrets are apart from the rest: in a row
    there is only what stands for them."""

    columns: dict[str, Any]
    secrets: dict[tuple[str, str], Secret] = field(default_factory=dict)

    @classmethod
    def of(cls, upstream_id: str, columns: Mapping[str, Any]) -> _Given:
        given = cls(dict(columns))
        for name in _WITH_SECRETS:
            values: Mapping[str, Secret] | None = columns.get(name)
            if values is not None:
                given.columns[name] = {key: given._kept(upstream_id, name, key, values[key]) for key in values}
        return given

    def named(self, upstream_id: str) -> dict[str, Secret]:
        """The secrets by the names of the credentials that are to keep them."""
        return {own_name(upstream_id, name, key): secret for (name, key), secret in self.secrets.items()}

    def _kept(self, upstream_id: str, name: str, key: str, value: Secret) -> str:
        text = value.reveal()
        if is_template(text):
            return text
        self.secrets[name, key] = value
        return reference(own_name(upstream_id, name, key))


class Registry:
    """The upstreams of one organization, in one piece of work. Columns are those of `UpstreamRow`; values of `headers`
    and `env` come as secrets."""

    def __init__(self, work: Work, vault: Vault, bounds: Bounds) -> None:
        self._work = work
        self._vault = vault
        self._bounds = bounds
        self._store = Upstreams(work)

    async def register(self, columns: Mapping[str, Any]) -> Checked:
        """A new upstream: its configuration is looked at, then what it depends on, then whether there is room for it.
        Raises Invalid, Taken, Conflict, ExecForbidden, NetworkForbidden, Forbidden."""
        row, given = self._drafted(columns)
        findings = await self._examine(row, given, before=None)
        await self._check_room()
        await self._store.add(row)
        await self._keep(row, given)
        self._work.announce(UpstreamRegistered(row.id, row.name))
        return Checked(row, findings)

    async def check(self, columns: Mapping[str, Any]) -> list[Finding]:
        """What `register` would find. Raises ExecForbidden, NetworkForbidden, Forbidden."""
        row, given = self._drafted(columns)
        self._check_allowed(row, given, before=None)
        return await self._look(row, given)

    async def to_try(self, columns: Mapping[str, Any]) -> UpstreamSpec:
        """What gateways are to try of an upstream that is not saved. Raises what `register` does, and
        NotTriedThisWay."""
        row, given = self._drafted(columns)
        if row.kind not in BY_URL:
            raise NotTriedThisWay
        await self._examine(row, given, before=None)
        stored = await Credentials(self._work).named(credentials_of(row))
        values = await credentials.opened(self._work, self._vault, stored.values())
        return spec_of(row, DEFAULT_ORGANIZATION, {**values, **given.named(row.id)}, {})

    async def look(self, upstream_id: str) -> list[Finding]:
        """What there is to say about an upstream as it is. Raises NotFound."""
        row = await self._store.get(upstream_id)
        return await self._look(row, _Given({}))

    async def change(self, upstream_id: str, columns: Mapping[str, Any], if_match: str | None) -> Checked:
        """Change some fields. Raises what `register` does, and NotFound, VersionOutdated, ReadOnlyHere."""
        row = await self._changeable(upstream_id, if_match)
        given = _Given.of(row.id, columns)
        before = {name: getattr(row, name) for name in (*given.columns, "kind", "url", "allow_networks")}
        before_origin = origin(row)
        with self._work.session.no_autoflush:
            changed = _applied(row, given)
            findings = await self._examine(row, given, before, moved=origin(row) != before_origin)
        if not changed and not given.secrets:
            return Checked(row, findings)
        if any(name == "env" for name, _ in given.secrets) or not is_approved(row):
            row.approved = row.approved_by = row.approved_at = None
        await self._store.changed(row)
        await self._keep(row, given)
        await credentials.drop_unused(self._work, row)
        self._work.announce(UpstreamChanged(row.id, tuple(sorted({*changed, *(name for name, _ in given.secrets)}))))
        return Checked(row, findings)

    async def remove(self, upstream_id: str, if_match: str | None) -> None:
        """Remove an upstream with all that belongs to it. Raises NotFound, VersionOutdated, ReadOnlyHere."""
        row = await self._changeable(upstream_id, if_match)
        self._work.announce(UpstreamRemoved(row.id, row.name))
        await self._store.remove(row)

    async def start(self, upstream_id: str) -> UpstreamRow:
        """Have it started. Raises NotFound, ReadOnlyHere."""
        return await self._steer(upstream_id, started=True)

    async def stop(self, upstream_id: str) -> UpstreamRow:
        """Have it stopped: its calls in flight end, and nothing new reaches it. Raises NotFound, ReadOnlyHere."""
        return await self._steer(upstream_id, started=False)

    async def restart(self, upstream_id: str) -> UpstreamRow:
        """Have it opened anew, and looked at. One that is stopped is started. Raises NotFound, ReadOnlyHere."""
        row = await self._changeable(upstream_id, None)
        row.restart_generation += 1
        row.started = True
        await self._store.changed(row)
        self._work.announce(UpstreamRestarted(row.id, row.restart_generation))
        return row

    async def approve(self, upstream_id: str, if_match: str | None) -> UpstreamRow:
        """Let the program of an upstream run, exactly as it is now. Raises NotFound, VersionOutdated, NothingToApprove,
        ExecForbidden."""
        row = await self._store.get(upstream_id)
        check_match(row, if_match)
        if row.kind != STDIO:
            raise NothingToApprove
        if not self._work.caller.may("server.exec"):
            raise ExecForbidden
        row.approved, row.approved_by, row.approved_at = program_digest(row), self._work.caller.id, self._work.now
        await self._store.changed(row)
        self._work.announce(UpstreamApproved(row.id, row.approved))
        return row

    def _drafted(self, columns: Mapping[str, Any]) -> tuple[UpstreamRow, _Given]:
        upstream_id = new_id("up")
        given = _Given.of(upstream_id, columns)
        row = UpstreamRow(**{**_defaults(), **given.columns, "id": upstream_id, "created_by": self._work.caller.id})
        return row, given

    async def _changeable(self, upstream_id: str, if_match: str | None) -> UpstreamRow:
        row = await self._store.get(upstream_id)
        check_match(row, if_match)
        if row.owner == FILE:
            raise ReadOnlyHere(
                f"'{row.name}' is described in {row.file}, line {row.line}, and can only be changed there"
            )
        return row

    async def _steer(self, upstream_id: str, *, started: bool) -> UpstreamRow:
        row = await self._changeable(upstream_id, None)
        if row.started != started:
            row.started = started
            await self._store.changed(row)
            self._work.announce(UpstreamStarted(row.id) if started else UpstreamStopped(row.id))
        return row

    async def _examine(
        self, row: UpstreamRow, given: _Given, before: Mapping[str, Any] | None, *, moved: bool = False
    ) -> list[Finding]:
        self._check_allowed(row, given, before, moved=moved)
        findings = await self._look(row, given)
        wrong = [FieldProblem(at=f"body.{one.at}", message=one.message) for one in findings if one.level == "error"]
        if wrong:
            raise Invalid("; ".join(f"{one.at}: {one.message}" for one in wrong[:3]), errors=wrong)
        return findings

    async def _look(self, row: UpstreamRow, given: _Given) -> list[Finding]:
        findings = list(form(row, self._bounds))
        if all(one.level != "error" for one in findings):
            findings += await self._missing(row, given)
        if self._work.caller.may("server.exec"):  # whoever may not run anything learns nothing of the machine
            findings += machine(row)
        return findings

    async def _missing(self, row: UpstreamRow, given: _Given) -> list[Finding]:
        """Credentials that are not there, or belong to another upstream, or cannot go where they are wanted."""
        fresh = given.named(row.id)
        rows = await Credentials(self._work).named(set(credentials_of(row)) - fresh.keys())
        usable = [one for one in rows.values() if one.upstream_id in (None, row.id)]
        known = {*fresh, *(one.name for one in usable)}
        findings: list[Finding] = []
        for name in _WITH_SECRETS:
            for key, text in getattr(row, name).items():
                findings += [
                    error(f"{name}.{key}", f"there is no credential '{one}'")
                    for one in names_in(text)
                    if one not in known
                ]
        values = {**await credentials.opened(self._work, self._vault, usable), **fresh}
        return findings + [error(at, wrong) for at, wrong in credentials.misfits(row, values)]

    def _check_allowed(
        self, row: UpstreamRow, given: _Given, before: Mapping[str, Any] | None, *, moved: bool = False
    ) -> None:
        may = self._work.caller.may
        changed = given.columns.keys() if before is None else _different(row, given, before)
        kinds = {row.kind} if before is None else {row.kind, before["kind"]}
        runs = STDIO in kinds and bool(PROGRAM_FIELDS & changed)
        if (runs or (row.tls_ca_file and "tls_ca_file" in changed)) and not may("server.exec"):
            raise ExecForbidden
        if {"url", "allow_networks", "kind"} & changed and leads_inside(row) and not may("server.network"):
            raise NetworkForbidden
        shown_anew = moved and before is not None and bool(credentials_of(row))
        if (given.secrets or shown_anew or _uses_others(row, changed)) and not may("credentials.write"):
            raise Forbidden("this uses credentials: it needs the permission credentials.write")

    async def _keep(self, row: UpstreamRow, given: _Given) -> None:
        for (name, key), secret in given.secrets.items():
            await credentials.keep_own(self._work, self._vault, row, name, key, secret)

    async def _check_room(self) -> None:
        mine = select(func.count()).where(UpstreamRow.organization_id == self._work.organization_id)
        if ((await self._work.session.execute(mine)).scalar() or 0) >= self._bounds.most:
            raise Conflict(f"an organization has at most {self._bounds.most} upstreams")


def check_changeable(row: UpstreamRow) -> None:
    """Raises ReadOnlyHere for an upstream that the configuration file describes, saying where."""
    if row.owner == FILE:
        raise ReadOnlyHere(f"'{row.name}' is described in {row.file}, line {row.line}, and can only be changed there")


def _defaults() -> dict[str, Any]:
    """What a row gets from the database's defaults only when it is written, for looking at it before."""
    found: dict[str, Any] = {}
    for column in UpstreamRow.__table__.columns:
        if column.nullable:
            found[column.key] = None
        elif column.default is not None:
            made: Callable[[Any], Any] | Any = column.default.arg
            found[column.key] = made(None) if callable(made) else made
    return found


def _applied(row: UpstreamRow, given: _Given) -> list[str]:
    changed = [name for name, value in given.columns.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, given.columns[name])
    return changed


def _different(row: UpstreamRow, given: _Given, before: Mapping[str, Any]) -> set[str]:
    fresh = {name for name, _ in given.secrets}
    return {name for name in given.columns if getattr(row, name) != before[name]} | fresh


def _uses_others(row: UpstreamRow, changed: Any) -> bool:
    fields = [getattr(row, name) for name in _WITH_SECRETS if name in changed]
    return any(names_in(text) for values in fields for text in values.values())
