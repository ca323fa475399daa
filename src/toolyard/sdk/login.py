"""As whom the API is asked: which tokens are held, and what to ask for when they have run out. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

EARLY_S: Final = 15.0
"""A token is renewed so long before it ends: it shall not end on the way."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gave. `ends_at` (seconds since 1970) is when the access token ends."""

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    ends_at: float = float("inf")


@dataclass(frozen=True, slots=True)
class Password:
    """Somebody who can log in. `service`: `name` is the id of a service account's secret."""

    name: str
    secret: str = field(repr=False)
    organization: str | None = None
    service: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What to ask for, to get tokens."""

    operation_id: str
    body: dict[str, Any] = field(repr=False)


class Login:
    """The tokens of one client, and how it gets others."""

    def __init__(self, tokens: Tokens | None = None, password: Password | None = None) -> None:
        self.tokens = tokens
        self._password = password

    def step(self, now: float) -> Step | None:
        """What to ask for before the next request; None if there is nothing to do, or nothing that can be done."""
        tokens = self.tokens
        if tokens is not None and now < tokens.ends_at - EARLY_S:
            return None
        if tokens is not None and tokens.refresh is not None:
            return Step("auth_refresh", {"refresh_token": tokens.refresh})
        return None if self._password is None else _first(self._password)

    def took(self, answer: dict[str, Any], now: float) -> None:
        """Hold what was answered to a step."""
        self.tokens = Tokens(answer["access_token"], answer.get("refresh_token"), now + float(answer["expires_in"]))

    def failed(self) -> bool:
        """A step was refused. Whether there is another way."""
        was_refresh = self.tokens is not None and self.tokens.refresh is not None
        self.tokens = None
        return was_refresh and self._password is not None

    def refused(self) -> bool:
        """The access token was not taken. Whether another can be got."""
        tokens = self.tokens
        if tokens is None or (tokens.refresh is None and self._password is None):
            return False
        self.tokens = Tokens(tokens.access, tokens.refresh, 0.0)
        return True


def _first(given: Password) -> Step:
    if given.service:
        return Step("auth_service_token", {"client_id": given.name, "client_secret": given.secret})
    name = {"email" if "@" in given.name else "username": given.name}
    chosen = {"organization": given.organization} if given.organization else {}
    return Step("auth_login", {**name, "password": given.secret, **chosen})
