"""Ending logins, and voiding access tokens before their time.

An access token names the login it belongs to, and the login's epoch. To void the tokens, the epoch grows and the old
name is published until the last of them has expired: gateways refuse it, and here it is another epoch than the login's.
A client with a refresh token gets a new one, which says what holds now.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from toolyard.control.base.work import Work
from toolyard.control.identity.events import LoginEnded, TokensRevoked
from toolyard.control.identity.model import LoginRow, ServiceSecretRow
from toolyard.control.identity.signing import MAX_TOKEN_S
from toolyard.control.identity.store import Logins, Revocations, secrets_of
from toolyard.policy.tokens import SKEW_S

KEPT = dt.timedelta(seconds=MAX_TOKEN_S + SKEW_S + 5)
_AT_ONCE = 1000


async def void_tokens(work: Work, *user_ids: str) -> None:
    """No access token of these users holds any longer; their logins and secrets do."""
    for start in range(0, len(user_ids), _AT_ONCE):
        some = user_ids[start : start + _AT_ONCE]
        logins, secrets = await Logins(work).live(*some, locked=True), await secrets_of(work, *some)
        sources: list[LoginRow | ServiceSecretRow] = [*logins, *secrets]
        await void_handles(work, [one.handle for one in sources])
        for one in sources:
            one.epoch += 1
    for user_id in user_ids:
        work.announce(TokensRevoked(user_id))


async def end_login(work: Work, login: LoginRow, because: str) -> None:
    """This login is over, and its access tokens are void."""
    if login.ended_at is not None:
        return
    login.ended_at, login.ended_because = work.now, because
    await void_handles(work, [login.handle])
    work.announce(LoginEnded(login.id, login.user_id, because))


async def end_logins(work: Work, user_id: str, because: str, *, but: str | None = None) -> int:
    """All logins of a user are over, except one; how many that were."""
    ending = [login for login in await Logins(work).live(user_id, locked=True) if login.id != but]
    for login in ending:
        await end_login(work, login, because)
    return len(ending)


async def revoked_ids(work: Work) -> frozenset[str]:
    """What access tokens that have not expired may call themselves (their claim `login`) and still be void. For
    gateways, who cannot look it up."""
    return frozenset(await Revocations(work).every())


async def void_handles(work: Work, handles: Sequence[str]) -> None:
    """Access tokens that call themselves this are void."""
    await Revocations(work).add(handles, kept=KEPT)
