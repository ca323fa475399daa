"""What can be done with API keys.

Rules. A key is shown once, in the answer to its making. What is stored is a digest (`policy.keys`), unless showing keys
again was switched on when it was made: then a sealed copy, too. Revoking is for good; disabling is not.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, Protocol

from toolyard.control.base.errors import Forbidden, Invalid
from toolyard.control.base.etags import check_match
from toolyard.control.base.work import Work
from toolyard.control.keys.errors import (
    KeyNotActive,
    KeyNotKept,
    KeyOwnerUnknown,
    ProofNeeded,
    RevealDisabled,
    TooManyKeys,
)
from toolyard.control.keys.events import KeyChanged, KeyIssued, KeyRemoved, KeyRevealed, KeyRevoked, KeyRotated
from toolyard.control.keys.model import KeyRow
from toolyard.control.keys.schema import KeyChange, NewKey, Rotation
from toolyard.control.keys.store import KeyStore
from toolyard.control.servers import service as servers
from toolyard.control.settings.service import RunTimeSettings
from toolyard.kit.sealing import Place
from toolyard.kit.secret import Secret
from toolyard.policy.keys import Pepper, issue

MAX_KEYS: Final = 5000
REVEAL: Final = "reveal_keys"


class Seals(Protocol):
    """Seals secrets for a place in the database and opens them there, with the keys of the place's organization.

    Above: what keeps secrets. Below: the vault. Raises SealBroken, KeyEncryptionKeyWrong."""

    async def seal(self, work: Work, place: Place, secret: Secret) -> str: ...
    async def open(self, work: Work, place: Place, text: str) -> Secret: ...


class ApiKeys:
    """The API keys of virtual servers. `pepper`: the newest of the installation's."""

    def __init__(self, pepper: Pepper, vault: Seals, settings: RunTimeSettings) -> None:
        self._pepper = pepper
        self._vault = vault
        self._settings = settings

    async def create(self, work: Work, server_id: str, wanted: NewKey) -> tuple[KeyRow, str]:
        """A new key of a server, and the key itself. Raises ServerUnknown, TooManyKeys, KeyOwnerUnknown, Forbidden,
        Invalid."""
        server = await servers.find(work, server_id)
        await _check_owner(work, wanted.user_id)
        fields = stored(wanted.model_dump(exclude={"rate"}) | {"rate": wanted.rate.stored() if wanted.rate else None})
        row, plain = await self._issue(work, server.id, server.code, fields)
        work.announce(KeyIssued(row.id, server.code, row.name))
        return row, plain

    async def rotate(self, work: Work, key_id: str, wanted: Rotation) -> tuple[KeyRow, str]:
        """A new key in the place of another, which is good for a grace. Raises KeyNotFound, KeyNotActive,
        TooManyKeys, Invalid."""
        old = await KeyStore(work).get(key_id)
        if old.revoked_at is not None or old.replaced_by is not None:
            raise KeyNotActive
        server = await servers.find(work, old.server_id)
        kept = ("name", "scopes", "tools", "networks", "per_minute", "not_before", "user_id")
        fields: dict[str, Any] = {name: getattr(old, name) for name in kept}
        fields["expires_at"] = wanted.expires_at or old.expires_at
        row, plain = await self._issue(work, server.id, server.code, fields)
        old.replaced_by, old.retires_at = row.id, work.now + dt.timedelta(seconds=wanted.grace_s)
        await KeyStore(work).changed(old)
        work.announce(KeyRotated(old.id, server.code, row.id, old.retires_at.timestamp()))
        return row, plain

    async def reveal(self, work: Work, key_id: str) -> str:
        """The key itself. Raises RevealDisabled, ProofNeeded, KeyNotFound, KeyNotActive, KeyNotKept."""
        if not await self._settings.is_on(work, REVEAL):
            raise RevealDisabled
        if work.caller.fresh_until < work.now.timestamp():
            raise ProofNeeded
        row = await KeyStore(work).get(key_id)
        if row.revoked_at is not None:
            raise KeyNotActive
        if row.sealed is None:
            raise KeyNotKept
        plain = await self._vault.open(work, _place(row), row.sealed)
        work.announce(KeyRevealed(row.id, await _code(work, row)))
        return plain.reveal()

    async def _issue(self, work: Work, server_id: str, code: str, fields: dict[str, Any]) -> tuple[KeyRow, str]:
        check_times(fields.get("not_before"), fields.get("expires_at"), work.now)
        if await KeyStore(work).count_of(server_id) >= MAX_KEYS:
            raise TooManyKeys
        plain, record = issue(code, fields["name"], self._pepper, now=work.now.timestamp())
        row = KeyRow(
            **fields,
            id=record.id,
            organization_id=work.organization_id,
            server_id=server_id,
            digest=record.digest,
            pepper_version=record.pepper_version,
            last4=record.last4,
            created_by=work.caller.id,
        )
        if await self._settings.is_on(work, REVEAL):
            row.sealed = await self._vault.seal(work, _place(row), Secret(plain))
        return await KeyStore(work).add(row), plain


