"""What the routes of logins take and answer."""

from __future__ import annotations

import datetime as dt
import json
import re
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from toolyard.control.base.texts import Line
from toolyard.control.identity.entrance import AccessToken, Entered
from toolyard.control.identity.login_secrets import csrf_token
from toolyard.control.identity.model import LoginRow, OrganizationRow, UserRow
from toolyard.kit.passwords import MAX_CHARACTERS
from toolyard.kit.secret import Secret

_USERNAME = re.compile(r"\w[\w.\-]{0,99}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
MAX_JSON = 16_384


def normal_name(text: str) -> str:
    """A user name or e-mail address as it is kept: however it is typed, it is the same."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def _username(text: str) -> str:
    name = normal_name(text)
    if not _USERNAME.fullmatch(name):
        raise ValueError("a user name has letters, digits and . _ - and begins with a letter or digit")
    return name


def _email(text: str) -> str:
    address = normal_name(text)
    if not _EMAIL.fullmatch(address):
        raise ValueError("this is no e-mail address")
    return address


def _small(value: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > MAX_JSON:
        raise ValueError(f"this is more than {MAX_JSON} characters")
    if "\\u0000" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise ValueError("it has characters that cannot be kept")
    return value


Username = Annotated[Line, Field(min_length=1, max_length=100, examples=["ada"]), AfterValidator(_username)]
Email = Annotated[Line, Field(min_length=3, max_length=320, examples=["ada@example.com"]), AfterValidator(_email)]
FullName = Annotated[Line, Field(max_length=200, examples=["Ada Lovelace"])]
SmallObject = Annotated[dict[str, Any], AfterValidator(_small)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=4 * MAX_CHARACTERS, examples=["four lazy yaks sing"])]


def secret(value: SecretStr) -> Secret:
    """The same, in the type that cannot be printed."""
    return Secret(value.get_secret_value())


class Strict(BaseModel):
    """What is not known is refused: nobody sets a field that is not theirs to set."""

    model_config = ConfigDict(extra="forbid")


class Account(BaseModel):
    """A person or service account, as its owner sees it."""

    id: str = Field(examples=["us_01jd3qk5m0v7w8x9yab2c3"])
    username: str = Field(examples=["ada"])
    email: str | None = Field(None, examples=["ada@example.com"])
    full_name: str = ""
    enabled: bool = True
    platform_admin: bool = Field(default=False, description="May act in every organization.")
    is_service_account: bool = False
    created_at: dt.datetime
    last_login_at: dt.datetime | None = None

    @classmethod
    def of(cls, row: UserRow) -> Account:
        return cls(
            id=row.id, username=row.username, email=row.email, full_name=row.full_name, enabled=row.enabled,
            platform_admin=row.platform_admin, is_service_account=row.service_of is not None,
            created_at=row.created_at, last_login_at=row.last_login_at,
        )  # fmt: skip


class SetupState(BaseModel):
    """Whether the first administrator has still to be made."""

    needed: bool


class Setup(Strict):
    """The first administrator. `token` is in the set-up link that was printed at the start."""

    token: SecretStr = Field(max_length=200)
    username: Username
    password: Password
    email: Email | None = None


class Registration(Strict):
    """A new account, made by its owner."""

    username: Username
    email: Email
    password: Password
    full_name: FullName = ""


class LoginWanted(Strict):
    """User name or e-mail address, and the password."""

    username: Line | None = Field(None, max_length=320, examples=["ada"])
    email: Line | None = Field(None, max_length=320)
    password: Password
    organization: Line | None = Field(
        None, max_length=40, description="The organization to work in (id or slug), if not your first."
    )


class TokenAnswer(BaseModel):
    """An access token: send it as `Authorization: Bearer …`."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105  (a type, not a token)
    expires_in: int = Field(description="For how many seconds it holds.", examples=[600])
    organization_id: str = Field(description="The organization it is for.", examples=["default"])

    @classmethod
    def of(cls, token: AccessToken) -> TokenAnswer:
        return cls(access_token=token.text, expires_in=token.expires_in, organization_id=token.standing.organization_id)


class LoginAnswer(TokenAnswer):
    """A login. By cookie there is no refresh token, but a token to be sent with each change as `toolyard-csrf`."""

    refresh_token: str | None = None
    csrf_token: str | None = None
    user: Account

    @classmethod
    def of_login(cls, entered: Entered) -> LoginAnswer:
        by_cookie = entered.login.by_cookie
        return cls(
            **TokenAnswer.of(entered.token).model_dump(),
            refresh_token=None if by_cookie else entered.proof.refresh_token(),
            csrf_token=csrf_token(entered.proof) if by_cookie else None,
            user=Account.of(entered.user),
        )


class RefreshWanted(Strict):
    """The refresh token of the last answer; it can be used once."""

    refresh_token: SecretStr = Field(max_length=300)


class ServiceTokenWanted(Strict):
    """The id and the secret of a service account's secret."""

    client_id: Line = Field(max_length=40, examples=["se_01jd3qk5m0v7w8x9yab2c3"])
    client_secret: SecretStr = Field(max_length=200)


class TokenWanted(Strict):
    """For which organization."""

    organization: Line | None = Field(
        None, max_length=40, description="Id or slug; without it, the one of the request."
    )


class PasswordProof(Strict):
    """The caller's own password."""

    password: Password


class PasswordProved(BaseModel):
    """Until when the proof counts for what needs a recent one."""

    fresh_until: dt.datetime


class PasswordChange(Strict):
    """The password as it is, and as it shall be."""

    current_password: Password
    new_password: Password


class OwnOrganization(BaseModel):
    """An organization that one belongs to."""

    id: str
    slug: str
    name: str

    @classmethod
    def of(cls, row: OrganizationRow) -> OwnOrganization:
        return cls(id=row.id, slug=row.slug, name=row.name)


class Me(BaseModel):
    """Who is asking, and what they may do in the organization of the request."""

    id: str
    username: str
    kind: str = Field(description="`user`, `service` or `operator`.")
    user: Account | None = None
    organization_id: str
    organizations: list[OwnOrganization]
    roles: list[str]
    tier: str | None = None
    permissions: list[str]
    grants: list[tuple[str, str]] = Field(description="Permissions on single resources.")
    platform_admin: bool
    login_id: str | None = None
    csrf_token: str | None = Field(None, description="Of a login by cookie: send it with each change.")


class Profile(BaseModel):
    """What one tells of oneself."""

    full_name: str = ""
    email: str | None = None
    details: dict[str, Any] = Field(default_factory=dict, description="Anything else, such as phone or avatar.")

    @classmethod
    def of(cls, row: UserRow) -> Profile:
        return cls(full_name=row.full_name, email=row.email, details=row.profile)


class ProfileChange(Strict):
    """What shall be different. `details` are merged; a null removes one."""

    full_name: FullName | None = None
    email: Email | None = None
    details: SmallObject | None = None


class Preferences(BaseModel):
    """How one likes it: language, theme, anything that the console or a client keeps."""

    preferences: dict[str, Any] = Field(examples=[{"language": "en", "theme": "dark"}])


class PreferencesChange(Strict):
    """Preferences to be merged; a null removes one."""

    preferences: SmallObject


class Login(BaseModel):
    """One of the caller's logins."""

    id: str
    current: bool = Field(description="Whether this request belongs to it.")
    by_cookie: bool
    address: str
    agent: str
    created_at: dt.datetime
    used_at: dt.datetime
    expires_at: dt.datetime

    @classmethod
    def of(cls, row: LoginRow, current: str | None) -> Login:
        return cls(
            id=row.id, current=row.id == current, by_cookie=row.by_cookie, address=row.address, agent=row.agent,
            created_at=row.created_at, used_at=row.used_at, expires_at=row.expires_at,
        )  # fmt: skip


class LoginsEnded(BaseModel):
    """How many logins have ended."""

    ended: int
