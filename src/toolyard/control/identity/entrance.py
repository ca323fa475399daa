"""How people and service accounts get in: logging in, access tokens, refreshing, and proving a password again.

Passwords are hashed outside of transactions, since that takes long. Before one is verified, the try counts as failed,
and a name that nobody has costs the same hash as one that somebody has.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from toolyard.control.base.caller import Caller, the_system
from toolyard.control.base.errors import NotLoggedIn
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work, Works
from toolyard.control.identity.access_port import Access
from toolyard.control.identity.delays import Delays
from toolyard.control.identity.errors import NoOrganization, RefreshRefused, WrongCredentials
from toolyard.control.identity.events import LoginBegun, PasswordChanged, PasswordConfirmed
from toolyard.control.identity.login_secrets import Proof, digest, fits, fresh_proof, read_refresh_token
from toolyard.control.identity.model import LoginRow, OrganizationRow, ServiceSecretRow, UserRow
from toolyard.control.identity.revocation import end_login, end_logins
from toolyard.control.identity.signing import MAX_TOKEN_S, SigningKeys
from toolyard.control.identity.standing import Standing, chosen_organization, standing_in
from toolyard.control.identity.store import Logins, Organizations, Users, note_use, secret_and_owner
from toolyard.kit.passwords import Passwords, check_rules
from toolyard.kit.secret import Secret
from toolyard.policy.tokens import Claims, sign

EVERYWHERE = the_system("")
"""Work of the platform in all organizations: nobody is known yet."""
_NO_DIGEST = "-" * 64


@dataclass(frozen=True, slots=True)
class LoginRules:
    """How long things hold, in seconds: an access token, a login that is not used, a login, a proof of the password."""

    access_token_s: int = 600
    idle_s: int = 1800
    max_s: int = 43_200
    fresh_s: int = 300


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a request comes from: an address, and what the client calls itself."""

    address: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token, for how many seconds it holds, and what its user is where it holds."""

    text: str
    expires_in: int
    standing: Standing


@dataclass(frozen=True, slots=True)
class Entered:
    """A login that has begun or goes on: who it is, the proof of it and an access token."""

    user: UserRow
    login: LoginRow
    proof: Proof
    token: AccessToken


class Entrance:
    """The one who lets in. `peppers`: with which the secrets of service accounts are kept."""

    def __init__(
        self,
        works: Works,
        passwords: Passwords,
        signing: SigningKeys,
        peppers: Mapping[int, bytes],
        access: Access,
        rules: LoginRules,
    ) -> None:
        self.works = works
        self.passwords = passwords
        self.signing = signing
        self.peppers = peppers
        self.access = access
        self.rules = rules
        self.delays = Delays(works.clock.monotonic)

    async def log_in(
        self, name: str, password: Secret, visitor: Visitor, *, organization: str | None, by_cookie: bool
    ) -> Entered:
        """Begin a login. Raises WrongCredentials, LoginDelayed, NoOrganization, PasswordsBusy."""
        user = await self._proved(name, password, visitor)
        async with self.works.write(EVERYWHERE) as work:
            user = await self._unchanged(work, user)
            place = await chosen_organization(work, user, organization)
            login, proof = await self._begun(work, user, place, visitor, by_cookie=by_cookie)
            token = await self._token(work, user, place, login.handle)
        return Entered(user, login, proof, token)

    async def refresh(self, text: str) -> Entered:
        """Go on with a login; the refresh token is used up. Raises RefreshRefused, NoOrganization."""
        given = read_refresh_token(text)
        if given is None:
            raise RefreshRefused
        async with self.works.read(EVERYWHERE) as work:
            found = await Logins(work).find(given.login_id)
        if found is None or not fits(given.secret, found[0].digest):
            raise RefreshRefused
        async with self.works.write(EVERYWHERE) as work:
            entered = await self._refreshed(work, given)
        if entered is None:
            raise RefreshRefused
        return entered

    async def another_token(self, caller: Caller, organization: str | None) -> AccessToken:
        """An access token of the caller's login, also for another of their organizations. Raises NotLoggedIn,
        NoOrganization."""
        async with self.works.read(EVERYWHERE) as work:
            found = await Logins(work).find(caller.login_id or "")
            if found is None:
                raise NotLoggedIn
            login, user = found
            place = await chosen_organization(work, user, organization or caller.organization_id)
            return await self._token(work, user, place, login.handle)

    async def service_token(self, secret_id: str, secret: Secret, visitor: Visitor) -> AccessToken:
        """An access token of a service account. Raises WrongCredentials, LoginDelayed, NoOrganization."""
        key = self.delays.begin(secret_id, visitor.address)
        async with self.works.read(EVERYWHERE) as work:
            await self._secret_proved(work, secret_id, secret)
        self.delays.forgive(key)
        async with self.works.write(EVERYWHERE) as work:
            row, user = await self._secret_proved(work, secret_id, secret)
            await note_use(work, row)
            place = await Organizations(work).get(row.organization_id)
            return await self._token(work, user, place, row.handle)

    async def prove_again(self, caller: Caller, password: Secret, visitor: Visitor) -> dt.datetime:
        """Prove the password in a login that goes on; until when that counts. Raises WrongCredentials, LoginDelayed."""
        user = await self._own_proved(caller, password, visitor)
        async with self.works.write(EVERYWHERE) as work:
            found = await Logins(work).find(caller.login_id or "")
            if found is None or found[1].id != user.id:
                raise NotLoggedIn
            found[0].fresh_until = work.now + dt.timedelta(seconds=self.rules.fresh_s)
            work.announce(PasswordConfirmed(found[0].id, user.id))
            return found[0].fresh_until

    async def change_password(self, caller: Caller, old: Secret, new: Secret, visitor: Visitor) -> None:
        """Another password for the caller; all their other logins end. Raises WrongCredentials, LoginDelayed,
        PasswordRejected."""
        user = await self._own_proved(caller, old, visitor)
        check_rules(new, user.username)
        kept = await self.passwords.hash(new)
        async with self.works.write(EVERYWHERE) as work:
            user = await self._unchanged(work, user)
            user.password, user.updated_at = kept, work.now
            await end_logins(work, user.id, "password_changed", but=caller.login_id)
            work.announce(PasswordChanged(user.id, by_owner=True))

    async def hashed(self, password: Secret, username: str) -> str:
        """What to keep of a new password. Raises PasswordRejected, PasswordsBusy."""
        check_rules(password, username)
        return await self.passwords.hash(password)

    async def _proved(self, name: str, password: Secret, visitor: Visitor) -> UserRow:
        key = self.delays.begin(name, visitor.address)
        async with self.works.read(EVERYWHERE) as work:
            user = await Users(work).named(name)
        kept = user.password if user is not None and user.enabled and user.service_of is None else None
        if not await self.passwords.verify(password, kept) or user is None:
            raise WrongCredentials
        self.delays.forgive(key)
        return user

    async def _secret_proved(self, work: Work, secret_id: str, secret: Secret) -> tuple[ServiceSecretRow, UserRow]:
        found = await secret_and_owner(work, secret_id)
        pepper = self.peppers.get(found[0].pepper_version) if found else None
        expected = found[0].digest if found and pepper else _NO_DIGEST
        right = hmac.compare_digest(peppered(secret, pepper or bytes(32)), expected)
        if found is None or not right or not _holds(*found, work.now):
            raise WrongCredentials
        return found

    async def _own_proved(self, caller: Caller, password: Secret, visitor: Visitor) -> UserRow:
        async with self.works.read(EVERYWHERE) as work:
            user = await work.session.get(UserRow, caller.id)
        if user is None:
            raise NotLoggedIn
        return await self._proved(user.username, password, visitor)

    async def _unchanged(self, work: Work, seen: UserRow) -> UserRow:
        """The account in this transaction, if its password is still the one that was proved. Nobody changes it
        meanwhile: whoever disables it finds the login that begins here, or it does not begin."""
        user = await work.session.get(UserRow, seen.id, with_for_update={"key_share": True})
        if user is None or not user.enabled or user.password != seen.password:
            raise WrongCredentials
        return user

    async def _begun(
        self, work: Work, user: UserRow, place: OrganizationRow, visitor: Visitor, *, by_cookie: bool
    ) -> tuple[LoginRow, Proof]:
        proof, now = fresh_proof(new_id("lo")), work.now
        login = LoginRow(
            id=proof.login_id, user_id=user.id, organization=place.id, digest=digest(proof.secret),
            refresh_digest=None if by_cookie else digest(proof.once), by_cookie=by_cookie, epoch=1,
            address=visitor.address[:64], agent=visitor.agent[:300], created_at=now, used_at=now,
            expires_at=now + dt.timedelta(seconds=self.rules.max_s),
            fresh_until=now + dt.timedelta(seconds=self.rules.fresh_s),
        )  # fmt: skip
        await Logins(work).add(login)
        await note_use(work, user)
        work.announce(LoginBegun(login.id, user.id), organization_id=place.id)
        return login, proof

    async def _refreshed(self, work: Work, given: Proof) -> Entered | None:
        found = await Logins(work).find(given.login_id, locked=True)
        if found is None or not fits(given.secret, found[0].digest) or found[0].by_cookie:
            return None
        login, user = found
        if not is_live(login, work.now, self.rules.idle_s) or not user.enabled:
            return None
        if not fits(given.once, login.refresh_digest):
            await end_login(work, login, "refresh_token_reused")
            return None
        proof = Proof(login.id, given.secret, secrets.token_hex(32))
        login.refresh_digest, login.used_at = digest(proof.once), work.now
        place = await chosen_organization(work, user, login.organization)
        return Entered(user, login, proof, await self._token(work, user, place, login.handle))

    async def _token(self, work: Work, user: UserRow, place: OrganizationRow, handle: str) -> AccessToken:
        standing = await standing_in(work, self.access, user, place)
        if standing is None or not user.enabled:
            raise NoOrganization
        tier = standing.tier
        limit = await self.access.per_minute(work, place.id, tier) if tier else None
        now, lasts = int(work.now.timestamp()), min(self.rules.access_token_s, MAX_TOKEN_S)
        claims = Claims(
            sub=user.id, org=place.id, login=handle, iat=now, exp=now + lasts, jti=secrets.token_hex(16),
            roles=standing.roles, tier=tier, may=standing.may_at_gateways, per_minute=limit,
        )  # fmt: skip
        return AccessToken(sign(claims, self.signing.current), lasts, standing)


def is_live(login: LoginRow, now: dt.datetime, idle_s: float) -> bool:
    """Whether a login still goes on."""
    idle = now - login.used_at > dt.timedelta(seconds=idle_s)
    return login.ended_at is None and now < login.expires_at and not idle


def peppered(secret: Secret, pepper: bytes) -> str:
    """What is kept of a service account's secret."""
    return hmac.new(pepper, secret.reveal().encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _holds(secret: ServiceSecretRow, user: UserRow, now: dt.datetime) -> bool:
    return user.enabled and (secret.expires_at is None or now < secret.expires_at)
