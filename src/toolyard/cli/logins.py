"""Logins that are kept on this machine: `logins.json` in the user's configuration directory, readable by them only."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from toolyard.kit.errors import PlatformError
from toolyard.kit.files import make_private_directory, write_atomically
from toolyard.kit.secret_files import locked, read_private
from toolyard.sdk.login import Tokens

FILE = "logins.json"
DEFAULT_PROFILE = "default"


class LoginUnknown(PlatformError):
    """There is no login of that name here."""

    code = "login_unknown"
    status = 404


class LoginsUnreadable(PlatformError):
    """The file of logins is not what `toolyard login` writes."""

    code = "logins_unreadable"


@dataclass(frozen=True, slots=True)
class KeptLogin:
    """One login: where, as whom, and its tokens."""

    url: str
    username: str
    access: str
    refresh: str | None
    ends_at: float
    organization: str | None = None

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.access, self.refresh, self.ends_at)

    def with_tokens(self, tokens: Tokens) -> KeptLogin:
        """The same login, renewed."""
        return replace(self, access=tokens.access, refresh=tokens.refresh, ends_at=tokens.ends_at)

    def __repr__(self) -> str:
        return f"KeptLogin({self.url!r}, {self.username!r})"


def directory() -> Path:
    """Where the file is."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "toolyard"


def kept_login(profile: str) -> KeptLogin | None:
    """The login of a profile. Raises SecretFileExposed, LoginsUnreadable."""
    return _read().get(profile)


def keep(profile: str, login: KeptLogin) -> Path:
    """Keep a login in the place of the profile's; where that is."""
    with _changed() as logins:
        logins[profile] = login
    return directory() / FILE


def forget(profile: str) -> KeptLogin:
    """Take a login out. Raises LoginUnknown."""
    with _changed() as logins:
        return _one(logins, profile)


def renewed(profile: str, renew: Callable[[KeptLogin], Tokens | None]) -> KeptLogin:
    """The profile's login after `renew`, which gives its tokens. Of several commands at once one renews, since a
    refresh token works once. Raises LoginUnknown, and what `renew` raises."""
    with locked(make_private_directory(directory())):
        logins = _read()
        login = _one(logins, profile)
        tokens = renew(login)
        if tokens is not None and tokens != login.tokens:
            logins[profile] = login = login.with_tokens(tokens)
            _write(logins)
        else:
            logins[profile] = login
    return login


def _one(logins: dict[str, KeptLogin], profile: str) -> KeptLogin:
    if profile not in logins:
        raise LoginUnknown(
            f"there is no login '{profile}' here; there are: {', '.join(logins) or 'none'}",
            mend="Log in: toolyard login URL --profile NAME.",
        )
    return logins.pop(profile)


@contextmanager
def _changed() -> Iterator[dict[str, KeptLogin]]:
    with locked(make_private_directory(directory())):
        logins = _read()
        yield logins
        _write(logins)


def _read() -> dict[str, KeptLogin]:
    path = directory() / FILE
    content = read_private(path)
    if content is None:
        return {}
    try:
        return {name: KeptLogin(**one) for name, one in _object(json.loads(content)).items()}
    except (ValueError, TypeError):
        raise LoginsUnreadable(f"{path} is not what `toolyard login` writes; remove it and log in again") from None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _write(logins: dict[str, KeptLogin]) -> None:
    told = {name: asdict(one) for name, one in logins.items()}
    write_atomically(directory() / FILE, json.dumps(told, indent=2).encode(), point="logins")
