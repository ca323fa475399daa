"""Which management API a command asks, and as whom: one that was logged in to, or the control plane on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolyard.cli.database import CONTROL_SOCKET
from toolyard.cli.place import find_place, open_socket
from toolyard.kit.errors import PlatformError

if TYPE_CHECKING:
    from toolyard.sdk.client import Client

NEEDED = (
    "Start it with `toolyard up`, log in elsewhere with `toolyard login URL` and say --profile, or set TOOLYARD_URL "
    "and TOOLYARD_TOKEN."
)


class ControlAbsent(PlatformError):
    """No control plane is running here, and there is no login to another."""

    code = "control_absent"
    status = 503


class LoginEnded(PlatformError):
    """The login has ended."""

    code = "login_ended"
    status = 401


@dataclass(frozen=True, slots=True)
class Reach:
    """One of: the socket of a control plane, a kept login, or an address with a token."""

    socket: Path | None = None
    profile: str | None = None
    url: str | None = None
    token: str | None = None

    def connect(self, organization: str | None = None) -> Client:
        """A client of that management API. Raises LoginUnknown, LoginEnded, ApiUnreachable."""
        from toolyard.sdk.client import Client

        if self.profile is not None:
            return _by_login(self.profile, organization)
        return Client(self.url, token=self.token, socket=self.socket, organization=organization)


def find_reach(config: Path | None, profile: str | None) -> Reach | None:
    """In this order: the login that `--profile` or TOOLYARD_PROFILE names; TOOLYARD_URL with TOOLYARD_TOKEN; the
    control plane that runs on the configuration file (`--config`, or that of the current directory); without such a
    file, the login `default`. `--config` wins over the environment."""
    from toolyard.cli.logins import DEFAULT_PROFILE, kept_login

    named = profile or (os.environ.get("TOOLYARD_PROFILE") if config is None else None)
    if named:
        return Reach(profile=named)
    url, token = os.environ.get("TOOLYARD_URL"), os.environ.get("TOOLYARD_TOKEN")
    if config is None and url and token:
        return Reach(url=url.rstrip("/").removesuffix("/mcp"), token=token)
    place = find_place(config)
    if place is not None and place.config.is_file():
        socket = place.data_dir / CONTROL_SOCKET
        return Reach(socket=socket) if _answers(socket) else None
    if config is None and kept_login(DEFAULT_PROFILE) is not None:
        return Reach(profile=DEFAULT_PROFILE)
    return None


def need_reach(config: Path | None, profile: str | None) -> Reach:
    """As `find_reach`. Raises ControlAbsent."""
    reach = find_reach(config, profile)
    if reach is None:
        place = find_place(config)
        where = f"on {place.config}" if place is not None and place.config.is_file() else "here"
        raise ControlAbsent(f"no control plane is running {where}", mend=NEEDED)
    return reach


def _answers(socket: Path) -> bool:
    try:
        open_socket(socket, timeout_s=1.0).close()
    except OSError:
        return False
    return True


def _by_login(profile: str, organization: str | None) -> Client:
    from toolyard.cli.logins import KeptLogin, renewed
    from toolyard.sdk.client import Client
    from toolyard.sdk.errors import ApiError
    from toolyard.sdk.login import Tokens

    def renew(login: KeptLogin) -> Tokens | None:
        with Client(login.url, tokens=login.tokens) as client:
            try:
                return client.renew()
            except ApiError as error:
                if error.status != 401:
                    raise
                raise LoginEnded(
                    f"the login '{profile}' at {login.url} has ended", mend=f"Log in again: toolyard login {login.url}"
                ) from None

    login = renewed(profile, renew)
    return Client(login.url, token=login.access, organization=organization or login.organization)
