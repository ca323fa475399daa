"""Finds out who asks: by an access token, by the console's cookie, or by the socket that the request came through.

What was found out holds for a second at most, and no longer than until this process hears that somebody's standing
has changed. A request with an `Authorization` header is judged by that alone.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from toolyard.control.base.caller import NOBODY, Caller, the_system
from toolyard.control.base.declaration import Declared
from toolyard.control.base.errors import DatabaseBusy, DatabaseUnavailable, NotLoggedIn, StorageFull
from toolyard.control.base.facts import Fact
from toolyard.control.base.gate import CLIENT_ADDRESS
from toolyard.control.base.work import Work
from toolyard.control.identity import cookies
from toolyard.control.identity.entrance import EVERYWHERE, Entrance, is_live
from toolyard.control.identity.errors import NoOrganization
from toolyard.control.identity.events import StandingChanged
from toolyard.control.identity.login_secrets import fits
from toolyard.control.identity.model import DEFAULT_ORGANIZATION, LoginRow, ServiceSecretRow, UserRow
from toolyard.control.identity.standing import Standing, chosen_organization, standing_in
from toolyard.control.identity.store import Logins, Organizations, secret_and_owner
from toolyard.policy.permissions import ALL
from toolyard.policy.tokens import Claims, verify

ORGANIZATION_HEADER: Final = "toolyard-organization"
OPERATOR_HEADER: Final = "toolyard-operator"
KNOWN_S: Final = 1.0
MAX_KNOWN: Final = 10_000
NOTED_EACH_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found out about a login or a secret in an organization, and when."""

    at: float
    user: UserRow
    login: LoginRow | None
    secret: ServiceSecretRow | None
    standing: Standing


class Authenticator:
    """The gate's `Authenticates`."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._works = entrance.works
        self._clock = entrance.works.clock
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._works.listen(self.hear)

    def hear(self, facts: Iterable[Fact]) -> None:
        """Forget everything, if somebody's standing has changed."""
        if any(isinstance(fact, StandingChanged) for fact in facts):
            self._known.clear()

    async def caller(self, request: Request, declared: Declared) -> Caller:
        """Raises NotLoggedIn, NoOrganization."""
        if declared.auth == "open":
            return NOBODY
        if declared.auth == "gateway":
            return the_system("") if is_local(request) else NOBODY
        if is_local(request) and request.headers.get(OPERATOR_HEADER) == "1":
            return await self._operator(request)
        if declared.auth == "operator":
            return NOBODY
        if "authorization" in request.headers:
            return await self._by_token(request)
        return await self._by_cookie(request)

    def csrf_holds(self, request: Request, caller: Caller) -> bool:
        """Whether our own pages made a request whose proof came by cookie."""
        return cookies.is_ours(request)

    async def _operator(self, request: Request) -> Caller:
        wanted = request.headers.get(ORGANIZATION_HEADER)
        organization_id = DEFAULT_ORGANIZATION
        if wanted:
            async with self._works.read(EVERYWHERE) as work:
                found = await Organizations(work).named(wanted)
            if found is None:
                raise NoOrganization
            organization_id = found.id
        return Caller("operator", "operator", organization_id, ALL, platform=True, name="operator")

    async def _by_token(self, request: Request) -> Caller:
        given = request.headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ")
        now = self._clock.wall()
        claims = verify(token, self._entrance.signing.verify_keys(), now) if scheme.lower() == "bearer" else None
        if len(given) != 1 or not isinstance(claims, Claims):
            raise NotLoggedIn
        source, _, epoch = claims.login.rpartition(".")
        known = await self._find(source, request.headers.get(ORGANIZATION_HEADER) or claims.org)
        row = known.login or known.secret
        if row is None or str(row.epoch) != epoch or known.user.id != claims.sub or _is_void(known.user, claims):
            raise NotLoggedIn
        return await self._let_in(known, by_cookie=False)

    async def _by_cookie(self, request: Request) -> Caller:
        proof = cookies.proof_of(request)
        if proof is None:
            raise NotLoggedIn
        known = await self._find(proof.login_id, request.headers.get(ORGANIZATION_HEADER) or "")
        if known.login is None or not known.login.by_cookie or not fits(proof.secret, known.login.digest):
            raise NotLoggedIn
        return await self._let_in(known, by_cookie=True)

    async def _find(self, source: str, organization: str) -> _Known:
        now = self._clock.monotonic()
        known = self._known.get((source, organization))
        if known is not None and now - known.at < KNOWN_S:
            return known
        async with self._works.read(EVERYWHERE) as work:
            known = await self._looked_up(work, source, organization)
        self._known[source, organization] = known
        self._known.move_to_end((source, organization))
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return known

    async def _looked_up(self, work: Work, source: str, organization: str) -> _Known:
        login, secret, user = await _source(work, source)
        if not user.enabled:
            raise NotLoggedIn
        if secret is not None:
            place = await Organizations(work).get(secret.organization_id)
            if organization not in (place.id, place.slug):
                raise NoOrganization
        else:
            assert login is not None
            place = await chosen_organization(work, user, organization or login.organization)
        standing = await standing_in(work, self._entrance.access, user, place)
        if standing is None:
            raise NotLoggedIn
        return _Known(self._clock.monotonic(), user, login, secret, standing)

    async def _let_in(self, known: _Known, *, by_cookie: bool) -> Caller:
        now = dt.datetime.fromtimestamp(self._clock.wall(), dt.UTC)
        login, standing = known.login, known.standing
        if login is not None:
            if not is_live(login, now, self._entrance.rules.idle_s):
                raise NotLoggedIn
            if (now - login.used_at).total_seconds() > NOTED_EACH_S:
                await self._note_use(login)
        elif known.secret is not None and known.secret.expires_at is not None and now >= known.secret.expires_at:
            raise NotLoggedIn
        return Caller(
            id=known.user.id,
            kind="service" if known.user.service_of else "user",
            organization_id=standing.organization_id,
            permissions=standing.permissions,
            platform=standing.platform,
            name=known.user.username,
            login_id=login.id if login else None,
            fresh_until=login.fresh_until.timestamp() if login else 0.0,
            by_cookie=by_cookie,
            grants=standing.grants,
        )

    async def _note_use(self, login: LoginRow) -> None:
        try:
            async with self._works.write(EVERYWHERE) as work:
                await Logins(work).touch(login.id)
        except (DatabaseBusy, DatabaseUnavailable, StorageFull):
            return  # whoever only reads shall not fail because nothing can be written
        login.used_at = dt.datetime.fromtimestamp(self._clock.wall(), dt.UTC)


def is_local(request: Request) -> bool:
    """Whether a request came through the Unix socket from this machine's operator or gateway itself: such a connection
    has no address and its end here no port, and the gateway says of each request that it relays where it came from. (A
    TCP connection that was reset has no address either.)"""
    here = request.scope.get("server")
    by_socket = request.client is None and here is not None and here[1] is None
    return by_socket and CLIENT_ADDRESS not in request.headers


async def _source(work: Work, source: str) -> tuple[LoginRow | None, ServiceSecretRow | None, UserRow]:
    if source.startswith("lo_"):
        login = await Logins(work).find(source)
        if login is not None:
            return login[0], None, login[1]
    else:
        secret = await secret_and_owner(work, source)
        if secret is not None:
            return None, secret[0], secret[1]
    raise NotLoggedIn


def _is_void(user: UserRow, claims: Claims) -> bool:
    return user.tokens_after is not None and claims.iat < int(user.tokens_after.timestamp())
