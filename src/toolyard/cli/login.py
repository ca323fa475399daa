"""Commands for logging in elsewhere, and for the first administrator here."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from toolyard.cli.operating import OrganizationOption, ProfileOption
from toolyard.cli.options import ConfigOption, OutputOption
from toolyard.cli.output import Format, say, show
from toolyard.kit.errors import PlatformError

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
StdinOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


class OperatorNeeded(PlatformError):
    """Only the operator of this machine may do this: it goes through the control plane's socket."""

    code = "operator_needed"
    status = 403


def login(
    url: Annotated[str, typer.Argument(help="Where that Toolyard is, such as https://tools.example.com.")],
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="User name or e-mail address.", show_default=False)
    ] = None,
    password_stdin: StdinOption = False,
    organization: OrganizationOption = None,
    profile: Annotated[str, typer.Option("--profile", help="What the login is called here.")] = "default",
) -> None:
    """Log in to a Toolyard elsewhere; commands then ask that one.

    The tokens are kept in ~/.config/toolyard/logins.json, for you only; the password is not."""
    from toolyard.cli.logins import KeptLogin, keep
    from toolyard.sdk.client import Client

    url = _address(url)
    name = username or str(typer.prompt("User name", err=True))
    secret = _password(password_stdin)
    with Client(url, username=name, password=secret, organization=organization) as client:
        tokens = client.renew()
        me = client.auth.me()
    assert tokens is not None
    kept = KeptLogin(url, me["username"], tokens.access, tokens.refresh, tokens.ends_at, organization)
    say(f"Logged in to {url} as {me['username']}; kept in {keep(profile, kept)}")


def logout(profile: Annotated[str, typer.Option("--profile", help="Which login.")] = "default") -> None:
    """End the login, there and here."""
    from toolyard.cli.logins import forget
    from toolyard.sdk.client import Client
    from toolyard.sdk.errors import ApiError, ApiUnreachable

    kept = forget(profile)
    try:
        with Client(kept.url, tokens=kept.tokens) as client:
            client.auth.logout()
    except (ApiError, ApiUnreachable) as error:
        say(f"The login is forgotten here; {kept.url} said: {error.message}")
        return
    say(f"Logged out of {kept.url}.")


def whoami(
    organization: OrganizationOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Say whom commands ask, as whom, and what that one may do."""
    from toolyard.cli.logins import kept_login
    from toolyard.cli.reach import need_reach

    reach = need_reach(config, profile)
    with reach.connect(organization) as client:
        me: dict[str, Any] = dict(client.auth.me())
    kept = kept_login(reach.profile) if reach.profile else None
    show({"at": str(reach.socket or reach.url or (kept.url if kept else "")), **me}, output)


def create_admin(
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="The administrator's user name.", show_default=False)
    ] = None,
    email: Annotated[str | None, typer.Option("--email", help="An e-mail address.", show_default=False)] = None,
    password_stdin: StdinOption = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make a platform administrator, on the control plane's own machine.

    Without --password-stdin you are asked for the password, twice."""
    from toolyard.cli.reach import find_reach, need_reach
    from toolyard.sdk.models import NewAccount

    local = find_reach(config, None)
    if local is not None and local.socket is None:
        raise OperatorNeeded(mend="Run it beside the control plane's toolyard.yaml, or with --config.")
    with (local or need_reach(config, None)).connect() as client:
        name = username or str(typer.prompt("User name", err=True))
        account: NewAccount = {"username": name, "password": _password(password_stdin, twice=True)}
        account["platform_admin"] = True
        if email is not None:
            account["email"] = email
        made = dict(client.platform_users.create(account))
    fields = ("id", "username", "email", "platform_admin", "created_at")
    show({name: made.get(name) for name in fields} if output is Format.TABLE else made, output)


def _address(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise typer.BadParameter("write it with https://", param_hint="URL")
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        say(f"warning: {url.hostname} is asked without TLS: whoever is on the way reads the password")
    return text.rstrip("/")


def _password(from_stdin: bool, *, twice: bool = False) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise typer.BadParameter("needed where nobody can be asked", param_hint="--password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=twice, err=True))
