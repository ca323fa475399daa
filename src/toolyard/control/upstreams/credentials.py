"""Credentials: written, never read. What uses one refers to it by name; only the publisher opens them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from toolyard.contract.upstream_form import MAX_CREDENTIAL_BYTES, header_problem, variable_problem
from toolyard.control.base.errors import Invalid, NotFound
from toolyard.control.base.tables import new_id
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Work
from toolyard.control.upstreams.errors import CredentialInUse, ExecForbidden
from toolyard.control.upstreams.events import CredentialChanged, CredentialRemoved
from toolyard.control.upstreams.model import CredentialRow, UpstreamRow
from toolyard.control.upstreams.references import credential_name_problem, filled, names_in, own_name, reference
from toolyard.control.upstreams.rules import STDIO, credentials_of
from toolyard.control.upstreams.store import Credentials, Upstreams
from toolyard.kit.sealing import Place
from toolyard.kit.secret import Secret

_TELLING_CHARS = 16
"""From this length on the last four characters of a secret may be shown."""


async def put(work: Work, vault: Vault, name: str, secret: Secret, description: str | None) -> CredentialRow:
    """Give the credential of that name a value, whether there was one or not. Raises Invalid, ExecForbidden."""
    wrong = credential_name_problem(name)
    if wrong:
        raise Invalid(wrong)
    users = (await users_of(work, [name]))[name]
    if any(one.kind == STDIO for one in users) and not work.caller.may("server.exec"):
        raise ExecForbidden("a program on the gateway's machine is given this: changing it needs server.exec")
    for one in users:
        for at, problem in misfits(one, {name: secret}):
            raise Invalid(f"{one.name}, {at}: {problem}")
    row = await _write(work, vault, name, secret)
    if description is not None:
        row.description = description
        await Credentials(work).changed(row)
    return row


async def remove(work: Work, name: str) -> None:
    """Forget a credential. Raises NotFound, CredentialInUse."""
    row = await found(work, name)
    users = (await users_of(work, [name]))[name]
    if users:
        raise CredentialInUse(f"used by {', '.join(sorted(one.name for one in users))}: take it out of them first")
    await Credentials(work).remove(row)
    work.announce(CredentialRemoved(row.id, row.name))


async def found(work: Work, name: str) -> CredentialRow:
    """The credential that people know by this name. Raises NotFound."""
    row = (await Credentials(work).named([name])).get(name)
    if row is None or row.upstream_id is not None:
        raise NotFound
    return row


async def users_of(work: Work, names: Iterable[str]) -> dict[str, list[UpstreamRow]]:
    """Which upstreams refer to each of these."""
    users: dict[str, list[UpstreamRow]] = {name: [] for name in names}
    for row in await Upstreams(work).every():
        for name in credentials_of(row):
            if name in users:
                users[name].append(row)
    return users


async def keep_own(work: Work, vault: Vault, row: UpstreamRow, field: str, name: str, secret: Secret) -> str:
    """Keep a secret that was given with an upstream itself as a credential of its own; what stands for it there. The
    upstream must be in the database."""
    credential = await _write(work, vault, own_name(row.id, field, name), secret, upstream_id=row.id)
    return reference(credential.name)


async def drop_unused(work: Work, row: UpstreamRow) -> None:
    """Forget credentials of an upstream's own that it no longer refers to."""
    store, needed = Credentials(work), set(credentials_of(row))
    for credential in await store.belonging_to(row.id):
        if credential.name not in needed:
            await store.remove(credential)


async def opened(work: Work, vault: Vault, rows: Iterable[CredentialRow]) -> dict[str, Secret]:
    """The values of credentials, by their names. Raises SealBroken, KeyEncryptionKeyWrong."""
    return {row.name: await vault.open(work, place_of(row), row.sealed) for row in rows}


def place_of(row: CredentialRow) -> Place:
    """What a credential's value is sealed for."""
    return Place("credentials", row.id, row.organization_id, "value", row.changes)


def misfits(row: UpstreamRow, values: Mapping[str, Secret]) -> list[tuple[str, str]]:
    """Headers and variables that cannot carry what they would have with these values, and why."""
    texts = {name: secret.reveal() for name, secret in values.items()}
    found = []
    for field, named, problem in (("headers", row.headers, header_problem), ("env", row.env, variable_problem)):
        for name, text in named.items():
            if set(names_in(text)) <= texts.keys() and (wrong := problem(name, filled(text, texts))):
                found.append((f"{field}.{name}", wrong))
    return found


async def _write(
    work: Work, vault: Vault, name: str, secret: Secret, *, upstream_id: str | None = None
) -> CredentialRow:
    value = secret.reveal()
    if len(value.encode("utf-8", "surrogatepass")) > MAX_CREDENTIAL_BYTES:
        raise Invalid(f"a credential has at most {MAX_CREDENTIAL_BYTES} bytes")
    store = Credentials(work)
    row = (await store.named([name])).get(name)
    fresh = row is None
    if row is None:
        row = CredentialRow(id=new_id("cr"), name=name, changes=0, upstream_id=upstream_id)
        row.organization_id = work.organization_id
    row.changes += 1
    row.sealed = await vault.seal(work, place_of(row), secret)
    row.last4 = value[-4:] if len(value) >= _TELLING_CHARS else ""
    await (store.add(row) if fresh else store.changed(row))
    work.announce(CredentialChanged(row.id, row.name))
    return row
