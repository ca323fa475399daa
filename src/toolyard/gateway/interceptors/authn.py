"""Who is calling, from the head alone. There is no anonymous principal: absence is an error.

Before a key is verified there is one uniform 401. A valid key on another server's URL gets the same 404 as a code that
does not exist. A wrong key never falls through to open access.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolyard.contract.catalog import Catalog
from toolyard.contract.snapshot import KeyRecord, RateLimit, Snapshot
from toolyard.gateway.call import Head, Principal
from toolyard.gateway.errors import RateLimited, ServerUnknown, Unauthenticated
from toolyard.gateway.interceptors.rate_limit import Bucket
from toolyard.kit.clock import Clock
from toolyard.policy.authorize import EVERYTHING, Allow, Deny, authorize
from toolyard.policy.keys import Refused, refusal, verify
from toolyard.policy.networks import is_within

OPERATOR = Principal("operator", "operator")
WRONG_KEYS = RateLimit(per_minute=600.0, burst=50.0)
MAX_PREFIXES = 10_000
MAX_VERIFIED = 10_000
MAX_CREDENTIAL_CHARS = 4096

OnRefusal = Callable[[Head, str], None]


@dataclass(frozen=True, slots=True)
class _Admission:
    """Who a head's sender is: for as long as the snapshot is this one, and `until` (seconds since 1970)."""

    snapshot: Snapshot
    principal: Principal
    until: float


