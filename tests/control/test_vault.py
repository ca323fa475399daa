"""Secrets in the database: sealed with each organization's data key, which is wrapped with the vault key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import delete, select
from sqlalchemy.engine import URL

from toolyard.control.base.caller import Caller, the_system
from toolyard.control.base.database import Database
from toolyard.control.base.vault import Vault, kept_check
from toolyard.control.base.vault_tables import DataKeyRow
from toolyard.control.base.work import Works
from toolyard.control.identity.model import OrganizationRow
from toolyard.kit.clock import ManualClock
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyEncryptionKeyWrong, KeyRing
from toolyard.kit.sealing import Place, SealBroken
from toolyard.kit.secret import Secret

PLATFORM = Caller("system", "system", "", platform=True)
OLD, NEW = KeyEncryptionKey(b"o" * 32), KeyEncryptionKey(b"n" * 32)
VALUE = Secret("SEKRET")


def place(organization: str = "default", row: str = "cr_1") -> Place:
    return Place("credentials", row, organization, "value")


@asynccontextmanager
async def works_on(url: URL) -> AsyncIterator[Works]:
    """Work on a database with two organizations; every piece of it a second later than the one before."""
    database, clock = Database(url), ManualClock()
    works = Works(database, clock)
    try:
        async with works.write(the_system("default")) as work:
            other = OrganizationRow(id="or_acme", slug="acme", name="Acme")
            other.created_at = other.updated_at = work.now
            work.session.add(other)
        clock.advance(1)
        yield works
    finally:
        await database.aclose()


def tried(url: URL, test: Callable[[Works], Awaitable[None]]) -> None:
    async def run() -> None:
        async with works_on(url) as works:
            await test(works)

    asyncio.run(run())


async def sealed(works: Works, vault: Vault, where: Place) -> str:
    async with works.write(PLATFORM) as work:
        text = await vault.seal(work, where, VALUE)
    assert isinstance(works.clock, ManualClock)
    works.clock.advance(1)
    return text


def test_a_secret_opens_where_it_was_sealed_and_nowhere_else(url: URL) -> None:
    async def test(works: Works) -> None:
        vault = Vault(KeyRing([OLD]))
        text = await sealed(works, vault, place())
        await sealed(works, vault, place("or_acme"))
        async with works.read(PLATFORM) as work:
            assert await vault.open(work, place(), text) == VALUE
            assert await Vault(KeyRing([OLD])).open(work, place(), text) == VALUE
            for elsewhere in (place("or_acme"), place(row="cr_2")):
                with pytest.raises(SealBroken):
                    await vault.open(work, elsewhere, text)

    tried(url, test)


def test_a_data_key_that_was_never_written_seals_nothing(url: URL) -> None:
    async def test(works: Works) -> None:
        vault = Vault(KeyRing([OLD]))

        async def seal_and_fail() -> None:
            async with works.write(PLATFORM) as work:
                await vault.seal(work, place(), VALUE)
                await vault.seal(work, place(row="cr_2"), VALUE)
                raise LookupError

        with pytest.raises(LookupError):
            await seal_and_fail()
        text = await sealed(works, vault, place())
        async with works.read(PLATFORM) as work:
            assert await Vault(KeyRing([OLD])).open(work, place(), text) == VALUE

    tried(url, test)


def test_first_secrets_at_the_same_time_share_one_data_key(url: URL) -> None:
    async def test(works: Works) -> None:
        vaults = [Vault(KeyRing([OLD])) for _ in range(6)]
        wanted = [place(organization, f"cr_{n}") for n, organization in enumerate(["default", "or_acme"] * 3)]
        texts = await asyncio.gather(*(sealed(works, v, p) for v, p in zip(vaults, wanted, strict=True)))
        async with works.read(PLATFORM) as work:
            fresh = Vault(KeyRing([OLD]))
            for where, text in zip(wanted, texts, strict=True):
                assert await fresh.open(work, where, text) == VALUE
            assert len(list(await work.session.scalars(select(DataKeyRow)))) == 2

    tried(url, test)


def test_a_new_vault_key_takes_over_without_sealing_anything_anew(url: URL) -> None:
    async def test(works: Works) -> None:
        text = await sealed(works, Vault(KeyRing([OLD])), place())
        async with works.write(PLATFORM) as work:
            assert await Vault(KeyRing([NEW, OLD])).rewrap(work) == 1
        async with works.write(PLATFORM) as work:
            assert await Vault(KeyRing([NEW, OLD])).rewrap(work) == 0
        async with works.read(PLATFORM) as work:
            assert await Vault(KeyRing([NEW])).open(work, place(), text) == VALUE
            check = await kept_check(work)
            assert check is not None
            KeyRing([NEW]).verify(check)
            with pytest.raises(KeyEncryptionKeyWrong):
                await Vault(KeyRing([OLD])).open(work, place(), text)

    tried(url, test)


def test_a_wrong_vault_key_is_known_before_anything_is_sealed_with_it(url: URL) -> None:
    async def test(works: Works) -> None:
        async with works.read(PLATFORM) as work:
            assert await kept_check(work) is None
        await sealed(works, Vault(KeyRing([OLD])), place())
        async with works.read(PLATFORM) as work:
            check = await kept_check(work)
        assert check is not None
        with pytest.raises(KeyEncryptionKeyWrong):
            KeyRing([NEW]).verify(check)

    tried(url, test)


def test_without_its_data_key_nothing_of_an_organization_opens(url: URL) -> None:
    async def test(works: Works) -> None:
        text = await sealed(works, Vault(KeyRing([OLD])), place("or_acme"))
        async with works.write(PLATFORM) as work:
            await work.session.execute(delete(OrganizationRow).where(OrganizationRow.id == "or_acme"))
        async with works.read(PLATFORM) as work:
            with pytest.raises(SealBroken, match="gone"):
                await Vault(KeyRing([OLD])).open(work, place("or_acme"), text)

    tried(url, test)