async def find(work: Work, key_id: str) -> KeyRow:
    """The key with that id. Raises KeyNotFound."""
    return await KeyStore(work).get(key_id)


async def change(work: Work, key_id: str, wanted: KeyChange, if_match: str | None = None) -> KeyRow:
    """Change some fields. Raises KeyNotFound, KeyNotActive, VersionOutdated, Invalid."""
    row = await KeyStore(work).get(key_id)
    check_match(row, if_match)
    fields = wanted.model_dump(exclude_unset=True, exclude={"rate"})
    if "rate" in wanted.model_fields_set:
        fields["rate"] = wanted.rate.stored() if wanted.rate else None
    return await put(work, row, stored(fields))


async def put(work: Work, row: KeyRow, fields: dict[str, Any]) -> KeyRow:
    """Give a row these fields; what changes nothing is no change."""
    if row.revoked_at is not None:
        raise KeyNotActive
    different = {name: value for name, value in fields.items() if getattr(row, name) != value}
    if not different:
        return row
    if "not_before" in different or "expires_at" in different:
        expires_at = different.get("expires_at", row.expires_at)
        check_times(different.get("not_before", row.not_before), expires_at, work.now)
    for name, value in different.items():
        setattr(row, name, value)
    await KeyStore(work).changed(row)
    work.announce(KeyChanged(row.id, await _code(work, row), sorted(different)))
    return row


async def revoke(work: Work, key_id: str) -> KeyRow:
    """Let a key open nothing any more, for good. Revoking it again changes nothing. Raises KeyNotFound."""
    row = await KeyStore(work).get(key_id)
    if row.revoked_at is None:
        row.revoked_at, row.disabled, row.sealed = work.now, True, None
        await KeyStore(work).changed(row)
        work.announce(KeyRevoked(row.id, await _code(work, row)))
    return row


async def remove(work: Work, key_id: str, if_match: str | None = None) -> None:
    """Revoke a key and forget it. Raises KeyNotFound, VersionOutdated."""
    row = await KeyStore(work).get(key_id)
    check_match(row, if_match)
    code = await _code(work, row)
    await KeyStore(work).remove(row)
    work.announce(KeyRemoved(key_id, code))


def stored(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of the API as they are kept in a row."""
    kept = dict(fields)
    if "rate" in kept:
        kept["per_minute"] = kept.pop("rate")
    if "enabled" in kept:
        kept["disabled"] = not kept.pop("enabled")
    return kept


def check_times(not_before: dt.datetime | None, expires_at: dt.datetime | None, now: dt.datetime) -> None:
    """Raises Invalid for a key that could never be used."""
    if expires_at is not None and expires_at <= now:
        raise Invalid("the time at which the key expires is over")
    if expires_at is not None and not_before is not None and expires_at <= not_before:
        raise Invalid("the key would expire before it can be used")


async def _check_owner(work: Work, user_id: str | None) -> None:
    if user_id is None:
        return
    if user_id != work.caller.id and not work.caller.may("users.write"):
        raise Forbidden("a key of somebody else needs the permission users.write", permission="users.write")
    if not await KeyStore(work).is_member(user_id):
        raise KeyOwnerUnknown


async def _code(work: Work, row: KeyRow) -> str:
    return (await KeyStore(work).codes([row]))[row.server_id]


def _place(row: KeyRow) -> Place:
    return Place("keys", row.id, row.organization_id, "sealed")