class Authenticator:
    """Finds the principal of a head. `peppers` are the versions of the secret under which keys are kept."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        peppers: Callable[[], Mapping[int, bytes]],
        clock: Clock,
        on_refusal: OnRefusal,
    ) -> None:
        self._catalog = catalog
        self._peppers = peppers
        self._clock = clock
        self._on_refusal = on_refusal
        self._wrong: dict[str, Bucket] = {}
        self._verified: dict[bytes, tuple[KeyRecord, Principal]] = {}
        self._digest_key = secrets.token_bytes(32)
        self._used: set[str | None] = set()

    def __call__(self, head: Head) -> Principal:
        """The caller. Raises Unauthenticated, ServerUnknown, RateLimited (after many wrong keys from one network)."""
        snapshot, noted = self._catalog().snapshot, head.notes.admission
        if (
            noted is not None
            and noted.snapshot is snapshot
            and (noted.until == math.inf or self._clock.wall() < noted.until)
        ):
            admitted: Principal = noted.principal
            self._used.add(admitted.key_id)
            return admitted
        principal = OPERATOR if head.operator else self._from_credential(head)
        server = snapshot.servers.get(head.server_code)
        if server is None or isinstance(authorize(principal, "use", server), Deny):
            if principal.server not in (None, head.server_code):
                self._on_refusal(head, "foreign_server")
            raise ServerUnknown
        head.notes.admission = _Admission(snapshot, principal, _valid_until(snapshot, principal))
        self._used.add(principal.key_id)
        return principal

    def take_used_keys(self) -> set[str]:
        """The ids of the keys that were used since this was asked last."""
        used, self._used = self._used, set()
        return {key_id for key_id in used if key_id is not None}

    def is_valid(self, principal: Principal) -> bool:
        """Whether a principal that was let in would be let in now."""
        snapshot = self._catalog().snapshot
        if principal.kind == "open":
            server = snapshot.servers.get(principal.server or "")
            return server is not None and server.access == "open"
        if principal.kind == "user":
            return principal.id.partition(":")[2] not in snapshot.revoked
        if principal.kind != "key":
            return True
        record = snapshot.keys.get(principal.key_id or "")
        return (
            record is not None and refusal(record, self._clock.wall()) is None and record.networks == principal.networks
        )

    def is_unchanged(self, principal: Principal) -> bool:
        """Whether a principal that was let in would be let in now, to do the same."""
        return self.is_valid(principal) and self.renewed(principal) == principal

    def renewed(self, principal: Principal) -> Principal:
        """What a principal that was let in may do now, which may be more or less than before."""
        record = self._catalog().snapshot.keys.get(principal.key_id or "")
        return principal if record is None else _principal(record)

    def _from_credential(self, head: Head) -> Principal:
        snapshot = self._catalog().snapshot
        credential = bearer(head)
        if credential is None:
            server = snapshot.servers.get(head.server_code)
            if server is not None and server.access == "open":
                return Principal(f"open:{server.code}", "open", server.code, organization=server.organization)
            raise Unauthenticated
        return self.of_key(head, credential)

    def of_key(self, head: Head, credential: str) -> Principal:
        """The principal of an API key, whichever server it belongs to. Raises Unauthenticated, RateLimited."""
        snapshot = self._catalog().snapshot
        if not credential.isascii():
            raise self.refused(head, "malformed")
        now = self._clock.wall()
        digest = hashlib.blake2b(credential.encode("ascii"), digest_size=16, key=self._digest_key).digest()
        known = self._verified.get(digest)
        if known is not None:
            record, principal = known
            if snapshot.keys.get(record.id) is record and refusal(record, now) is None and _may_come(record, head):
                return principal
        found = verify(credential, snapshot.keys, self._peppers(), now)
        if isinstance(found, Refused):
            self._verified.pop(digest, None)
            raise self.refused(head, found.reason)
        if not _may_come(found, head):
            raise self.refused(head, "foreign_network")
        return self._remember(digest, found)

    def _remember(self, digest: bytes, record: KeyRecord) -> Principal:
        """Keep a key that proved right, so that its HMAC is not worked out for every call. A record that changed in any
        way is another object and is verified anew; whether a key is expired or disabled is asked every time."""
        if len(self._verified) >= MAX_VERIFIED:
            self._verified.clear()
        principal = _principal(record)
        self._verified[digest] = (record, principal)
        return principal

    def refused(self, head: Head, reason: str) -> Unauthenticated | RateLimited:
        """What a wrong credential is answered with. It is counted against its network, so that guessing is slow and
        everybody else's calls go on."""
        self._on_refusal(head, reason)
        prefix = _prefix(head.client)
        now = self._clock.monotonic()
        bucket = self._wrong.get(prefix)
        if bucket is None:
            if len(self._wrong) >= MAX_PREFIXES:
                self._wrong.clear()
            bucket = self._wrong[prefix] = Bucket(WRONG_KEYS.burst, now)
        wait_s = bucket.take(WRONG_KEYS, now)
        return RateLimited(wait_s) if wait_s > 0 else Unauthenticated()


def bearer(head: Head) -> str | None:
    """The credential that a head shows; None if it shows none. Raises Unauthenticated for one that is no bearer's."""
    text = head.headers.get("authorization")
    if text is None:
        return None
    scheme, _, credential = text.partition(" ")
    if scheme.lower() != "bearer" or "authorization" in head.repeated or len(credential) > MAX_CREDENTIAL_CHARS:
        raise Unauthenticated
    return credential


def _principal(record: KeyRecord) -> Principal:
    grant = Allow(frozenset(record.scopes), record.tools) if record.scopes or record.tools else EVERYTHING
    return Principal(
        f"key:{record.id}", "key", record.server, record.id, record.organization, grant,
        record.per_minute, record.networks,
    )  # fmt: skip


def _may_come(record: KeyRecord, head: Head) -> bool:
    return not record.networks or is_within(record.networks, head.client)


def _valid_until(snapshot: Snapshot, principal: Principal) -> float:
    record = snapshot.keys.get(principal.key_id or "")
    ends = () if record is None else (record.expires_at, record.retires_at)
    return min((end for end in ends if end is not None), default=math.inf)


def _prefix(client: str) -> str:
    """The network an address belongs to: /24, or /56 for IPv6."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client[:64]
    bits = 24 if address.version == 4 else 56
    return str(ipaddress.ip_network((address, bits), strict=False))
