"""The vault: secrets in the database, each sealed with its organization's data key for the place where it is kept.

A data key is made with an organization's first secret, in the transaction that writes the secret; with the organization
its row goes, and then nothing opens what was sealed with it, in no backup of the rest.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from toolyard.control.base.errors import DatabaseBusy
from toolyard.control.base.tables import new_id
from toolyard.control.base.vault_tables import DataKeyRow, VaultRow
from toolyard.control.base.work import Work
from toolyard.kit.key_encryption import KeyRing
from toolyard.kit.sealing import DataKey, Place, SealBroken, data_key_version, seal, unseal
from toolyard.kit.secret import Secret

MAX_KEPT: Final = 1000
_TRIES: Final = 4
_CHECK: Final = "check"


class Vault:
    """Seals and opens. Data keys that are durable are kept in memory."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._keys: OrderedDict[tuple[str, int], DataKey] = OrderedDict()

    async def seal(self, work: Work, place: Place, secret: Secret) -> str:
        """The text to keep at `place`, which must be in an organization. The first one makes its data key."""
        return seal(secret, place, await self._newest(work, place.organization))

    async def open(self, work: Work, place: Place, text: str) -> Secret:
        """The secret that was sealed for `place`. Raises SealBroken, KeyEncryptionKeyWrong."""
        version = data_key_version(text, place)
        key = self._keys.get((place.organization, version))
        if key is None:
            row = await _find(work, place.organization, version)
            if row is None:
                raise SealBroken(f"the data key for {place} is gone")
            key = self._read(work, row)
        return unseal(text, place, key)

    async def rewrap(self, work: Work) -> int:
        """Wrap every data key with the newest vault key; how many were not. May be interrupted and done again."""
        old = [
            row for row in (await work.session.scalars(select(DataKeyRow))) if not self._ring.is_current(row.wrapped)
        ]
        for row in old:
            row.wrapped = self._ring.wrap(self._ring.unwrap(row.wrapped, row.organization_id, row.key_version))
            row.updated_at = work.now
        await work.session.flush()
        await keep_check(work, self._ring)
        return len(old)

    async def _newest(self, work: Work, organization: str) -> DataKey:
        for _ in range(_TRIES):
            row = await _find(work, organization)
            if row is not None:
                return self._read(work, row)
            try:
                async with work.session.begin_nested():
                    return await self._make(work, organization)
            except IntegrityError:  # another transaction was first, with this data key or with the check value
                continue
        raise DatabaseBusy

    async def _make(self, work: Work, organization: str) -> DataKey:
        if await kept_check(work) is None:
            work.session.add(_check_row(work, self._ring))
        key = DataKey.make(organization)
        row = DataKeyRow(id=new_id("dk"), organization_id=organization, key_version=1, wrapped=self._ring.wrap(key))
        row.created_at = row.updated_at = work.now
        work.session.add(row)
        await work.session.flush()
        return key

    def _read(self, work: Work, row: DataKeyRow) -> DataKey:
        key = self._keys.get((row.organization_id, row.key_version))
        if key is None:
            key = self._ring.unwrap(row.wrapped, row.organization_id, row.key_version)
            # One made in this very transaction may yet be rolled back, and then nobody may seal with it.
            if row.created_at < work.now:
                self._keys[row.organization_id, row.key_version] = key
                while len(self._keys) > MAX_KEPT:
                    self._keys.popitem(last=False)
        return key


async def kept_check(work: Work) -> str | None:
    """What tells whether the right vault key is there; None while nothing was ever sealed in this database."""
    row = await work.session.get(VaultRow, _CHECK)
    return row.check_value if row is not None else None


async def keep_check(work: Work, ring: KeyRing) -> None:
    """Keep the value by which the newest of these keys is known at the next start."""
    row = await work.session.get(VaultRow, _CHECK)
    if row is None:
        work.session.add(_check_row(work, ring))
    else:
        row.check_value, row.updated_at = ring.check_value(), work.now
    await work.session.flush()


def _check_row(work: Work, ring: KeyRing) -> VaultRow:
    return VaultRow(id=_CHECK, check_value=ring.check_value(), created_at=work.now, updated_at=work.now)


async def _find(work: Work, organization: str, version: int | None = None) -> DataKeyRow | None:
    found = select(DataKeyRow).where(DataKeyRow.organization_id == organization)
    if version is not None:
        found = found.where(DataKeyRow.key_version == version)
    found = found.order_by(DataKeyRow.key_version.desc()).limit(1)
    return (await work.session.execute(found)).scalar_one_or_none()
