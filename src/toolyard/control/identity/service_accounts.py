"""Service accounts: programs of one organization, with secrets instead of a password."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from toolyard.control.base.errors import Invalid
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.identity.access_port import Access
from toolyard.control.identity.entrance import peppered
from toolyard.control.identity.errors import TooManySecrets, UserUnknown
from toolyard.control.identity.events import SecretCreated, SecretRemoved
from toolyard.control.identity.model import ServiceSecretRow, UserRow
from toolyard.control.identity.people import create as create_person
from toolyard.control.identity.people import person
from toolyard.control.identity.revocation import void_handles
from toolyard.control.identity.schema import NewSecret, NewServiceAccount
from toolyard.control.identity.store import Organizations, Person, Secrets
from toolyard.kit.secret import Secret
from toolyard.policy.peppers import newest

MAX_SECRETS = 10


async def service_account(work: Work, user_id: str) -> Person:
    """A service account of the organization. Raises UserUnknown."""
    one = await person(work, user_id)
    if one.user.service_of is None:
        raise UserUnknown
    return one


async def create(work: Work, access: Access, given: NewServiceAccount) -> Person:
    """A new service account; its name is the organization's own. Raises UsernameTaken, RoleUnknown, TierUnknown,
    MoreThanOwn."""
    here = await Organizations(work).get(work.organization_id)
    user = UserRow(username=f"{here.slug}/{given.name}", full_name=given.description, service_of=here.id)
    return await create_person(work, access, user, given.roles, given.tier)


async def secrets_of(work: Work, account: Person) -> list[ServiceSecretRow]:
    """The secrets of a service account, the oldest first."""
    return await Secrets(work).every(ServiceSecretRow.user_id == account.user.id)


async def create_secret(
    work: Work, peppers: Mapping[int, bytes], account: Person, given: NewSecret
) -> tuple[ServiceSecretRow, Secret]:
    """A new secret, to be shown once. Raises TooManySecrets, Invalid."""
    if given.expires_at is not None and (given.expires_at.tzinfo is None or given.expires_at <= work.now):
        raise Invalid("expires_at is a moment to come, with a time zone")
    if len(await secrets_of(work, account)) >= MAX_SECRETS:
        raise TooManySecrets
    secret, pepper = Secret(f"tys_{secrets.token_urlsafe(32)}"), newest(peppers)
    row = ServiceSecretRow(
        id=new_id("se"), user_id=account.user.id, name=given.name, digest=peppered(secret, pepper.value),
        pepper_version=pepper.version, last4=secret.reveal()[-4:], epoch=1, expires_at=given.expires_at,
    )  # fmt: skip
    row = await Secrets(work).add(row)
    work.announce(SecretCreated(row.id, account.user.id))
    return row, secret


async def remove_secret(work: Work, account: Person, secret_id: str) -> None:
    """A secret is void, and the access tokens got with it. Raises SecretUnknown."""
    row = await Secrets(work).get(secret_id)
    if row.user_id != account.user.id:
        raise Secrets.missing
    await void_handles(work, [row.handle])
    await Secrets(work).remove(row)
    work.announce(SecretRemoved(row.id, account.user.id))
