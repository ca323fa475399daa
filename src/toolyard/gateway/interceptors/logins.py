"""Who is calling where people and programs call tools with a login: an access token of the control plane, verified by
the public keys in the snapshot, or an API key, which opens its own server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from toolyard.contract.catalog import Catalog
from toolyard.contract.snapshot import RateLimit
from toolyard.gateway.call import Head, Principal
from toolyard.gateway.errors import Unauthenticated
from toolyard.gateway.interceptors.authn import OPERATOR, Authenticator, bearer
from toolyard.kit.clock import Clock
from toolyard.policy.tokens import SKEW_S, Claims, TokenRefused, verify

MAX_VERIFIED: Final = 10_000
KEY_PREFIX: Final = "mcp_key_"
USER: Final = "user:"
_ID: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that proved right with these keys."""

    keys: Mapping[str, str]
    claims: Claims
    principal: Principal


class LoginAuthenticator:
    """Finds the principal of a head whose server is not known yet."""

    def __init__(self, catalog: Callable[[], Catalog], of_keys: Authenticator, clock: Clock) -> None:
        self._catalog = catalog
        self._of_keys = of_keys
        self._clock = clock
        self._verified: dict[bytes, _Verified] = {}

    def __call__(self, head: Head) -> Principal:
        """The caller. Raises Unauthenticated, RateLimited (after many wrong credentials from one network)."""
        if head.operator:
            return OPERATOR
        credential = bearer(head)
        if credential is None:
            raise Unauthenticated
        if credential.startswith(KEY_PREFIX):
            return self._of_keys.of_key(head, credential)
        return self._of_token(head, credential)

    def _of_token(self, head: Head, token: str) -> Principal:
        snapshot, now = self._catalog().snapshot, self._clock.wall()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(digest)
        if known is None or known.keys != snapshot.verify_keys or now >= known.claims.exp + SKEW_S:
            self._verified.pop(digest, None)
            found = verify(token, snapshot.verify_keys, now)
            if isinstance(found, TokenRefused):
                raise self._of_keys.refused(head, f"token_{found.reason}")
            if not _ID.fullmatch(found.sub):
                raise self._of_keys.refused(head, "token_malformed")
            known = self._remember(digest, snapshot.verify_keys, found)
        claims = known.claims
        if not snapshot.revoked.isdisjoint((claims.jti, claims.login, claims.sub)):
            raise self._of_keys.refused(head, "token_revoked")
        return known.principal

    def _remember(self, digest: bytes, keys: Mapping[str, str], claims: Claims) -> _Verified:
        if len(self._verified) >= MAX_VERIFIED:
            self._verified.clear()
        known = self._verified[digest] = _Verified(keys, claims, _person(claims))
        return known


def _person(claims: Claims) -> Principal:
    return Principal(
        f"{USER}{claims.sub}", "user", organization=claims.org, roles=claims.roles, tier=claims.tier or "",
        may=claims.may, limit=_limit(claims.per_minute),
    )  # fmt: skip


def _limit(per_minute: int | None) -> RateLimit | None:
    """What a tier allows; as much as in six seconds may come at once."""
    return None if per_minute is None else RateLimit(per_minute, max(1.0, per_minute / 10))
