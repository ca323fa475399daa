"""Access tokens of people and service accounts: JWTs signed with Ed25519 by the control plane, verified by whoever has
the public keys. Pure: no files, no clock of its own.

Only what is signed here is accepted: the header is exactly `alg` EdDSA, `typ` JWT and `kid` of a known key, so there is
no algorithm to choose and no key to be fetched or brought along (RFC 8725 §3.1).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ISSUER: Final = "toolyard"
AUDIENCE: Final = "toolyard"
MAX_BYTES: Final = 4096
SKEW_S: Final = 60
PLATFORM_ADMIN: Final = "platform_admin"
"""What stands among the roles of platform administrators; no role of an organization can be called that."""

TokenReason = Literal["malformed", "unknown_key", "wrong_signature", "not_ours", "expired", "not_yet_valid"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. `sub` is the user; `org` the organization it is for; `login` names the login (or the secret of
    a service account) that it belongs to, and is what revocation names; `may` are the permissions that count at a
    gateway, where own roles are not known; `per_minute` is how many calls the tier allows."""

    sub: str
    org: str
    login: str
    iat: int
    exp: int
    jti: str
    roles: tuple[str, ...] = ()
    tier: str | None = None
    may: tuple[str, ...] = ()
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """Why a token is not accepted; for the log, never for the caller."""

    reason: TokenReason


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A key that signs, and the id under which its public half is known."""

    kid: str
    private: Ed25519PrivateKey

    def public(self) -> str:
        """The public half, as `verify` takes it."""
        return base64.b64encode(self.private.public_key().public_bytes_raw()).decode()

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r}, private=****)"


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    alg: str
    kid: str
    typ: str


class _Body(msgspec.Struct):
    iss: str
    aud: str | list[str]
    sub: str
    org: str
    login: str
    iat: int
    exp: int
    jti: str
    roles: tuple[str, ...] = ()
    tier: str | None = None
    may: tuple[str, ...] = ()
    per_minute: int | None = None


_HEAD = msgspec.json.Decoder(_Head)
_BODY = msgspec.json.Decoder(_Body)


def sign(claims: Claims, key: SigningKey) -> str:
    """A token that says this."""
    head = {"alg": "EdDSA", "kid": key.kid, "typ": "JWT"}
    signed = f"{_encode(msgspec.json.encode(head))}.{_encode(msgspec.json.encode(_body(claims)))}"
    return f"{signed}.{_encode(key.private.sign(signed.encode()))}"


def verify(token: str, keys: Mapping[str, str], now: float) -> Claims | TokenRefused:
    """What a token says, if one of `keys` (public keys in base64, by their ids) signed it and it is valid at `now`
    (seconds since 1970), or why it is refused. Clocks may differ by a minute."""
    parts = _parts(token)
    if parts is None:
        return TokenRefused("malformed")
    signed, head, body, signature = parts
    key = keys.get(head.kid)
    if key is None:
        return TokenRefused("unknown_key")
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return TokenRefused("wrong_signature")
    return _judged(body, now)


def _judged(body: bytes, now: float) -> Claims | TokenRefused:
    try:
        said = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return TokenRefused("malformed")
    if said.iss != ISSUER or AUDIENCE not in ([said.aud] if isinstance(said.aud, str) else said.aud):
        return TokenRefused("not_ours")
    if said.exp <= 0 or now >= said.exp + SKEW_S:
        return TokenRefused("expired")
    if said.iat > now + SKEW_S:
        return TokenRefused("not_yet_valid")
    return Claims(
        said.sub, said.org, said.login, said.iat, said.exp, said.jti,
        said.roles, said.tier, said.may, said.per_minute,
    )  # fmt: skip


def _body(claims: Claims) -> _Body:
    return _Body(
        ISSUER, AUDIENCE, claims.sub, claims.org, claims.login, claims.iat, claims.exp, claims.jti,
        claims.roles, claims.tier, claims.may, claims.per_minute,
    )  # fmt: skip


def _parts(token: str) -> tuple[bytes, _Head, bytes, bytes] | None:
    if len(token) > MAX_BYTES or token.count(".") != 2 or not token.isascii():
        return None
    head, body, signature = token.split(".")
    try:
        decoded = _HEAD.decode(_decode(head))
        parts = (f"{head}.{body}".encode(), decoded, _decode(body), _decode(signature))
    except (msgspec.DecodeError, binascii.Error, ValueError):
        return None
    return parts if decoded.alg == "EdDSA" and decoded.typ == "JWT" else None


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Strictly: one content has one text. Raises ValueError."""
    content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _encode(content) != text:
        raise ValueError("not base64url as it should be")
    return content
