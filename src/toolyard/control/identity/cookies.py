"""The console's cookie, and whether a request was made by our own pages."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from fastapi import Request, Response

from toolyard.control.identity.login_secrets import Proof, csrf_token, read_cookie

SECURE_NAME = "__Host-toolyard"
PLAIN_NAME = "toolyard"
CSRF_HEADER = "toolyard-csrf"
SCHEME_HEADER = "toolyard-client-scheme"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def proof_of(request: Request) -> Proof | None:
    """The proof that a browser sent by itself."""
    text = request.cookies.get(_name(request))
    return read_cookie(text) if text else None


def put(request: Request, response: Response, proof: Proof, max_age_s: int) -> None:
    """Have the browser keep the proof of a login."""
    response.set_cookie(
        _name(request), proof.cookie(), max_age=max_age_s, path="/", secure=_is_secure(request), httponly=True,
        samesite="lax",
    )  # fmt: skip


def take_away(request: Request, response: Response) -> None:
    """Have the browser forget it."""
    response.delete_cookie(_name(request), path="/", secure=_is_secure(request), httponly=True, samesite="lax")


def is_ours(request: Request) -> bool:
    """Whether a change that came with a cookie was made by our own pages: the browser says that it comes from there,
    and it has the login's token against forged requests."""
    proof = proof_of(request)
    given = request.headers.get(CSRF_HEADER, "")
    if proof is None or not hmac.compare_digest(given.encode(), csrf_token(proof).encode()):
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc == request.headers.get("host")


def _name(request: Request) -> str:
    return SECURE_NAME if _is_secure(request) else PLAIN_NAME


def _is_secure(request: Request) -> bool:
    """Everywhere but on plain HTTP of this machine, where some browsers keep no secure cookies."""
    scheme = request.headers.get(SCHEME_HEADER) or request.url.scheme
    return scheme == "https" or request.url.hostname not in _LOOPBACK
