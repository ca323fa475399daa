"""The routes of logins, under `/api/v1/auth`."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request, Response

from toolyard.control.base.caller import Caller
from toolyard.control.base.declaration import Declared
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import CallerParam, WorkParam, client_address
from toolyard.control.base.work import Work
from toolyard.control.identity import cookies, own_account
from toolyard.control.identity.entrance import EVERYWHERE, Entrance, Visitor
from toolyard.control.identity.login_secrets import csrf_token
from toolyard.control.identity.model import UserRow
from toolyard.control.identity.own_account import RegistrationOpen
from toolyard.control.identity.revocation import end_logins
from toolyard.control.identity.schema_auth import (
    Account,
    Login,
    LoginAnswer,
    LoginsEnded,
    LoginWanted,
    Me,
    OwnOrganization,
    PasswordChange,
    PasswordProof,
    PasswordProved,
    Preferences,
    PreferencesChange,
    Profile,
    ProfileChange,
    RefreshWanted,
    Registration,
    ServiceTokenWanted,
    Setup,
    SetupState,
    TokenAnswer,
    TokenWanted,
    normal_name,
    secret,
)
from toolyard.control.identity.setup import SettingUp, setup_needed
from toolyard.control.identity.store import Logins, Organizations, Users, membership

_OPEN = Declared("open", "none", "none", "login", transaction=False)
_OWN = Declared("login", "self", "token", "login", transaction=False)
_ME = Declared("login", "self", "none", "read", transaction=False)
_TOKEN = Declared("login", "self", "token", "write", transaction=False)


def add_auth_routes(one: Slice, entrance: Entrance, data_dir: Path, registration_open: RegistrationOpen) -> None:
    """Logging in, and what people do with their own accounts and logins."""
    _add_entering(one, entrance, data_dir, registration_open)
    _add_proving(one, entrance)
    _add_own(one, entrance)
    _add_logins(one)


def _add_entering(one: Slice, entrance: Entrance, data_dir: Path, registration_open: RegistrationOpen) -> None:
    @one.route("GET", "/auth/setup", _OPEN, operation_id="auth_setup_state")
    async def setup_state() -> SetupState:
        """Whether the first administrator has still to be made."""
        async with entrance.works.read(EVERYWHERE) as work:
            return SetupState(needed=await setup_needed(work))

    @one.route("POST", "/auth/setup", _OPEN, operation_id="auth_setup", status_code=201)
    async def setup(request: Request, given: Setup) -> Account:
        """Make the first administrator, with the token of the set-up link."""
        making = SettingUp(entrance, data_dir)
        address = client_address(request)
        user = await making.first_admin(
            secret(given.token), given.username, secret(given.password), given.email, address
        )
        return Account.of(user)

    @one.route("POST", "/auth/register", _OPEN, operation_id="auth_register", status_code=201)
    async def register(given: Registration) -> Account:
        """Make an account for yourself, where that is switched on."""
        return Account.of(await own_account.register(entrance, registration_open, given))

    @one.route("POST", "/auth/login", _OPEN, operation_id="auth_login")
    async def log_in(request: Request, response: Response, given: LoginWanted, *, cookie: bool = False) -> LoginAnswer:
        """Log in with a password; with `cookie=true` for a browser."""
        name = normal_name(given.username or given.email or "")
        entered = await entrance.log_in(
            name, secret(given.password), _visitor(request), organization=given.organization, by_cookie=cookie
        )
        if cookie:
            cookies.put(request, response, entered.proof, entrance.rules.max_s)
        return LoginAnswer.of_login(entered)

    @one.route("POST", "/auth/refresh", _OPEN, operation_id="auth_refresh")
    async def refresh(given: RefreshWanted) -> LoginAnswer:
        """Get a new access token and a new refresh token; the old refresh token ends."""
        return LoginAnswer.of_login(await entrance.refresh(given.refresh_token.get_secret_value()))

    @one.route("POST", "/auth/token", _OPEN, operation_id="auth_service_token")
    async def service_token(request: Request, given: ServiceTokenWanted) -> TokenAnswer:
        """Get an access token for a service account."""
        token = await entrance.service_token(given.client_id, secret(given.client_secret), _visitor(request))
        return TokenAnswer.of(token)


def _add_proving(one: Slice, entrance: Entrance) -> None:
    @one.route("POST", "/auth/access-token", _TOKEN, operation_id="auth_access_token")
    async def access_token(caller: CallerParam, given: TokenWanted) -> TokenAnswer:
        """Get another access token for this login, also for another of your organizations."""
        return TokenAnswer.of(await entrance.another_token(caller, given.organization))

    @one.route("POST", "/auth/confirm-password", _OWN, operation_id="auth_confirm_password")
    async def confirm(request: Request, caller: CallerParam, given: PasswordProof) -> PasswordProved:
        """Prove your password again, for what needs a recent proof."""
        until = await entrance.prove_again(caller, secret(given.password), _visitor(request))
        return PasswordProved(fresh_until=until)

    @one.route("POST", "/auth/change-password", _OWN, operation_id="auth_change_password", status_code=204)
    async def change_password(request: Request, caller: CallerParam, given: PasswordChange) -> None:
        """Change your password; all your other logins end."""
        old, new = secret(given.current_password), secret(given.new_password)
        await entrance.change_password(caller, old, new, _visitor(request))


def _add_own(one: Slice, entrance: Entrance) -> None:
    @one.route("GET", "/auth/me", _ME, operation_id="auth_me")
    async def me(request: Request, caller: CallerParam) -> Me:
        """Who you are, and what you may do in the organization of the request."""
        async with entrance.works.read(EVERYWHERE) as work:
            return await _me(request, work, caller)

    @one.get("/auth/me/profile", action="self", operation_id="auth_profile")
    async def profile(work: WorkParam) -> Profile:
        """Your profile."""
        return Profile.of(await Users(work).get(work.caller.id))

    @one.patch("/auth/me/profile", action="self", operation_id="auth_change_profile")
    async def change_profile(work: WorkParam, given: ProfileChange) -> Profile:
        """Change your profile."""
        return Profile.of(await own_account.change_profile(work, given))

    @one.get("/auth/me/preferences", action="self", operation_id="auth_preferences")
    async def preferences(work: WorkParam) -> Preferences:
        """Your preferences."""
        return Preferences(preferences=(await Users(work).get(work.caller.id)).preferences)

    @one.patch("/auth/me/preferences", action="self", operation_id="auth_change_preferences")
    async def change_preferences(work: WorkParam, given: PreferencesChange) -> Preferences:
        """Change your preferences."""
        user = await own_account.change_preferences(work, given.preferences)
        return Preferences(preferences=user.preferences)


def _add_logins(one: Slice) -> None:
    @one.post("/auth/logout", action="self", operation_id="auth_logout", status_code=204)
    async def log_out(request: Request, response: Response, work: WorkParam) -> None:
        """End this login; its access tokens end with it."""
        if work.caller.login_id is not None:
            await own_account.end_own_login(work, work.caller.login_id, "logout")
        if work.caller.by_cookie:
            cookies.take_away(request, response)

    @one.get("/auth/logins", action="self", operation_id="auth_logins")
    async def logins(work: WorkParam) -> list[Login]:
        """Your logins that have not ended."""
        live = await Logins(work).live(work.caller.id)
        return [Login.of(row, work.caller.login_id) for row in live]

    @one.delete("/auth/logins/{login_id}", action="self", operation_id="auth_end_login")
    async def end_one(work: WorkParam, login_id: str) -> None:
        """End one of your logins."""
        await own_account.end_own_login(work, login_id, "ended_by_owner")

    @one.post("/auth/logins/end-others", action="self", operation_id="auth_end_other_logins")
    async def end_others(work: WorkParam) -> LoginsEnded:
        """End all your logins but this one."""
        caller = work.caller
        return LoginsEnded(ended=await end_logins(work, caller.id, "ended_by_owner", but=caller.login_id))


def _visitor(request: Request) -> Visitor:
    return Visitor(client_address(request), request.headers.get("user-agent", ""))


async def _me(request: Request, work: Work, caller: Caller) -> Me:
    """For work of all organizations."""
    theirs = await Organizations(work).of(caller.id)
    user = await work.session.get(UserRow, caller.id)
    place = await membership(work, caller.organization_id, caller.id)
    proof = cookies.proof_of(request) if caller.by_cookie else None
    return Me(
        id=caller.id,
        username=caller.name,
        kind=caller.kind,
        user=Account.of(user) if user else None,
        organization_id=caller.organization_id,
        organizations=[OwnOrganization.of(row) for row in theirs],
        roles=list(place.roles) if place else [],
        tier=place.tier if place else None,
        permissions=sorted(caller.permissions),
        grants=sorted(caller.grants),
        platform_admin=caller.platform,
        login_id=caller.login_id,
        csrf_token=csrf_token(proof) if proof else None,
    )
