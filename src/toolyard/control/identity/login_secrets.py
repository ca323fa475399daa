"""What proves a login: the cookie of the console, or a refresh token; and the token against forged requests.

A refresh token has the login's secret and a second one that is used once. Somebody who knows the first and has an old
second one has a copy: then the login ends, for the thief as for the owner.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

_COOKIE = re.compile(r"(lo_[0-9a-z]{22})\.([0-9a-f]{64})", re.ASCII)
_REFRESH = re.compile(r"tyr_([0-9a-z]{22})_([0-9a-f]{64})_([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class Proof:
    """A login's id and its secret; of a refresh token also the one that is used once."""

    login_id: str
    secret: str
    once: str = ""

    def cookie(self) -> str:
        """What the browser keeps."""
        return f"{self.login_id}.{self.secret}"

    def refresh_token(self) -> str:
        """What a client keeps."""
        return f"tyr_{self.login_id.removeprefix('lo_')}_{self.secret}_{self.once}"


def fresh_proof(login_id: str) -> Proof:
    """A new one, of 256 bits each."""
    return Proof(login_id, secrets.token_hex(32), secrets.token_hex(32))


def read_cookie(text: str) -> Proof | None:
    """The proof in a cookie, if it is one."""
    found = _COOKIE.fullmatch(text)
    return Proof(found[1], found[2]) if found else None


def read_refresh_token(text: str) -> Proof | None:
    """The proof in a refresh token, if it is one."""
    found = _REFRESH.fullmatch(text)
    return Proof(f"lo_{found[1]}", found[2], found[3]) if found else None


def digest(secret: str) -> str:
    """What is kept of a secret of 256 bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def fits(secret: str, kept: str | None) -> bool:
    """Whether `kept` is the digest of a secret."""
    return kept is not None and hmac.compare_digest(digest(secret), kept)


def csrf_token(proof: Proof) -> str:
    """What our own pages send with each change; other sites cannot know it."""
    return hmac.new(proof.secret.encode(), b"toolyard csrf", hashlib.sha256).hexdigest()
